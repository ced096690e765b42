package rest_test

import (
	"context"
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

// A restart of a service that is updated beside its old processes is answered when the update has ended, and says how.
func TestRollingRestart(t *testing.T) {
	const spec = `{command: run, port: auto, probes: {readiness: {tcpSocket: {}}}, expose: {subdomain: web}, update: {strategy: Rolling}}`
	key := v1.Key{Kind: v1.KindService, Name: "web"}
	for name, tt := range map[string]struct {
		change func(st *v1.ServiceStatus, intent string)
		status int
		want   string
	}{
		"it takes over": {func(st *v1.ServiceStatus, intent string) {
			st.PID, st.Rollout = 8, &v1.RolloutStatus{Phase: v1.RolloutComplete, Version: "v/p/" + intent}
		}, 200, `"pid":8`},
		"it is given up": {func(st *v1.ServiceStatus, intent string) {
			st.Rollout = &v1.RolloutStatus{Phase: v1.RolloutFailed, Version: "v/p/" + intent, Message: "exited with code 1", LastLines: []string{"ImportError"}}
		}, 409, "ImportError"},
		"nothing can take its place": {func(st *v1.ServiceStatus, _ string) {
			st.Rollout = &v1.RolloutStatus{Phase: v1.RolloutComplete, Version: "v/p"}
			v1.SetCondition(&st.Conditions, v1.Condition{Type: v1.ConditionDegraded, Status: v1.ConditionTrue, Message: "its env file is gone"})
		}, 409, "its env file is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(d *rest.Deps, w *world) { d.Operator = acting{w, tt.change} })
			h.add(t, manifest("web", spec))
			h.world.store.SetStatus(key, &v1.ServiceStatus{Phase: v1.PhaseRunning, PID: 7})
			if got := h.call(t, request{method: http.MethodPost, path: "/api/services/web/restart"}); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("%d %s, want %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
}

// acting is an operator whose orders change a status that is first seen under way.
type acting struct {
	*world
	change func(st *v1.ServiceStatus, intent string)
}

func (a acting) Intend(_ context.Context, key v1.Key, _ v1.IntentVerb, _ string) (string, error) {
	st := v1.ServiceStatus{
		Phase: v1.PhaseRunning, PID: 7, ObservedIntent: "i1", Rollout: &v1.RolloutStatus{Phase: v1.RolloutProgressing, Version: "v/p/i1"},
	}
	a.store.SetStatus(key, &st)
	a.busy.Go(func() {
		done := st
		a.change(&done, "i1")
		a.store.SetStatus(key, &done)
	})
	return "i1", nil
}
