package service

import (
	"strconv"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// onDemand is a service that runs only while somebody asks for it.
func onDemand(version string, edit ...func(*v1.ServiceSpec)) *v1.Service {
	return service("web", append([]func(*v1.ServiceSpec){func(s *v1.ServiceSpec) {
		s.Command.Line, s.Port.Auto = version, true
		s.Expose = &v1.Expose{Subdomain: "web", OnDemand: true, Idle: v1.D(time.Minute)}
		s.Probes.Readiness = execProbe("ready", time.Second)
		s.Restart = v1.Restart{Delay: v1.D(time.Second), MaxAttempts: new(1)}
	}}, edit...)...)
}

// asks makes a request wait, or go.
func (w *world) asks(on bool) {
	w.waiting.mu.Lock()
	w.waiting.asked["web"] = on
	w.waiting.mu.Unlock()
	w.poke("web")
	w.pass(0)
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		at := func(want string) {
			t.Helper()
			if got := w.Get("web", 0); got != want {
				t.Errorf("requests go to %s, want %s", got, want)
			}
		}
		w.apply(onDemand("v1"))
		w.pass(time.Minute)
		w.is("web", v1.PhaseStopped)
		w.says(w.condition("web", v1.ConditionReady), "Idle", "the next request starts it")
		at("activator")

		w.with(func() { w.sick["web ready"] = true })
		w.asks(true)
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseStarting)
		at("activator")
		w.with(func() { w.sick["web ready"] = false })
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseRunning)
		own := "127.0.0.1:" + strconv.Itoa(w.status("web").Port)
		at(own)
		if got := w.waiting.ready["web"]; len(got) != 1 || got[0] != own {
			t.Errorf("the requests that wait are told of %v", got)
		}

		// Somebody stays connected: it runs on, also under another manager.
		w.asks(false)
		w.with(func() { w.busy[w.status("web").Port] = 1 })
		w.pass(10 * time.Minute)
		w.kill()
		w.boot()
		w.pass(10 * time.Minute)
		w.is("web", v1.PhaseRunning)
		at(own)

		// A minute after the last one has gone it stops, and who comes then waits for it again.
		w.with(func() { clear(w.busy) })
		w.pass(50 * time.Second)
		w.is("web", v1.PhaseRunning)
		w.pass(15 * time.Second)
		w.is("web", v1.PhaseStopped)
		at("activator")
		w.asks(true)
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseRunning)

		// An order to stop is one, and an order to start is one.
		w.asks(false)
		w.order("web", v1.IntentStop)
		w.pass(time.Second)
		w.is("web", v1.PhaseStopped)
		w.says(w.condition("web", v1.ConditionReady), "stopped by")
		at(nowhere)
		w.order("web", v1.IntentStart)
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseRunning)
		w.pass(2 * time.Minute)
		w.is("web", v1.PhaseStopped)
		at("activator")

		// It may be any service again.
		w.apply(onDemand("v1", func(s *v1.ServiceSpec) { s.Expose.OnDemand, s.Expose.Idle = false, nil }))
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseRunning)
		if w.waiting.held["web"] {
			t.Error("its requests are held still")
		}
	})
}

// Who waits for one that cannot start is told, and the next one tries again.
func TestOnDemandFailure(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.fails("v1")
		w.apply(onDemand("v1"))
		w.asks(true)
		w.pass(10 * time.Second)
		w.is("web", v1.PhaseFailed)
		if w.waiting.why["web"] == "" {
			t.Error("who waits is not told")
		}
		starts := w.starts("web")
		w.asks(false)
		w.pass(time.Second)
		w.is("web", v1.PhaseStopped)
		if w.waiting.why["web"] != "" {
			t.Error("who comes next is told of the last failure")
		}
		w.keeper.Behave(nil)
		w.asks(true)
		w.pass(3 * time.Second)
		w.is("web", v1.PhaseRunning)
		if w.starts("web") != starts+1 {
			t.Errorf("%d starts", w.starts("web")-starts)
		}
	})
}

// What was edited while nobody asked is what the next one gets, at once and alone, also where updates are rolling.
func TestOnDemandEdited(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		version := func(v string) *v1.Service {
			return onDemand(v, func(s *v1.ServiceSpec) { s.Update.Strategy = v1.UpdateRolling })
		}
		w.apply(version("v1"))
		w.asks(true)
		w.pass(2 * time.Second)
		w.sees("v1", "v1")
		w.apply(version("v2"))
		w.pass(5 * time.Second)
		w.sees("v2", "v2")
		w.asks(false)
		w.pass(2 * time.Minute)
		w.is("web", v1.PhaseStopped)
		w.apply(version("v3"))
		w.pass(time.Minute)
		starts := w.starts("web")
		w.asks(true)
		w.pass(5 * time.Second)
		w.sees("v3", "v3")
		if n := w.starts("web") - starts; n != 1 {
			t.Errorf("%d starts", n)
		}
	})
}

// A connection that comes while it is being stopped keeps it.
func TestOnDemandComesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(onDemand("v1"))
		w.asks(true)
		w.pass(2 * time.Second)
		w.asks(false)
		id := w.live("web")
		for w.Get("web", 0) != "activator" {
			w.pass(100 * time.Millisecond)
		}
		w.asks(true)
		w.pass(2 * time.Second)
		if w.live("web") != id || w.Get("web", 0) == "activator" {
			t.Errorf("%s became %q at %s", id, w.live("web"), w.Get("web", 0))
		}
	})
}
