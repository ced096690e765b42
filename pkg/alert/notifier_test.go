package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wire is an http.RoundTripper that records what is sent, for tests in fake time, where no socket may be used.
type wire struct {
	mu     sync.Mutex
	bodies []string
	times  []time.Time
	answer func(n int) (*http.Response, error)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bodies = append(w.bodies, string(b))
	w.times = append(w.times, time.Now())
	if w.answer == nil {
		return status(200), nil
	}
	return w.answer(len(w.bodies))
}

func status(code int) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}
}

// got returns the statuses and objects of what was sent, by message.
func (w *wire) got(t *testing.T) (out []string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.bodies {
		var m struct{ Alerts []Alert }
		must(t, json.Unmarshal([]byte(b), &m))
		var parts []string
		for _, a := range m.Alerts {
			parts = append(parts, fmt.Sprintf("%s %s %s", a.Object, a.Rule, a.Status))
		}
		out = append(out, strings.Join(parts, ", "))
	}
	return out
}

// elapse lets fake time pass, and all that happens in it come to rest.
func elapse(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // In a synctest bubble it costs no time.
	synctest.Wait()
}

// running starts a notifier in a synctest bubble; stop ends it.
func running(t *testing.T, o Options) (n *Notifier, stop func()) {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	n, err := New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return n, func() {
		cancel()
		must(t, <-done)
	}
}

func hook(names ...string) (out []Channel) {
	for _, n := range names {
		out = append(out, Channel{Name: n, Form: Webhook, URL: Secret("http://h/hidden/" + n)})
	}
	return out
}

func crashed(object string, restarts int) Observation {
	return Observation{Object: object, Spec: Spec{CrashLoop: true}, Wanted: true, Restarts: restarts}
}

func TestNotifierTellsBeginningAndEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		var decided []Alert
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}, OnAlert: func(a Alert) { decided = append(decided, a) }})
		for _, restarts := range []int{1, 3, 4, 5} {
			n.Observe(crashed("Service/web", restarts))
			synctest.Wait()
		}
		if f := n.Firing(); len(f) != 1 || f[0].Rule != CrashLoop || f[0].Object != "Service/web" {
			t.Errorf("firing: %+v", f)
		}
		n.Observe(crashed("Service/web", 0))
		synctest.Wait()
		want := []string{"Service/web CrashLoop firing", "Service/web CrashLoop resolved"}
		if got := w.got(t); !cmp.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		if len(decided) != 2 || len(n.Firing()) != 0 {
			t.Errorf("decided %+v, firing %+v", decided, n.Firing())
		}
		if s := n.Stats(); !cmp.Equal(s, []ChannelStats{{Channel: "ops", Delivered: 2}}) {
			t.Errorf("stats %+v", s)
		}
		stop()
	})
}

func TestNotifierLooksAgainByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		began := time.Now()
		n.Observe(Observation{Object: "Service/web", Spec: Spec{NotReadyFor: 5 * time.Minute}, Wanted: true, Ready: new(false)})
		elapse(time.Hour)
		if len(w.times) != 1 || w.times[0].Sub(began) != 5*time.Minute {
			t.Errorf("told at %v, want once, 5 minutes after %v", w.times, began)
		}
		stop()
	})
}

func TestNotifierSendsToTheNamedChannels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		n, stop := running(t, Options{Channels: hook("ops", "dev"), Client: &http.Client{Transport: w}})
		o := crashed("Service/web", 3)
		o.Spec.Channels = []string{"dev", "gone"}
		n.Observe(o)
		synctest.Wait()
		o.Spec.Channels = []string{"ops"} // the end goes where the beginning went
		o.Restarts = 0
		n.Observe(o)
		synctest.Wait()
		stop()
		if s := n.Stats(); s[0].Delivered != 2 || s[1].Delivered != 0 || s[0].Channel != "dev" {
			t.Errorf("stats %+v, want both to dev", s)
		}
	})
}

func TestForgetAndRetainEndWhatWasTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		for _, object := range []string{"Service/a", "Service/b", "Service/c"} {
			n.Observe(crashed(object, 3))
		}
		synctest.Wait()
		n.Forget("Service/a")
		n.Forget("Service/never")
		synctest.Wait()
		n.Retain([]string{"Service/b"})
		elapse(time.Minute)
		want := []string{
			"Service/a CrashLoop firing, Service/b CrashLoop firing, Service/c CrashLoop firing",
			"Service/a CrashLoop resolved", "Service/c CrashLoop resolved",
		}
		if got := w.got(t); !cmp.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		stop()
	})
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "alerts.json")
	synctest.Test(t, func(t *testing.T) {
		down := &wire{answer: func(int) (*http.Response, error) { return status(503), nil }}
		n, stop := running(t, Options{Channels: hook("ops"), StateFile: file, Client: &http.Client{Transport: down}})
		n.Observe(crashed("Service/web", 3))
		elapse(time.Minute)
		stop() // told, and not delivered

		up := &wire{}
		n, stop = running(t, Options{Channels: hook("ops"), StateFile: file, Client: &http.Client{Transport: up}})
		if len(n.Firing()) != 1 {
			t.Errorf("firing after a restart: %+v", n.Firing())
		}
		n.Observe(crashed("Service/web", 4))
		elapse(time.Minute)
		stop()
		n, stop = running(t, Options{Channels: hook("ops"), StateFile: file, Client: &http.Client{Transport: up}})
		n.Observe(crashed("Service/web", 4))
		elapse(time.Minute)
		n.Observe(crashed("Service/web", 0))
		elapse(time.Minute)
		stop()
		want := []string{"Service/web CrashLoop firing", "Service/web CrashLoop resolved"}
		if got := up.got(t); !cmp.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
	st, err := os.Stat(file)
	must(t, err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestDamagedStateIsNoState(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "alerts.json")
	for _, text := range []string{"", "{", "null", `{"objects":null}`, `[]`} {
		must(t, os.WriteFile(file, []byte(text), 0o600))
		n, err := New(Options{StateFile: file, Log: quiet})
		if err != nil || len(n.Firing()) != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNewRefusesBadChannels(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{Channels: hook("a", "a"), Log: quiet}); err == nil || !strings.Contains(err.Error(), "two of that name") {
		t.Errorf("two channels of one name: %v", err)
	}
	if _, err := New(Options{Channels: []Channel{{Name: "x"}}, Log: quiet}); err == nil {
		t.Error("a channel without url was taken")
	}
}

func TestNoChannels(t *testing.T) {
	t.Parallel()
	n, err := New(Options{Log: quiet})
	must(t, err)
	if err := n.Test(t.Context(), ""); err == nil {
		t.Error("a test without channels succeeded")
	}
}
