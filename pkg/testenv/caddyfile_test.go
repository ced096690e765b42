package testenv_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
)

// A Caddyfile that imports ours, by a pattern and relative to itself, beside sites of its own: routes are written there and
// served, below a hand-written site too, which is the only way to have both; a hand-written address is not taken; an edit of
// our file is put back; and a Caddy that starts while no supervisor runs has the routes.
func TestRoutesInACaddyfile(t *testing.T) {
	t.Parallel()
	c := caddytest.New(t, "import sites/other*.conf\nimport sites/supervisor.conf\nhttp://hand.example.test {\n\trespond \"by hand\"\n}\nhttps://apps.test {\n\ttls internal\n\timport supervisor_paths\n\trespond \"the user's own\"\n}\n")
	if err := os.Mkdir(filepath.Join(c.Dir, "sites"), 0o755); err != nil {
		t.Fatal(err)
	}
	fragment := filepath.Join(c.Dir, "sites", "supervisor.conf")
	for path, text := range map[string]string{
		filepath.Join(c.Dir, "sites", "other.conf"): "http://other.test {\n\trespond \"another file\"\n}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := routedEnv(t, c, "CADDY_MODE=auto", "CADDY_CONFIG_FILE="+c.File, "CADDY_SUPERVISOR_FILE="+fragment)
	r.static("one", "page one", "expose: {subdomain: one, tls: internal, requestHeaders: {X-A: 'a \"b\" \\ #c'}}")
	r.static("two", "page two", "expose: {path: /two}")
	r.static("taken", "page taken", `expose: {subdomain: hand, tls: "off"}`)
	r.StartManager()
	r.exposed("one", "CaddyUnreachable")
	c.Run() // which needs the file that is imported
	r.answers("https://one.example.test/", 200, "page one")
	r.answers("https://apps.test/two/", 200, "page two")
	r.answers("https://apps.test/", 200, "the user's own")
	r.answers("http://hand.example.test/", 200, "by hand")
	r.answers("http://other.test/", 200, "another file")
	if taken := r.exposed("taken", "AddressTaken"); taken.Status != v1.ConditionFalse || !strings.Contains(taken.Message, "hand.example.test") {
		t.Errorf("the address of a hand-written site: %+v", taken)
	}
	if got := r.routes(); got.Mode != "file" || got.File != fragment || got.State != wire.CaddyStateServing {
		t.Errorf("mode %s, file %s, state %s", got.Mode, got.File, got.State)
	}

	// Our file is edited; the next look puts it back.
	written, err := os.ReadFile(fragment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fragment, []byte("(supervisor_paths) {\n}\nhttp://evil.test {\n\trespond evil\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Client.ReloadCaddy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(fragment); err != nil || string(again) != string(written) {
		t.Errorf("an edited file is %q, %v", again, err)
	}

	// A Caddyfile that has an error of its own is told as such, and Caddy serves on.
	good, err := os.ReadFile(c.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.File, append(good, []byte("nonsense {\n\tno_such_thing\n}\n")...), 0o644); err != nil {
		t.Fatal(err)
	}
	r.static("three", "page three", "expose: {path: /three}")
	if c := r.exposed("three", "CaddySetup"); !strings.Contains(c.Message, "no_such_thing") || !strings.Contains(c.Message, r.caddy.File) {
		t.Errorf("with a broken Caddyfile: %+v", c)
	}
	r.answers("https://one.example.test/", 200, "page one")
	if err := os.WriteFile(c.File, good, 0o644); err != nil {
		t.Fatal(err)
	}
	r.static("three", "page three", "expose: {path: /drei}")
	r.answers("https://apps.test/drei/", 200, "page three")

	// Nobody of us is there when Caddy starts.
	r.KillManager()
	r.caddy.Kill()
	r.caddy.Run()
	r.answers("https://one.example.test/", 200, "page one")
	r.answers("https://apps.test/drei/", 200, "page three")
	r.answers("https://apps.test/", 200, "the user's own")
}

// With one setting Supervisor runs Caddy itself: routes with TLS, also to its own dashboard, which then asks for a token. A
// Caddy that is killed comes back with all routes, and one whose supervisor is killed serves on.
func TestManagedCaddy(t *testing.T) {
	t.Parallel()
	ports := caddytest.New(t, "") // never run: for its ports alone
	r := routedEnv(t, ports, "CADDY_MODE=managed", "CADDY_PROGRAM="+caddytest.Program(t), "CADDY_BASE_DOMAIN=localhost", "CADDY_DOMAIN=localhost", "CADDY_DASHBOARD=sv")
	r.static("web", "page web", "expose: {subdomain: web}")
	r.StartManager()
	r.answers("https://web.localhost/", 200, "page web")
	r.answers("https://sv.localhost/healthz", 200, "ok")
	r.answers("https://sv.localhost/api/services", 401, "forwarded")
	if got := r.routes(); !strings.HasPrefix(got.Dashboard, "https://sv.localhost:") || got.Mode != "managed" {
		t.Errorf("the dashboard is at %q, mode %s", got.Dashboard, got.Mode)
	}
	if _, err := os.Stat(filepath.Join(r.Manifests, "services", "caddy.yaml")); err != nil {
		t.Errorf("Caddy has no manifest: %v", err)
	}

	first := r.PID("caddy")
	r.exposed("web", "Answers")
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.Wait("another Caddy", func() bool { st := r.Status("caddy"); return st.PID != 0 && st.PID != first })
	r.answers("https://web.localhost/", 200, "page web")

	r.KillManager()
	r.answers("https://web.localhost/", 200, "page web")
	r.StartManager()
	r.exposed("web", "Answers")
	if got := r.routes(); got.Drift != "" {
		t.Errorf("nothing has changed, and the drift is %q", got.Drift)
	}
	// A service that is stopped keeps its address, which says so.
	if _, err := r.Client.Stop(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	r.answers("https://web.localhost/", 503, "web is stopped")
	if c := r.exposed("web", "Stopped"); c.Status != v1.ConditionTrue {
		t.Errorf("stopped: %+v", c)
	}
}

// Without a Caddy everything else works, and what needs one says what to do.
func TestNoCaddy(t *testing.T) {
	t.Parallel()
	r := routedEnv(t, caddytest.New(t, ""))
	r.static("web", "page web", "expose: {subdomain: web}")
	r.StartManager()
	r.WaitPhase("web", v1.PhaseRunning)
	r.exposed("web", "CaddyUnreachable")
	unavailable := func(what string, err error) {
		t.Helper()
		var problem *wire.Problem
		if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable || !strings.Contains(problem.Detail, "CADDY_MODE=managed") {
			t.Errorf("%s: %v, want a 503 that says what to do", what, err)
		}
	}
	_, err := r.Client.CaddyCurrent(t.Context())
	unavailable("current", err)
	_, err = r.Client.ReloadCaddy(t.Context())
	unavailable("reload", err)
	config, err := r.Client.CaddyConfig(t.Context())
	if err != nil || !strings.Contains(config.Caddyfile, "https://web.example.test:") || len(config.Services) != 1 || config.Services[0].Name != "web" || config.Services[0].Port == nil {
		t.Errorf("what is generated: %+v, %v", config, err)
	}
	if got := r.routes(); got.State != wire.CaddyStateUnreachable || len(got.Routes) != 1 || got.Routes[0].Served {
		t.Errorf("routes: %+v", got)
	}
	if out, code := r.CLI("routes"); code != 1 || !strings.Contains(out, "Caddy does not answer") || !strings.Contains(out, "web") {
		t.Errorf("supervisor routes ends with %d:\n%s", code, out)
	}
}
