package cronjob

import (
	"fmt"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
)

const (
	// lateAfter is how long after its instant a run is still on time: a busy machine needs a moment, and a machine that slept
	// needs longer than that. With an external tick, which comes once a minute, it is lateAfterTick.
	lateAfter     = 10 * time.Second
	lateAfterTick = 90 * time.Second
	// maxCaughtUp bounds how many instants catchUp: all makes up for.
	maxCaughtUp = 100
	// minBacklog and maxBacklog bound how many passed instants get their own row.
	minBacklog, maxBacklog = 100, 10_000
)

// Reasons of rows that were not run.
const (
	reasonPaused   = "paused"
	reasonOverlap  = "overlap"
	reasonDeadline = "deadline"
	reasonReplaced = "replaced"
	reasonStopped  = "stopped"
	reasonDown     = "down"
	reasonAsleep   = "asleep"
	reasonNoTick   = "noTick"
)

// window is the span whose instants have to be accounted for, by what was in force while it passed.
type window struct {
	schedule *cron.Schedule // nil when there was none that could be used
	paused   bool
	from, to time.Time
}

// backlog is how many instants of a window get rows.
func backlog(keep int) int { return min(max(keep, minBacklog), maxBacklog) }

// instants are those of a window that have no row yet. more says that there are older ones than fit into the history.
func (w window) instants(state ledger.Job, limit int, taken func(from, to time.Time) (map[time.Time]bool, error)) (due []time.Time, more bool, err error) {
	if w.schedule == nil || !w.from.Before(w.to) {
		return nil, false, nil
	}
	all, more := w.schedule.Latest(w.from, w.to, limit)
	if len(all) == 0 {
		return nil, more, nil
	}
	known, err := taken(all[0].Add(-time.Second), w.to)
	if err != nil {
		return nil, false, err
	}
	for _, t := range all {
		if t = t.UTC(); !known[t] && !state.Settled(t) {
			due = append(due, t)
		}
	}
	return due, more, nil
}

// claim decides what is to become of instants that have passed: each gets its one row.
func (in *input) claim(due []time.Time, paused bool) []*ledger.Row {
	rows := make([]*ledger.Row, len(due))
	var late []*ledger.Row
	onTime := false
	for i, t := range due {
		rows[i] = &ledger.Row{Job: in.job.Metadata.Name, Instant: t, Attempt: 1, Trigger: ledger.Scheduled, NotBefore: t}
		switch {
		case paused || !in.job.IsEnabled():
			skip(rows[i], reasonPaused, "the job was paused (enabled: false)")
		case in.late(t):
			late = append(late, rows[i])
		default:
			onTime = true
			rows[i].State = ledger.Pending
			rows[i].NotBefore = t.Add(jitter(rows[i].Job, t, in.job.Spec.Jitter.Or(0)))
		}
	}
	in.catchUp(late, onTime)
	return rows
}

// late reports whether nobody was there when an instant came.
func (in *input) late(t time.Time) bool {
	return t.Before(in.upSince) || in.now.Sub(t) > in.lateAfter
}

// catchUp decides which late instants are made up for.
func (in *input) catchUp(late []*ledger.Row, onTime bool) {
	spec := &in.job.Spec
	for i, r := range late {
		newer := len(late) - 1 - i // how many come after it
		why := ""
		switch deadline := in.deadline(); {
		case spec.CatchUp == v1.CatchUpSkip:
			why = "catchUp: skip leaves it at that"
		case in.now.Sub(r.Instant) > deadline:
			why = fmt.Sprintf("it is longer ago than startingDeadline (%s)", v1.Duration(deadline))
		case spec.CatchUp == v1.CatchUpAll && newer >= maxCaughtUp:
			why = fmt.Sprintf("at most %d are caught up", maxCaughtUp)
		case spec.CatchUp != v1.CatchUpAll && (onTime || newer > 0):
			why = "a later run makes up for it"
		}
		r.Trigger = ledger.CatchUp
		if why == "" {
			r.State = ledger.Pending
			r.NotBefore = in.now.Add(jitter(r.Job, r.Instant, spec.Jitter.Or(0)))
			continue
		}
		r.Trigger, r.State = ledger.Scheduled, ledger.Missed
		r.Reason, r.Message = reasonDown, "the supervisor was not running at the time; "+why
		if !r.Instant.Before(in.upSince) {
			r.Reason, r.Message = reasonAsleep, "the machine slept, or its clock was set forward past it; "+why
			if in.external {
				r.Reason, r.Message = reasonNoTick, "no tick came at the time; "+why
			}
		}
	}
}

// deadline is how late a run may start. It is never shorter than what counts as on time.
func (in *input) deadline() time.Duration {
	return max(in.job.Spec.StartingDeadline.Or(v1.DefaultStartingDeadline), in.lateAfter)
}

func skip(r *ledger.Row, reason, message string) {
	r.State, r.Reason, r.Message = ledger.Skipped, reason, message
}
