package processtest

import (
	"context"
	"fmt"
	"maps"
	"syscall"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// Hello implements process.Keeper.
func (f *Fake) Hello(ctx context.Context) (process.Hello, error) {
	if err := f.reachable(ctx); err != nil {
		return process.Hello{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hello, nil
}

// Start implements process.Keeper.
func (f *Fake) Start(ctx context.Context, spec process.Spec) (process.Run, error) {
	if err := f.reachable(ctx); err != nil {
		return process.Run{}, err
	}
	f.mu.Lock()
	if old, ok := f.runs[spec.ID]; ok {
		defer f.mu.Unlock()
		return copyRun(old.run), nil
	}
	if spec.ID == "" || len(spec.Argv) == 0 {
		defer f.mu.Unlock()
		return process.Run{}, &process.StartError{Reason: process.ReasonBadSpec, Detail: "the run needs an id and a program"}
	}
	for _, r := range f.runs {
		if r.run.Slot == spec.Slot && r.run.Live() {
			defer f.mu.Unlock()
			return process.Run{}, fmt.Errorf("start run %s in %s, where %s lives: %w", spec.ID, spec.Slot, r.run.ID, process.ErrSlotTaken)
		}
	}
	var b Behaviour
	if f.behave != nil {
		b = f.behave(spec)
	}
	if b.Err == nil {
		b.Err = f.failStart
	}
	if b.Err != nil {
		defer f.mu.Unlock()
		return process.Run{}, b.Err
	}
	f.nextPID++
	r := &fakeRun{stubborn: b.IgnoresStop, run: process.Run{
		ID: spec.ID, Owner: spec.Owner, Slot: spec.Slot, Labels: maps.Clone(spec.Labels),
		State: process.Running, PID: f.nextPID, StartedAt: time.Now(), LogDir: spec.Logs.Dir,
	}}
	f.putLocked(r)
	f.specs = append(f.specs, spec)
	run := copyRun(r.run)
	f.mu.Unlock()
	f.changed(spec.Owner)
	if b.Exits {
		f.Exit(spec.ID, b.Code)
	}
	return run, nil
}

// Stop implements process.Keeper. A run ends at once by the signal, or by SIGKILL after the grace when it ignores it.
func (f *Fake) Stop(ctx context.Context, id process.RunID, sig syscall.Signal, grace time.Duration) error {
	if err := f.reachable(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	r := f.runs[id]
	if r == nil {
		f.mu.Unlock()
		return fmt.Errorf("stop run %s: %w", id, process.ErrUnknownRun)
	}
	f.stops = append(f.stops, StopCall{ID: id, Signal: sig, Grace: grace})
	if !r.run.Live() {
		f.mu.Unlock()
		return nil
	}
	r.run.State = process.Stopping
	owner, stubborn := r.run.Owner, r.stubborn || harmless(sig)
	if stubborn && sig != syscall.SIGKILL {
		f.armLocked(id, r, grace)
	}
	f.mu.Unlock()
	f.changed(owner)
	if !stubborn || sig == syscall.SIGKILL {
		f.ExitSignal(id, sig)
	}
	return nil
}

// harmless tells whether a program that does nothing about a signal goes on.
func harmless(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGCONT, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGWINCH:
		return true
	default:
		return false
	}
}

// armLocked sets the instant of SIGKILL; a second Stop only brings it nearer.
func (f *Fake) armLocked(id process.RunID, r *fakeRun, grace time.Duration) {
	deadline := time.Now().Add(grace)
	if r.kill != nil {
		if !deadline.Before(r.deadline) {
			return
		}
		r.kill.Stop()
	}
	r.deadline = deadline
	r.kill = time.AfterFunc(grace, func() {
		f.end(id, process.Exit{Code: -1, Signal: int(syscall.SIGKILL), Killed: true})
	})
}

// Signal implements process.Keeper. SIGKILL ends the run, and so does what ends a program by default where it is not ignored.
func (f *Fake) Signal(ctx context.Context, id process.RunID, sig syscall.Signal, tree bool) error {
	if err := f.reachable(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	r := f.runs[id]
	if r == nil || !r.run.Live() {
		f.mu.Unlock()
		return fmt.Errorf("signal run %s: %w", id, process.ErrUnknownRun)
	}
	f.signals = append(f.signals, SignalCall{ID: id, Signal: sig, Tree: tree})
	ends := sig == syscall.SIGKILL || (!r.stubborn && !harmless(sig))
	f.mu.Unlock()
	if ends {
		f.ExitSignal(id, sig)
	}
	return nil
}

// Forget implements process.Keeper.
func (f *Fake) Forget(ctx context.Context, id process.RunID) error {
	if err := f.reachable(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	r := f.runs[id]
	if r == nil {
		f.mu.Unlock()
		return fmt.Errorf("forget run %s: %w", id, process.ErrUnknownRun)
	}
	if r.run.Live() {
		f.mu.Unlock()
		return fmt.Errorf("forget run %s: %w", id, process.ErrBusy)
	}
	delete(f.runs, id)
	for i, o := range f.order {
		if o == id {
			f.order = append(f.order[:i:i], f.order[i+1:]...)
			break
		}
	}
	f.forgotten = append(f.forgotten, id)
	f.mu.Unlock()
	f.changed(r.run.Owner)
	return nil
}

// Runs implements process.Keeper.
func (f *Fake) Runs(owner string) []process.Run {
	return f.list(func(r *process.Run) bool { return r.Owner == owner })
}

// All implements process.Keeper.
func (f *Fake) All() []process.Run { return f.list(func(*process.Run) bool { return true }) }

func (f *Fake) list(want func(*process.Run) bool) []process.Run {
	f.mu.Lock()
	defer f.mu.Unlock()
	var runs []process.Run
	for _, id := range f.order {
		if r := f.runs[id]; want(&r.run) {
			runs = append(runs, copyRun(r.run))
		}
	}
	return runs
}

// Synced implements process.Keeper.
func (f *Fake) Synced() <-chan struct{} { return f.synced }

// OnChange implements process.Keeper.
func (f *Fake) OnChange(l func(owner string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, l)
}

var _ process.Keeper = (*Fake)(nil)
