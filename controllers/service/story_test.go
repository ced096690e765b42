package service

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

// Whatever happens, in whatever order:
//
//   - at most one live run is in a slot;
//   - what was stopped, disabled or removed never starts by itself;
//   - a wait for a restart is never longer than the cap;
//   - the number of starts in a minute is bounded;
//   - a process is not replaced while nothing that concerns it has changed;
//   - when the world stops changing, everything becomes what is desired and then nothing happens any more.
func TestStories(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 60).Draw(rt, "script")
		var wrong string
		synctest.Test(t, func(t *testing.T) {
			s := &storyTeller{world: newWorld(t), touched: map[string]bool{}, variants: map[string]int{}}
			s.boot()
			for i, e := range script {
				if s.step(e); s.wrong != "" {
					wrong = fmt.Sprintf("after %d steps, %v: %s", i+1, e, s.wrong)
					break
				}
			}
			if wrong == "" {
				s.end()
				wrong = s.wrong
			}
			s.keeper.SetReachable(true)
			s.kill()
			// Programs that are deaf to their stop have timers of their own.
			<-time.After(time.Hour)
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// event is one thing that happens in a story.
type event struct {
	what string
	name string
	n    int
}

func (e event) String() string { return fmt.Sprintf("%s %s %d", e.what, e.name, e.n) }

// quiet events concern no process.
var quiet = []string{"pass", "relabel", "poke", "boot", "kill", "busy port"}

func drawEvent(rt *rapid.T) event {
	return event{
		rapid.SampledFrom([]string{
			"apply", "apply", "relabel", "remove", "start", "stop", "restart", "exit", "exit", "exit", "behave", "sick", "env",
			"busy port", "break", "kill", "boot", "boot", "away", "back", "back", "session", "amnesia", "pass", "pass", "pass", "pass", "poke",
		}).Draw(rt, "what"),
		rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name"),
		rapid.IntRange(0, 11).Draw(rt, "n"),
	}
}

// storyTeller makes events happen and compares the world with what must hold.
type storyTeller struct {
	*world
	touched  map[string]bool // services whose processes have a reason to be replaced
	variants map[string]int
	away     bool
	wrong    string
}

func (s *storyTeller) fault(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
}

// variant is one of a service's manifests.
func variant(name string, n, labels int) *v1.Service {
	svc := service(name, func(s *v1.ServiceSpec) {
		s.Command.Line = fmt.Sprint("run ", n%3)
		s.WatchDirs = []string{fmt.Sprint("/srv/", labels)}
		s.Stop.Timeout = v1.D(3 * time.Second)
		switch name {
		case "a":
			s.Port.Auto, s.Replicas = true, new(n%4)
			s.Restart = v1.Restart{Delay: v1.D(time.Second), MaxDelay: v1.D(20 * time.Second), MaxAttempts: new(4)}
		case "b":
			s.Port.Number = 8000 + n%2
			s.DependsOn = []v1.Dependency{{Name: "a", Condition: v1.DependStarted}}
			s.Restart = v1.Restart{Delay: v1.D(0), MaxDelay: v1.D(time.Second), MaxAttempts: new(-1)}
		case "c":
			s.Enabled = new(n%5 != 0)
			s.Probes = v1.Probes{Readiness: execProbe("ready", time.Second), Liveness: execProbe("alive", 2*time.Second)}
			s.Restart.Policy = []v1.RestartPolicy{v1.RestartAlways, v1.RestartOnFailure, v1.RestartNever}[n%3]
		}
	})
	return svc
}

// wanted is whether a service should run, by what the manifest and the operator say.
func (s *storyTeller) wanted(name string) bool {
	svc, _, ok := s.desired.Service(name)
	if !ok || svc.ReplicaCount() == 0 {
		return false
	}
	h := s.session()
	if i, ok := s.store.Intent(key(name)); ok && i.Session == h {
		return i.Verb != v1.IntentStop
	}
	return svc.IsEnabled()
}

func (s *storyTeller) session() string {
	s.keeper.SetReachable(true)
	h, err := s.keeper.Hello(s.t.Context())
	if err != nil {
		s.fault("hello: %v", err)
	}
	s.keeper.SetReachable(!s.away)
	return h.Session
}

// step makes an event happen and looks at what became of it.
func (s *storyTeller) step(e event) {
	wanted, starts, live := map[string]bool{}, map[string]int{}, map[string][]process.RunID{}
	for _, name := range []string{"a", "b", "c"} {
		wanted[name], starts[name], live[name] = s.wanted(name), s.starts(name), s.keeper.Live(key(name).String())
	}
	total, began := len(s.keeper.Started()), time.Now()
	if !slices.Contains(quiet, e.what) {
		s.touched[e.name] = true
	}
	s.happen(e)
	s.pass(0)
	minutes := int(time.Since(began)/time.Minute) + 1
	if n := len(s.keeper.Started()) - total; n > minutes*1000 {
		s.fault("%d starts in %d minutes", n, minutes)
	}
	slots := map[string]process.RunID{}
	for _, run := range s.keeper.All() {
		if other, taken := slots[run.Slot]; taken && run.Live() {
			s.fault("%s and %s live in one slot", other, run.ID)
		}
		if run.Live() {
			slots[run.Slot] = run.ID
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		if n := s.starts(name) - starts[name]; n > 0 && !wanted[name] && !s.wanted(name) && !s.touched[name] {
			s.fault("%s started by itself", name)
		}
		if !s.touched[name] {
			now := s.keeper.Live(key(name).String())
			for _, id := range live[name] {
				if !slices.Contains(now, id) {
					s.fault("%s was ended for nothing", id)
				}
			}
		}
		s.checkStatus(name)
	}
	if e.what == "pass" && e.n > 8 && s.manager != nil && !s.away {
		s.settle()
	}
}

// settle takes what had a reason to be replaced as replaced.
func (s *storyTeller) settle() {
	clear(s.touched)
	for what, sick := range s.sick {
		if sick {
			s.touched[what[:1]] = true
		}
	}
	for name := range s.broken {
		s.touched[name] = true // its new version takes over once it can
	}
	if len(s.holders) > 0 {
		s.touched["b"] = true
	}
	if len(s.desired.services) > 0 && s.desired.services["a"] == nil {
		s.touched["b"] = true // b's new version waits for a
	}
	if st := s.store.Status(key("a")); st == nil || st.PID == 0 {
		s.touched["b"] = true
	}
}

func (s *storyTeller) checkStatus(name string) {
	st := s.store.Status(key(name))
	if st == nil || s.manager == nil || s.away {
		return
	}
	if next := st.NextRestart; next != nil && s.wanted(name) {
		svc, _, ok := s.desired.Service(name)
		if limit := max(svc.Spec.Restart.MaxDelay.Or(v1.DefaultMaxDelay), hotDelay); ok && time.Until(*next) > limit {
			s.fault("%s waits %s, the cap is %s", name, time.Until(*next), limit)
		}
	}
	if alive := s.keeper.Live(key(name).String()); (st.PID != 0) != (len(alive) > 0) {
		s.fault("%s: status says process %d, %d are alive", name, st.PID, len(alive))
	}
}

func (s *storyTeller) happen(e event) {
	k := key(e.name)
	switch e.what {
	case "apply":
		s.variants[e.name] = e.n
		s.apply(variant(e.name, e.n, 0))
	case "relabel":
		if _, _, ok := s.desired.Service(e.name); ok {
			s.apply(variant(e.name, s.variants[e.name], e.n))
		}
	case "remove":
		s.remove(e.name)
	case "start", "stop", "restart":
		if _, _, ok := s.desired.Service(e.name); ok {
			session := s.session()
			s.store.mu.Lock()
			s.intents++
			s.store.intents[k] = v1.Intent{Key: k, Verb: v1.IntentVerb(e.what), ID: fmt.Sprint("i", s.intents), Time: time.Now(), Actor: "user", Session: session}
			s.store.mu.Unlock()
			s.poke(e.name)
		}
	case "exit":
		if ids := s.keeper.Live(k.String()); len(ids) > 0 {
			id := ids[e.n%len(ids)]
			switch e.n % 4 {
			case 0:
				s.keeper.Exit(id, 0)
			case 1:
				s.keeper.ExitSignal(id, syscall.SIGSEGV)
			case 2:
				s.keeper.Lose(id)
			default:
				s.keeper.Exit(id, 1)
			}
		}
	case "behave":
		b := processtest.Behaviour{Exits: e.n%3 == 0, Code: e.n % 2, IgnoresStop: e.n%4 == 1}
		if e.n%5 == 4 {
			b.Err = &process.StartError{Reason: process.ReasonNotFound, Detail: "there is no such program"}
		}
		s.touchAll()
		s.keeper.Behave(func(process.Spec) processtest.Behaviour { return b })
	case "sick":
		for _, what := range []string{" ready", " alive"}[e.n%2:] {
			s.with(func() { s.sick[e.name+what] = e.n%3 > 0 })
		}
	case "env":
		s.with(func() { s.env[e.name] = fmt.Sprint(e.n) })
		s.poke(e.name)
	case "busy port":
		s.with(func() {
			clear(s.holders)
			if e.n%2 == 0 {
				s.holders[8000+e.n%4/2] = "pid 7 (nginx)"
			}
		})
	case "break":
		s.with(func() {
			delete(s.broken, e.name)
			if e.n%2 == 0 {
				s.broken[e.name] = fmt.Errorf("the env file is not there")
			}
		})
		s.poke(e.name)
	case "away", "back":
		s.away = e.what == "away"
		s.touchAll()
		s.keeper.SetReachable(!s.away)
	case "session":
		// A new session is a reboot: the manager is new too.
		s.touchAll()
		s.restartManager(func() { s.keeper.NewSession(fmt.Sprint("session ", s.intents, e.n)) })
	case "amnesia":
		// The database is lost, with the intents in it.
		s.touchAll()
		s.restartManager(func() {
			s.store.mu.Lock()
			clear(s.store.statuses)
			clear(s.store.intents)
			clear(s.store.ports)
			s.store.mu.Unlock()
		})
	case "kill":
		s.kill()
	case "boot":
		if s.manager == nil {
			s.boot()
		}
	case "pass":
		s.pass([]time.Duration{0, time.Millisecond, 100 * time.Millisecond, time.Second, 4 * time.Second, 20 * time.Second}[e.n%6])
		if e.n > 8 {
			s.pass(2 * time.Minute)
		}
	case "poke":
		s.poke(e.name)
	}
}

func (s *storyTeller) touchAll() {
	for _, name := range []string{"a", "b", "c"} {
		s.touched[name] = true
	}
}

func (s *storyTeller) restartManager(meanwhile func()) {
	lives := s.manager != nil
	s.kill()
	meanwhile()
	if lives {
		s.boot()
	}
}

// end lets the world come to rest and checks that everything is as desired, and stays so.
func (s *storyTeller) end() {
	s.away = false
	s.keeper.SetReachable(true)
	s.keeper.Behave(nil)
	s.with(func() {
		clear(s.sick)
		clear(s.holders)
		clear(s.broken)
	})
	if s.manager == nil {
		s.boot()
	}
	for _, name := range []string{"a", "b", "c"} {
		s.poke(name)
	}
	s.pass(20 * time.Minute)
	for _, name := range []string{"a", "b", "c"} {
		s.checkEnd(name)
	}
	reconciles, events, starts := s.manager.loop.Figures().Reconciles, len(s.store.events), len(s.keeper.Started())
	before := maps.Clone(s.store.statuses)
	s.pass(20 * time.Minute)
	if n := s.manager.loop.Figures().Reconciles - reconciles; n != 0 {
		s.fault("%d reconciles in 20 idle minutes", n)
	}
	for _, name := range []string{"a", "b", "c"} {
		s.poke(name)
	}
	s.pass(0)
	for k, st := range s.store.statuses {
		was, is := *before[k], *st
		was.UpdatedAt = is.UpdatedAt
		if fmt.Sprintf("%+v", was) != fmt.Sprintf("%+v", is) {
			s.fault("a look at %s changed its status:\n%+v\n%+v", k, was, is)
		}
	}
	if len(s.store.events) != events || len(s.keeper.Started()) != starts {
		s.fault("a look did something: %v", s.store.events[events:])
	}
	if n := s.manager.loop.Figures().Panics; n != 0 {
		s.fault("%d panics", n)
	}
}

// checkEnd checks a service in a world that has come to rest.
func (s *storyTeller) checkEnd(name string) {
	svc, revision, ok := s.desired.Service(name)
	live, st := s.keeper.Live(key(name).String()), s.store.Status(key(name))
	switch {
	case !ok:
		if st != nil || len(live) > 0 || len(s.keeper.Runs(key(name).String())) > 0 {
			s.fault("%s is gone, and left %+v, %v", name, st, live)
		}
		return
	case st == nil || st.ObservedRevision != revision:
		s.fault("%s: the status is not that of its manifest: %+v", name, st)
		return
	case !s.wanted(name):
		if len(live) > 0 || st.Phase != v1.PhaseStopped {
			s.fault("%s is not wanted, and is %s with %v", name, st.Phase, live)
		}
		return
	}
	switch st.Phase {
	case v1.PhaseRunning:
		if len(live) != svc.ReplicaCount() {
			s.fault("%s runs %d times, want %d", name, len(live), svc.ReplicaCount())
		}
		for i, rep := range st.Replicas {
			want, err := s.program(svc, i, rep.Port)
			told := v1.FindCondition(st.Conditions, v1.ConditionDegraded).Status == v1.ConditionTrue
			if waits := name == "b" && told; err != nil || s.hash(rep.Run) != want.Hash && !waits {
				s.fault("%s: replica %d is not what is asked for", name, i)
			}
		}
	case v1.PhaseFailed, v1.PhaseComplete:
	case v1.PhasePending:
		if c := v1.FindCondition(st.Conditions, v1.ConditionProgressing); c.Reason != "WaitingForDependency" {
			s.fault("%s is still pending: %+v", name, c)
		}
	default:
		s.fault("%s is %s in a world at rest: %+v", name, st.Phase, st.Conditions)
	}
}

func (s *storyTeller) hash(run string) string {
	for _, r := range s.keeper.All() {
		if string(r.ID) == run {
			return r.Labels[labelHash]
		}
	}
	return ""
}
