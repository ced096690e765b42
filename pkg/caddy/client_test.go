package caddy

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
)

func dial(t *testing.T, admin string) *Client {
	t.Helper()
	c, err := NewClient(admin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What Caddy says is told as it is: what it refuses, that somebody was faster, that it is not there.
func TestClientErrors(t *testing.T) {
	t.Parallel()
	real := caddytest.Start(t, "http://hand.test {\n\trespond hand\n}\n")
	c := dial(t, real.Admin)
	ctx := t.Context()
	config, etag, err := c.Config(ctx)
	if err != nil || etag == "" {
		t.Fatal(config, etag, err)
	}
	var rejected *RejectedError
	nonsense := makeAt(object{}, "x")
	nonsense["admin"], nonsense["apps"] = at(config, "admin"), object{"nonsense": object{}}
	if err := c.Replace(ctx, nonsense, etag); !errors.As(err, &rejected) || !strings.Contains(rejected.Detail, "nonsense") || !strings.Contains(err.Error(), "Caddy 2.8 or newer") {
		t.Errorf("nonsense: %v", err)
	}
	if _, again, err := c.Config(ctx); err != nil || again != etag {
		t.Errorf("after a refusal the configuration is another one: %s, %v", again, err)
	}
	if _, err := c.Adapt(ctx, "a.test {\n\tno_such\n}\n"); !errors.As(err, &rejected) || !strings.Contains(rejected.Detail, "no_such") {
		t.Errorf("a wrong Caddyfile: %v", err)
	}
	if err := c.Replace(ctx, config, `"/config/ 0"`); !errors.Is(err, ErrChanged) {
		t.Errorf("an old ETag: %v", err)
	}
	real.Kill()
	var unreachable *UnreachableError
	if _, _, err := c.Config(ctx); !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "CADDY_MODE=managed") {
		t.Errorf("nobody there: %v", err)
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	t.Cleanup(other.Close)
	secret := strings.Replace(other.URL, "//", "//me:hunter2@", 1)
	if _, _, err := dial(t, secret).Config(ctx); !errors.As(err, &unreachable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("somebody else there: %v", err)
	}
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error": "host not allowed: x"}`, http.StatusForbidden)
	}))
	t.Cleanup(guarded.Close)
	var setup *SetupError
	if _, _, err := dial(t, guarded.URL).Config(ctx); !errors.As(err, &setup) || !strings.Contains(err.Error(), "host not allowed") {
		t.Errorf("an admin API that does not let us in: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := c.Config(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: %v", err)
	}
	for _, admin := range []string{"", "localhost", "http://"} {
		if _, err := NewClient(admin); err == nil {
			t.Errorf("%q is taken for an admin API", admin)
		}
	}
}

// Every change of the configuration is news at once, and so are the end of Caddy and its return; quiet is quiet.
func TestWatch(t *testing.T) {
	t.Parallel()
	real := caddytest.Start(t, "")
	c := dial(t, real.Admin)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	news, done := make(chan struct{}, 100), make(chan struct{})
	go func() {
		defer close(done)
		c.Watch(ctx, func() { news <- struct{}{} })
	}()
	expect := func(what string) {
		t.Helper()
		select {
		case <-news:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s was not told", what)
		}
	}
	expect("that it is there")
	config, etag, err := c.Config(ctx)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-news:
		t.Fatal("a look was told as news")
	default:
	}
	next, _ := Merge(config, []Route{to("a", "a.test", "", real.HTTP, TLSOff)}, NewOwner("/x"), []string{"127.0.0.1"})
	if err := c.Replace(ctx, next, etag); err != nil {
		t.Fatal(err)
	}
	expect("a change")
	real.Kill()
	expect("its end")
	real.Run()
	expect("its return")
	cancel()
	<-done
}

// A connection that is quiet for long is used, so that Caddy does not close it.
func TestWatchKeepsItsConnection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "a.sock")
	l, err := net.Listen("unix", path) //nolint:noctx // Closed with the server.
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 10)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // A test's.
		asked <- r.RemoteAddr
		_ = json.NewEncoder(w).Encode(nil)
	})}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	c := dial(t, "unix/"+path)
	w, err := c.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for range 3 {
		<-asked
		if err := w.ask(); err != nil {
			t.Fatal(err)
		}
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// The user's Caddyfile is sent with ours in place of the line that imports it.
func TestInline(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	for _, name := range []string{"supervisor.conf", "other.conf", ".hidden.conf"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fragment := filepath.Join(dir, "supervisor.conf")
	for name, tt := range map[string]struct {
		text, want string
		imported   bool
	}{
		"by its whole path": {"a\nimport " + fragment + "\nb", "a\nOURS\nb", true},
		"relative, quoted":  {"\timport \"supervisor.conf\"", "OURS", true},
		"by a pattern":      {"import *.conf", "OURS\nimport " + dir + "/other.conf", true},
		"others":            {"import other.conf x", "import " + dir + "/other.conf x", false},
		"a snippet":         {"(log) {\n}\na {\n\timport log\n\timport supervisor_paths\n}", "(log) {\n}\na {\n\timport log\n\timport supervisor_paths\n}", false},
		"the environment":   {"import {$SITES}", "import {$SITES}", false},
		"a comment":         {"# import " + fragment, "# import " + fragment, false},
		"a word":            {"important x", "important x", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, imported := inline(tt.text, dir, fragment, "OURS")
			if got != tt.want || imported != tt.imported {
				t.Errorf("got %v\n%s\nwant %v\n%s", imported, got, tt.imported, tt.want)
			}
		})
	}
	main := filepath.Join(dir, "Caddyfile")
	if Usable(main, fragment) {
		t.Error("a Caddyfile that is not there is usable")
	}
	if err := os.WriteFile(main, []byte("import supervisor.conf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !Usable(main, fragment) || Usable(main, filepath.Join(dir, "x.conf")) {
		t.Error("usable is a Caddyfile that imports ours, and no other")
	}
}
