package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// apply does what was decided. Requests are sent elsewhere before anything is stopped, and starts come before stops: somebody
// may be waiting for them.
func (r *Reconciler) apply(ctx context.Context, t *turn) error {
	var errs []error
	for _, m := range t.moves {
		_, err := r.c.Upstreams.Set(t.key.Name, m.replica, m.address)
		errs = append(errs, err)
	}
	for _, begun := range t.starts {
		o, done, err := r.start(ctx, t, begun)
		if done {
			told := decision{state: t.record.state}
			told.absorb(t.in, o)
			t.record.state = told.state
			t.told = append(t.told, told.notes...)
			t.history = append(t.history, told.history...)
		}
		errs = append(errs, err)
	}
	svc := t.in.svc
	if svc == nil {
		svc = t.record.state.svc // how it is stopped was said by the manifest that is gone
	}
	for _, s := range t.stops {
		errs = append(errs, r.stop(ctx, svc, s.run.ID))
	}
	return errors.Join(errs...)
}

// start starts a slot's program. done is false when it has yet to come out what became of it.
func (r *Reconciler) start(ctx context.Context, t *turn, begun start) (o outcome, done bool, err error) {
	want, slot, revision := t.in.programs[begun.at], begun.at.in(t.key), t.in.revision
	if begun.old {
		want, revision = t.in.stable[begun.at], t.record.state.stable
	}
	o = outcome{at: begun.at, hash: want.program.Hash, port: want.port, err: want.err}
	if o.err == nil && o.port != 0 {
		o.holder = r.portBusy(o.port)
	}
	if o.err != nil || o.holder != "" {
		return o, true, nil //nolint:nilerr // It is an outcome, and is told.
	}
	spec := want.program.Spec
	spec.Owner, spec.Slot = t.key.String(), slot
	spec.ID = newRunID(slot, t.in.now, idsIn(t.in.runs, slot, t.record.state.lastRun(begun.at))...)
	spec.Labels = map[string]string{labelHash: want.program.Hash, labelRevision: revision}
	if t.in.intent != nil {
		spec.Labels[labelIntent] = t.in.intent.ID
	}
	if want.port != 0 {
		spec.Labels[labelPort] = strconv.Itoa(want.port)
	}
	o.run, err = r.keeperStart(ctx, spec)
	switch {
	case err == nil:
		return o, true, nil
	case errors.As(err, new(*process.StartError)):
		o.err = err
		return o, true, nil //nolint:nilerr // It is an outcome, and is told.
	case errors.Is(err, process.ErrSlotTaken), errors.Is(err, errLeaving):
		// The end of the one that has the slot puts the service on the queue; a supervisor that leaves starts nothing.
		return o, false, nil
	}
	return o, false, fmt.Errorf("start %s: %w", slot, err)
}

// idsIn are the runs of a slot that anybody knows of.
func idsIn(runs []process.Run, slot string, last process.RunID) []process.RunID {
	ids := []process.RunID{last}
	for _, run := range runs {
		if run.Slot == slot {
			ids = append(ids, run.ID)
		}
	}
	return ids
}

// errLeaving refuses a start once Shutdown has begun.
var errLeaving = errors.New("the supervisor is being shut down")

// keeperStart starts a run, unless Shutdown has begun. Shutdown waits for a start that is under way.
func (r *Reconciler) keeperStart(ctx context.Context, spec process.Spec) (process.Run, error) {
	r.starting.RLock()
	defer r.starting.RUnlock()
	if r.closing {
		return process.Run{}, errLeaving
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.leaving, cancel)()
	run, err := r.c.Keeper.Start(ctx, spec)
	if err != nil && r.leaving.Err() != nil {
		return run, errLeaving
	}
	return run, err
}

// stop tells the keeper to stop a run. The exit comes as a change.
func (r *Reconciler) stop(ctx context.Context, svc *v1.Service, id process.RunID) error {
	sig, grace := stopHow(svc)
	if err := r.c.Keeper.Stop(ctx, id, sig, grace); err != nil && !errors.Is(err, process.ErrUnknownRun) {
		return fmt.Errorf("stop %s: %w", id, err)
	}
	return nil
}

// stopHow is how a service wants to be stopped; svc may be nil.
func stopHow(svc *v1.Service) (sig syscall.Signal, grace time.Duration) {
	if svc == nil {
		return syscall.SIGTERM, v1.DefaultStopTimeout
	}
	sig, err := v1.ParseSignal(svc.Spec.Stop.Signal)
	if err != nil {
		sig = syscall.SIGTERM
	}
	return sig, svc.Spec.Stop.Timeout.Or(v1.DefaultStopTimeout)
}
