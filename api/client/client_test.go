package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// serve answers with handler, and returns a client of it that has a token.
func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	c, err := client.New(client.Options{URL: srv.URL, Token: "t", UserAgent: "supervisor-cli/1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Each method sends the request that the API knows.
func TestRequests(t *testing.T) {
	ctx := testContext(t)
	for _, c := range []struct {
		want   string // METHOD URI BODY
		answer string
		call   func(*client.Client) (any, error)
		got    string
	}{
		{"GET /api/services", `[{"name":"a"}]`, func(c *client.Client) (any, error) { s, err := c.Services(ctx); return len(s), err }, "1"},
		{"GET /api/services/a%2Fb", `{"name":"a/b"}`, func(c *client.Client) (any, error) { s, err := c.Service(ctx, "a/b"); return s.Name, err }, "a/b"},
		{"POST /api/services/a/start", `{"pid":7}`, func(c *client.Client) (any, error) { s, err := c.Start(ctx, "a"); return s.PID, err }, "7"},
		{"POST /api/services/a/stop", `{"status":"stopped"}`, func(c *client.Client) (any, error) { s, err := c.Stop(ctx, "a"); return s.Status, err }, "stopped"},
		{"POST /api/services/a/restart", `{"pid":8}`, func(c *client.Client) (any, error) { s, err := c.Restart(ctx, "a"); return s.PID, err }, "8"},
		{"GET /api/status", `{"total":3}`, func(c *client.Client) (any, error) { s, err := c.Status(ctx); return s.Total, err }, "3"},
		{`POST /api/services {"name":"a"}`, `{"name":"a"}`, func(c *client.Client) (any, error) {
			name := "a"
			s, err := c.CreateService(ctx, wire.ServiceFields{Name: &name})
			return s.Name, err
		}, "a"},
		{`PUT /api/services/a {"enabled":false}`, `{}`, func(c *client.Client) (any, error) {
			off := false
			s, err := c.UpdateService(ctx, "a", wire.ServiceFields{Enabled: &off})
			return s.Name, err
		}, ""},
		{"GET /api/v1/services?labelSelector=a%3Db", `{"items":[{"metadata":{"name":"x"}},{"metadata":{"name":"y"}}]}`, func(c *client.Client) (any, error) {
			o, err := c.Objects(ctx, v1.KindService, "a=b")
			return o[0].Key().Name + o[1].Key().Name, err
		}, "xy"},
		{"GET /api/v1/cronjobs/j", `{"metadata":{"name":"j"},"spec":{"schedule":"@daily"}}`, func(c *client.Client) (any, error) {
			o, err := c.Object(ctx, v1.KindCronJob, "j")
			return o.(*v1.CronJob).Spec.Schedule, err
		}, "@daily"},
		{"PUT /api/v1/services/a kind: Service", `{"metadata":{"name":"a"}}`, func(c *client.Client) (any, error) {
			o, err := c.PutObject(ctx, v1.KindService, "a", []byte("kind: Service"), `"r"`)
			return o.Key().Name, err
		}, "a"},
		{"POST /api/v1/apply x", `{"items":[{"result":"created"}]}`, func(c *client.Client) (any, error) { a, err := c.Apply(ctx, []byte("x")); return a[0].Result, err }, "created"},
		{"POST /api/v1/validate x", `{"valid":true}`, func(c *client.Client) (any, error) { v, err := c.Validate(ctx, []byte("x")); return v.Valid, err }, "true"},
		{"DELETE /api/v1/services/a", `{}`, func(c *client.Client) (any, error) { return "", c.Delete(ctx, v1.KindService, "a") }, ""},
		{"GET /api/v1/problems", `{"items":[{"file":"f"}]}`, func(c *client.Client) (any, error) { p, err := c.Problems(ctx); return p[0].File, err }, "f"},
		{"GET /api/v1/prune", `{"pending":[{"kind":"Service","name":"a"}]}`, func(c *client.Client) (any, error) { p, err := c.Prune(ctx, false); return p.Pending[0], err }, "Service/a"},
		{"POST /api/v1/prune", `{}`, func(c *client.Client) (any, error) { p, err := c.Prune(ctx, true); return len(p.Pending), err }, "0"},
		{"POST /api/v1/shutdown", `{"stopped":2}`, func(c *client.Client) (any, error) { s, err := c.Shutdown(ctx); return s.Stopped, err }, "2"},
		{"POST /api/v1/login", `{"path":"/login?code=x"}`, func(c *client.Client) (any, error) { l, err := c.LoginLink(ctx); return l.Path, err }, "/login?code=x"},
		{"GET /api/v1/version", `{"version":"v1"}`, func(c *client.Client) (any, error) { v, err := c.Version(ctx); return v.Version, err }, "v1"},
		{"GET /readyz", `{"status":"ok"}`, func(c *client.Client) (any, error) { return "", c.Ready(ctx) }, ""},
		{"GET /api/supervisor/logs?lines=5", `{"total":9}`, func(c *client.Client) (any, error) { l, err := c.SupervisorLogs(ctx, 5); return l.Total, err }, "9"},
		{"GET /api/v1/events?kind=Service&limit=3&name=a&since=7&type=Warning", `{"items":[{"reason":"R"}]}`, func(c *client.Client) (any, error) {
			e, err := c.Events(ctx, v1.EventFilter{Key: v1.Key{Kind: v1.KindService, Name: "a"}, SinceID: 7, Limit: 3, Types: []v1.EventType{v1.EventWarning}})
			return e[0].Reason, err
		}, "R"},
	} {
		seen := make(chan string, 1)
		cl := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body := make([]byte, 100)
			n, _ := r.Body.Read(body) //nolint:errcheck // the end is no error
			if r.Header.Get("Authorization") != "Bearer t" || r.UserAgent() != "supervisor-cli/1" {
				t.Errorf("%s: header %v", r.URL, r.Header)
			}
			seen <- strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Method, r.RequestURI, body[:n]))
			_, _ = w.Write([]byte(c.answer)) //nolint:errcheck // a test
		})
		got, err := c.call(cl)
		if err != nil || fmt.Sprint(got) != c.got {
			t.Errorf("%s: got %v, %v; want %s", c.want, got, err, c.got)
		}
		if sent := <-seen; sent != c.want {
			t.Errorf("sent %q, want %q", sent, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/services/problem":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(wire.Problem{Title: "T", Detail: "D", Code: wire.CodeUnprocessed, Errors: []v1.FieldError{{Field: "f", Detail: "is odd"}}}) //nolint:errcheck // a test
		case "/api/services/proxy":
			http.Error(w, "<h1>Bad Gateway</h1>", http.StatusBadGateway)
		case "/api/services/redirect":
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
		default:
			_, _ = w.Write([]byte("{")) //nolint:errcheck // a test
		}
	})
	var p *wire.Problem
	_, err := c.Service(testContext(t), "problem")
	if !errors.As(err, &p) || p.Status != 422 || p.Code != wire.CodeUnprocessed || err.Error() != "D\nf: is odd" {
		t.Errorf("%#v", err)
	}
	_, err = c.Service(testContext(t), "proxy")
	if !errors.As(err, &p) || p.Status != 502 || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("%v", err)
	}
	if _, err = c.Service(testContext(t), "redirect"); !errors.As(err, &p) || p.Status != 302 {
		t.Errorf("a redirect was followed: %v", err)
	}
	if _, err = c.Service(testContext(t), "cut"); err == nil || errors.Is(err, client.ErrNotRunning) {
		t.Errorf("a cut answer: %v", err)
	}
	if _, err := c.Objects(testContext(t), "Pod", ""); err == nil || !strings.Contains(err.Error(), `"Pod"`) {
		t.Errorf("%v", err)
	}
}

func TestNotRunning(t *testing.T) {
	c, err := client.New(client.Options{Socket: filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Version(testContext(t)); !errors.Is(err, client.ErrNotRunning) || !strings.Contains(err.Error(), "supervisor run") {
		t.Errorf("%v", err)
	}
	if err := c.WatchEvents(testContext(t), func(v1.Change) error { return nil }); !errors.Is(err, client.ErrNotRunning) {
		t.Errorf("a first connect that fails must tell: %v", err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := c.Version(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "127.0.0.1:9900", "ftp://x", "http://"} {
		if _, err := client.New(client.Options{URL: bad}); err == nil {
			t.Errorf("%q was taken for an address", bad)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"version":"v9"}`)) //nolint:errcheck // a test
	}))
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	c, err := client.New(client.Options{Socket: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v, err := c.Version(testContext(t)); err != nil || v.Version != "v9" {
		t.Errorf("%+v %v", v, err)
	}
}

// A stream that breaks off is taken up again behind the last event; errors of the server while it restarts are waited out.
func TestWatchResumes(t *testing.T) {
	var connects atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n := connects.Add(1); n {
		case 1:
			_, _ = fmt.Fprint(w, ": hello\n\nid: 1\nevent: snapshot\ndata: {\"seq\":1,\"objects\":[]}\n\nid: 2\nevent: event\ndata: {\"seq\":2}\n\nid: 3\nevent: ev") //nolint:errcheck // a test
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			if got := r.Header.Get("Last-Event-ID"); got != "2" {
				t.Errorf("resumed after %q, want 2", got)
			}
			_, _ = fmt.Fprint(w, "id: 3\nevent: event\ndata: {\"seq\":\ndata: 3}\n\n") //nolint:errcheck // a test
		}
	})
	var seen []uint64
	snapshots := 0
	done := errors.New("enough")
	err := c.Watch(testContext(t), 0, client.Watcher{
		Snapshot: func(wire.Snapshot) error { snapshots++; return nil },
		Change: func(ch v1.Change) error {
			if seen = append(seen, ch.Seq); ch.Seq == 3 {
				return done
			}
			return nil
		},
	})
	if !errors.Is(err, done) || fmt.Sprint(seen) != "[2 3]" || snapshots != 1 {
		t.Errorf("%v, %v, %d snapshots", err, seen, snapshots)
	}
}

func TestWatchEndsOnRefusal(t *testing.T) {
	var connects atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if connects.Add(1) > 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	var p *wire.Problem
	if err := c.WatchEvents(testContext(t), func(v1.Change) error { return nil }); !errors.As(err, &p) || p.Status != 401 {
		t.Errorf("%v", err)
	}
}

func TestLogs(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		want := "service=a&service=b&since=2026-01-02T03%3A04%3A05Z&stream=stderr&tail=9"
		if r.URL.Query().Encode() != want {
			t.Errorf("query %s, want %s", r.URL.Query().Encode(), want)
		}
		_, _ = fmt.Fprint(w, "id: x\nevent: line\ndata: {\"service\":\"a\",\"text\":\"hello\"}\n\nevent: end\ndata: {}\n\n") //nolint:errcheck // a test
	})
	var got []string
	err := c.Logs(testContext(t), []string{"a", "b"}, wire.LogOptions{Tail: 9, Stream: "stderr", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, func(l wire.LogLine) error {
		got = append(got, l.Service+": "+l.Text)
		return nil
	})
	if err != nil || strings.Join(got, ",") != "a: hello" {
		t.Errorf("%v %v", got, err)
	}
}
