package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
)

// The history of updates: what was rolled out, going back, and trying again.
func TestRollouts(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, w *world) { d.Rollouts = w.store })
	key := v1.Key{Kind: v1.KindService, Name: "web"}
	const path = "/api/v1/services/web/rollout"
	record := func(spec string, phase v1.RolloutPhase) {
		t.Helper()
		h.add(t, manifest("web", spec))
		o, _ := h.world.Get(key)
		svc := o.(*v1.Service)
		h.world.store.RecordRollout(key, v1.Rollout{Revision: svc.Revision(), Phase: phase, StartedAt: time.Now(), EndedAt: time.Now(), Service: svc})
	}
	ask := func(method, path, body string, status int, want ...string) {
		t.Helper()
		got := h.call(t, request{method: method, path: path, body: body})
		if got.status != status {
			t.Fatalf("%s %s: %d, want %d: %s", method, path, got.status, status, got.body)
		}
		for _, w := range want {
			if !strings.Contains(got.body, w) {
				t.Errorf("%s %s does not say %s: %s", method, path, w, got.body)
			}
		}
	}
	record(`{command: run v1, env: {DB_PASSWORD: hush}}`, v1.RolloutComplete)
	record(`{command: run v2}`, v1.RolloutComplete)
	record(`{command: run v3}`, v1.RolloutFailed)
	ask(http.MethodGet, path+"/history", "", 200, `"number":3`, `"current":true`, `"changes":["command","env"]`, `"run v1"`)
	if got := h.call(t, request{method: http.MethodGet, path: path + "/history"}); strings.Contains(got.body, "hush") {
		t.Errorf("a secret is shown: %s", got.body)
	}
	// The one that failed is not gone back to, nor is the one that the manifest says already.
	ask(http.MethodPost, path+"/undo", "", 200, `"to":2`)
	ask(http.MethodPost, path+"/undo", "", 200, `"to":1`)
	if o, _ := h.world.Get(key); o.(*v1.Service).Spec.Env["DB_PASSWORD"] != "hush" {
		t.Errorf("the secret is lost: %+v", o)
	}
	ask(http.MethodPost, path+"/undo", `{"to": 1}`, 409, "already")
	ask(http.MethodPost, path+"/undo", `{"to": 9}`, 404, "no revision 9")
	ask(http.MethodPost, path+"/undo", `{"to": "x"}`, 400)
	ask(http.MethodPost, "/api/v1/services/none/rollout/undo", "", 404)

	ask(http.MethodPost, path+"/retry", "", 409, "no update")
	o, _ := h.world.Get(key)
	h.world.store.SetStatus(key, &v1.ServiceStatus{
		ObservedRevision: o.Revision(), Phase: v1.PhaseRunning, PID: 7,
		Rollout:    &v1.RolloutStatus{From: "a", To: o.Revision(), Phase: v1.RolloutFailed, Message: "exited with code 1"},
		Conditions: []v1.Condition{{Type: v1.ConditionProgressing, Status: v1.ConditionFalse, Reason: "RolloutFailed", Message: "the update was given up"}},
	})
	ask(http.MethodGet, path, "", 200, `"settled":true`, `"message":"the update was given up"`, `"phase":"Failed"`)
	ask(http.MethodPost, path+"/retry", "", 200, `"retrying"`)
	if last := h.world.intents[len(h.world.intents)-1]; last.Verb != v1.IntentStart {
		t.Errorf("a retry is a %s", last.Verb)
	}
}
