package testenv_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/caddy"
	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// routed is a supervisor in front of which a real Caddy stands.
type routed struct {
	*testenv.Env
	t      testing.TB
	caddy  *caddytest.Caddy
	client *http.Client
}

// routedEnv makes one that has not been started.
func routedEnv(t testing.TB, c *caddytest.Caddy, variables ...string) *routed {
	t.Helper()
	e := testenv.New(t, append([]string{
		"CADDY_MODE=api", "CADDY_ADMIN_URL=" + c.Admin, fmt.Sprintf("CADDY_PORT=%d", c.HTTPS), fmt.Sprintf("CADDY_HTTP_PORT=%d", c.HTTP),
		"CADDY_BIND=127.0.0.1", "CADDY_BASE_DOMAIN=example.test", "CADDY_DOMAIN=apps.test", "CADDY_UPSTREAMS_DIR=" + filepath.Join(c.Dir, "upstreams"),
	}, variables...)...)
	return &routed{Env: e, t: t, caddy: c, client: &http.Client{
		Timeout: 10 * time.Second, Transport: caddytest.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get asks through Caddy: by plain HTTP for http://…, else by TLS. It returns the status, the headers and the body.
func (r *routed) get(url string) (int, http.Header, string) {
	r.t.Helper()
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	port := r.caddy.HTTPS
	if scheme == "http" {
		port = r.caddy.HTTP
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, fmt.Sprintf("%s://%s:%d/%s", scheme, host, port, path), http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return resp.StatusCode, resp.Header, string(body)
}

// answers waits until a URL is answered with a status and a body that holds some text.
func (r *routed) answers(url string, status int, holds string) {
	r.t.Helper()
	got, body := 0, ""
	if !testenv.Poll(time.Minute, func() bool {
		got, _, body = r.get(url)
		return got == status && strings.Contains(body, holds)
	}) {
		r.t.Fatalf("%s answers %d %q, want %d with %q\n%s", url, got, body, status, holds, r.Output())
	}
}

// exposed waits until a service has the condition Exposed with a reason, and returns it.
func (r *routed) exposed(service, reason string) v1.Condition {
	r.t.Helper()
	var c *v1.Condition
	if !testenv.Poll(time.Minute, func() bool {
		st := r.Status(service)
		if st == nil {
			return false
		}
		c = v1.FindCondition(st.Conditions, v1.ConditionExposed)
		return c != nil && c.Reason == reason
	}) {
		r.t.Fatalf("%s: the condition Exposed is %+v, want the reason %s\n%s", service, c, reason, r.Output())
	}
	return *c
}

func (r *routed) routes() wire.Routes {
	r.t.Helper()
	routes, err := r.Client.Routes(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return routes
}

// static is a service that serves a folder with one page.
func (r *routed) static(name, page, more string) {
	r.t.Helper()
	dir := filepath.Join(r.Dir, "pages", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(page), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.Service(name, "command: [/usr/bin/python3, -m, http.server, --bind, 127.0.0.1, $(PORT)]\nworkingDir: "+dir+"\nport: auto\n"+more)
}

// config is Caddy's configuration without what is ours.
func (r *routed) others() any {
	r.t.Helper()
	var config any
	if err := json.Unmarshal([]byte(r.caddy.Config()), &config); err != nil {
		r.t.Fatal(err)
	}
	without, _ := caddy.Merge(config, nil, caddy.NewOwner(r.Dir), nil)
	return without
}

const byHand = `
http://hand.test {
	respond "by hand"
}
*.wild.test {
	tls internal
	@one host one.wild.test
	respond @one "one by hand"
	respond "wild by hand"
}
`

// A WebSocket through one route lives while another route is changed twenty times and a third service crashes all the
// time; that one causes no change of Caddy's configuration at all.
func TestSocketsOutliveReloads(t *testing.T) {
	t.Parallel()
	r := routedEnv(t, caddytest.Start(t, ""))
	app, err := filepath.Abs("testdata/echo.py")
	if err != nil {
		t.Fatal(err)
	}
	r.Service("a", "command: [/usr/bin/python3, "+app+"]\nport: auto\nprobes: {readiness: {httpGet: {path: /}, period: 1s}}\nexpose: {subdomain: a, tls: \"off\"}")
	r.StartManager()
	r.answers("http://a.example.test/", 200, "pid")
	ws := openSocket(t, r.caddy.HTTP, "a.example.test", "/ws")
	hear := func(text string) {
		t.Helper()
		if got, err := ws.ask(text); err != nil || got != "heard "+text {
			t.Fatalf("the socket says %q, %v after %q", got, err, text)
		}
	}
	hear("hello")
	r.Service("c", "command: [sh, -c, 'exit 1']\nport: 1\nrestart: {delay: 0s, maxDelay: 20ms, maxAttempts: -1}\nexpose: {subdomain: c, tls: \"off\"}")
	for i := range 20 {
		if i%5 == 4 {
			r.Remove("services/b.yaml")
			r.Wait("the route to go", func() bool {
				status, h, _ := r.get("http://b.example.test/")
				return status == 200 && h.Get("X-Round") == "" // what Caddy says of a host that it does not know
			})
		} else {
			r.static("b", "page b", fmt.Sprintf("expose: {subdomain: b, tls: \"off\", headers: {X-Round: \"%d\"}}", i))
			r.Wait("round "+fmt.Sprint(i), func() bool {
				_, h, _ := r.get("http://b.example.test/")
				return h.Get("X-Round") == fmt.Sprint(i)
			})
		}
		hear(fmt.Sprint("round ", i))
	}
	r.Wait("the last change to be done", func() bool { return len(r.routes().Routes) == 2 })
	before := r.routes()
	if before.Reloads < 20 {
		t.Errorf("%d reloads for 20 changes: the test does not show what it should", before.Reloads)
	}
	restarts := r.Status("c").Restarts
	r.Wait("the third to crash some more", func() bool { return r.Status("c").Restarts > restarts+20 })
	if after := r.routes(); after.Reloads != before.Reloads {
		t.Errorf("%d reloads while a service crashed", after.Reloads-before.Reloads)
	}
	hear("goodbye")
}

// Caddy is killed, manifests change meanwhile, and it comes back with nothing but what was written by hand: the routes
// are as the manifests say, and what was written by hand is as it was. So it is when somebody takes our routes away.
func TestCaddyComesBackEmpty(t *testing.T) {
	t.Parallel()
	r := routedEnv(t, caddytest.Start(t, byHand))
	hand := r.others()
	r.static("one", "page one", "expose: {subdomain: one, tls: internal}")
	r.static("two", "page two", "expose: {path: /two, tls: internal}")
	r.static("plain", "page plain", `expose: {host: plain.test, tls: "off"}`)
	r.StartManager()
	r.answers("https://one.example.test/", 200, "page one")
	r.answers("https://apps.test/two/", 200, "page two")
	r.answers("http://plain.test/", 200, "page plain")
	r.exposed("one", "Answers")
	if diff := cmp.Diff(hand, r.others()); diff != "" {
		t.Errorf("what was written by hand (-before +with our routes):\n%s", diff)
	}

	r.caddy.Kill()
	c := r.exposed("one", "CaddyUnreachable")
	if !strings.Contains(c.Message, "CADDY_ADMIN_URL") || c.Status != v1.ConditionFalse {
		t.Errorf("without a Caddy: %+v", c)
	}
	r.Remove("services/two.yaml")
	r.static("three", "page three", "expose: {path: /three, tls: internal}")
	r.static("one", "page one", "expose: {subdomain: uno, tls: internal}")
	r.WaitPhase("three", v1.PhaseRunning)
	r.caddy.Run()
	r.answers("https://uno.example.test/", 200, "page one")
	r.answers("https://apps.test/three/", 200, "page three")
	r.answers("http://plain.test/", 200, "page plain")
	r.answers("http://hand.test/", 200, "by hand")
	r.answers("https://one.wild.test/", 200, "one by hand")
	r.answers("https://two.wild.test/", 200, "wild by hand")
	if status, _, body := r.get("https://apps.test/two/"); strings.Contains(body, "page two") {
		t.Errorf("a route whose manifest is gone answers %d %q", status, body)
	}
	if diff := cmp.Diff(hand, r.others()); diff != "" {
		t.Errorf("what was written by hand (-before +after):\n%s", diff)
	}

	// Somebody takes one of our routes away and adds one of theirs, in one go.
	config := strings.Replace(r.caddy.Config(), `"uno.example.test"`, `"stolen.example.test"`, 1)
	config = strings.Replace(config, `by hand`, `by another hand`, 1)
	resp, err := r.caddy.API(http.MethodPost, "/load", "application/json", strings.NewReader(config))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	r.answers("https://uno.example.test/", 200, "page one")
	r.Wait("the drift to be told", func() bool {
		got := r.routes()
		return got.Healed > 0 && strings.Contains(got.Drift, "one was changed") && got.State == wire.CaddyStateServing
	})
	if !strings.Contains(r.caddy.Config(), "by another hand") {
		t.Error("what somebody else has changed was put back")
	}

	// Nobody needs a route any more: nothing of ours is left.
	for _, name := range []string{"one", "three", "plain"} {
		r.Remove("services/" + name + ".yaml")
	}
	r.Wait("our routes to go", func() bool { return !strings.Contains(r.caddy.Config(), "supervisor") })
}

// A route that Caddy refuses is named and left out, in Caddy's own words; the others are served, and what it had before, too.
func TestRefusedRoute(t *testing.T) {
	t.Parallel()
	c := caddytest.Start(t, "")
	r := routedEnv(t, c)
	r.static("good", "page good", "expose: {subdomain: good, tls: internal}")
	r.static("bad", "page bad", "expose: {subdomain: bad, tls: internal}")
	r.StartManager()
	r.answers("https://bad.example.test/", 200, "page bad")
	// Somebody else has a policy for a host, and Caddy takes one for each.
	policy := `{"subjects": ["worse.example.test"], "issuers": [{"module": "internal"}]}`
	resp, err := c.API(http.MethodPost, "/config/apps/tls/automation/policies", "application/json", strings.NewReader(policy))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	r.static("bad", "page bad", "expose: {subdomain: worse, tls: internal}")
	r.static("late", "page late", "expose: {subdomain: late, tls: internal}")
	refused := r.exposed("bad", "Rejected")
	if !strings.Contains(refused.Message, "automation policy") || !strings.Contains(refused.Message, "served on") {
		t.Errorf("the condition says %q", refused.Message)
	}
	r.answers("https://late.example.test/", 200, "page late")
	r.answers("https://good.example.test/", 200, "page good")
	r.answers("https://bad.example.test/", 200, "page bad")
	if _, err := r.Client.ReloadCaddy(t.Context()); err == nil || !strings.Contains(err.Error(), "bad") || !strings.Contains(err.Error(), "automation policy") {
		t.Errorf("a forced reload says %v, want the name and Caddy's own text", err)
	}
	if got := r.routes(); got.State != wire.CaddyStateRejected || !strings.Contains(got.LastError, "automation policy") {
		t.Errorf("state %s, last error %q", got.State, got.LastError)
	}
	r.static("bad", "page bad", "expose: {subdomain: better, tls: internal}")
	r.answers("https://better.example.test/", 200, "page bad")
	if c := r.exposed("bad", "Answers"); c.Status != v1.ConditionTrue {
		t.Errorf("mended: %+v", c)
	}
}
