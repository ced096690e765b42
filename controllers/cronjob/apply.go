package cronjob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

// apply does what was decided: first it is written, then done, then what was done is written.
func (r *Reconciler) apply(ctx context.Context, l *look) error {
	l.notes = append(l.notes, l.plan.notes...)
	if err := r.commit(ctx, l); err != nil {
		return err
	}
	var errs []error
	for _, id := range l.forget {
		if err := r.c.Keeper.Forget(ctx, id); err != nil && !errors.Is(err, process.ErrUnknownRun) {
			errs = append(errs, err)
		}
	}
	for _, a := range l.plan.stops {
		errs = append(errs, r.stop(ctx, l, a))
	}
	for _, a := range l.plan.starts {
		errs = append(errs, r.start(ctx, l, a))
	}
	return errors.Join(append(errs, r.commit(ctx, l))...)
}

// commit writes what has changed since the last commit. The ended are told of once they are on record.
func (r *Reconciler) commit(ctx context.Context, l *look) error {
	var c ledger.Change
	if l.stateChange {
		c.Job, c.Withdraw = &l.state, l.withdraw
	}
	for _, a := range l.in.attempts {
		switch {
		case a.fresh:
			c.Insert = append(c.Insert, a.row)
		case a.dirty:
			c.Update = append(c.Update, a.row)
		}
	}
	if err := r.c.Ledger.Apply(ctx, c); err != nil {
		return fmt.Errorf("account for %s: %w", l.key, err)
	}
	l.stateChange = false
	closed := false
	for _, a := range l.in.attempts {
		closed = closed || (a.fresh || a.dirty) && !a.row.State.Open()
		a.fresh, a.dirty = false, false
	}
	if closed {
		l.grown = true
		l.m.broadcast()
	}
	for _, n := range l.notes {
		r.event(l.key, n)
	}
	l.notes = nil
	ended := l.ended
	l.ended = nil
	for _, a := range ended {
		l.m.lastGood = new(bool)
		*l.m.lastGood = a.row.State == ledger.Succeeded
		if r.c.Ended != nil && l.in.job != nil {
			r.c.Ended(l.in.job, *a.row)
		}
	}
	return nil
}

// stop tells the keeper to end a run; the exit comes as a change.
func (r *Reconciler) stop(ctx context.Context, l *look, a *attempt) error {
	sig, grace := syscall.SIGTERM, v1.DefaultStopTimeout
	if job := l.in.job; job != nil {
		if parsed, err := v1.ParseSignal(job.Spec.Stop.Signal); err == nil {
			sig = parsed
		}
		grace = job.Spec.Stop.Timeout.Or(grace)
	}
	err := r.c.Keeper.Stop(ctx, a.run.ID, sig, grace)
	if err != nil && !errors.Is(err, process.ErrUnknownRun) {
		return fmt.Errorf("stop %s: %w", a.run.ID, err)
	}
	return nil
}

// start starts a claimed attempt. Where all slots are taken it stays pending, and the job is woken when one is free.
func (r *Reconciler) start(ctx context.Context, l *look, a *attempt) error {
	row := a.row
	if row.ID == 0 {
		return nil // somebody else has claimed it
	}
	id := runID(row)
	if !r.slots.take(id, l.key, row.Trigger == ledger.CatchUp) {
		return nil
	}
	spec, err := r.c.Program(l.in.job)
	var run process.Run
	if err == nil {
		spec.ID, spec.Owner, spec.Slot, spec.Labels = id, l.key.String(), string(id), labels(row)
		spec.Logs.Dir = r.c.LogDir(row.Job, row.ID)
		run, err = r.c.Keeper.Start(ctx, spec)
		if refusal := new(process.StartError); err != nil && !errors.As(err, &refusal) {
			r.slots.release(id)
			return fmt.Errorf("start %s: %w", id, err) // it stays pending, and is tried again
		}
	}
	if err != nil {
		row.State, row.Reason, row.Message = ledger.Failed, reasonNotStarted, "it could not be started: "+startDetail(err)
		row.FinishedAt = r.c.Now()
		r.end(l, a)
		r.c.Enqueue(l.key) // what waits behind it may go on
		return nil
	}
	l.m.began[id] = r.c.Uptime()
	a.run, a.dirty = &run, true
	row.State, row.Run, row.StartedAt = ledger.Running, string(id), run.StartedAt
	l.m.lastRun = run.StartedAt
	if timeout := l.in.timeout(); timeout > 0 {
		l.plan.requeueIn(timeout)
	}
	return nil
}

// startDetail is what a person is told of a start that failed.
func startDetail(err error) string {
	var s *process.StartError
	if errors.As(err, &s) {
		return s.Detail
	}
	return err.Error()
}

// finish removes what is left of a job that is gone, once nothing of it runs any more; else it prunes the history.
func (r *Reconciler) finish(ctx context.Context, l *look) (gone bool, err error) {
	if l.in.job != nil {
		return false, r.prune(ctx, l)
	}
	for _, a := range l.in.attempts {
		if a.running() {
			return true, nil // its end comes as a change
		}
	}
	ids, err := r.c.Ledger.Delete(ctx, l.key.Name)
	if err != nil {
		return true, fmt.Errorf("delete %s: %w", l.key, err)
	}
	r.c.Waker.Remove(l.key)
	r.removeLogs(l.key.Name, ids)
	if r.c.Store.CronJobStatus(l.key) != nil {
		r.event(l.key, note{kind: v1.EventNormal, reason: "Deleted", message: "its manifest is gone; its history went with it"})
		r.c.Store.DeleteObject(l.key)
	}
	r.mu.Lock()
	delete(r.memories, l.key.Name)
	r.mu.Unlock()
	return true, nil
}

// prune bounds the history. It is done when something was added to it.
func (r *Reconciler) prune(ctx context.Context, l *look) error {
	if !l.grown {
		return nil
	}
	ids, err := r.c.Ledger.Prune(ctx, l.key.Name, max(l.in.job.Spec.History.Keep, 1))
	if err != nil {
		return err
	}
	l.pruned = true // which may have moved the job's marks
	r.removeLogs(l.key.Name, ids)
	return nil
}

func (r *Reconciler) removeLogs(job string, ids []uint64) {
	for _, id := range ids {
		if err := os.RemoveAll(r.c.LogDir(job, id)); err != nil {
			r.c.Log.Warn("the output of a deleted run cannot be removed", "job", job, "execution", id, "err", err)
		}
	}
}
