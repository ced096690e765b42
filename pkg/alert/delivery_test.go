package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
