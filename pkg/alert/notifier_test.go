package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
	time.Sleep(d)
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
	ctx, cancel := context.WithCancel(context.Background())
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

func TestDeliveryIsRetriedWithBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{answer: func(n int) (*http.Response, error) {
			switch {
			case n == 1:
				return nil, errors.New("connection refused")
			case n == 2:
				r := status(429)
				r.Header.Set("Retry-After", "42")
				return r, nil
			case n < 6:
				return status(503), nil
			}
			return status(204), nil
		}}
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		n.Observe(crashed("Service/web", 3))
		elapse(time.Hour)
		if len(w.times) != 6 {
			t.Fatalf("%d attempts, want 6", len(w.times))
		}
		for i, bounds := range [][2]time.Duration{
			{500 * time.Millisecond, time.Second},
			{42 * time.Second, 42 * time.Second},
			{2 * time.Second, 4 * time.Second},
			{4 * time.Second, 8 * time.Second},
			{8 * time.Second, 16 * time.Second},
		} {
			if d := w.times[i+1].Sub(w.times[i]); d < bounds[0] || d > bounds[1] {
				t.Errorf("attempt %d after %v, want %v to %v", i+2, d, bounds[0], bounds[1])
			}
		}
		if s := n.Stats()[0]; s.Delivered != 1 || s.Dropped != 0 || s.LastError != "" {
			t.Errorf("stats %+v", s)
		}
		stop()
	})
}

func TestWhatCannotBeDeliveredIsToldLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := true
		w := &wire{answer: func(int) (*http.Response, error) {
			if down {
				return status(500), nil
			}
			return status(200), nil
		}}
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		n.Observe(crashed("Service/web", 3))
		elapse(2 * time.Hour)
		if s := n.Stats()[0]; len(w.bodies) != attempts || s.Dropped != 1 || s.LastError != "the channel answered 500 Internal Server Error" {
			t.Errorf("%d attempts, stats %+v", len(w.bodies), s)
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		n.Observe(crashed("Service/web", 0))
		synctest.Wait()
		if last := w.bodies[len(w.bodies)-1]; !strings.Contains(last, `"lost":1`) {
			t.Errorf("the lost one is not told of: %s", last)
		}
		n.Observe(crashed("Service/other", 3))
		synctest.Wait()
		if last := w.bodies[len(w.bodies)-1]; strings.Contains(last, `"lost"`) {
			t.Errorf("the lost one is told of twice: %s", last)
		}
		stop()
	})
}

func TestRefusalIsFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{answer: func(int) (*http.Response, error) { return status(404), nil }}
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		n.Observe(crashed("Service/web", 3))
		elapse(time.Hour)
		if len(w.bodies) != 1 || n.Stats()[0].Dropped != 1 {
			t.Errorf("%d attempts, stats %+v", len(w.bodies), n.Stats())
		}
		stop()
	})
}

func TestAStormIsRateLimitedAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		n, stop := running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		began := time.Now()
		for i := range 100 { // one by one, so that each look tells one alert
			n.Observe(crashed(fmt.Sprintf("Service/s%02d", i), 3))
			synctest.Wait()
		}
		elapse(time.Hour)
		var alerts int
		for _, m := range w.got(t) {
			alerts += 1 + strings.Count(m, ", ")
		}
		if alerts != 100 || len(w.bodies) > burst+6 {
			t.Errorf("%d alerts in %d messages, want 100 in at most %d", alerts, len(w.bodies), burst+6)
		}
		for i := burst; i < len(w.times); i++ {
			if d := w.times[i].Sub(began); d < time.Duration(i-burst+1)*pace-time.Second {
				t.Errorf("message %d after %v", i, d)
			}
		}
		stop()

		// A channel that is down keeps the newest only.
		w = &wire{answer: func(int) (*http.Response, error) { return status(500), nil }}
		n, stop = running(t, Options{Channels: hook("ops"), Client: &http.Client{Transport: w}})
		for i := range 3 * queueSize {
			n.Observe(crashed(fmt.Sprintf("Service/s%03d", i), 3))
			synctest.Wait()
		}
		if s := n.Stats()[0]; s.Waiting > queueSize+batchSize || s.Dropped < queueSize {
			t.Errorf("stats %+v, want at most %d waiting", s, queueSize+batchSize)
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

// TestDeliveryOverLoopback sends through real sockets: that secrets stay secret, redirects are not followed, and Test tells
// which channel fails and why.
func TestDeliveryOverLoopback(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 10)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hidden/ok", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		arrived <- r.Header.Get("Authorization") + " " + string(b)
	})
	mux.HandleFunc("POST /hidden/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/hidden/ok", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("POST /hidden/no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	srv := httptest.NewServer(mux)
	closed := httptest.NewServer(mux)
	closed.Close()

	channel := func(name, base string) Channel {
		return Channel{Name: name, Form: Webhook, URL: Secret(base + "/hidden/" + name), Headers: map[string]Secret{"Authorization": "Bearer hidden"}}
	}
	var log bytes.Buffer
	n, err := New(Options{
		Channels: []Channel{channel("ok", srv.URL), channel("away", srv.URL), channel("no", srv.URL), channel("closed", closed.URL)},
		Host:     "box", Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	must(t, err)
	must(t, n.Test(t.Context(), "ok"))
	if got := <-arrived; !strings.HasPrefix(got, "Bearer hidden ") || !strings.Contains(got, "This is a test on box") {
		t.Errorf("arrived: %s", got)
	}
	err = n.Test(t.Context(), "")
	if err == nil {
		t.Fatal("all channels took it")
	}
	<-arrived
	for _, want := range []string{"channel away: the channel answered 307", "channel no: the channel answered 403", "channel closed: dial tcp"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := n.Test(t.Context(), "never"); err == nil || !strings.Contains(err.Error(), `no alert channel "never"`) {
		t.Errorf("%v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.Observe(crashed("Service/web", 3))
	<-arrived
	cancel()
	must(t, <-done)
	srv.Close()
	if strings.Contains(err.Error()+log.String(), "hidden") {
		t.Errorf("a secret shows in\n%v\n%s", err, log.String())
	}
	if len(arrived) != 0 {
		t.Error("a redirect was followed")
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
