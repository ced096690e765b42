package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// sse is an open stream.
type sse struct {
	lines *bufio.Scanner
	close func()
}

type frame struct{ id, event, data string }

func (h *house) stream(t *testing.T, path, last string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.addr+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		t.Fatalf("%s: %d", path, resp.StatusCode)
	}
	s := &sse{lines: bufio.NewScanner(resp.Body), close: func() { cancel(); _ = resp.Body.Close() }} //nolint:errcheck // a test
	s.lines.Buffer(nil, 1<<20)
	t.Cleanup(s.close)
	return s
}

// next is the next event; ok is false at the end. Comments are passed over, unless beat asks for one.
func (s *sse) next() (f frame, ok bool) {
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			f.id = value
		case "event":
			f.event = value
		case "data":
			f.data = value
		case "":
			if f.event != "" {
				return f, true
			}
		}
	}
	return f, false
}

func (s *sse) want(t *testing.T, event, part string) frame {
	t.Helper()
	f, ok := s.next()
	if !ok || f.event != event || !strings.Contains(f.data, part) {
		t.Fatalf("got %+v, want %s with %s", f, event, part)
	}
	return f
}

func TestEventStream(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: a}`))
	s := h.stream(t, "/api/v1/events/stream", "")
	snap := s.want(t, "snapshot", `"name":"web"`)
	if !strings.Contains(snap.data, `"phase":"Running"`) || snap.id == "" {
		t.Errorf("snapshot: %+v", snap)
	}
	first := h.store.RecordEvent(v1.Event{Key: v1.Key{Kind: v1.KindService, Name: "web"}, Type: v1.EventNormal, Reason: "First"})
	if f := s.want(t, "event", "First"); f.id != fmt.Sprint(first) {
		t.Errorf("id %s, want %d", f.id, first)
	}
	h.store.SetStatus(v1.Key{Kind: v1.KindService, Name: "web"}, &v1.ServiceStatus{Phase: v1.PhaseFailed})
	s.want(t, "status", `"phase":"Failed"`)
	s.close()

	h.store.RecordEvent(v1.Event{Reason: "Missed"})
	again := h.stream(t, "/api/v1/events/stream", fmt.Sprint(first))
	again.want(t, "status", `"phase":"Failed"`)
	again.want(t, "event", "Missed")
}

// A place that is not kept any more gives a snapshot that says so, and the events from the history.
func TestEventStreamGap(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: a}`))
	first := h.store.RecordEvent(v1.Event{Reason: "First"})
	for i := range 600 {
		h.store.RecordEvent(v1.Event{Reason: "Noise", Key: v1.Key{Kind: v1.KindService, Name: fmt.Sprint("s", i%9)}})
	}
	s := h.stream(t, "/api/v1/events/stream", fmt.Sprint(first))
	s.want(t, "snapshot", `"gap":true`)
	for range 600 {
		s.want(t, "event", "Noise")
	}
	h.store.RecordEvent(v1.Event{Reason: "Live"})
	s.want(t, "event", "Live")

	other := h.stream(t, "/api/v1/events/stream?last_event_id=99999999999999999", "")
	other.want(t, "snapshot", `"gap":true`)
	if r := h.call(t, request{path: "/api/v1/events/stream?last_event_id=x"}); r.status != 422 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestStreamsAreBoundedAndBeat(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.MaxStreams, d.Heartbeat = 1, 5*time.Millisecond })
	s := h.stream(t, "/api/v1/events/stream", "")
	if r := h.call(t, request{path: "/api/v1/events/stream"}); r.status != 429 {
		t.Errorf("a stream too many: %d %s", r.status, r.body)
	}
	for s.lines.Scan() {
		if s.lines.Text() == ": alive" {
			break
		}
	}
	if s.lines.Err() != nil {
		t.Fatal("no heartbeat: ", s.lines.Err())
	}
	s.close()
	// The place is free again once the server has seen the client go.
	for r := (response{status: 429}); r.status == 429; {
		req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, "http://"+h.addr+"/api/v1/events/stream", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		r.status = resp.StatusCode
		_ = resp.Body.Close() //nolint:errcheck // a test
	}
}

func TestServerEndsStreams(t *testing.T) {
	h := newHouse(t)
	s := h.stream(t, "/api/v1/events/stream", "")
	s.want(t, "snapshot", "")
	ended := make(chan struct{})
	go func() {
		for _, ok := s.next(); ok; _, ok = s.next() {
		}
		close(ended)
	}()
	h.stop()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the stream outlives the server")
	}
}

func TestLogStream(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, _ *world) {
		d.Logs = lines{
			{Service: "web", Stream: "stdout", Text: "one", Cursor: "c1"},
			{Service: "db", Stream: "stderr", Text: "two", Cursor: "c2"},
			{Service: "web", Stream: "stderr", Text: "three", Cursor: "c3"},
		}
	})
	h.add(t, manifest("web", `{command: a}`)+"---\n"+manifest("db", `{command: a}`))
	for path, want := range map[string]string{
		"/api/v1/logs/stream":                             "one two three",
		"/api/v1/logs/stream?service=web":                 "one three",
		"/api/v1/logs/stream?service=web&service=db":      "one two three",
		"/api/v1/services/web/logs/stream":                "one three",
		"/api/v1/services/web/logs/stream?stream=stderr":  "three",
		"/api/v1/services/web/logs/stream?tail=-1&since=": "one three",
	} {
		s := h.stream(t, path, "")
		var got []string
		for f, ok := s.next(); ok && f.event == "line"; f, ok = s.next() {
			var line wire.LogLine
			if err := json.Unmarshal([]byte(f.data), &line); err != nil || f.id != line.Cursor {
				t.Errorf("%s: %+v %v", path, f, err)
			}
			got = append(got, line.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	h.stream(t, "/api/v1/logs/stream?follow=1", "c2").want(t, "line", "three")
	for path, want := range map[string]int{
		"/api/v1/services/nobody/logs/stream":            404,
		"/api/v1/logs/stream?service=nobody":             404,
		"/api/v1/services/web/logs/stream?stream=x":      422,
		"/api/v1/services/web/logs/stream?since=gestern": 422,
		"/api/v1/services/web/logs/stream?follow=maybe":  422,
	} {
		if r := h.call(t, request{path: path}); r.status != want {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := rest.Listen(testContext(t), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := rest.Listen(testContext(t), path); err == nil || !strings.Contains(err.Error(), "another supervisor") {
		t.Errorf("a socket that is answered: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = rest.Listen(testContext(t), path)
	if err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	_ = l.Close() //nolint:errcheck // a test
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rest.Listen(testContext(t), file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "mine" {
		t.Errorf("the file was harmed: %q %v", data, err)
	}
}

// A crowd on TCP that says nothing cannot lock out the unix socket.
func TestCrowdCannotLockOutTheSocket(t *testing.T) {
	h := newHouse(t)
	var dialer net.Dialer
	for range 300 {
		conn, err := dialer.DialContext(testContext(t), "tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // a test
	}
	if r := h.call(t, request{path: "/healthz", socket: true}); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// A handler that panics answers 500, tells nothing, and the server lives.
func TestPanicIsContained(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.Version = func() wire.Version { panic("secret detail") } }) //nolint:forbidigo // the panic is what is tested
	r := h.call(t, request{path: "/api/v1/version"})
	if r.status != 500 || strings.Contains(r.body, "secret detail") || !strings.Contains(h.log.String(), "secret detail") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if id := r.header.Get("X-Request-Id"); id == "" || !strings.Contains(r.body, id) || !strings.Contains(h.log.String(), id) {
		t.Errorf("request id %q", id)
	}
	if r := h.call(t, request{path: "/healthz"}); r.status != 200 {
		t.Errorf("%d", r.status)
	}
}

// broken is a history that fails with something internal.
type broken struct{ rest.Observed }

func (broken) Events(context.Context, v1.EventFilter) ([]v1.Event, error) {
	return nil, errors.New("open /root/supervisor.db: permission denied")
}

func TestInternalErrorsAreNotShown(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.Observed = broken{d.Observed} })
	r := h.call(t, request{path: "/api/v1/events"})
	if r.status != 500 || strings.Contains(r.body, "/root") || !strings.Contains(h.log.String(), "/root/supervisor.db") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	h := newHouse(t)
	h.add(t, manifest("web", `{command: "app --token=t0ps3cret", env: {DB_PASSWORD: t0ps3cret, LOG: info}}`))
	for _, path := range []string{"/api/services", "/api/services/web", "/api/v1/services", "/api/v1/services/web", "/api/status"} {
		if r := h.call(t, request{path: path}); r.status != 200 || strings.Contains(r.body, "t0ps3cret") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := h.call(t, request{path: "/api/v1/services/web?reveal=1"}); r.status != 403 {
		t.Errorf("reveal without proof: %d", r.status)
	}
	if r := h.call(t, request{path: "/api/v1/services/web?reveal=1", socket: true}); !strings.Contains(r.body, "t0ps3cret") {
		t.Errorf("reveal over the socket: %s", r.body)
	}
	shown := h.call(t, request{path: "/api/v1/services/web"})
	edited := strings.Replace(shown.body, `"info"`, `"debug"`, 1)
	r := h.call(t, request{method: "PUT", path: "/api/v1/services/web", body: edited, header: map[string]string{"Content-Type": "application/json", "If-Match": shown.header.Get("ETag")}})
	o, _ := h.Get(v1.Key{Kind: v1.KindService, Name: "web"})
	s, ok := o.(*v1.Service)
	if r.status != 200 || !ok || s.Spec.Env["DB_PASSWORD"] != "t0ps3cret" || s.Spec.Env["LOG"] != "debug" || s.Spec.Command.Line != "app --token=t0ps3cret" {
		t.Errorf("%d %s: %+v", r.status, r.body, o)
	}
	if last := h.written[len(h.written)-1]; last.Text != nil {
		t.Error("a text with masks would be written")
	}
	flat := h.call(t, request{path: "/api/services/web"})
	if r := h.call(t, request{method: "PUT", path: "/api/services/web", body: flat.body}); r.status != 200 || len(h.changes) != 0 {
		t.Errorf("%d %s: %+v", r.status, r.body, h.changes)
	}
	if r := h.call(t, request{method: "PUT", path: "/api/services/web", body: `{"command":"app2 --token=********"}`}); r.status != 422 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if strings.Contains(h.log.String(), "t0ps3cret") {
		t.Error("a secret is in the log")
	}
}

func TestDashboard(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, _ *world) {
		d.Dashboard = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page "+r.URL.Path) }) //nolint:errcheck // a test
	})
	if r := h.call(t, request{path: "/services/web"}); r.status != 200 || r.body != "page /services/web" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := h.call(t, request{path: "/api/x"}); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func BenchmarkStatus200(b *testing.B) {
	h := newHouse(b)
	var text strings.Builder
	for i := range 200 {
		text.WriteString(manifest(fmt.Sprintf("s%03d", i), `{command: sleep 1000, port: 8000, watchDirs: [/srv]}`) + "---\n")
	}
	h.add(b, text.String())
	for _, path := range []string{"/api/status", "/api/services", "/api/v1/services"} {
		b.Run(path[1:], func(b *testing.B) {
			b.ReportAllocs()
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+h.addr+path, http.NoBody)
			if err != nil {
				b.Fatal(err)
			}
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for b.Loop() {
				resp, err := transport.RoundTrip(req)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close() //nolint:errcheck // a benchmark
			}
		})
	}
}
