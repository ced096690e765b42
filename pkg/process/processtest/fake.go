package processtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// StopCall is a Stop that the Fake was asked for.
type StopCall struct {
	ID     process.RunID
	Signal syscall.Signal
	Grace  time.Duration
}

// SignalCall is a Signal that the Fake was asked for.
type SignalCall struct {
	ID     process.RunID
	Signal syscall.Signal
	Tree   bool
}

// Behaviour says what a program of the Fake does by itself.
type Behaviour struct {
	// Exits makes the program end at once with Code.
	Exits bool
	Code  int
	// IgnoresStop makes the program ignore every signal but SIGKILL.
	IgnoresStop bool
	// Err refuses the start.
	Err error
}

// Fake is a process.Keeper in memory. Programs run until they are stopped, or until the test says otherwise (Exit,
// ExitSignal, Lose, Behave). The zero value is not usable; see NewFake.
type Fake struct {
	mu        sync.Mutex
	hello     process.Hello
	runs      map[process.RunID]*fakeRun
	order     []process.RunID
	specs     []process.Spec
	stops     []StopCall
	signals   []SignalCall
	forgotten []process.RunID
	failStart error
	behave    func(process.Spec) Behaviour
	listeners []func(owner string)
	synced    chan struct{}
	isSynced  bool
	up        chan struct{} // closed while reachable
	nextPID   int
}

type fakeRun struct {
	run      process.Run
	stubborn bool
	deadline time.Time
	kill     *time.Timer
}

// NewFake returns a keeper with no runs that is reachable and synced.
func NewFake() *Fake {
	f := NewUnsyncedFake()
	f.Sync()
	return f
}

// NewUnsyncedFake returns a keeper whose mirror is complete only once Sync is called.
func NewUnsyncedFake() *Fake {
	f := &Fake{
		hello: process.Hello{
			Protocol: process.ProtocolVersion, Version: "fake", PID: 4000,
			BootID: "fake-boot", Session: "fake-session",
		},
		runs:    map[process.RunID]*fakeRun{},
		synced:  make(chan struct{}),
		up:      make(chan struct{}),
		nextPID: 5000,
	}
	close(f.up)
	return f
}

// Sync closes Synced.
func (f *Fake) Sync() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isSynced {
		f.isSynced = true
		close(f.synced)
	}
}

// SetReachable makes every verb wait (false) or go through again (true). The mirror stays readable.
func (f *Fake) SetReachable(reachable bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.up:
		if !reachable {
			f.up = make(chan struct{})
		}
	default:
		if reachable {
			close(f.up)
		}
	}
}

// NewSession forgets every run and begins another session, as after a reboot.
func (f *Fake) NewSession(session string) {
	f.mu.Lock()
	owners := map[string]bool{}
	for _, r := range f.runs {
		owners[r.run.Owner] = true
		if r.kill != nil {
			r.kill.Stop()
		}
	}
	f.runs, f.order, f.hello.Session = map[process.RunID]*fakeRun{}, nil, session
	f.mu.Unlock()
	for owner := range owners {
		f.changed(owner)
	}
}

// FailStart makes every following Start fail with err; nil ends that.
func (f *Fake) FailStart(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failStart = err
}

// Behave sets what programs do by themselves, from the next Start on.
func (f *Fake) Behave(b func(process.Spec) Behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave = b
}

// Exit ends a live run with an exit code. It does nothing for a run that is unknown or has ended.
func (f *Fake) Exit(id process.RunID, code int) { f.end(id, process.Exit{Code: code}) }

// ExitSignal ends a live run by a signal.
func (f *Fake) ExitSignal(id process.RunID, sig syscall.Signal) {
	f.end(id, process.Exit{Code: -1, Signal: int(sig)})
}

// ExitWith ends a live run as given; At is set when it is zero.
func (f *Fake) ExitWith(id process.RunID, e process.Exit) { f.end(id, e) }

// Lose ends a live run the way a dead keeper's child ends that nobody waited for.
func (f *Fake) Lose(id process.RunID) { f.end(id, process.Exit{Code: -1, Lost: true}) }

// Adopt puts a run there as an earlier manager's Start would have left it.
func (f *Fake) Adopt(run process.Run) {
	f.mu.Lock()
	if run.State == "" {
		run.State = process.Running
	}
	f.putLocked(&fakeRun{run: run})
	f.mu.Unlock()
	f.changed(run.Owner)
}

// Started returns the specs of all runs that were started, in order; refused and repeated Starts are not among them.
func (f *Fake) Started() []process.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.specs)
}

// Stops returns every Stop that was taken, in order.
func (f *Fake) Stops() []StopCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.stops)
}

// Signals returns every Signal that was taken, in order.
func (f *Fake) Signals() []SignalCall {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.signals)
}

// Forgotten returns the runs that were forgotten, in order.
func (f *Fake) Forgotten() []process.RunID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.forgotten)
}

// Live returns the ids of the live runs of an owner, oldest first; every owner's when it is empty.
func (f *Fake) Live(owner string) []process.RunID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []process.RunID
	for _, id := range f.order {
		if r := f.runs[id]; r.run.Live() && (owner == "" || r.run.Owner == owner) {
			ids = append(ids, id)
		}
	}
	return ids
}

// reachable waits until the keeper is reachable.
func (f *Fake) reachable(ctx context.Context) error {
	f.mu.Lock()
	up := f.up
	f.mu.Unlock()
	select {
	case <-up:
		return nil
	default:
	}
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", process.ErrUnavailable, context.Cause(ctx))
	}
}

func (f *Fake) putLocked(r *fakeRun) {
	f.runs[r.run.ID] = r
	f.order = append(f.order, r.run.ID)
}

func (f *Fake) end(id process.RunID, e process.Exit) {
	f.mu.Lock()
	r := f.runs[id]
	if r == nil || !r.run.Live() {
		f.mu.Unlock()
		return
	}
	if r.kill != nil {
		r.kill.Stop()
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.Stopped = e.Stopped || r.run.State == process.Stopping
	r.run.State, r.run.Exit = process.Exited, &e
	owner := r.run.Owner
	f.mu.Unlock()
	f.changed(owner)
}

// changed tells the listeners. It is called without the lock: a listener may read the mirror.
func (f *Fake) changed(owner string) {
	f.mu.Lock()
	listeners := slices.Clone(f.listeners)
	f.mu.Unlock()
	for _, l := range listeners {
		l(owner)
	}
}

func copyRun(r process.Run) process.Run {
	r.Labels = maps.Clone(r.Labels)
	r.Warnings = slices.Clone(r.Warnings)
	if r.Exit != nil {
		e := *r.Exit
		r.Exit = &e
	}
	return r
}
