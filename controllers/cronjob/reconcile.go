package cronjob

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// Reconciler brings cron jobs from what is observed to what is desired.
type Reconciler struct {
	c     Config
	slots *slots

	mu       sync.Mutex
	upSince  time.Time // the earliest time at which we were there
	memories map[string]*memory
	closing  bool
	seeded   bool // slots know of the runs that were there before us
}

// New returns a reconciler. From now on, instants that come are seen to have come.
func New(c Config) *Reconciler {
	c.setDefaults()
	return &Reconciler{c: c, upSince: c.Now(), slots: newSlots(c.MaxRuns, c.MaxCatchUp, c.Enqueue), memories: map[string]*memory{}}
}

// memory is what is known of a job beside the ledger. Its lock is held during each look at the job.
type memory struct {
	mu sync.Mutex
	// began is when a run began, by the clock that cannot be set.
	began map[process.RunID]time.Duration
	// parsed are the schedules that were parsed last, so that it is not done at each look.
	parsed map[scheduleKey]parsedSchedule
	// cached is what the last look has left in the ledger, where nobody else writes; nil when it has to be read.
	cached *standing
	// newest is no earlier than any instant that has a row.
	newest time.Time
	// lastRun and lastGood are what the status tells of the newest attempt; read once from the ledger.
	recalled bool
	lastRun  time.Time
	lastGood *bool
	ended    chan struct{} // closed and renewed when an attempt is open no more
}

// standing is what the ledger knows of a job.
type standing struct {
	job   ledger.Job
	known bool
	open  []ledger.Row
}

type scheduleKey struct {
	expr, zone string
	seconds    bool
}

type parsedSchedule struct {
	schedule *cron.Schedule
	err      error
}

// broadcast wakes those who await an end. The lock is held.
func (m *memory) broadcast() {
	close(m.ended)
	m.ended = make(chan struct{})
}

// parse is the package's parse, remembered.
func (m *memory) parse(expr, zone string, seconds bool) (*cron.Schedule, error) {
	key := scheduleKey{expr, zone, seconds}
	p, ok := m.parsed[key]
	if !ok {
		if len(m.parsed) > 1 {
			clear(m.parsed)
		}
		p.schedule, p.err = parse(expr, zone, seconds)
		m.parsed[key] = p
	}
	return p.schedule, p.err
}

// look is one look at a job, from observing to reporting.
type look struct {
	key      v1.Key
	m        *memory
	in       input
	revision string
	expand   bool // look for instants that have come

	state       ledger.Job // as it will be
	known       bool       // the ledger knew the job
	stateChange bool
	withdraw    time.Time
	schedule    *cron.Schedule // nil when it cannot be used
	scheduleErr error
	claimed     []*attempt // by this look
	ended       []*attempt // by this look, and not on record yet
	grown       bool       // the history was added to
	pruned      bool       // and something was taken from it
	notes       []note     // to be told once all is on record
	forget      []process.RunID
	plan        plan
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, key v1.Key) (reconcile.Result, error) {
	l, err := r.lookAt(ctx, key, !r.c.External)
	if err != nil || l == nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: l.plan.requeue}, nil
}

// lookAt is the list of steps. It returns nil when there is nothing to look at.
func (r *Reconciler) lookAt(ctx context.Context, key v1.Key, expand bool) (*look, error) {
	select {
	case <-r.c.Keeper.Synced():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r.seed()
	m, closing := r.recall(key.Name)
	if closing {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	defer r.slots.looked(key)
	l := &look{key: key, m: m, expand: expand}
	there, err := r.observe(ctx, l)
	if err != nil || !there {
		return nil, err
	}
	if err := r.settle(ctx, l); err != nil {
		return nil, err
	}
	if err := r.account(ctx, l); err != nil {
		return nil, err
	}
	l.plan = decide(&l.in)
	if l.plan.overlaps != l.state.Overlaps {
		l.state.Overlaps, l.stateChange = l.plan.overlaps, true
	}
	err = r.apply(ctx, l)
	if gone, goneErr := r.finish(ctx, l); gone || goneErr != nil {
		return nil, errors.Join(err, goneErr)
	}
	if err = errors.Join(err, r.report(ctx, l)); err == nil && !l.pruned {
		l.remember()
	}
	return l, err
}

// seed takes slots for the runs that were there before us. It is done once the keeper has told of them all.
func (r *Reconciler) seed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seeded {
		return
	}
	r.seeded = true
	for _, run := range r.c.Keeper.All() {
		if _, ok := ownerOf(&run); ok && run.Live() {
			r.slots.hold(run.ID, run.Labels[labelTrigger] == string(ledger.CatchUp))
		}
	}
}

// recall returns what is remembered of a job.
func (r *Reconciler) recall(name string) (m *memory, closing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m = r.memories[name]
	if m == nil {
		m = &memory{
			began: map[process.RunID]time.Duration{}, parsed: map[scheduleKey]parsedSchedule{}, ended: make(chan struct{}),
		}
		r.memories[name] = m
	}
	return m, r.closing
}

// observe gathers what the decision depends on. there is false when the job is not known, or not known yet.
func (r *Reconciler) observe(ctx context.Context, l *look) (there bool, err error) {
	name := l.key.Name
	job, revision, ok := r.c.Desired.CronJob(name)
	if !ok && !r.c.Desired.Complete() {
		// It may still come: what runs is left alone. The listing that completes the set looks at every owner.
		return false, nil
	}
	now := r.c.Now()
	l.in = input{now: now, upSince: r.up(now), lateAfter: lateAfter, elapsed: l.elapsed(r.c.Uptime)}
	if r.c.External {
		l.in.lateAfter, l.in.external = lateAfterTick, true
	}
	if ok {
		l.in.job, l.revision = job, revision
		l.schedule, l.scheduleErr = l.m.parse(job.Spec.Schedule, job.Spec.TimeZone, job.Spec.Seconds)
	}
	known, err := r.standingOf(ctx, l)
	if err != nil {
		return false, fmt.Errorf("observe %s: %w", l.key, err)
	}
	l.state, l.known = known.job, known.known
	l.state.Name = name
	l.in.overlaps = l.state.Overlaps
	for _, row := range known.open {
		l.in.attempts = append(l.in.attempts, &attempt{row: &row})
	}
	return true, nil
}

// standingOf returns what the ledger knows of the job. It is read at the first look, and when a look has failed.
func (r *Reconciler) standingOf(ctx context.Context, l *look) (standing, error) {
	if c := l.m.cached; c != nil {
		l.m.cached = nil // until this look has come to its end
		return *c, nil
	}
	var c standing
	var err error
	if c.job, c.known, err = r.c.Ledger.Job(ctx, l.key.Name); err != nil {
		return c, err
	}
	if c.open, err = r.c.Ledger.Open(ctx, l.key.Name); err != nil {
		return c, err
	}
	for i := range c.open {
		c.open[i].Instant = c.open[i].Instant.UTC()
	}
	l.m.newest, err = r.c.Ledger.Newest(ctx, l.key.Name)
	return c, err
}

// remember keeps what this look has left in the ledger for the next one.
func (l *look) remember() {
	c := &standing{job: l.state, known: true}
	for _, a := range l.in.attempts {
		if a.row.State.Open() {
			c.open = append(c.open, *a.row)
		}
	}
	l.m.cached = c
}

// up is since when we are there to see instants come, by what the clock shows now: once it was set back, also what comes before
// the time at which we began.
func (r *Reconciler) up(now time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.upSince) {
		r.upSince = now
	}
	return r.upSince
}

// elapsed measures runs by the clock that cannot be set. A run that an earlier manager began is taken to be as old as it says.
func (l *look) elapsed(uptime func() time.Duration) func(process.RunID) time.Duration {
	return func(id process.RunID) time.Duration {
		up := uptime()
		began, ok := l.m.began[id]
		if !ok {
			began = up
			for _, a := range l.in.attempts {
				if a.run != nil && a.run.ID == id {
					began = up - max(l.in.now.Sub(a.run.StartedAt), 0)
				}
			}
			l.m.began[id] = began
		}
		return up - began
	}
}

// account moves the job's mark up to now: each instant that has passed gets its row.
func (r *Reconciler) account(ctx context.Context, l *look) error {
	job := l.in.job
	if job == nil {
		return nil
	}
	current := ledger.Job{Schedule: job.Spec.Schedule, TimeZone: job.Spec.TimeZone, Seconds: job.Spec.Seconds, Paused: !job.IsEnabled()}
	same := l.state.Schedule == current.Schedule && l.state.TimeZone == current.TimeZone &&
		l.state.Seconds == current.Seconds && l.state.Paused == current.Paused
	if l.known {
		r.rewind(l)
	}
	if l.known && (l.expand || !same) {
		past, _ := l.m.parse(l.state.Schedule, l.state.TimeZone, l.state.Seconds)
		w := window{schedule: past, paused: l.state.Paused, from: l.state.Through, to: l.in.now}
		if err := r.expandWindow(ctx, l, w); err != nil {
			return err
		}
	}
	if !l.known || !same {
		l.state.Schedule, l.state.TimeZone, l.state.Seconds, l.state.Paused = current.Schedule, current.TimeZone, current.Seconds, current.Paused
		l.state.Through, l.stateChange = l.in.now, true
	}
	return nil
}

// rewind takes back what is to come again when the clock was set back.
func (r *Reconciler) rewind(l *look) {
	if !l.state.Through.After(l.in.now) {
		return
	}
	l.withdraw, l.state.Through, l.stateChange = l.in.now, l.in.now, true
	kept := l.in.attempts[:0]
	for _, a := range l.in.attempts {
		again := a.row.State == ledger.Pending && a.row.Attempt == 1 && a.row.Trigger != ledger.Manual && a.row.Instant.After(l.in.now)
		if !again {
			kept = append(kept, a)
		}
	}
	l.in.attempts = kept
}

// expandWindow claims the instants of a window.
func (r *Reconciler) expandWindow(ctx context.Context, l *look, w window) error {
	due, more, err := w.instants(l.state, backlog(l.in.job.Spec.History.Keep), func(from, to time.Time) (map[time.Time]bool, error) {
		if !l.m.newest.After(from) {
			return nil, nil // the clock was not set back: nothing that comes now came before
		}
		return r.c.Ledger.Instants(ctx, l.key.Name, from, to)
	})
	if err != nil {
		return fmt.Errorf("account for %s: %w", l.key, err)
	}
	missed := 0
	for _, row := range l.in.claim(due, w.paused) {
		a := &attempt{row: row, fresh: true}
		l.claimed = append(l.claimed, a)
		l.in.attempts = append(l.in.attempts, a)
		l.m.newest = later(l.m.newest, row.Instant)
		if row.State == ledger.Missed {
			missed++
		}
	}
	if len(due) > 0 || more {
		l.state.Through, l.stateChange = l.in.now, true
	}
	if missed > 0 {
		l.tellMissed(missed, more)
	}
	return nil
}

// Close keeps every later look from doing anything: the supervisor shuts down, and runs that are stopped are not to be followed
// by others.
func (r *Reconciler) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
