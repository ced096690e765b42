package service

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

func TestStartsWhatIsDesired(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		svc := service("web", func(s *v1.ServiceSpec) { s.Port.Number = 8000 })
		w.apply(svc)
		w.is("web", v1.PhaseRunning)
		st, run := w.status("web"), w.keeper.Runs("Service/web")[0]
		if st.PID != run.PID || st.Port != 8000 || st.ObservedRevision != svc.Revision() || st.Session == "" || st.StartedAt == nil || len(st.Replicas) != 1 {
			t.Errorf("status %+v", st)
		}
		if run.Slot != "Service/web/0" || run.Labels[labelPort] != "8000" || run.Labels[labelHash] == "" || run.Labels[labelRevision] != svc.Revision() {
			t.Errorf("run %+v", run)
		}
		if told := w.store.told("web"); !slices.Equal(told, []string{"Started", "Ready"}) {
			t.Errorf("told %v", told)
		}
		w.remove("web")
		if w.store.Status(key("web")) != nil || len(w.keeper.All()) != 0 {
			t.Errorf("after its manifest is gone: runs %+v", w.keeper.All())
		}
		if told := w.store.told("web"); !slices.Equal(told[2:], []string{"Stopping", "Exited", "Stopped", "Deleted"}) {
			t.Errorf("told %v", told[2:])
		}
	})
}

// A crash loop backs off, doubling up to the cap, and gives up as set; an edit starts it at once.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{Exits: true, Code: 3} })
		w.lines = []string{"one", "two", "three", "four"}
		begin := time.Now()
		crashing := func(s *v1.ServiceSpec) {
			s.Restart = v1.Restart{Delay: v1.D(time.Second), MaxDelay: v1.D(3 * time.Second), MaxAttempts: new(4)}
		}
		w.apply(service("web", crashing))
		w.is("web", v1.PhaseBackoff)
		st := w.status("web")
		if st.NextRestart == nil || !st.NextRestart.Equal(begin.Add(time.Second)) || st.Attempts != 1 || st.Restarts != 0 || st.PID != 0 {
			t.Errorf("status %+v", st)
		}
		w.says(w.condition("web", v1.ConditionProgressing), "True BackingOff", "exited with code 3", "restart 1 of 4 in 1s")
		w.pass(time.Hour)
		w.is("web", v1.PhaseFailed)
		st = w.status("web")
		if st.Restarts != 4 || st.NextRestart != nil || st.LastExit == nil || st.LastExit.Code != 3 || len(st.LastExit.LastLines) != 4 {
			t.Errorf("status %+v, last exit %+v", st, st.LastExit)
		}
		w.says(w.condition("web", v1.ConditionProgressing), "False GaveUp", "exited with code 3", "given up after 4 restarts", "two | three | four")
		var at []time.Duration
		for _, e := range w.store.events {
			if e.Reason == "Started" {
				at = append(at, e.Time.Sub(begin))
			}
		}
		if got := fmt.Sprint(at); got != "[0s 1s 3s 6s 9s]" {
			t.Errorf("started at %s", got)
		}
		// What does not bear on it changes nothing; what does, starts it at once.
		w.apply(service("web", crashing, func(s *v1.ServiceSpec) { s.WatchDirs = []string{"/srv"} }))
		w.is("web", v1.PhaseFailed)
		w.keeper.Behave(nil)
		w.apply(service("web", crashing, func(s *v1.ServiceSpec) { s.Command.Line = "mended" }))
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Attempts != 0 {
			t.Errorf("attempts %d after the edit", st.Attempts)
		}
		w.says(w.store.message("web", "ManifestChanged"), "command", "watchDirs")
	})
}

// What was given up gets another chance by an order, by another env file, by another policy.
func TestSecondChances(t *testing.T) {
	t.Parallel()
	for name, chance := range map[string]func(w *world){
		"start":    func(w *world) { w.order("web", v1.IntentStart) },
		"restart":  func(w *world) { w.order("web", v1.IntentRestart) },
		"env file": func(w *world) { w.with(func() { w.env["web"] = "other" }); w.poke("web") },
		"policy": func(w *world) {
			w.apply(service("web", func(s *v1.ServiceSpec) { s.Restart.MaxAttempts = new(7) }))
		},
		"probes": func(w *world) {
			w.apply(service("web", func(s *v1.ServiceSpec) { s.Probes.Liveness = execProbe("alive", time.Second) }))
		},
		"session": func(w *world) { w.keeper.NewSession("after a reboot") },
		"disabled and enabled": func(w *world) {
			w.apply(service("web", func(s *v1.ServiceSpec) { s.Enabled = new(false) }))
			w.is("web", v1.PhaseStopped)
			w.apply(service("web"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{Exits: true, Code: 1} })
				w.apply(service("web"))
				w.pass(time.Hour)
				w.is("web", v1.PhaseFailed)
				w.poke("web")
				w.pass(time.Hour)
				w.is("web", v1.PhaseFailed)
				w.kill() // neither does another manager know better
				w.boot()
				w.is("web", v1.PhaseFailed)
				w.keeper.Behave(nil)
				chance(w)
				w.poke("web")
				w.pass(0)
				w.is("web", v1.PhaseRunning)
			})
		})
	}
}

// The crash backoff of 5 minutes hides a fixed cause: a restart during it is immediate and the counter begins anew.
func TestRestartDuringBackoff(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Restart.Delay = v1.D(5 * time.Minute) }))
		w.keeper.Exit(w.live("web"), 1)
		w.pass(time.Second)
		w.is("web", v1.PhaseBackoff)
		w.order("web", v1.IntentRestart)
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Attempts != 0 || st.ObservedIntent != "i1" || w.keeper.Runs("Service/web")[0].Labels[labelIntent] != "i1" {
			t.Errorf("status %+v", st)
		}
	})
}

// Delay 0 starts in the very reconcile that sees the exit, is bounded by maxAttempts, and never becomes a hot loop.
func TestDelayZero(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Restart.Delay = v1.D(0) }))
		began := time.Now()
		w.keeper.Exit(w.live("web"), 1)
		w.pass(0)
		if w.live("web") == "" || time.Since(began) != 0 {
			t.Fatalf("not started at once: %+v", w.status("web"))
		}
		w.is("web", v1.PhaseRunning)

		w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{Exits: true, Code: 1} })
		w.apply(
			service("few", func(s *v1.ServiceSpec) { s.Restart = v1.Restart{Delay: v1.D(0), MaxAttempts: new(5)} }),
			service("hot", func(s *v1.ServiceSpec) { s.Restart = v1.Restart{Delay: v1.D(0), MaxAttempts: new(-1)} }),
		)
		w.pass(time.Second)
		w.is("few", v1.PhaseFailed)
		if n := w.starts("few"); n != 6 {
			t.Errorf("%d starts with 5 attempts", n)
		}
		w.pass(time.Minute)
		before := w.starts("hot")
		w.pass(time.Minute)
		if n := w.starts("hot") - before; n > 600 || n < 500 {
			t.Errorf("%d starts in a minute", n)
		}
		if n := len(w.store.told("hot")); n > 150 {
			t.Errorf("a crash loop told %d events in two minutes", n)
		}
	})
}

// Health clears the count: ready for resetAfter where there is a readiness probe, else running for it.
func TestResetAfter(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) {
			s.Restart = v1.Restart{Delay: v1.D(time.Second), ResetAfter: v1.D(time.Minute), MaxAttempts: new(1)}
			s.Probes.Readiness = execProbe("ready", time.Second)
		}))
		crash := func() {
			w.keeper.Exit(w.live("web"), 1)
			w.pass(1100 * time.Millisecond)
		}
		crash()
		w.is("web", v1.PhaseRunning)
		w.with(func() { w.sick["web ready"] = true })
		w.pass(time.Hour)
		w.is("web", v1.PhaseUnready)
		w.with(func() { w.sick["web ready"] = false })
		w.pass(50 * time.Second)
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Attempts != 1 {
			t.Errorf("an hour unready counted as health: %+v", st)
		}
		w.pass(11 * time.Second)
		if st := w.status("web"); st.Attempts != 0 {
			t.Errorf("a minute of health did not clear the count: %+v", st)
		}
		crash()
		w.is("web", v1.PhaseRunning)
		crash()
		w.is("web", v1.PhaseFailed)
	})
}

func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		policy v1.RestartPolicy
		end    process.Exit
		want   v1.Phase
	}{
		{v1.RestartAlways, process.Exit{Code: 0}, v1.PhaseBackoff},
		{v1.RestartAlways, process.Exit{Code: 1}, v1.PhaseBackoff},
		{v1.RestartOnFailure, process.Exit{Code: 0}, v1.PhaseComplete},
		{v1.RestartOnFailure, process.Exit{Code: 1}, v1.PhaseBackoff},
		{v1.RestartOnFailure, process.Exit{Code: -1, Signal: int(syscall.SIGKILL)}, v1.PhaseBackoff},
		{v1.RestartOnFailure, process.Exit{Code: 0, Lost: true}, v1.PhaseBackoff},
		{v1.RestartNever, process.Exit{Code: 0}, v1.PhaseComplete},
		{v1.RestartNever, process.Exit{Code: 1}, v1.PhaseFailed},
		{v1.RestartNever, process.Exit{Code: -1, Lost: true}, v1.PhaseFailed},
	} {
		t.Run(fmt.Sprintf("%s %d %d %t", tt.policy, tt.end.Code, tt.end.Signal, tt.end.Lost), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.apply(service("job", func(s *v1.ServiceSpec) { s.Restart.Policy = tt.policy }))
				w.keeper.ExitWith(w.live("job"), tt.end)
				w.pass(time.Second)
				w.is("job", tt.want)
				if tt.want != v1.PhaseComplete {
					return
				}
				// It is not run again for a label, a poke or another manager; but by a new program, and after a reboot.
				w.apply(service("job", func(s *v1.ServiceSpec) { s.Restart.Policy, s.WatchDirs = tt.policy, []string{"/srv"} }))
				w.kill()
				w.boot()
				w.pass(time.Hour)
				w.is("job", v1.PhaseComplete)
				w.with(func() { w.env["job"] = "changed" })
				w.poke("job")
				w.pass(0)
				w.is("job", v1.PhaseRunning)
				w.keeper.Exit(w.live("job"), 0)
				w.pass(0)
				w.is("job", v1.PhaseComplete)
				w.kill()
				w.keeper.NewSession("after a reboot")
				w.boot()
				w.is("job", v1.PhaseRunning)
			})
		})
	}
}

// Restart counter games: another cause of restarts does not clear the count of crashes.
func TestOtherCausesDoNotClearTheCount(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Restart = v1.Restart{Delay: v1.D(time.Second), MaxAttempts: new(3)} }))
		for i := range 4 {
			oom := i%2 == 0
			w.keeper.ExitWith(w.live("web"), process.Exit{Code: -1, Signal: int(syscall.SIGKILL), OOM: &oom})
			w.pass(10 * time.Second)
		}
		w.is("web", v1.PhaseFailed)
	})
}

// Only what must restart, restarts; the old one is gone before the new one starts, and that is no crash.
func TestEdits(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{IgnoresStop: true} })
		edit := func(f func(*v1.ServiceSpec)) { w.apply(service("web", f)) }
		edit(func(*v1.ServiceSpec) {})
		first := w.live("web")
		edit(func(s *v1.ServiceSpec) { s.WatchDirs = []string{"/srv"} })
		edit(func(s *v1.ServiceSpec) { s.Probes.Liveness = execProbe("alive", time.Second) })
		edit(func(s *v1.ServiceSpec) { s.Stop.Timeout = v1.D(7 * time.Second) })
		if w.live("web") != first {
			t.Fatal("restarted for nothing")
		}
		edit(func(s *v1.ServiceSpec) { s.Stop.Timeout, s.Command.Line = v1.D(7*time.Second), "other" })
		w.is("web", v1.PhaseStopping)
		w.pass(6 * time.Second)
		if w.live("web") != first || w.starts("web") != 1 {
			t.Fatal("the new one started before the old one was gone")
		}
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseRunning)
		st := w.status("web")
		if st.Restarts != 0 || st.Attempts != 0 || w.live("web") == first {
			t.Errorf("status %+v", st)
		}
		if stops := w.keeper.Stops(); len(stops) != 1 || stops[0].Grace != 7*time.Second || stops[0].Signal != syscall.SIGTERM {
			t.Errorf("stops %+v", stops)
		}
		w.says(w.store.message("web", "Replacing"), "manifest")
		w.with(func() { w.env["web"] = "changed" })
		w.poke("web")
		w.pass(time.Minute)
		w.is("web", v1.PhaseRunning)
		w.says(w.store.message("web", "Replacing"), "env file")
	})
}

// What cannot be resolved or started leaves a good process alone, and says so.
func TestBadEditHurtsNoGoodProcess(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Port.Number = 8000 }))
		first := w.live("web")
		w.with(func() {
			w.broken["web"] = &process.StartError{Reason: process.ReasonBadSpec, Detail: "/env/web is not there"}
		})
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Port.Number, s.Command.Line = 8000, "other" }))
		w.is("web", v1.PhaseRunning)
		w.says(w.condition("web", v1.ConditionDegraded), "True", "/env/web is not there")
		w.with(func() { delete(w.broken, "web"); w.holders[9000] = "pid 7 (nginx)" })
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Port.Number, s.Command.Line = 9000, "other" }))
		w.pass(time.Minute)
		if w.live("web") != first {
			t.Fatal("a good process was stopped for one that cannot be started")
		}
		w.says(w.condition("web", v1.ConditionDegraded), "port 9000 is held by pid 7 (nginx)")
		w.with(func() { delete(w.holders, 9000) })
		w.pass(time.Minute)
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Port != 9000 || w.live("web") == first {
			t.Errorf("status %+v", st)
		}
		w.says(w.condition("web", v1.ConditionDegraded), "False")
	})
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.keeper.FailStart(&process.StartError{Reason: process.ReasonNotFound, Detail: "there is no program uvicorn in PATH; install it"})
		w.apply(service("web"))
		w.is("web", v1.PhaseBackoff)
		w.says(w.condition("web", v1.ConditionReady), "False NotFound", "there is no program uvicorn", "restart 1 of 3 in 5s")
		w.pass(time.Hour)
		w.is("web", v1.PhaseFailed)
		if st := w.status("web"); st.Restarts != 0 {
			t.Errorf("%d restarts of what never started", st.Restarts)
		}
		w.keeper.FailStart(nil)
		w.with(func() { w.broken["env"] = fmt.Errorf("read /env/env: no such file") })
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Command.Line = "python3 -m uvicorn" }), service("env"))
		w.is("web", v1.PhaseRunning)
		w.is("env", v1.PhaseBackoff)
		w.with(func() { delete(w.broken, "env") })
		w.poke("env") // as the watcher does when the file comes
		w.pass(0)
		w.is("env", v1.PhaseRunning)
	})
}

// A stopped service stays stopped, across managers too, until it is started or another session begins.
func TestIntents(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web"), service("off", func(s *v1.ServiceSpec) { s.Enabled = new(false) }))
		w.is("off", v1.PhaseStopped)
		w.says(w.condition("off", v1.ConditionReady), "not enabled")
		w.order("web", v1.IntentStop)
		w.order("off", v1.IntentStart)
		for range 2 {
			w.is("web", v1.PhaseStopped)
			w.says(w.condition("web", v1.ConditionReady), "stopped by user:1000")
			w.is("off", v1.PhaseRunning)
			w.apply(service("web", func(s *v1.ServiceSpec) { s.Command.Line = "edited while stopped" }))
			w.pass(time.Hour)
			w.kill()
			w.boot()
		}
		off := w.live("off")
		w.order("off", v1.IntentRestart)
		w.is("off", v1.PhaseRunning)
		if w.live("off") == off {
			t.Error("not restarted")
		}
		off = w.live("off")
		w.kill()
		w.boot()
		w.poke("off")
		w.pass(time.Hour)
		if w.live("off") != off {
			t.Error("restarted twice by one order")
		}
		w.kill()
		w.keeper.NewSession("after a reboot")
		w.boot()
		w.is("web", v1.PhaseRunning)
		w.is("off", v1.PhaseStopped)
		w.order("web", v1.IntentStop)
		w.order("web", v1.IntentStart)
		w.is("web", v1.PhaseRunning)
	})
}

// An order restarts every replica once, those that were started after it not again.
func TestRestartIntentAllReplicas(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Replicas = new(3) }))
		w.pass(time.Second)
		w.order("web", v1.IntentRestart)
		w.pass(time.Hour)
		if n := w.starts("web"); n != 6 {
			t.Errorf("%d starts", n)
		}
		for _, run := range w.keeper.Runs("Service/web") {
			if run.Labels[labelIntent] != "i1" {
				t.Errorf("labels %v", run.Labels)
			}
		}
	})
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		scale := func(n int) {
			w.apply(service("web", func(s *v1.ServiceSpec) { s.Replicas, s.Port.Auto = &n, true }))
			w.is("web", map[bool]v1.Phase{true: v1.PhaseRunning, false: v1.PhaseStopped}[n > 0])
			if st := w.status("web"); len(st.Replicas) != max(n, 1) && n > 0 {
				t.Errorf("%d replicas: %+v", n, st.Replicas)
			}
		}
		scale(2)
		first := w.keeper.Live("Service/web")
		scale(4)
		ports := map[int]bool{}
		for _, r := range w.status("web").Replicas {
			ports[r.Port] = true
		}
		if len(ports) != 4 || ports[0] {
			t.Errorf("ports %v", ports)
		}
		scale(1)
		if live := w.keeper.Live("Service/web"); len(live) != 1 || live[0] != first[0] {
			t.Errorf("live %v, the first were %v", live, first)
		}
		var order []string
		for _, s := range w.keeper.Stops() {
			order = append(order, strings.Split(string(s.ID), "/")[2])
		}
		if !slices.Equal(order, []string{"3", "2", "1"}) {
			t.Errorf("stopped %v, want the highest first", order)
		}
		scale(0)
		w.says(w.condition("web", v1.ConditionReady), "0 replicas")
	})
}

// port: auto is chosen once, remembered across managers and databases, and given up only when somebody else took it.
func TestAutoPort(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Port.Auto = true }))
		port, first := w.status("web").Port, w.live("web")
		if port == 0 {
			t.Fatal("no port")
		}
		w.order("web", v1.IntentRestart)
		if got := w.status("web").Port; got != port {
			t.Errorf("port %d became %d", port, got)
		}
		w.kill()
		*w.store = *newStore() //nolint:govet // The database is lost; its lock with it, which nobody holds.
		w.boot()
		if got := w.status("web").Port; got != port || w.live("web") == first {
			t.Errorf("port %d became %d without a database", port, got)
		}
		if n := w.starts("web"); n != 2 {
			t.Errorf("%d starts", n)
		}
		w.order("web", v1.IntentStop)
		w.with(func() { w.holders[port] = "pid 7 (nginx)" })
		w.order("web", v1.IntentStart)
		w.is("web", v1.PhaseRunning)
		if got := w.status("web").Port; got == port || got == 0 {
			t.Errorf("port %d, which nginx has", got)
		}
	})
}

// A fixed port that is taken names its holder; the service starts by itself when it is free.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.with(func() { w.holders[8000] = "pid 123 (python3)" })
		w.apply(service("web", func(s *v1.ServiceSpec) {
			s.Port.Number, s.Restart.MaxDelay = 8000, v1.D(10*time.Second)
		}))
		w.is("web", v1.PhasePending)
		w.says(w.condition("web", v1.ConditionProgressing), "True PortInUse", "port 8000 is held by pid 123 (python3)")
		w.pass(time.Hour)
		w.is("web", v1.PhasePending)
		told := w.store.told("web")
		if !slices.Equal(told, []string{"PortInUse"}) {
			t.Errorf("told %v", told)
		}
		w.with(func() { delete(w.holders, 8000) })
		w.pass(10 * time.Second)
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Attempts != 0 || st.Restarts != 0 {
			t.Errorf("a port that was taken counted as a crash: %+v", st)
		}
	})
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		on := func(name string, c v1.DependencyCondition) func(*v1.ServiceSpec) {
			return func(s *v1.ServiceSpec) { s.DependsOn = []v1.Dependency{{Name: name, Condition: c}} }
		}
		w.with(func() { w.sick["db ready"] = true })
		w.apply(
			service("started", on("db", v1.DependStarted)), service("ready", on("DB", v1.DependReady)),
			service("completed", on("job", v1.DependCompleted)), service("stopped", on("db", v1.DependReady)),
		)
		w.is("ready", v1.PhasePending)
		w.says(w.condition("ready", v1.ConditionProgressing), "True WaitingForDependency", `"DB", which does not exist`)
		w.apply(
			service("db", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("ready", time.Second) }),
			service("job", func(s *v1.ServiceSpec) { s.Restart.Policy = v1.RestartOnFailure }),
		)
		w.is("started", v1.PhaseRunning)
		w.is("ready", v1.PhasePending)
		w.is("completed", v1.PhasePending)
		w.says(w.condition("ready", v1.ConditionProgressing), "waits for service DB to be ready (it is Starting)")
		w.order("stopped", v1.IntentStop)
		w.pass(20 * time.Second)
		w.with(func() { w.sick["db ready"] = false })
		w.keeper.Exit(w.live("job"), 0)
		w.pass(time.Second)
		w.is("ready", v1.PhaseRunning)
		w.is("completed", v1.PhaseRunning)
		w.is("stopped", v1.PhaseStopped)
		w.pass(time.Hour)
		if w.starts("stopped") != 0 {
			t.Error("a pending dependant that was stopped started later")
		}
		// A dependency that restarts, or fails, restarts nobody. An edit of it that changes nothing of it wakes who waits.
		before := w.live("ready")
		w.order("db", v1.IntentRestart)
		w.keeper.Exit(w.live("db"), 1)
		w.pass(time.Minute)
		w.is("db", v1.PhaseRunning)
		if w.live("ready") != before || w.starts("started") != 1 {
			t.Error("a dependant was restarted with its dependency")
		}
	})
}

// A dependant that looks while its dependency's new version was not looked at yet is woken when it was.
func TestDependantOfAnEditedService(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("db"))
		w.desired.mu.Lock()
		w.desired.services["db"] = service("db", func(s *v1.ServiceSpec) { s.WatchDirs = []string{"/srv"} })
		w.desired.mu.Unlock()
		w.apply(service("web", func(s *v1.ServiceSpec) { s.DependsOn = []v1.Dependency{{Name: "db"}} }))
		w.is("web", v1.PhasePending)
		w.poke("db")
		w.pass(0)
		w.is("web", v1.PhaseRunning)
	})
}

// Health flips after a minute: exactly one restart for each threshold, never the end of the policy.
func TestLiveness(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) {
			s.Restart = v1.Restart{Delay: v1.D(time.Second), ResetAfter: v1.D(10 * time.Second), MaxAttempts: new(2)}
			s.Probes.Liveness = execProbe("alive", time.Second)
			s.Stop.Signal = "SIGINT"
		}))
		for i := range 5 {
			w.pass(time.Minute)
			w.is("web", v1.PhaseRunning)
			w.with(func() { w.sick["web alive"] = true })
			w.pass(3 * time.Second)
			w.with(func() { w.sick["web alive"] = false })
			w.pass(2 * time.Second)
			w.is("web", v1.PhaseRunning)
			if n := w.starts("web"); n != i+2 {
				t.Fatalf("%d starts after %d failures", n, i+1)
			}
		}
		if s := w.keeper.Stops()[0].Signal; s != syscall.SIGINT {
			t.Errorf("stopped with %s", s)
		}
		w.says(w.store.message("web", "ProbeFailed"), "web alive is sick")
		// One that never recovers is given up.
		w.with(func() { w.sick["web alive"] = true })
		w.pass(time.Hour)
		w.is("web", v1.PhaseFailed)
	})
}

// A startup probe that fails for good restarts; until it passes the others wait.
func TestStartupProbe(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.with(func() { w.sick["web up"], w.sick["web alive"] = true, true })
		w.apply(service("web", func(s *v1.ServiceSpec) {
			s.Probes = v1.Probes{Startup: execProbe("up", 10*time.Second), Liveness: execProbe("alive", time.Second)}
		}))
		w.pass(19 * time.Second)
		w.is("web", v1.PhaseStarting)
		if w.starts("web") != 1 {
			t.Fatal("liveness did not wait for startup")
		}
		w.pass(7 * time.Second)
		if w.starts("web") != 2 {
			t.Errorf("%d starts: startup failed for good", w.starts("web"))
		}
		w.with(func() { w.sick["web up"], w.sick["web alive"] = false, false })
		w.pass(2 * time.Second)
		w.is("web", v1.PhaseRunning)
	})
}

// Readiness marks and recovers, is told once each, and restarts nothing.
func TestReadiness(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("ready", time.Second) }))
		w.pass(time.Second)
		w.with(func() { w.sick["web ready"] = true })
		w.pass(time.Hour)
		w.is("web", v1.PhaseUnready)
		if st := w.status("web"); st.Replicas[0].Ready || !st.Replicas[0].Started || st.PID == 0 {
			t.Errorf("replica %+v", st.Replicas[0])
		}
		w.says(w.condition("web", v1.ConditionReady), "False ProbeFailed", "web ready is sick")
		w.with(func() { w.sick["web ready"] = false })
		w.pass(time.Hour)
		w.is("web", v1.PhaseRunning)
		if told := w.store.told("web"); !slices.Equal(told, []string{"Started", "Ready", "Unready", "Recovered"}) {
			// The first verdict comes within the reconcile after the start: Starting is told by Started.
			t.Errorf("told %v", told)
		}
		if w.starts("web") != 1 {
			t.Error("restarted by readiness")
		}
	})
}

// Probes change in place: what was known holds until the new ones know better. One that cannot be set up says so.
func TestProbesChangeInPlace(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web"))
		first := w.live("web")
		w.with(func() { w.sick["web ready"] = true })
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("ready", 10*time.Second) }))
		w.is("web", v1.PhaseRunning)
		w.pass(time.Minute)
		w.is("web", v1.PhaseUnready)
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("unreadable", 10*time.Second) }))
		w.says(w.condition("web", v1.ConditionReady), "cannot be set up", "unreadable")
		w.apply(service("web"))
		w.is("web", v1.PhaseRunning)
		if w.live("web") != first {
			t.Error("restarted")
		}
	})
}

// A manager that comes back adopts what runs, accounts for what ended meanwhile exactly as if it had been there, and does
// not take the unknown for false.
func TestManagerComesBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(
			service("web"), service("crash"),
			service("slow", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("ready", 10*time.Second) }),
			service("job", func(s *v1.ServiceSpec) { s.Restart.Policy = v1.RestartOnFailure }),
		)
		w.keeper.Exit(w.live("crash"), 1)
		w.pass(6 * time.Second)
		web, slow := w.live("web"), w.live("slow")
		w.kill()
		w.with(func() { w.sick["slow ready"] = true })
		w.keeper.Exit(w.live("crash"), 7)
		w.keeper.Exit(w.live("job"), 0)
		w.pass(4 * time.Second)
		w.boot()
		if w.live("web") != web || w.live("slow") != slow {
			t.Error("restarted with the manager")
		}
		w.is("slow", v1.PhaseRunning)
		w.is("job", v1.PhaseComplete)
		w.is("crash", v1.PhaseBackoff)
		st := w.status("crash")
		if st.Attempts != 2 || st.LastExit.Code != 7 || time.Until(*st.NextRestart) != 6*time.Second {
			t.Errorf("%+v, next in %s", st, time.Until(*st.NextRestart))
		}
		if told := w.store.told("web"); !slices.Equal(told, []string{"Started", "Ready", "Adopted"}) {
			t.Errorf("told %v", told)
		}
		w.pass(6 * time.Second)
		w.is("crash", v1.PhaseRunning)
		if n := len(w.keeper.Forgotten()); n != 3 {
			t.Errorf("%d runs forgotten", n)
		}
		w.pass(time.Minute)
		w.is("slow", v1.PhaseUnready)
	})
}

// A backoff that began before the manager left ends when it would have.
func TestBackoffAcrossManagers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Restart.Delay = v1.D(time.Minute) }))
		w.keeper.Exit(w.live("web"), 1)
		w.pass(50 * time.Second)
		w.kill()
		w.boot()
		w.pass(9 * time.Second)
		w.is("web", v1.PhaseBackoff)
		w.pass(time.Second)
		w.is("web", v1.PhaseRunning)
		if st := w.status("web"); st.Attempts != 1 || st.Restarts != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

// Before the first complete listing nothing is stopped for being missing.
func TestNothingIsStoppedBeforeTheFirstListing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web"))
		w.kill()
		w.desired.mu.Lock()
		w.desired.partial = true
		w.desired.services = map[string]*v1.Service{}
		w.desired.mu.Unlock()
		w.boot()
		w.pass(time.Hour)
		if w.live("web") == "" {
			t.Fatal("stopped")
		}
		w.desired.mu.Lock()
		w.desired.partial = false
		w.desired.mu.Unlock()
		w.poke("web")
		w.pass(0)
		if w.live("web") != "" || w.store.Status(key("web")) != nil {
			t.Fatal("a service without a manifest runs on")
		}
	})
}

// Delete and recreate in quick succession, a hundred times, ends with one process of the last version.
func TestDeleteAndRecreate(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{IgnoresStop: true} })
		for i := range 100 {
			w.apply(service("web", func(s *v1.ServiceSpec) {
				s.Command.Line, s.Stop.Timeout = fmt.Sprint("run ", i), v1.D(70*time.Millisecond)
			}))
			w.pass(time.Duration(i%7) * 10 * time.Millisecond)
			if i < 99 {
				w.remove("web")
				w.pass(time.Duration(i%3) * 20 * time.Millisecond)
			}
		}
		w.pass(time.Minute)
		w.is("web", v1.PhaseRunning)
		want := service("web", func(s *v1.ServiceSpec) { s.Command.Line = "run 99" }).RunHash() + "0"
		if runs := w.keeper.Runs("Service/web"); len(runs) != 1 || runs[0].Labels[labelHash] != want {
			t.Errorf("runs %+v", runs)
		}
	})
}

// A service whose manifest is gone is stopped the way that the manifest said.
func TestStopAsTheManifestSaid(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Stop = v1.Stop{Signal: "SIGQUIT", Timeout: v1.D(time.Minute)} }))
		w.remove("web")
		if s := w.keeper.Stops(); len(s) != 1 || s[0].Signal != syscall.SIGQUIT || s[0].Grace != time.Minute {
			t.Errorf("stops %+v", s)
		}
	})
}

// A keeper that is away delays, and doubles nothing.
func TestKeeperAway(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web"))
		w.keeper.SetReachable(false)
		w.keeper.Exit(w.live("web"), 1)
		w.apply(service("new"))
		w.pass(10 * time.Minute)
		w.keeper.SetReachable(true)
		w.pass(time.Minute)
		w.is("web", v1.PhaseRunning)
		w.is("new", v1.PhaseRunning)
		w.live("web")
		w.live("new")
	})
}

// A clock that is set back neither hides exits nor makes anybody wait for the future.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		future, svc := time.Now().Add(1000*time.Hour), service("web")
		w.keeper.Adopt(process.Run{
			ID: newRunID("Service/web/0", future), Owner: "Service/web", Slot: "Service/web/0", PID: 1, StartedAt: future,
			Labels: map[string]string{labelHash: svc.RunHash() + "0"}, State: process.Exited, Exit: &process.Exit{Code: 1, At: future},
		})
		w.apply(svc)
		w.is("web", v1.PhaseBackoff)
		w.pass(5 * time.Second)
		w.is("web", v1.PhaseRunning)
		for range 5 {
			if id := w.live("web"); id != "" {
				w.keeper.Exit(id, 1)
			}
			w.pass(30 * time.Second)
		}
		w.is("web", v1.PhaseFailed)
	})
}

// What the keeper could not do, and what the manifest says that is wrong, shows in conditions.
func TestConditions(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		svc := service("web")
		w.desired.problems["web"] = []v1.Problem{{File: "web.yaml", Line: 7, Field: "spec.port", Detail: "must be a number"}}
		w.keeper.Adopt(process.Run{
			ID: "Service/web/0/1", Owner: "Service/web", Slot: "Service/web/0", PID: 1, StartedAt: time.Now(),
			Labels: map[string]string{labelHash: svc.RunHash() + "0"}, Warnings: []string{"memoryMax is not enforced"},
			Dropped: process.Dropped{Bytes: 100, Lines: 3, Reason: "no space left on device"},
		})
		w.store.SetStatus(key("web"), &v1.ServiceStatus{URL: "https://web", Conditions: []v1.Condition{{Type: v1.ConditionExposed, Status: v1.ConditionTrue}}})
		w.apply(svc)
		w.is("web", v1.PhaseRunning)
		w.says(w.condition("web", v1.ConditionDegraded), "True", "memoryMax is not enforced", "100 bytes", "3 lines", "no space left")
		w.says(w.condition("web", v1.ConditionLogsComplete), "False OutputDropped", "100 bytes", "3 lines", "no space left")
		w.says(w.condition("web", v1.ConditionManifestValid), "False", "web.yaml:7: spec.port: must be a number")
		if st := w.status("web"); st.URL == "" || v1.FindCondition(st.Conditions, v1.ConditionExposed) == nil {
			t.Error("what others wrote into the status is lost")
		}
	})
}

// Nothing new, nothing done: no action, no event, no other status.
func TestIdempotent(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.apply(service("web", func(s *v1.ServiceSpec) { s.Probes.Readiness = execProbe("ready", time.Second) }), service("off", func(s *v1.ServiceSpec) { s.Enabled = new(false) }))
		w.pass(time.Hour)
		events, reconciles := len(w.store.events), w.manager.loop.Figures().Reconciles
		before := *w.status("web")
		w.pass(24 * time.Hour)
		if n := w.manager.loop.Figures().Reconciles - reconciles; n != 0 {
			t.Errorf("%d reconciles in an idle day", n)
		}
		w.poke("web")
		w.poke("off")
		w.pass(0)
		after := *w.status("web")
		after.UpdatedAt = before.UpdatedAt
		if fmt.Sprintf("%+v", before) != fmt.Sprintf("%+v", after) || len(w.store.events) != events || w.starts("web") != 1 {
			t.Errorf("a look changed something:\n%+v\n%+v", before, after)
		}
	})
}
