package service

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

// Whatever happens to a service that is updated without downtime, in whatever order, and whenever its manager is killed:
//
//   - requests are never sent to a process that has yet to become ready, or that is gone;
//   - a process that is ready and has requests is not stopped, unless the service is not to run;
//   - at most one replica has a process beside the one that serves;
//   - a version that fails never replaces one that works;
//   - in the end every replica runs the newest version that works, once, and answers for itself.
func TestRollingStories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(rapid.Custom(drawRollingEvent), 1, 40).Draw(rt, "script")
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			s := &rollingTeller{world: newWorld(t), n: 2}
			s.onSet, s.onStop = s.pointedAt, s.stopped
			s.behave()
			s.boot()
			s.edit(0)
			s.pass(5 * time.Second)
			for i, e := range script {
				if s.happen(e); s.wrong == "" {
					s.check()
				}
				if s.wrong != "" {
					wrong = fmt.Sprintf("after %d steps, %v: %s", i+1, e, s.wrong)
					break
				}
			}
			if wrong == "" {
				s.end()
				wrong = s.wrong
			}
			s.kill()
			<-time.After(time.Hour)
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

func drawRollingEvent(rt *rapid.T) event {
	return event{what: rapid.SampledFrom([]string{
		"edit", "edit", "edit", "scale", "restart", "start", "stop", "exit", "exit", "kill", "boot", "boot", "crash", "crash", "busy", "idle",
		"recreate", "env", "on demand", "asked", "asked", "amnesia", "pass", "pass", "pass", "pass", "pass",
	}).Draw(rt, "what"), n: rapid.IntRange(0, 11).Draw(rt, "n")}
}

// rollingTeller makes events happen. Versions are good, but for those of which every third exits at once and every other
// third is never ready.
type rollingTeller struct {
	*world
	n      int // replicas
	latest int // version
	next   int
	plain  bool // the strategy is Recreate
	demand bool // it runs on demand
	wrong  string
}

func (s *rollingTeller) fault(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
}

func good(version int) bool { return version%4 < 2 }

func number(line string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(line, "v"))
	if err != nil {
		return -1
	}
	return n
}

func (s *rollingTeller) behave() {
	s.keeper.Behave(func(spec process.Spec) processtest.Behaviour {
		return processtest.Behaviour{Exits: number(spec.Argv[1])%4 == 2, Code: 1}
	})
}

// edit puts version n in force.
func (s *rollingTeller) edit(n int) {
	s.latest = n
	s.with(func() {
		if !good(n) {
			s.sick["v"+strconv.Itoa(n)] = true
		}
	})
	s.apply(rolling("v"+strconv.Itoa(n), replicas(s.n), func(spec *v1.ServiceSpec) {
		spec.Stop.Timeout = v1.D(2 * time.Second)
		spec.Update.ProgressDeadline = v1.D(time.Minute)
		if s.plain {
			spec.Update = v1.Update{Strategy: v1.UpdateRecreate}
		}
		if s.demand {
			spec.Expose.OnDemand, spec.Expose.Idle = true, v1.D(10*time.Second)
		}
	}))
}

func (s *rollingTeller) happen(e event) {
	switch e.what {
	case "edit":
		s.next++
		s.edit(s.next*4 + e.n%4)
	case "recreate":
		s.plain = e.n%3 == 0
		s.edit(s.latest)
	case "on demand":
		s.demand = e.n%2 == 0
		s.edit(s.latest)
	case "asked":
		s.asks(e.n%2 == 0)
	case "scale":
		s.n = e.n % 4
		s.edit(s.latest)
	case "restart", "start", "stop":
		s.order("web", v1.IntentVerb(e.what))
	case "exit":
		if ids := s.keeper.Live("Service/web"); len(ids) > 0 {
			s.keeper.Exit(ids[e.n%len(ids)], e.n%2)
		}
	case "env":
		s.with(func() { s.env["web"] = fmt.Sprint(e.n % 3) })
		s.poke("web")
	case "busy", "idle":
		for _, run := range s.keeper.Runs("Service/web") {
			if run.Live() {
				s.with(func() { s.busy[portOf(run)] = map[string]int{"busy": 1}[e.what] })
			}
		}
	case "kill":
		s.kill()
	case "crash":
		// The manager dies before what it has decided is in the database.
		old := s.store.Status(key("web"))
		s.pass(time.Duration(e.n) * 200 * time.Millisecond)
		s.kill()
		if old != nil {
			s.store.mu.Lock()
			s.store.statuses[key("web")] = old
			s.store.mu.Unlock()
		}
		s.boot()
	case "boot":
		if s.manager == nil {
			s.boot()
		}
	case "amnesia":
		s.kill()
		s.store.mu.Lock()
		clear(s.store.statuses)
		clear(s.store.ports)
		clear(s.store.rollouts)
		s.store.mu.Unlock()
		s.boot()
	case "pass":
		s.pass([]time.Duration{0, 100 * time.Millisecond, time.Second, 4 * time.Second, 20 * time.Second, 2 * time.Minute}[e.n%6])
	}
	s.pass(0)
}

func (s *rollingTeller) at(address string) (process.Run, bool) {
	for _, run := range s.keeper.Runs("Service/web") {
		if run.Live() && portOf(run) != 0 && "127.0.0.1:"+strconv.Itoa(portOf(run)) == address {
			return run, true
		}
	}
	return process.Run{}, false
}

// pointedAt looks on when requests are sent to an address.
func (s *rollingTeller) pointedAt(_ string, replica int, address string) {
	run, ok := s.at(address)
	switch {
	case address == nowhere, address == "activator":
	case !ok:
		s.fault("replica %d is sent to %s, where nobody is", replica, address)
	case run.State != process.Running:
		s.fault("replica %d is sent to %s, which is being stopped", replica, run.ID)
	case !good(number(s.line(run.ID))):
		s.fault("replica %d is sent to version %s, which is never ready", replica, s.line(run.ID))
	}
}

// stopped looks on when a process is stopped.
func (s *rollingTeller) stopped(id process.RunID) {
	svc, _, ok := s.desired.Service("web")
	i, ordered := s.store.Intent(key("web"))
	if !ok || s.plain || svc.ReplicaCount() == 0 || ordered && i.Verb == v1.IntentStop {
		return
	}
	for r := range 4 {
		run, ok := s.at(s.Get("web", r))
		if ok && run.ID == id && run.State == process.Running && good(number(s.line(id))) {
			s.fault("%s is stopped while requests of replica %d go to it: %v", id, r, s.store.told("web"))
		}
	}
}

func (s *rollingTeller) check() {
	lanes, beside := map[int]int{}, 0
	slots := map[string]bool{}
	for _, run := range s.keeper.Runs("Service/web") {
		if !run.Live() {
			continue
		}
		if slots[run.Slot] {
			s.fault("two live in %s", run.Slot)
		}
		slots[run.Slot] = true
		if lanes[replicaOf(run.Slot)]++; lanes[replicaOf(run.Slot)] == 2 {
			beside++
		}
	}
	if beside > 1 {
		s.fault("%d replicas have two processes: %v", beside, s.keeper.Live("Service/web"))
	}
}

// end brings a version that works, and looks whether it comes to run, alone, and answers.
func (s *rollingTeller) end() {
	if s.manager == nil {
		s.boot()
	}
	s.with(func() { clear(s.busy) })
	s.plain, s.demand, s.n = false, false, max(1, s.n)
	s.next++
	s.edit(s.next * 4)
	s.order("web", v1.IntentStart)
	s.pass(4 * time.Minute)
	want := slices.Repeat([]string{"v" + strconv.Itoa(s.latest)}, s.n)
	if got := s.versions(); got != strings.Join(want, " ") {
		s.fault("in the end %q run, want %q: %+v", got, want, s.status("web").Rollout)
	}
	for _, rep := range s.status("web").Replicas {
		if at := s.Get("web", rep.Index); at != "127.0.0.1:"+strconv.Itoa(rep.Port) || !rep.Ready || rep.Beside != nil && rep.Beside.Run != "" {
			s.fault("replica %d is at %s: %+v", rep.Index, at, rep)
		}
	}
	reconciles, starts, events := s.manager.loop.Figures().Reconciles, len(s.keeper.Started()), len(s.store.events)
	s.pass(4 * time.Minute)
	if n := s.manager.loop.Figures().Reconciles - reconciles; n != 0 {
		s.fault("%d reconciles in an idle minutes", n)
	}
	s.poke("web")
	s.pass(0)
	if len(s.keeper.Started()) != starts || len(s.store.events) != events {
		s.fault("a look did something: %v", s.store.events[events:])
	}
	if n := s.manager.loop.Figures().Panics; n != 0 {
		s.fault("%d panics", n)
	}
}
