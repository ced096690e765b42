package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// fields are the names of a JSON object, sorted.
func fields(t *testing.T, body string) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Each call of the contract, its status, and what the answer must hold.
func TestContract(t *testing.T) {
	now := time.Now()
	h := newHouse(t, func(d *rest.Deps, w *world) {
		d.Logs = lines{
			{Service: "web", Stream: "stderr", Time: now, Text: "one", Cursor: "1"},
			{Service: "web", Stream: "stdout", Time: now, Text: "two", Cursor: "2"},
		}
		d.Jobs, d.Agents = newErrands(), noAgents{}
		w.problems = []v1.Problem{{File: "bad.yaml", Line: 3, Detail: "is broken"}}
		w.pending = []v1.Key{{Kind: v1.KindService, Name: "old"}}
		w.fates["crashy"], w.fates["stuck"] = crashes, waits
		if err := os.WriteFile(d.LogFile, []byte("first\nsecond\nthird"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	h.add(t, manifest("web", `{command: "python3 /srv/web/app.py", port: 8000, watchDirs: [/srv/web], expose: {subdomain: web}}`)+
		"---\n"+manifest("crashy", `{command: "false"}`)+"---\n"+manifest("idle", `{command: sleep 1, enabled: false}`)+
		"---\napiVersion: supervisor.dev/v1\nkind: CronJob\nmetadata: {name: job, labels: {team: web}}\nspec: {command: date, schedule: '@daily'}\n")

	for _, c := range []struct {
		method, path, body string
		status             int
		want               []string // regular expressions on the body
	}{
		{"GET", "/api/services", "", 200, []string{`^\[\{`, `"name":"crashy".*"name":"idle".*"name":"web"`}},
		{"GET", "/api/services/web", "", 200, []string{`"port":8000`, `"running":true`, `"pid":1\d+`, `"watch_dirs":\["/srv/web"\]`, `"caddy_subdomain":"web"`, `"expose_caddy":true`, `"caddy_path":null`}},
		{"GET", "/api/services/idle", "", 200, []string{`"port":null`, `"running":false`, `"pid":null`, `"enabled":false`, `"watch_dirs":\[\]`}},
		{"GET", "/api/services/nobody", "", 404, []string{`"code":"not_found"`, `no service named \\"nobody\\"`, `"request_id":"\w+"`}},
		{"POST", "/api/services", `{"name":"web","command":"true"}`, 409, []string{`taken`}},
		{"POST", "/api/services", `{"name":"WEB","command":"true"}`, 409, []string{`differ by more than case`}},
		{"POST", "/api/services", `{"name":"a/b","command":"true"}`, 422, []string{`"field":"name"`}},
		{"POST", "/api/services", `{"name":"x"}`, 422, []string{`"field":"command"`}},
		{"POST", "/api/services", `{"name":"x","command":"true","colour":"red"}`, 422, []string{`"field":"colour"`, `allowed are caddy_path`}},
		{"POST", "/api/services", `{"name":"x","command":"true","enabled":"yes"}`, 422, []string{`"field":"enabled"`, `must be true or false, is a JSON string`}},
		{"POST", "/api/services", `{"name":`, 400, []string{`"code":"invalid"`}},
		{"POST", "/api/services", `{"name":"x"} {}`, 400, []string{`more than one value`}},
		{"POST", "/api/services", `[]`, 400, nil},
		{"POST", "/api/services", `{"name":"new","command":"sleep 9","port":9001,"enabled":true}`, 200, []string{`"running":true`, `"pid":1\d+`, `"port":9001`, `"id":\d`}},
		{"PUT", "/api/services/new", `{"port":null,"enabled":false}`, 200, []string{`"port":null`, `"enabled":false`, `"running":false`}},
		{"PUT", "/api/services/new", `{"name":"other"}`, 422, []string{`cannot be changed`}},
		{"PUT", "/api/services/nobody", `{}`, 404, nil},
		{"DELETE", "/api/services/new", "", 200, []string{`^\{"status":"deleted","name":"new"\}\n$`}},
		{"GET", "/api/services/new", "", 404, nil},
		{"POST", "/api/services/web/start", "", 200, []string{`^\{"status":"already_running","name":"web","pid":1\d+\}\n$`}},
		{"POST", "/api/services/web/stop", "", 200, []string{`^\{"status":"stopped","name":"web"\}\n$`}},
		{"POST", "/api/services/web/stop", "", 200, []string{`^\{"status":"not_running","name":"web"\}\n$`}},
		{"POST", "/api/services/web/start", "", 200, []string{`^\{"status":"started","name":"web","pid":1\d+\}\n$`}},
		{"POST", "/api/services/web/restart", "", 200, []string{`^\{"status":"restarted","name":"web","pid":1\d+\}\n$`}},
		{"POST", "/api/services/crashy/start", "", 409, []string{`it is Backoff`, `exited with code 1`, `ImportError: no module named app`}},
		{"POST", "/api/services/crashy/stop", "", 200, []string{`"stopped"`}},
		{"POST", "/api/services/nobody/start", "", 404, nil},
		{"GET", "/api/services/web/logs?limit=1", "", 200, []string{`^\[\{"id":1,"service_id":\d+,"level":"error","message":"two","timestamp":"[^"]+"\}\]\n$`}},
		{"GET", "/api/services/web/logs?level=loud", "", 422, []string{`info, warning, error`}},
		{"GET", "/api/services/web/logs?limit=0", "", 422, []string{`from 1 to 1000`}},
		{"GET", "/api/services/nobody/logs", "", 404, nil},
		{"GET", "/api/services/web/metrics", "", 200, []string{`^\[\]\n$`}},
		{"GET", "/api/services/web/metrics?hours=169", "", 422, nil},
		{"GET", "/api/services/web/metrics/current", "", 200, []string{`"restart_count":0`, `"watch_dirs":\["/srv/web"\]`, `"uptime_seconds":0\.`}},
		{"POST", "/api/services/web/fix", "", 503, []string{`agent`}},
		{"GET", "/api/services/web/fixes", "", 200, []string{`^\[\]\n$`}},
		{"POST", "/api/fixes/7/restore", "", 404, nil},
		{"POST", "/api/services/web/security-scan", "", 503, []string{`scanned`}},
		{"GET", "/api/services/web/security-scan/latest", "", 200, []string{`"has_scan":false`, `"completed_at":null`}},
		{"GET", "/api/status", "", 200, []string{`"total":3`, `"running":1`, `"enabled":2`, `"service_host":"box.lan"`, `"metrics":null`}},
		{"GET", "/api/supervisor/logs?lines=2", "", 200, []string{`^\{"lines":\["second","third"\],"total":3\}\n$`}},
		{"GET", "/api/jobs", "", 200, []string{`^\[\{"id":"fix-2".*"id":"fix-1"`}},
		{"GET", "/api/jobs?status=running", "", 200, []string{`^\[\{"id":"fix-2"[^{]*\}\]\n$`}},
		{"GET", "/api/jobs/fix-1", "", 200, []string{`"status":"completed"`, `"result":\{"ok":true\}`, `"error":null`, `"progress":null`, `"duration_seconds":2`}},
		{"POST", "/api/v1/jobs/fix-2/cancel", "", 200, []string{`"status":"failed"`, `"error":"cancelled by `}},
		{"POST", "/api/v1/jobs/fix-1/cancel", "", 409, nil},
		{"GET", "/api/v1/jobs/fix-1/transcript", "", 200, []string{`^\{"seq":1,.*"text":"one"\}\n\{"seq":2`}},
		{"GET", "/api/v1/jobs/fix-9/transcript", "", 404, nil},
		{"GET", "/api/v1/jobs/fix-9/stream", "", 404, nil},
		{"GET", "/api/agents", "", 200, []string{`^\[\{"id":"opencode".*"installed":false.*"ready":false.*"reason":"not installed"`}},
		{"GET", "/api/jobs?status=odd", "", 422, nil},
		{"GET", "/api/jobs/1", "", 404, nil},
		{"GET", "/api/v1/services", "", 200, []string{`"kind":"List"`, `"observedRevision"`}},
		{"GET", "/api/v1/services/web", "", 200, []string{`"apiVersion":"supervisor.dev/v1"`, `"phase":"Running"`}},
		{"GET", "/api/v1/cronjobs?labelSelector=team%3Dweb", "", 200, []string{`"name":"job"`}},
		{"GET", "/api/v1/cronjobs?labelSelector=team!%3Dweb", "", 200, []string{`"items":\[\]`}},
		{"GET", "/api/v1/cronjobs?labelSelector=(", "", 422, []string{`team=web`}},
		{"GET", "/api/v1/cronjobs/job", "", 200, []string{`"schedule":"@daily"`}},
		{"DELETE", "/api/v1/cronjobs/job", "", 200, []string{`"deleted"`}},
		{"PUT", "/api/v1/services/full", manifest("full", `{command: sleep 5}`), 201, []string{`"phase":"Running"`}},
		{"PUT", "/api/v1/services/full", manifest("full", `{command: sleep 6}`), 200, []string{`sleep 6`}},
		{"PUT", "/api/v1/services/full", manifest("other", `{command: sleep 6}`), 422, []string{`Service/other`}},
		{"PUT", "/api/v1/services/full", manifest("full", `{commnd: sleep 6}`), 422, []string{`commnd`, `"line":1`}},
		{"DELETE", "/api/v1/services/full", "", 200, []string{`"deleted"`}},
		{"GET", "/api/v1/problems", "", 200, []string{`"file":"bad.yaml","line":3,"detail":"is broken"`}},
		{"GET", "/api/v1/prune", "", 200, []string{`"pending":\[\{"kind":"Service","name":"old"\}\]`}},
		{"POST", "/api/v1/prune", "", 200, []string{`"pending":\[\],"pruned":\[\{"kind":"Service","name":"old"\}\]`}},
		{"POST", "/api/v1/validate", manifest("v", `{command: ""}`), 200, []string{`"valid":false`, `spec.command`}},
		{"POST", "/api/v1/validate", manifest("v", `{command: a}`), 200, []string{`"valid":true,"problems":\[\],"keys":\[\{"kind":"Service","name":"v"\}\]`}},
		{"POST", "/api/v1/validate", manifest("v", `{command: a}`) + "---\n" + manifest("V", `{command: a}`), 200, []string{`"valid":false`, `there twice`}},
		{"POST", "/api/v1/apply", "", 422, []string{`no document`}},
		{"GET", "/api/v1/events?kind=Service", "", 200, []string{`"items":\[\]`}},
		{"GET", "/api/v1/events?type=Odd", "", 422, []string{`Normal, Warning`}},
		{"GET", "/api/v1/version", "", 200, []string{`"version":"v1.2.3"`}},
		{"GET", "/healthz", "", 200, []string{`"ok"`}},
		{"GET", "/readyz", "", 200, []string{`"ok"`}},
		{"GET", "/schemas/service.json", "", 200, []string{`object`}},
		{"GET", "/schemas/../../etc/passwd", "", 404, nil},
		{"GET", "/api/nothing", "", 404, []string{`/openapi.json`}},
		{"PATCH", "/api/services", "", 405, []string{`PATCH`}},
		{"POST", "/api/v1/shutdown", "", 403, []string{`unix socket`}},
	} {
		r := h.call(t, request{method: c.method, path: c.path, body: c.body})
		if r.status != c.status {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, r.status, r.body, c.status)
			continue
		}
		for _, want := range c.want {
			if !regexp.MustCompile(want).MatchString(r.body) {
				t.Errorf("%s %s %s: %s\nlacks %s", c.method, c.path, c.body, r.body, want)
			}
		}
		if r.status >= 400 {
			if got := r.header.Get("Content-Type"); got != wire.ProblemType {
				t.Errorf("%s %s: an error of type %q", c.method, c.path, got)
			}
			p := decode[wire.Problem](t, r)
			if p.Status != r.status || p.Title != http.StatusText(r.status) || p.Detail == "" {
				t.Errorf("%s %s: an error without status, title or detail: %s", c.method, c.path, r.body)
			}
		}
	}
}

// The names that the contract fixes are all there.
func TestContractFields(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: sleep 1}`))
	for path, want := range map[string]string{
		"/api/services/web":                      "id name command working_dir port enabled expose_caddy caddy_subdomain caddy_path watch_dirs created_at updated_at running pid",
		"/api/services/web/metrics/current":      "pid cpu_percent memory_mb disk_mb child_processes uptime_seconds restart_count watch_dirs",
		"/api/services/web/security-scan/latest": "has_scan job_id status result error started_at completed_at",
		"/api/status":                            "services total running enabled service_host",
		"/api/supervisor/logs":                   "lines total",
	} {
		got := fields(t, h.call(t, request{path: path}).body)
		for name := range strings.FieldsSeq(want) {
			if !slices.Contains(got, name) {
				t.Errorf("%s lacks %s", path, name)
			}
		}
	}
	status := decode[struct{ Services []json.RawMessage }](t, h.call(t, request{path: "/api/status"}))
	for name := range strings.FieldsSeq("name enabled running pid port caddy_subdomain metrics") {
		if !slices.Contains(fields(t, string(status.Services[0])), name) {
			t.Errorf("/api/status lacks services[].%s", name)
		}
	}
}

// A subset of the flat fields becomes changes of the manifest's fields, and nothing else.
func TestPutMapsFields(t *testing.T) {
	for _, c := range []struct {
		name, spec, body string
		want             string // path=value of each change
	}{
		{"nothing", `{command: a}`, `{}`, ""},
		{"what is shown sent back", `{command: a, port: auto, workingDir: /srv}`, "GET", ""},
		{"command", `{command: a}`, `{"command":"b"}`, "spec.command=b"},
		{"folder cleared", `{command: a, workingDir: /srv}`, `{"working_dir":null}`, "spec.workingDir=<nil>"},
		{"port", `{command: a}`, `{"port":8080}`, "spec.port={8080 false}"},
		{"port auto", `{command: a, port: 1234}`, `{"port":"auto"}`, "spec.port={0 true}"},
		{"port 0 means none", `{command: a, port: 1234}`, `{"port":0}`, "spec.port=<nil>"},
		{"disable", `{command: a}`, `{"enabled":false}`, "spec.enabled=false"},
		{"enabled as it is", `{command: a}`, `{"enabled":true}`, ""},
		{"dirs", `{command: a}`, `{"watch_dirs":["/a","/b"]}`, "spec.watchDirs=[/a /b]"},
		{"expose", `{command: a, port: 1}`, `{"expose_caddy":true,"caddy_subdomain":"web"}`, "spec.expose.enabled=true spec.expose.subdomain=web"},
		{"subdomain alone is not on", `{command: a, port: 1}`, `{"caddy_subdomain":"web"}`, "spec.expose.enabled=false spec.expose.subdomain=web"},
		{"subdomain of what is on", `{command: a, port: 1, expose: {subdomain: x}}`, `{"caddy_subdomain":"web"}`, "spec.expose.subdomain=web"},
		{"route off", `{command: a, port: 1, expose: {subdomain: x}}`, `{"expose_caddy":false}`, "spec.expose.enabled=false"},
		{"not exposed and never was", `{command: a}`, `{"expose_caddy":false,"caddy_path":null}`, ""},
		{"path", `{command: a, port: 1, expose: {subdomain: x}}`, `{"caddy_path":"/p","caddy_subdomain":null}`, "spec.expose.subdomain=<nil> spec.expose.path=/p"},
		{"read-only fields are ignored", `{command: a}`, `{"id":9,"pid":1,"running":false,"created_at":"x"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.add(t, manifest("web", c.spec))
			if c.body == "GET" {
				c.body = h.call(t, request{path: "/api/services/web"}).body
			}
			if r := h.call(t, request{method: "PUT", path: "/api/services/web", body: c.body}); r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			var got []string
			for _, ch := range h.changes {
				got = append(got, fmt.Sprintf("%s=%v", strings.Join(ch.Path, "."), ch.Value))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestIfMatch(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: a}`))
	tag := h.call(t, request{path: "/api/v1/services/web"}).header.Get("ETag")
	put := func(body, ifMatch string) response {
		return h.call(t, request{method: "PUT", path: "/api/v1/services/web", body: body, header: map[string]string{"If-Match": ifMatch}})
	}
	first := put(manifest("web", `{command: b}`), tag)
	if first.status != 200 || first.header.Get("ETag") == tag {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if r := put(manifest("web", `{command: c}`), tag); r.status != 412 || !strings.Contains(r.body, "read it again") {
		t.Errorf("a stale tag: %d %s", r.status, r.body)
	}
	if r := put(manifest("web", `{command: c}`), "*"); r.status != 200 {
		t.Errorf("any tag: %d %s", r.status, r.body)
	}
	flat := h.call(t, request{method: "PUT", path: "/api/services/web", body: `{"port":1}`, header: map[string]string{"If-Match": tag}})
	del := h.call(t, request{method: "DELETE", path: "/api/services/web", header: map[string]string{"If-Match": tag}})
	if flat.status != 412 || del.status != 412 {
		t.Errorf("stale tag: flat %d, delete %d", flat.status, del.status)
	}
	gone := h.call(t, request{method: "PUT", path: "/api/v1/services/nobody", body: manifest("nobody", `{command: a}`), header: map[string]string{"If-Match": "*"}})
	twice := h.call(t, request{method: "PUT", path: "/api/v1/services/web", body: manifest("web", `{command: a}`), header: map[string]string{"If-None-Match": "*"}})
	if gone.status != 412 || twice.status != 412 {
		t.Errorf("If-Match on nothing: %d; If-None-Match on something: %d", gone.status, twice.status)
	}
}

func TestApply(t *testing.T) {
	h := newHouse(t)
	text := manifest("a", `{command: x}`) + "---\n" + manifest("b", `{command: x}`)
	results := func(text string) string {
		var out []string
		for _, i := range decode[wire.ApplyResult](t, h.call(t, request{method: "POST", path: "/api/v1/apply", body: text})).Items {
			out = append(out, i.Key.Name+" "+i.Result)
		}
		return strings.Join(out, ", ")
	}
	if got := results(text); got != "a created, b created" {
		t.Error(got)
	}
	if got := results(strings.Replace(text, "command: x", "command: z", 1)); got != "a configured, b unchanged" {
		t.Error(got)
	}
	if got := results(manifest("A", `{command: x}`)); got != "A failed" {
		t.Error(got)
	}
	r := h.call(t, request{method: "POST", path: "/api/v1/apply", body: manifest("c", `{command: x}`) + "---\n" + manifest("d", `{comand: x}`)})
	if r.status != 422 || h.call(t, request{path: "/api/services/c"}).status != 404 {
		t.Errorf("a broken document must keep all from being written: %d %s", r.status, r.body)
	}
}

// An answer waits for the reconciler, but not for ever.
func TestBoundedWait(t *testing.T) {
	slow := make(chan struct{})
	h := newHouse(t, func(d *rest.Deps, w *world) { w.slow, d.Patience = slow, 50*time.Millisecond })
	defer close(slow)
	r := h.call(t, request{method: "POST", path: "/api/services", body: `{"name":"web","command":"a"}`})
	if s := decode[wire.Service](t, r); r.status != 200 || s.Running || s.Phase != v1.PhasePending {
		t.Errorf("%d %+v", r.status, s)
	}
	if r := h.call(t, request{method: "POST", path: "/api/services/web/start"}); r.status != 504 || !strings.Contains(r.body, "still under way") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestStartTellsTheTruth(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, w *world) {
		d.Patience = 200 * time.Millisecond
		w.fates["stuck"], w.fates["relapsing"] = waits, crashes
	})
	h.add(t, manifest("stuck", `{command: a}`)+"---\n"+manifest("relapsing", `{command: a}`))
	if r := h.call(t, request{method: "POST", path: "/api/services/stuck/start"}); r.status != 409 || !strings.Contains(r.body, "waits for db to be ready") {
		t.Errorf("%d %s", r.status, r.body)
	}
	h.mu.Lock()
	h.fates["relapsing"] = relapses
	h.mu.Unlock()
	if r := h.call(t, request{method: "POST", path: "/api/services/relapsing/start"}); r.status != 409 || !strings.Contains(r.body, "exited with code 2") {
		t.Errorf("a service that runs for a moment only: %d %s", r.status, r.body)
	}
	h.mu.Lock()
	h.fates["relapsing"] = lives
	h.mu.Unlock()
	if r := h.call(t, request{method: "POST", path: "/api/services/relapsing/restart"}); r.status != 200 {
		t.Errorf("a service that was repaired: %d %s", r.status, r.body)
	}
	if in := h.intents[0]; !strings.HasPrefix(in.Actor, "local (Go-http-client") {
		t.Errorf("actor %q", in.Actor)
	}
}

func TestReadyz(t *testing.T) {
	h := newHouse(t, func(_ *rest.Deps, w *world) { w.unready = []string{"the keeper is not reachable"} })
	if r := h.call(t, request{path: "/readyz"}); r.status != 503 || !strings.Contains(r.body, "keeper") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
