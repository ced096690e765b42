package cronjob

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
)

// ErrUnknown answers an order for a job that there is not.
var ErrUnknown = errors.New("there is no such cron job")

// Run asks for a run now. It returns once the request is on record: started is false when the job is running already and does
// not allow for another, and id is then that of the run. A paused job can be run.
func (r *Reconciler) Run(ctx context.Context, name, actor string) (id uint64, started bool, err error) {
	job, _, ok := r.c.Desired.CronJob(name)
	if !ok {
		return 0, false, ErrUnknown
	}
	m, _ := r.recall(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cached = nil // what is written here is not in it
	open, err := r.c.Ledger.Open(ctx, name)
	if err != nil {
		return 0, false, fmt.Errorf("run %s: %w", name, err)
	}
	now := r.c.Now().UTC().Truncate(time.Microsecond)
	if job.Spec.ConcurrencyPolicy != v1.ConcurrencyAllow && job.Spec.ConcurrencyPolicy != v1.ConcurrencyReplace {
		for _, row := range open {
			if row.State == ledger.Running || row.Trigger == ledger.Manual || row.Attempt == 1 && !row.NotBefore.After(now) {
				return row.ID, false, nil
			}
		}
	}
	row := &ledger.Row{
		Job: name, Instant: now, Attempt: 1, Trigger: ledger.Manual, State: ledger.Pending, NotBefore: now, Actor: actor,
	}
	// Scheduled instants are whole seconds: a request never takes the place of one. Nor of another request.
	for row.ID == 0 {
		if row.Instant.Nanosecond() == 0 {
			row.Instant = row.Instant.Add(time.Microsecond)
		}
		if err := r.c.Ledger.Apply(ctx, ledger.Change{Insert: []*ledger.Row{row}}); err != nil {
			return 0, false, fmt.Errorf("run %s: %w", name, err)
		}
		if row.ID == 0 {
			row.Instant = row.Instant.Add(time.Microsecond)
		}
	}
	m.newest = later(m.newest, row.Instant)
	key := v1.Key{Kind: v1.KindCronJob, Name: name}
	r.event(key, note{kind: v1.EventNormal, reason: "RunRequested", message: "a run was asked for", actor: actor})
	r.c.Enqueue(key)
	return row.ID, true, nil
}

// Stop asks for the end of all that runs of a job, and takes back what waits to be started for an instant that has come. It
// returns once that is on record; stopped is false when there was nothing.
func (r *Reconciler) Stop(ctx context.Context, name, actor string) (stopped bool, err error) {
	if _, _, ok := r.c.Desired.CronJob(name); !ok {
		return false, ErrUnknown
	}
	m, _ := r.recall(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cached = nil // what is written here is not in it
	open, err := r.c.Ledger.Open(ctx, name)
	if err != nil {
		return false, fmt.Errorf("stop %s: %w", name, err)
	}
	var c ledger.Change
	for i := range open {
		row := &open[i]
		switch {
		case row.State == ledger.Pending:
			row.Actor = actor
			skip(row, reasonStopped, "it was stopped by "+actor+" before it could start")
		case row.StopReason == "":
			row.StopReason, row.Actor = reasonStopped, actor
		}
		c.Update = append(c.Update, row)
	}
	if c.Empty() {
		return false, nil
	}
	if err := r.c.Ledger.Apply(ctx, c); err != nil {
		return false, fmt.Errorf("stop %s: %w", name, err)
	}
	m.broadcast()
	key := v1.Key{Kind: v1.KindCronJob, Name: name}
	r.event(key, note{kind: v1.EventNormal, reason: "StopRequested", message: "its runs are to stop", actor: actor})
	r.c.Enqueue(key)
	return true, nil
}

// Tick looks for instants of all jobs that have come, and returns the executions that it claimed: those that it started, and
// those that wait for their jitter or their turn. It can be called at any time, beside the built-in scheduler and by several
// callers at once: an instant is claimed by one of them.
func (r *Reconciler) Tick(ctx context.Context) ([]uint64, error) {
	var ids []uint64
	var errs []error
	for _, job := range r.c.Desired.CronJobs() {
		l, err := r.lookAt(ctx, job.Key(), true)
		if err != nil {
			errs = append(errs, err)
		}
		if l == nil {
			continue
		}
		for _, a := range l.claimed {
			if a.row.ID != 0 && (a.row.State.Open() || a.row.State.Ended()) {
				ids = append(ids, a.row.ID)
			}
		}
		if l.plan.requeue > 0 {
			r.c.Enqueue(job.Key()) // a time limit that only the loop can keep
		}
	}
	return ids, errors.Join(errs...)
}

// Await waits until an execution has come to an end, and returns it with its output.
func (r *Reconciler) Await(ctx context.Context, name string, id uint64) (ledger.Row, error) {
	for {
		m, _ := r.recall(name)
		m.mu.Lock()
		ended := m.ended
		m.mu.Unlock()
		row, ok, err := r.c.Ledger.Execution(ctx, name, id)
		switch {
		case err != nil:
			return ledger.Row{}, fmt.Errorf("await execution %d of %s: %w", id, name, err)
		case !ok:
			return ledger.Row{}, fmt.Errorf("await execution %d of %s: %w", id, name, ErrUnknown)
		case !row.State.Open():
			return row, nil
		}
		select {
		case <-ended:
		case <-ctx.Done():
			return ledger.Row{}, context.Cause(ctx)
		}
	}
}

// Known are the jobs that the ledger remembers. Those that are not desired any more have to be looked at once after a start,
// so that their history goes with them.
func (r *Reconciler) Known(ctx context.Context) ([]v1.Key, error) {
	names, err := r.c.Ledger.Names(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]v1.Key, len(names))
	for i, name := range names {
		keys[i] = v1.Key{Kind: v1.KindCronJob, Name: name}
	}
	return keys, nil
}
