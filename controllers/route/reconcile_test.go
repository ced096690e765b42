package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy"
)

func at(host string) func(s *v1.ServiceSpec) {
	return func(s *v1.ServiceSpec) { s.Expose.Subdomain = host }
}

func reconciled(t *testing.T, w *world) time.Duration {
	t.Helper()
	result, err := w.Reconcile(t.Context(), Key)
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

func check(t *testing.T, w *world, served, reasons string) {
	t.Helper()
	if got := w.served(); got != served {
		t.Errorf("Caddy serves %q, want %q", got, served)
	}
	if got := w.reasons(); got != reasons {
		t.Errorf("conditions %q, want %q", got, reasons)
	}
}

// Nothing is asked of Caddy while nothing about routes is different, whatever services do.
func TestCalm(t *testing.T) {
	t.Parallel()
	w := newWorld(service("a", v1.PhaseRunning, nil), service("b", v1.PhaseRunning, nil))
	reconciled(t, w)
	check(t, w, "a=a.example.test b=b.example.test", "a=Served b=Served")
	puts := w.way.puts
	for _, phase := range []v1.Phase{v1.PhaseBackoff, v1.PhaseStarting, v1.PhaseRunning, v1.PhaseUnready, v1.PhaseFailed} {
		w.services[0].Observed = &v1.ServiceStatus{Phase: phase}
		reconciled(t, w)
	}
	if w.way.puts != puts {
		t.Errorf("Caddy was asked %d times while a service crashed", w.way.puts-puts)
	}
	w.services[0].Observed = &v1.ServiceStatus{Phase: v1.PhaseStopped}
	reconciled(t, w)
	check(t, w, "a=a.example.test b=b.example.test", "a=Stopped b=Served")
	if w.way.changes != 2 {
		t.Errorf("%d changes, want one for the routes and one for the stop", w.way.changes)
	}
	// Another life of the supervisor finds everything as it was.
	w.renew()
	reconciled(t, w)
	if w.way.changes != 2 || w.View().Drift != "" {
		t.Errorf("after a restart: %d changes, drift %q", w.way.changes, w.View().Drift)
	}
	// A service that asks for a route no more has no condition any more.
	w.services[0] = service("a", v1.PhaseStopped, func(s *v1.ServiceSpec) { s.Expose = nil })
	reconciled(t, w)
	check(t, w, "b=b.example.test", "b=Served")
	if w.urls["a"] != "" {
		t.Errorf("its URL is still %q", w.urls["a"])
	}
}

// Nobody asks for a route: Caddy is left alone, also one that is not there. The last route that goes is taken away.
func TestNobodyNeedsCaddy(t *testing.T) {
	t.Parallel()
	w := newWorld(service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose = nil }))
	w.way.away = errAway
	reconciled(t, w)
	if w.way.puts != 0 || w.View().Failure != nil {
		t.Errorf("%d calls of a Caddy that nobody needs, %v", w.way.puts, w.View().Failure)
	}
	select {
	case <-w.Needed():
		t.Error("a Caddy that nobody needs is looked for")
	default:
	}
	w = newWorld(service("a", v1.PhaseRunning, nil))
	reconciled(t, w)
	<-w.Needed()
	w.services[0] = service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose = nil })
	w.renew()
	reconciled(t, w)
	check(t, w, "", "")
}

// A Caddy that is away is tried again, later each time; what it lacks when it is back, it is given.
func TestAway(t *testing.T) {
	t.Parallel()
	w := newWorld(service("a", v1.PhaseRunning, nil))
	w.way.away = errAway
	last := time.Duration(0)
	for i := range 10 {
		wait := reconciled(t, w)
		if wait < last || wait > lastRetry {
			t.Errorf("try %d: waits %s after %s", i, wait, last)
		}
		last = wait
	}
	check(t, w, "", "a=CaddyUnreachable")
	if len(w.events) != 1 {
		t.Errorf("ten tries were told as %d events", len(w.events))
	}
	if m := w.exposed["a"].Message; !strings.Contains(m, "connection refused") || !strings.Contains(m, "start it") {
		t.Errorf("the condition says %q", m)
	}
	w.way.away = nil
	if wait := reconciled(t, w); wait != look {
		t.Errorf("all is well, and it looks again after %s", wait)
	}
	check(t, w, "a=a.example.test", "a=Served")

	// It comes back empty.
	w.way.has = nil
	w.Moved()
	reconciled(t, w)
	check(t, w, "a=a.example.test", "a=Served")
	if v := w.View(); v.Healed != 1 || v.Drift != "a was changed" || v.Reloads != 2 {
		t.Errorf("healed %d, drift %q, reloads %d", v.Healed, v.Drift, v.Reloads)
	}
}

// What Caddy refuses is left out alone; what it had of it before, it keeps; and it is not tried again and again.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(service("a", v1.PhaseRunning, nil), service("b", v1.PhaseRunning, nil), service("c", v1.PhaseRunning, nil))
	reconciled(t, w)
	w.way.poison["d"] = true
	w.services[1] = service("b", v1.PhaseRunning, at("b2"))
	w.services[2] = service("c", v1.PhaseRunning, at("c2"))
	w.services = append(w.services, service("d", v1.PhaseRunning, nil), service("e", v1.PhaseRunning, nil))
	reconciled(t, w)
	check(t, w, "a=a.example.test b=b2.example.test c=c2.example.test e=e.example.test", "a=Served b=Served c=Served d=Rejected e=Served")
	puts := w.way.puts
	reconciled(t, w)
	reconciled(t, w)
	if w.way.puts != puts {
		t.Errorf("a refused route was tried again %d times", w.way.puts-puts)
	}
	if err := w.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "d") || !strings.Contains(err.Error(), "cannot take d") {
		t.Errorf("a forced reload says %v", err)
	}
	w.budget.left = burst // some time later
	w.way.poison = map[string]bool{}
	w.services[3] = service("d", v1.PhaseRunning, at("d2"))
	reconciled(t, w)
	check(t, w, "a=a.example.test b=b2.example.test c=c2.example.test d=d2.example.test e=e.example.test", "a=Served b=Served c=Served d=Served e=Served")
}

// Whatever is refused, whatever was served before: what can be served is, what was served and is wanted is never missing in
// between, and exactly those at fault are named.
func TestDeliverProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e", "f", "g"}
		draw := func(what string) []caddy.Route {
			var out []caddy.Route
			for _, name := range names {
				if v := rapid.IntRange(0, 3).Draw(t, what+name); v > 0 {
					out = append(out, caddy.Route{Name: name, Host: fmt.Sprintf("%s%d.test", name, v)})
				}
			}
			return out
		}
		last, want := draw("last "), draw("want ")
		way := &fakeWay{has: slices.Clone(last), poison: map[string]bool{}, want: namesOf(want)}
		poisonedVersions := map[string]bool{}
		for _, r := range want {
			if len(only(last, r.Name)) == 1 && only(last, r.Name)[0].Host == r.Host {
				continue // what is served already is not refused
			}
			if rapid.IntRange(0, 2).Draw(t, "poison "+r.Name) == 0 {
				poisonedVersions[r.Host] = true
			}
		}
		picky := &pickyWay{fakeWay: way, hosts: poisonedVersions}
		d, err := deliver(context.Background(), picky, last, want, false, rapid.Bool().Draw(t, "force")) //nolint:forbidigo // rapid's T has no context.
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			w, l, has := only(want, name), only(last, name), only(way.has, name)
			switch bad := len(w) == 1 && poisonedVersions[w[0].Host]; {
			case bad && d.refused[name] == "":
				t.Fatalf("%s is at fault and not named: %v", name, d.refused)
			case !bad && d.refused[name] != "":
				t.Fatalf("%s is named and not at fault", name)
			case bad && fmt.Sprint(has) != fmt.Sprint(l):
				t.Fatalf("%s is refused; Caddy has %v of it, had %v", name, has, l)
			case !bad && fmt.Sprint(has) != fmt.Sprint(w):
				t.Fatalf("%s: Caddy has %v, want %v", name, has, w)
			}
		}
		if len(way.gaps) > 0 {
			t.Fatalf("missing in between: %v", way.gaps)
		}
		if fmt.Sprint(d.served) != fmt.Sprint(way.has) {
			t.Fatalf("it is said that Caddy has %v, and it has %v", d.served, way.has)
		}
	})
}

// pickyWay refuses some hosts.
type pickyWay struct {
	*fakeWay
	hosts map[string]bool
}

func (w *pickyWay) Put(ctx context.Context, last, want []caddy.Route, force bool) (caddy.Outcome, error) {
	for _, r := range want {
		if w.hosts[r.Host] {
			return caddy.Outcome{}, &caddy.RejectedError{Status: 400, Detail: "cannot take " + r.Host}
		}
	}
	return w.fakeWay.Put(ctx, last, want, force)
}

// The services are not known yet: nothing is decided.
func TestNotReady(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.saved = []caddy.Route{{Name: "a"}}
	w.renew()
	w.c.Ready = make(chan struct{})
	if wait := reconciled(t, w); wait == 0 || w.way.puts != 0 {
		t.Errorf("waits %s, %d calls", wait, w.way.puts)
	}
}

// Without a way to Caddy services are told so.
func TestOff(t *testing.T) {
	t.Parallel()
	w := newWorld(service("a", v1.PhaseRunning, nil))
	w.c.Way = nil
	reconciled(t, w)
	check(t, w, "", "a=CaddyOff")
	var setup *caddy.SetupError
	if err := w.Reload(t.Context()); !errors.As(err, &setup) {
		t.Errorf("reload: %v", err)
	}
	if text, routes := w.Text(); len(routes) != 1 || !strings.Contains(text, "a.example.test") {
		t.Errorf("what would be generated: %s", text)
	}
}

// Many changes are one, and many one after the other are a few.
func TestNudge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(service("a", v1.PhaseRunning, nil))
		pass := func(d time.Duration) {
			time.Sleep(d) //nolint:forbidigo // In a bubble it costs no time.
			synctest.Wait()
		}
		for range 100 {
			w.Nudge()
		}
		pass(gather)
		if n := w.enqueued.Load(); n != 1 {
			t.Errorf("100 changes were %d", n)
		}

		// Ten changes a second for ten seconds.
		for i := range 100 {
			w.services[0] = service("a", v1.PhaseRunning, at(fmt.Sprint("a", i)))
			wait := reconciled(t, w)
			if w.served() != fmt.Sprintf("a=a%d.example.test", i) && (wait <= 0 || wait > refill) {
				t.Fatalf("a change that has to wait is looked at after %s", wait)
			}
			pass(100 * time.Millisecond)
		}
		pass(refill)
		reconciled(t, w)
		check(t, w, "a=a99.example.test", "a=Served")
		if w.way.changes < 15 || w.way.changes > burst+22 {
			t.Errorf("%d reloads in ten seconds", w.way.changes)
		}
	})
}
