package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

func dependsOn(names ...string) func(*v1.ServiceSpec) {
	return func(s *v1.ServiceSpec) {
		for _, n := range names {
			s.DependsOn = append(s.DependsOn, v1.Dependency{Name: n, Condition: v1.DependStarted})
		}
	}
}

// Everything stops, dependants before what they lean on, however deep; the status tells; nothing starts any more.
func TestShutdown(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("db"), service("api", dependsOn("DB")), service("cache"), service("web", dependsOn("api", "cache")), service("lone"))
		w.keeper.Adopt(process.Run{ID: "CronJob/web/0/1", Owner: "CronJob/web", Slot: "CronJob/web/0", PID: 3})
		w.keeper.Adopt(process.Run{ID: "Service/old/0/1", Owner: "Service/old", Slot: "Service/old/0", PID: 4})
		w.is("web", v1.PhaseRunning)
		if left := w.manager.r.Shutdown(w.t.Context(), w.changed); len(left) != 0 {
			t.Errorf("left %v", left)
		}
		at := map[string]int{}
		for i, s := range w.keeper.Stops() {
			at[strings.Join(strings.Split(string(s.ID), "/")[:2], "/")] = i
		}
		if len(at) != 7 || at["Service/web"] > at["Service/api"] || at["Service/web"] > at["Service/cache"] || at["Service/api"] > at["Service/db"] {
			t.Errorf("stopped in the order %v", at)
		}
		w.pass(time.Hour)
		w.poke("web")
		w.apply(service("new"))
		w.is("web", v1.PhaseStopped)
		w.is("new", v1.PhaseStopped)
		w.says(w.condition("web", v1.ConditionReady), "shut down")
		if live := w.keeper.Live(""); len(live) != 0 {
			t.Errorf("live after the shutdown: %v", live)
		}
		// The next session begins as the manifests say.
		w.kill()
		w.keeper.NewSession("the next one")
		w.boot()
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Attempts != 0 || st.Restarts != 0 {
			t.Errorf("status %+v", st)
		}
	})
}

// Who does not stop is named, and what leans on nothing of it is stopped all the same; the end of ctx ends the waiting.
func TestShutdownNamesWhoDoesNotStop(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.keeper.Behave(func(s process.Spec) processtest.Behaviour {
			return processtest.Behaviour{IgnoresStop: s.Owner != "Service/db"}
		})
		w.apply(service("db"), service("deaf", dependsOn("db"), func(s *v1.ServiceSpec) { s.Stop.Timeout = v1.D(24 * time.Hour) }), service("slow"))
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		defer cancel()
		left := w.manager.r.Shutdown(ctx, w.changed)
		if !slices.Equal(left, []string{"Service/deaf"}) {
			t.Errorf("left %v", left)
		}
		if w.live("db") != "" || w.live("slow") != "" {
			t.Error("others were not stopped")
		}
		w.pass(25 * time.Hour)
	})
}

// slowKeeper lets a start hang, as one on a loaded machine does.
type slowKeeper struct {
	process.Keeper
	began  chan struct{}
	honest bool // the start gets through all the same
}

func (k slowKeeper) Start(ctx context.Context, spec process.Spec) (process.Run, error) {
	close(k.began)
	<-ctx.Done()
	if k.honest {
		_, _ = k.Keeper.Start(context.WithoutCancel(ctx), spec)
	}
	return process.Run{}, errors.Join(process.ErrUnavailable, ctx.Err())
}

// A start that is under way when Shutdown begins is given up, or stopped when it got through.
func TestShutdownDuringStart(t *testing.T) {
	t.Parallel()
	for _, honest := range []bool{false, true} {
		inWorld(t, func(w *world) {
			slow := slowKeeper{w.keeper, make(chan struct{}), honest}
			w.manager.r.c.Keeper = slow
			w.apply(service("web"))
			<-slow.began
			began := time.Now()
			if left := w.manager.r.Shutdown(w.t.Context(), w.changed); len(left) != 0 || time.Since(began) > time.Second {
				t.Errorf("left %v after %s", left, time.Since(began))
			}
			w.pass(time.Hour)
			if w.live("web") != "" {
				t.Error("it runs")
			}
		})
	}
}
