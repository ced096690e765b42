package cli_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/cmd/supervisor/internal/cli"
)

// screen is an output that a test can read while a command writes.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// poll waits for a condition.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// running is a command that has not ended.
type running struct {
	t         *testing.T
	out, errs screen
	interrupt context.CancelFunc
	code      chan int
}

// launch runs a command that ends only when it is interrupted.
func (w *world) launch(args ...string) *running {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	r := &running{t: w.t, interrupt: cancel, code: make(chan int, 1)}
	w.t.Cleanup(cancel)
	env, program := w.env, w.program
	env.Out, env.Err = &r.out, &r.errs
	go func() { r.code <- cli.Run(ctx, program, env, args) }()
	return r
}

func (r *running) waitFor(text string) {
	r.t.Helper()
	poll(r.t, text, func() bool { return strings.Contains(r.out.String()+r.errs.String(), text) })
}

// end interrupts the command and checks that it ends as Ctrl-C ends a program, without a complaint.
func (r *running) end() string {
	r.t.Helper()
	r.interrupt()
	if code := <-r.code; code != 130 {
		r.t.Errorf("exit %d", code)
	}
	if errs := r.errs.String(); errs != "" {
		r.t.Errorf("said %s", errs)
	}
	return r.out.String()
}

func (w *world) change(ch v1.Change) {
	w.t.Helper()
	select {
	case w.changes <- ch:
	case <-time.After(30 * time.Second):
		w.t.Fatal("nobody watches")
	}
}

func TestLogsFollow(t *testing.T) {
	w := full(t)
	r := w.launch("logs", "-f", "web", "api")
	r.waitFor("GET / 200")
	if got, want := r.end(), "api | listening\napi | Traceback\nweb | GET / 200\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if want := "logs web,api tail=10 follow=1 stream= since="; w.calls[0] != want {
		t.Errorf("asked for %q, want %q", w.calls[0], want)
	}
}

// New events follow the old ones, each once, those of others left out.
func TestEventsWatch(t *testing.T) {
	w := full(t)
	r := w.launch("events", "-w", "--for", "web")
	web := v1.Key{Kind: v1.KindService, Name: "web"}
	event := func(id uint64, key v1.Key, reason string) v1.Change {
		return v1.Change{Seq: id, Kind: v1.ChangeEvent, Key: key, Event: &v1.Event{ID: id, Time: noon, Key: key, Type: v1.EventNormal, Reason: reason, Message: "m"}}
	}
	w.change(event(13, web, "Old"))
	w.change(event(20, v1.Key{Kind: v1.KindService, Name: "api"}, "Foreign"))
	w.change(v1.Change{Seq: 21, Kind: v1.ChangeStatus, Key: web})
	w.change(event(22, web, "Fresh"))
	r.waitFor("Fresh")
	want := "WHEN       TYPE      REASON            OBJECT        MESSAGE\n" +
		"09:00:00   Normal    Started           service/web   pid 4711\n" +
		"11:59:00   Warning   ManifestInvalid   service/web   services/web.yaml:6: spec.comand: unknown field\n" +
		"12:00:00   Normal    Fresh             service/web   m\n"
	if got := r.end(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	<-w.unwatched // else it could take what is meant for the next
	r = w.launch("events", "-w", "-o", "json", "--limit", "0")
	w.change(event(30, web, "JSON"))
	r.waitFor("JSON")
	if got := r.end(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, `{"id":30,`) {
		t.Errorf("%s", got)
	}
}

// A watch prints the table, and then what differs from it: not what stayed the same, and that something is gone.
func TestGetWatch(t *testing.T) {
	w := full(t)
	r := w.launch("get", "svc", "-l", "team=web", "-w")
	r.waitFor("web ")
	key := v1.Key{Kind: v1.KindService, Name: "api"}
	w.change(v1.Change{Seq: 2, Kind: v1.ChangeStatus, Key: v1.Key{Kind: v1.KindService, Name: "off"}})
	w.mu.Lock()
	api := *w.objects[key].(*v1.Service)
	api.Status = &v1.ServiceStatus{Phase: v1.PhaseRunning, PID: 5, StartedAt: ptr(noon)}
	w.objects[key] = &api
	w.mu.Unlock()
	w.change(v1.Change{Seq: 3, Kind: v1.ChangeStatus, Key: key})
	r.waitFor("Running   0/1")
	w.mu.Lock()
	delete(w.objects, key)
	w.mu.Unlock()
	w.change(v1.Change{Seq: 4, Kind: v1.ChangeObject, Key: key, Deleted: true})
	r.waitFor("Deleted")
	lines := strings.Split(strings.TrimSpace(r.end()), "\n")
	want := []string{"NAME", "api", "web", "api", "api"}
	for i, l := range lines {
		if i >= len(want) || !strings.HasPrefix(l, want[i]) {
			t.Fatalf("lines begin otherwise than %v:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d lines, want %d:\n%s", len(lines), len(want), strings.Join(lines, "\n"))
	}
}

func TestGetWatchForms(t *testing.T) {
	for form, want := range map[string]string{"json": `{"apiVersion":`, "yaml": "---\napiVersion:", "name": "service/web\n"} {
		w := full(t)
		r := w.launch("get", "web", "-w", "-o", form)
		r.waitFor(want)
		if got := r.end(); strings.Count(got, want) != 1 {
			t.Errorf("%s: %s", form, got)
		}
	}
	if _, stderr, code := full(t).run("get", "nope", "-w"); code != 1 || !strings.Contains(stderr, `"nope"`) {
		t.Errorf("what is not there: exit %d: %s", code, stderr)
	}
}

// Ctrl-C while the supervisor is still at work ends the command, and it alone.
func TestInterrupted(t *testing.T) {
	w := full(t)
	w.mu.Lock() // the API hangs
	r := w.launch("stop", "web", "api")
	r.interrupt()
	code := <-r.code
	w.mu.Unlock()
	if code != 130 || r.errs.String() != "" {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
}
