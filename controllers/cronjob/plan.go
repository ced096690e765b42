package cronjob

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

// input is all that the decision depends on.
type input struct {
	now       time.Time
	upSince   time.Time     // since when we are there to see instants come
	lateAfter time.Duration // how late is still on time
	external  bool          // instants are left to Tick
	job       *v1.CronJob   // nil when its manifest is gone
	overlaps  int           // instants in a row that the present run has cost
	attempts  []*attempt    // those that are open
	// elapsed is how long a run has been running, by a clock that cannot be set.
	elapsed func(process.RunID) time.Duration
}

// attempt is an open row and its run.
type attempt struct {
	row *ledger.Row
	run *process.Run // nil when the keeper knows none
	// fresh rows are to be inserted, dirty ones to be updated.
	fresh, dirty bool
}

func (a *attempt) running() bool { return a.row.State == ledger.Running }

// plan is what is to be done.
type plan struct {
	starts   []*attempt
	stops    []*attempt
	overlaps int
	notes    []note
	// wake is the next wall-clock instant at which there is something to do, requeue the time until a run has used up its own.
	wake    time.Time
	requeue time.Duration
}

// note is an event to be recorded; the actor is the supervisor when it is empty.
type note struct {
	kind                   v1.EventType
	reason, message, actor string
}

func (p *plan) note(kind v1.EventType, reason, format string, args ...any) {
	p.notes = append(p.notes, note{kind: kind, reason: reason, message: fmt.Sprintf(format, args...)})
}

func (p *plan) wakeAt(t time.Time) {
	if p.wake.IsZero() || t.Before(p.wake) {
		p.wake = t
	}
}

func (p *plan) requeueIn(d time.Duration) {
	if p.requeue == 0 || d < p.requeue {
		p.requeue = max(d, time.Millisecond)
	}
}

// decide looks at every open attempt: what runs may have to end, what waits may start. It has no side effects but on the rows.
func decide(in *input) plan {
	p := plan{overlaps: in.overlaps}
	for _, a := range in.attempts {
		if a.running() {
			p.limit(in, a)
		}
	}
	if in.job == nil {
		return p
	}
	waiting := slices.DeleteFunc(slices.Clone(in.attempts), func(a *attempt) bool { return a.row.State != ledger.Pending })
	slices.SortStableFunc(waiting, func(a, b *attempt) int {
		return cmp.Or(a.row.NotBefore.Compare(b.row.NotBefore), a.row.Instant.Compare(b.row.Instant), cmp.Compare(a.row.Attempt, b.row.Attempt))
	})
	for _, a := range waiting {
		if a.row.State == ledger.Pending {
			p.consider(in, a)
		}
	}
	return p
}

// limit ends a run whose time is up, or whose end was asked for.
func (p *plan) limit(in *input, a *attempt) {
	if a.run == nil || a.run.State != process.Running {
		return // it is ending already
	}
	if in.job == nil && a.row.StopReason == "" {
		a.stop(reasonDeleted, "supervisor")
	}
	if timeout := in.timeout(); a.row.StopReason == "" && timeout > 0 {
		left := timeout - in.elapsed(a.run.ID)
		if left > 0 {
			p.requeueIn(left)
			return
		}
		a.stop(reasonTimeout, "supervisor")
		p.note(v1.EventWarning, "Timeout", "the run of %s is stopped: it has taken longer than its timeout of %s", stamp(a.row.Instant), v1.Duration(timeout))
	}
	if a.row.StopReason != "" {
		p.stops = append(p.stops, a)
	}
}

func (in *input) timeout() time.Duration {
	if in.job == nil {
		return 0
	}
	return in.job.Spec.Timeout.Or(v1.DefaultJobTimeout)
}

func (a *attempt) stop(reason, actor string) {
	a.row.StopReason, a.dirty = reason, true
	if a.row.Actor == "" {
		a.row.Actor = actor
	}
}

func (a *attempt) skip(reason, format string, args ...any) {
	skip(a.row, reason, fmt.Sprintf(format, args...))
	a.dirty = true
}

// consider decides about one attempt that waits.
func (p *plan) consider(in *input, a *attempt) {
	r := a.row
	manual := r.Trigger == ledger.Manual
	switch late := in.now.Sub(r.NotBefore); {
	case !manual && !in.job.IsEnabled():
		a.skip(reasonPaused, "the job was paused (enabled: false) before it could start")
		return
	case late < 0:
		p.wakeAt(r.NotBefore)
		return
	case !manual && late > in.deadline():
		a.skip(reasonDeadline, "it could not start within startingDeadline (%s)", v1.Duration(in.deadline()))
		p.note(v1.EventWarning, "DeadlineExceeded", "the run of %s was skipped: %s", stamp(r.Instant), r.Message)
		return
	}
	blocking := in.blocking(a)
	if blocking == nil || in.job.Spec.ConcurrencyPolicy == v1.ConcurrencyAllow {
		p.starts = append(p.starts, a)
		return
	}
	// What makes up for the past and what is tried again waits for its turn; only what is new pushes or gives way.
	if r.Trigger == ledger.CatchUp || r.Attempt > 1 {
		return
	}
	if in.job.Spec.ConcurrencyPolicy == v1.ConcurrencyReplace {
		p.replace(in, a)
		return
	}
	if !blocking.running() {
		a.skip(reasonOverlap, "the run of %s has its turn first", stamp(blocking.row.Instant))
		return
	}
	a.skip(reasonOverlap, "the run of %s had not ended", stamp(blocking.row.Instant))
	if p.overlaps++; p.overlaps == hungAfter {
		p.note(v1.EventWarning, "Hung", "the run of %s does not end and has cost %d runs already; "+
			"look at its output, stop it, or set a shorter timeout (it is %s)", stamp(blocking.row.Instant), p.overlaps, limitText(in.timeout()))
	}
}

// hungAfter is how many skipped instants in a row make a run a hung one.
const hungAfter = 2

func limitText(d time.Duration) string {
	if d <= 0 {
		return "unlimited"
	}
	return v1.Duration(d).String()
}

// blocking is the attempt of another instant that has to end first: one that runs, one that is about to start and was first, or
// one that is to be tried again.
func (in *input) blocking(a *attempt) *attempt {
	for _, other := range in.attempts {
		if other == a || other.row.Instant.Equal(a.row.Instant) && other.row.Trigger == a.row.Trigger {
			continue
		}
		first := other.row.NotBefore.Before(a.row.NotBefore) ||
			other.row.NotBefore.Equal(a.row.NotBefore) && other.row.Instant.Before(a.row.Instant)
		switch {
		case other.running():
			return other
		case other.row.State != ledger.Pending:
		case other.row.Attempt > 1 && other.row.Instant.Before(a.row.Instant):
			return other
		case first && !other.row.NotBefore.After(in.now):
			return other
		}
	}
	return nil
}

// replace makes room for an attempt: what runs is stopped, what waits and is older gives up. The attempt waits for the ends.
func (p *plan) replace(in *input, a *attempt) {
	live := false
	for _, other := range in.attempts {
		switch {
		case other == a:
		case other.running():
			live = true
			if other.row.StopReason != "" || other.run == nil || other.run.State != process.Running {
				continue
			}
			other.stop(reasonReplaced, "supervisor")
			p.stops = append(p.stops, other)
			p.note(v1.EventNormal, "Replaced", "the run of %s is stopped: the run of %s is due", stamp(other.row.Instant), stamp(a.row.Instant))
		case other.row.State == ledger.Pending && other.row.Instant.Before(a.row.Instant):
			other.skip(reasonReplaced, "the run of %s has taken its place", stamp(a.row.Instant))
			p.starts = slices.DeleteFunc(p.starts, func(s *attempt) bool { return s == other })
		}
	}
	if !live {
		p.starts = append(p.starts, a)
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
