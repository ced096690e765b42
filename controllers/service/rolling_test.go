package service

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

// rolling is a service that is updated without downtime, in a version.
func rolling(version string, edit ...func(*v1.ServiceSpec)) *v1.Service {
	return service("web", append([]func(*v1.ServiceSpec){func(s *v1.ServiceSpec) {
		s.Command.Line, s.Port.Auto = version, true
		s.Update = v1.Update{Strategy: v1.UpdateRolling, Drain: v1.D(30 * time.Second), ProgressDeadline: v1.D(5 * time.Minute)}
		s.Expose = &v1.Expose{Subdomain: "web"}
		s.Probes.Readiness = execProbe("ready", time.Second)
		s.Restart = v1.Restart{Delay: v1.D(time.Second), MaxDelay: v1.D(time.Minute), MaxAttempts: new(2)}
	}}, edit...)...)
}

func replicas(n int) func(*v1.ServiceSpec) { return func(s *v1.ServiceSpec) { s.Replicas = &n } }

// versions are those of all live runs, sorted.
func (w *world) versions() string {
	var lines []string
	for _, id := range w.keeper.Live("Service/web") {
		lines = append(lines, w.line(id))
	}
	slices.Sort(lines)
	return strings.Join(lines, " ")
}

// served is the version that answers for each replica; "?" when nobody does.
func (w *world) served(n int) string {
	var lines []string
	for i := range n {
		at := w.Get("web", i)
		line := "?"
		for _, run := range w.keeper.Runs("Service/web") {
			if run.Live() && address(run) == at {
				line = w.line(run.ID)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}

// sees checks which versions run, and which answers for each replica.
func (w *world) sees(running, served string) {
	w.t.Helper()
	n := len(strings.Fields(served))
	if got := w.versions(); got != running {
		w.t.Fatalf("%q run, want %q; %+v", got, running, w.status("web").Rollout)
	}
	if got := w.served(n); got != served {
		w.t.Fatalf("%q answer, want %q", got, served)
	}
}

func (w *world) phase() v1.RolloutPhase {
	w.t.Helper()
	ro := w.status("web").Rollout
	if ro == nil {
		return ""
	}
	return ro.Phase
}

// connect sets how many connections the runs of a version have.
func (w *world) connect(version string, n int) {
	for _, run := range w.keeper.Runs("Service/web") {
		if run.Live() && w.line(run.ID) == version {
			w.with(func() { w.busy[portOf(run)] = n })
		}
	}
}

func (w *world) fails(version string) {
	w.keeper.Behave(func(s process.Spec) processtest.Behaviour {
		return processtest.Behaviour{Exits: s.Argv[1] == version, Code: 3}
	})
}

// An update in its simplest form: the old one goes when nobody is connected to it any more.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1"))
		w.pass(time.Second)
		w.sees("v1", "v1")
		w.is("web", v1.PhaseRunning)
		first := w.live("web")
		w.with(func() { w.sick["v2"] = true })
		w.connect("v1", 2)

		w.apply(rolling("v2"))
		w.pass(30 * time.Second)
		w.sees("v1 v2", "v1")
		w.is("web", v1.PhaseRunning)
		w.says(w.condition("web", v1.ConditionProgressing), "True", "WaitingForReady", "process")
		if ro := w.status("web").Rollout; ro.Phase != v1.RolloutProgressing || ro.From != rolling("v1").Revision() || ro.To != rolling("v2").Revision() {
			t.Errorf("rollout %+v", ro)
		}

		w.with(func() { w.sick["v2"] = false })
		w.pass(2 * time.Second)
		w.sees("v1 v2", "v2")
		w.says(w.condition("web", v1.ConditionProgressing), "True", "Draining")
		w.pass(10 * time.Second)
		w.sees("v1 v2", "v2")

		w.connect("v1", 0)
		w.pass(time.Second)
		w.sees("v2", "v2")
		w.says(w.condition("web", v1.ConditionProgressing), "False", "Settled")
		if w.phase() != v1.RolloutComplete || w.status("web").StableRevision != rolling("v2").Revision() {
			t.Errorf("%+v", w.status("web"))
		}
		if w.status("web").Restarts != 0 {
			t.Error("an update counts as a restart")
		}
		// The next one goes the other way, into the place that the first has left.
		w.apply(rolling("v3"))
		w.pass(5 * time.Second)
		w.sees("v3", "v3")
		if at := placeOf(string(first[:strings.LastIndexByte(string(first), '/')])); at != placeOf(w.keeper.Runs("Service/web")[0].Slot) {
			t.Error("the two places are not used in turn")
		}
	})
}

// What does not drain is stopped when its time has passed.
func TestRollingDrainIsBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1"))
		w.pass(time.Second)
		w.connect("v1", 1)
		w.apply(rolling("v2"))
		w.pass(29 * time.Second)
		w.sees("v1 v2", "v2")
		w.pass(3 * time.Second)
		w.sees("v2", "v2")
		w.says(w.store.message("web", "Drained"), "30s", "1 of its connections")
	})
}

// A version that fails never gets a request, and is not tried for ever; whatever is new tries again.
func TestRollingFailure(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world){
		"it exits":             func(w *world) { w.fails("v2") },
		"it is never ready":    func(w *world) { w.with(func() { w.sick["v2"] = true }) },
		"it cannot be started": func(w *world) { w.refuse("v2") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.lines = []string{"Traceback", "ImportError: no module"}
				w.apply(rolling("v1"))
				w.pass(2 * time.Second)
				old := w.live("web")
				spoil(w)
				w.with(func() {
					w.onSet = func(_ string, _ int, address string) { t.Errorf("requests were sent to %s", address) }
				})
				w.apply(rolling("v2"))
				w.pass(10 * time.Minute)
				w.sees("v1", "v1")
				if w.live("web") != old {
					t.Error("the old process is another one")
				}
				w.is("web", v1.PhaseRunning)
				if w.phase() != v1.RolloutFailed {
					t.Fatalf("%+v", w.status("web").Rollout)
				}
				said := w.condition("web", v1.ConditionProgressing)
				w.says(said, "False", "RolloutFailed", "runs on")
				if name != "it cannot be started" {
					w.says(said, "ImportError: no module")
				}
				starts := w.starts("web")
				w.pass(2 * time.Hour)
				w.apply(rolling("v2", func(s *v1.ServiceSpec) { s.WatchDirs = []string{"/srv"} }))
				w.pass(2 * time.Hour)
				w.kill()
				w.boot()
				w.pass(2 * time.Hour)
				if n := w.starts("web") - starts; n != 0 {
					t.Errorf("%d starts after it was given up", n)
				}
				// An order tries again, and so does another version.
				w.order("web", v1.IntentStart)
				w.pass(time.Minute)
				if name != "it cannot be started" && w.starts("web") == starts {
					t.Error("an order does not try again")
				}
				w.with(func() { w.onSet = nil })
				w.keeper.Behave(nil)
				w.apply(rolling("v3"))
				w.pass(20 * time.Second)
				w.sees("v3", "v3")
			})
		})
	}
}

func (w *world) refuse(version string) {
	w.keeper.Behave(func(s process.Spec) processtest.Behaviour {
		if s.Argv[1] == version {
			return processtest.Behaviour{Err: &process.StartError{Reason: process.ReasonNotFound, Detail: "there is no such program"}}
		}
		return processtest.Behaviour{}
	})
}

// Replicas are updated one by one; one that fails stops the row.
func TestRollingReplicas(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1", replicas(3)))
		w.pass(2 * time.Second)
		w.sees("v1 v1 v1", "v1 v1 v1")
		w.connect("v1", 1)
		w.apply(rolling("v2", replicas(3)))
		w.pass(5 * time.Second)
		w.sees("v1 v1 v1 v2", "v2 v1 v1")
		w.connect("v1", 0)
		w.pass(time.Minute)
		w.sees("v2 v2 v2", "v2 v2 v2")

		// Not ready is out of rotation at once; that of another replica answers.
		run := w.keeper.Runs("Service/web")[0]
		w.with(func() { w.sick["web ready"] = false })
		w.keeper.Exit(run.ID, 1)
		w.pass(0)
		if at := w.Get("web", replicaOf(run.Slot)); at == address(run) {
			t.Errorf("replica %d is gone, and its requests still go to %s", replicaOf(run.Slot), at)
		}
		w.pass(5 * time.Second)
		w.sees("v2 v2 v2", "v2 v2 v2")

		// The second of three fails: the first is new, the others stay.
		w.keeper.Behave(func(s process.Spec) processtest.Behaviour {
			return processtest.Behaviour{Exits: s.Argv[1] == "v3" && strings.Contains(s.Slot, "/1")}
		})
		w.apply(rolling("v3", replicas(3)))
		w.pass(5 * time.Minute)
		w.sees("v2 v2 v3", "v3 v2 v2")
		if ro := w.status("web").Rollout; ro.Phase != v1.RolloutFailed || ro.Replica != 1 {
			t.Errorf("%+v", ro)
		}
	})
}

// A replica that is not ready any more gets no requests.
func TestNotReadyIsOutOfRotation(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1", replicas(2)))
		w.pass(2 * time.Second)
		w.apply(rolling("v1", replicas(2)))
		runs := w.keeper.Runs("Service/web")
		own := address(runs[0])
		w.keeper.Exit(runs[0].ID, 1)
		w.fails("v1") // for good
		w.pass(time.Second)
		if at := w.Get("web", 0); at == own || at != address(runs[1]) {
			t.Errorf("replica 0 is at %s", at)
		}
		// The last that is ready is never pointed away from: there is nothing better.
		w.with(func() { w.sick["web ready"] = true })
		w.pass(time.Minute)
		w.is("web", v1.PhaseFailed)
		if at := w.Get("web", 1); at != address(runs[1]) {
			t.Errorf("replica 1 is at %s", at)
		}
	})
}

// Other things happen during an update.
func TestRollingInterrupted(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(w *world){
		"another version replaces the one that is not ready": func(w *world) {
			w.apply(rolling("v3"))
			w.pass(10 * time.Second)
			w.sees("v3", "v3")
		},
		"it is taken back": func(w *world) {
			old := w.keeper.Runs("Service/web")[0].ID
			w.apply(rolling("v1"))
			w.pass(10 * time.Second)
			w.sees("v1", "v1")
			if w.live("web") != old || w.phase() != v1.RolloutSuperseded {
				w.t.Errorf("%s serves, want %s: %+v", w.live("web"), old, w.status("web").Rollout)
			}
		},
		"the old one exits and comes back as it was": func(w *world) {
			w.keeper.Exit(w.keeper.Runs("Service/web")[0].ID, 1)
			w.pass(2 * time.Second)
			w.sees("v1 v2", "v1")
			w.with(func() { w.sick["v2"] = false })
			w.pass(10 * time.Second)
			w.sees("v2", "v2")
		},
		"the old one exits and cannot come back": func(w *world) {
			w.fails("v1")
			w.keeper.Exit(w.keeper.Runs("Service/web")[0].ID, 1)
			w.pass(2 * time.Second)
			w.with(func() { w.sick["v2"] = false })
			w.pass(10 * time.Second)
			w.sees("v2", "v2")
		},
		"it is stopped": func(w *world) {
			w.order("web", v1.IntentStop)
			w.pass(time.Minute)
			if w.versions() != "" || w.phase() != v1.RolloutSuperseded {
				w.t.Errorf("%q run, %+v", w.versions(), w.status("web").Rollout)
			}
			w.with(func() { w.sick["v2"] = false })
			w.order("web", v1.IntentStart)
			w.pass(10 * time.Second)
			w.sees("v2", "v2")
		},
		"it is deleted": func(w *world) {
			w.remove("web")
			w.pass(time.Minute)
			if w.versions() != "" || len(w.Replicas("web")) != 0 || w.store.Status(key("web")) != nil {
				w.t.Errorf("%q run, %v", w.versions(), w.Replicas("web"))
			}
		},
		"there are more replicas": func(w *world) {
			w.apply(rolling("v2", replicas(2)))
			w.pass(10 * time.Second)
			w.sees("v1 v1 v2", "v1 v1")
			w.with(func() { w.sick["v2"] = false })
			w.pass(10 * time.Second)
			w.sees("v2 v2", "v2 v2")
		},
		"the strategy becomes Recreate": func(w *world) {
			w.with(func() { w.sick["v2"] = false })
			w.apply(rolling("v2", func(s *v1.ServiceSpec) { s.Update = v1.Update{Strategy: v1.UpdateRecreate} }))
			w.pass(time.Minute)
			w.sees("v2", "v2")
		},
		"the manager is killed": func(w *world) {
			w.kill()
			w.boot()
			w.pass(10 * time.Second)
			w.sees("v1 v2", "v1")
			w.kill()
			w.with(func() { w.sick["v2"] = false })
			w.boot()
			w.pass(10 * time.Second)
			w.sees("v2", "v2")
		},
		"the database is lost": func(w *world) {
			w.kill()
			w.store.statuses, w.store.ports, w.store.rollouts = map[v1.Key]*v1.ServiceStatus{}, map[string]int{}, map[v1.Key][]v1.Rollout{}
			w.boot()
			w.pass(10 * time.Second)
			w.sees("v1 v2", "v1")
			w.with(func() { w.sick["v2"] = false })
			w.pass(10 * time.Second)
			w.sees("v2", "v2")
		},
		"a restart is asked for": func(w *world) {
			w.with(func() { w.sick["v2"] = false })
			w.order("web", v1.IntentRestart)
			w.pass(10 * time.Second)
			w.sees("v2", "v2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.apply(rolling("v1"))
				w.pass(5 * time.Second)
				w.with(func() { w.sick["v2"] = true })
				w.apply(rolling("v2"))
				w.pass(10 * time.Second)
				w.sees("v1 v2", "v1")
				story(w)
			})
		})
	}
}

// A restart that an operator asks for is an update to the same version.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1", replicas(2)))
		w.pass(5 * time.Second)
		before := w.keeper.Live("Service/web")
		w.connect("v1", 1)
		w.order("web", v1.IntentRestart)
		w.pass(2 * time.Second)
		w.sees("v1 v1 v1", "v1 v1")
		if ro := w.status("web").Rollout; ro.From != ro.To || ro.Actor != "user:1000" {
			t.Errorf("%+v", ro)
		}
		w.connect("v1", 0)
		w.pass(time.Minute)
		w.sees("v1 v1", "v1 v1")
		for _, id := range w.keeper.Live("Service/web") {
			if slices.Contains(before, id) {
				t.Errorf("%s was not restarted", id)
			}
		}
		if w.phase() != v1.RolloutComplete {
			t.Errorf("%+v", w.status("web").Rollout)
		}
	})
}

// A replica too many is taken out of rotation before it is stopped.
func TestRollingScaleDown(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1", replicas(2)))
		w.pass(5 * time.Second)
		w.connect("v1", 1)
		w.apply(rolling("v1", replicas(1)))
		w.pass(2 * time.Second)
		if one, two := w.Get("web", 0), w.Get("web", 1); one != two || len(w.keeper.Live("Service/web")) != 2 {
			t.Errorf("replicas are at %s and %s; %d run", one, two, len(w.keeper.Live("Service/web")))
		}
		w.connect("v1", 0)
		w.pass(time.Second)
		w.sees("v1", "v1 v1")
	})
}

// Scaled to nothing, nothing is left.
func TestRollingScaleToZero(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1", replicas(2)))
		w.pass(5 * time.Second)
		w.apply(rolling("v1", replicas(0)))
		w.pass(5 * time.Second)
		w.sees("", "? ?")
		w.is("web", v1.PhaseStopped)
		w.apply(rolling("v1", replicas(2)))
		w.pass(5 * time.Second)
		w.sees("v1 v1", "v1 v1")
	})
}

// One too many that cannot be replaced by another in rotation is stopped when its time has passed.
func TestRollingScaleDownToUnready(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1", replicas(2)))
		w.pass(5 * time.Second)
		w.fails("v1")
		w.keeper.Exit(w.keeper.Runs("Service/web")[0].ID, 1)
		w.pass(5 * time.Second)
		w.apply(rolling("v1", replicas(1)))
		w.pass(20 * time.Second)
		w.sees("v1", "v1 v1")
		w.pass(20 * time.Second)
		w.sees("", "?")
	})
}

// A manager that was killed between the exchange of the address and the note of it goes on from the address.
func TestRollingGoesOnFromTheAddress(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(rolling("v1"))
		w.pass(5 * time.Second)
		w.with(func() { w.sick["v2"] = true })
		w.apply(rolling("v2"))
		w.pass(5 * time.Second)
		old := *w.status("web")
		w.connect("v1", 1)
		w.with(func() { w.sick["v2"] = false })
		w.pass(5 * time.Second)
		w.sees("v1 v2", "v2")
		w.kill()
		w.store.statuses[key("web")] = &old
		w.with(func() {
			w.sick["v2"] = true
			w.onSet = func(_ string, i int, at string) { t.Errorf("replica %d was sent to %s", i, at) }
		})
		w.boot()
		w.pass(20 * time.Second)
		w.sees("v1 v2", "v2")
		w.with(func() { w.sick["v2"] = false })
		w.pass(time.Minute)
		w.sees("v2", "v2")
	})
}

func TestTarget(t *testing.T) {
	t.Parallel()
	const u, q, r = unready, unknown, ready
	for _, tt := range []struct {
		i      int
		states []readiness
		there  bool
		want   string
	}{
		{0, []readiness{r}, false, "0"},
		{0, []readiness{u}, true, "-"},
		{0, []readiness{q}, true, "-"},
		{0, []readiness{q}, false, "-"},
		{0, []readiness{q, r}, false, "1"}, // something is better than nothing
		{0, []readiness{q, r}, true, "-"},
		{0, []readiness{u, r, r}, true, "1"},
		{1, []readiness{r, u, r}, true, "2"},
		{2, []readiness{r, u, u}, true, "0"},
		{5, []readiness{u, r}, true, "1"}, // a replica that is gone
		{5, []readiness{u, q}, true, "-"},
		{0, nil, true, "-"},
	} {
		got := "-"
		if to, ok := target(tt.i, tt.states, tt.there); ok {
			got = fmt.Sprint(to)
		}
		if got != tt.want {
			t.Errorf("replica %d of %v, there %t: %s, want %s", tt.i, tt.states, tt.there, got, tt.want)
		}
	}
}
