package processtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// patience is how long the Suite waits for what has to come.
const patience = 10 * time.Second

// Interpret is a Behave function that knows the programs of the Suite: `sh -c "exit N"`, and a program that is not there.
func Interpret(s process.Spec) Behaviour {
	if strings.HasPrefix(s.Argv[0], "/no/such/") {
		return Behaviour{Err: &process.StartError{Reason: process.ReasonNotFound, Detail: "there is no program " + s.Argv[0]}}
	}
	if code, ok := strings.CutPrefix(s.Argv[len(s.Argv)-1], "exit "); ok {
		if n, err := strconv.Atoi(code); err == nil {
			return Behaviour{Exits: true, Code: n}
		}
	}
	return Behaviour{}
}

// Suite is what every Keeper has to pass. newKeeper returns an empty, reachable one and sees to its end.
func Suite(t *testing.T, newKeeper func(t *testing.T) process.Keeper) {
	for _, tt := range []struct {
		name string
		test func(*suite)
	}{
		{"an exit is kept until it is forgotten", (*suite).exitIsKept},
		{"a start is done once for an id", (*suite).startIsIdempotent},
		{"a slot holds one live run", (*suite).slotHoldsOne},
		{"a program that is not there", (*suite).notFound},
		{"a bad spec", (*suite).badSpec},
		{"stop ends a run", (*suite).stopEnds},
		{"stop kills after the grace", (*suite).stopKills},
		{"a second stop shortens the grace", (*suite).secondStopShortens},
		{"a signal ends a run unstopped", (*suite).signalEnds},
		{"a live run is not forgotten", (*suite).liveIsNotForgotten},
		{"an unknown run", (*suite).unknownRun},
		{"runs are listed by owner, oldest first", (*suite).runsByOwner},
		{"what is returned is the caller's own", (*suite).copies},
		{"two starts of one id at once", (*suite).startsAtOnce},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &suite{t: t, keeper: newKeeper(t), changed: make(chan string, 1000)}
			s.keeper.OnChange(func(owner string) {
				select {
				case s.changed <- owner:
				default:
					t.Error("more than 1000 changes")
				}
			})
			select {
			case <-s.keeper.Synced():
			case <-time.After(patience):
				t.Fatal("not synced")
			}
			tt.test(s)
		})
	}
}

type suite struct {
	t       *testing.T
	keeper  process.Keeper
	changed chan string
	count   int
}

func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *suite) spec(owner string, argv ...string) process.Spec {
	s.count++
	id := fmt.Sprintf("%s-%d", strings.ReplaceAll(owner, "/", "-"), s.count)
	return process.Spec{
		ID: process.RunID(id), Owner: owner, Slot: owner + "/" + strconv.Itoa(s.count),
		Labels: map[string]string{"n": strconv.Itoa(s.count)},
		Argv:   argv, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
		Logs: process.LogSpec{Dir: s.t.TempDir()},
	}
}

func (s *suite) sleeper() process.Spec { return s.spec("Service/web", "sleep", "1000") }

func (s *suite) start(spec process.Spec) process.Run {
	s.t.Helper()
	r, err := s.keeper.Start(s.ctx(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *suite) find(id process.RunID) *process.Run {
	for _, r := range s.keeper.All() {
		if r.ID == id {
			return &r
		}
	}
	return nil
}

// ended waits for changes until a run has ended.
func (s *suite) ended(id process.RunID) *process.Exit {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		if r := s.find(id); r != nil && r.State == process.Exited {
			if r.Exit == nil {
				s.t.Fatalf("run %s has ended without an Exit", id)
			}
			return r.Exit
		}
		select {
		case <-s.changed:
		case <-deadline:
			s.t.Fatalf("run %s did not end: %+v", id, s.find(id))
		}
	}
}

func (s *suite) stop(id process.RunID, sig syscall.Signal, grace time.Duration) {
	s.t.Helper()
	if err := s.keeper.Stop(s.ctx(), id, sig, grace); err != nil {
		s.t.Fatal(err)
	}
}

func (s *suite) exitIsKept() {
	spec := s.spec("CronJob/backup", "sh", "-c", "exit 7")
	r := s.start(spec)
	if r.ID != spec.ID || r.Owner != spec.Owner || r.Slot != spec.Slot || r.Labels["n"] != spec.Labels["n"] || r.PID <= 0 || r.StartedAt.IsZero() {
		s.t.Errorf("started as %+v", r)
	}
	e := s.ended(spec.ID)
	if e.Code != 7 || e.Signal != 0 || e.Lost || e.Stopped || e.Killed || e.At.IsZero() {
		s.t.Errorf("exit %+v", e)
	}
	if err := s.keeper.Forget(s.ctx(), spec.ID); err != nil {
		s.t.Fatal(err)
	}
	if r := s.find(spec.ID); r != nil {
		s.t.Errorf("still there after Forget: %+v", r)
	}
	if err := s.keeper.Forget(s.ctx(), spec.ID); !errors.Is(err, process.ErrUnknownRun) {
		s.t.Errorf("second Forget: %v", err)
	}
}

func (s *suite) startIsIdempotent() {
	spec := s.sleeper()
	first := s.start(spec)
	if s.find(spec.ID) == nil {
		s.t.Error("the run is not in the mirror when Start returns")
	}
	if again := s.start(spec); again.PID != first.PID {
		s.t.Errorf("processes %d and %d", first.PID, again.PID)
	}
	s.stop(spec.ID, syscall.SIGKILL, 0)
	s.ended(spec.ID)
	if again := s.start(spec); again.PID != first.PID || again.State != process.Exited {
		s.t.Errorf("an id that has ended was started again: %+v", again)
	}
}

func (s *suite) slotHoldsOne() {
	one, two := s.sleeper(), s.sleeper()
	two.Slot = one.Slot
	s.start(one)
	if _, err := s.keeper.Start(s.ctx(), two); !errors.Is(err, process.ErrSlotTaken) {
		s.t.Fatalf("second run in a slot: %v", err)
	}
	s.stop(one.ID, syscall.SIGTERM, patience)
	s.ended(one.ID)
	s.start(two)
}

func (s *suite) notFound() {
	_, err := s.keeper.Start(s.ctx(), s.spec("Service/x", "/no/such/program"))
	var start *process.StartError
	if !errors.As(err, &start) || start.Reason != process.ReasonNotFound {
		s.t.Fatalf("error %v", err)
	}
	if runs := s.keeper.All(); len(runs) != 0 {
		s.t.Errorf("runs %+v", runs)
	}
}

func (s *suite) badSpec() {
	_, err := s.keeper.Start(s.ctx(), s.spec("Service/x"))
	var start *process.StartError
	if !errors.As(err, &start) || start.Reason != process.ReasonBadSpec {
		s.t.Fatalf("error %v", err)
	}
}

func (s *suite) stopEnds() {
	spec := s.sleeper()
	s.start(spec)
	s.stop(spec.ID, syscall.SIGTERM, patience)
	if e := s.ended(spec.ID); e.Signal != int(syscall.SIGTERM) || e.Code != -1 || !e.Stopped || e.Killed {
		s.t.Errorf("exit %+v", e)
	}
	s.stop(spec.ID, syscall.SIGTERM, patience) // what has ended may be stopped
}

func (s *suite) stopKills() {
	spec := s.sleeper()
	s.start(spec)
	s.stop(spec.ID, syscall.SIGCONT, 20*time.Millisecond) // a signal that nobody minds
	if e := s.ended(spec.ID); e.Signal != int(syscall.SIGKILL) || !e.Stopped || !e.Killed {
		s.t.Errorf("exit %+v", e)
	}
}

func (s *suite) secondStopShortens() {
	spec := s.sleeper()
	s.start(spec)
	s.stop(spec.ID, syscall.SIGCONT, time.Hour)
	if r := s.find(spec.ID); r.State == process.Exited {
		s.t.Fatal("ended at once")
	}
	s.stop(spec.ID, syscall.SIGCONT, 20*time.Millisecond)
	s.stop(spec.ID, syscall.SIGCONT, time.Hour)
	if e := s.ended(spec.ID); !e.Killed {
		s.t.Errorf("exit %+v", e)
	}
}

func (s *suite) signalEnds() {
	spec := s.sleeper()
	s.start(spec)
	if err := s.keeper.Signal(s.ctx(), spec.ID, syscall.SIGTERM, true); err != nil {
		s.t.Fatal(err)
	}
	if e := s.ended(spec.ID); e.Signal != int(syscall.SIGTERM) || e.Stopped {
		s.t.Errorf("exit %+v", e)
	}
	if err := s.keeper.Signal(s.ctx(), spec.ID, syscall.SIGTERM, false); !errors.Is(err, process.ErrUnknownRun) {
		s.t.Errorf("signal to what has ended: %v", err)
	}
}

func (s *suite) liveIsNotForgotten() {
	spec := s.sleeper()
	s.start(spec)
	if err := s.keeper.Forget(s.ctx(), spec.ID); !errors.Is(err, process.ErrBusy) {
		s.t.Errorf("forget of a live run: %v", err)
	}
}

func (s *suite) unknownRun() {
	for verb, err := range map[string]error{
		"stop":   s.keeper.Stop(s.ctx(), "none", syscall.SIGTERM, 0),
		"signal": s.keeper.Signal(s.ctx(), "none", syscall.SIGTERM, false),
		"forget": s.keeper.Forget(s.ctx(), "none"),
	} {
		if !errors.Is(err, process.ErrUnknownRun) {
			s.t.Errorf("%s: %v", verb, err)
		}
	}
}

func (s *suite) runsByOwner() {
	a, b, c := s.spec("Service/a", "sleep", "1000"), s.spec("Service/b", "sleep", "1000"), s.spec("Service/a", "sleep", "1000")
	for _, spec := range []process.Spec{a, b, c} {
		s.start(spec)
	}
	runs := s.keeper.Runs("Service/a")
	if len(runs) != 2 || runs[0].ID != a.ID || runs[1].ID != c.ID {
		s.t.Errorf("runs of a: %+v", runs)
	}
	if all := s.keeper.All(); len(all) != 3 || all[1].ID != b.ID {
		s.t.Errorf("all runs: %+v", all)
	}
}

func (s *suite) copies() {
	spec := s.sleeper()
	s.start(spec).Labels["n"] = "spoilt"
	s.find(spec.ID).Labels["n"] = "spoilt"
	if got := s.find(spec.ID).Labels["n"]; got != spec.Labels["n"] {
		s.t.Errorf("label is %q", got)
	}
}

func (s *suite) startsAtOnce() {
	spec := s.sleeper()
	pids := make(chan int, 10)
	var wg sync.WaitGroup
	for range cap(pids) {
		wg.Go(func() {
			r, err := s.keeper.Start(s.ctx(), spec)
			if err != nil {
				s.t.Error(err)
			}
			pids <- r.PID
		})
	}
	wg.Wait()
	first := <-pids
	for range cap(pids) - 1 {
		if pid := <-pids; pid != first {
			s.t.Errorf("processes %d and %d", first, pid)
		}
	}
}
