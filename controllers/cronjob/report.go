package cronjob

import (
	"context"
	"fmt"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
)

// pausedPace is the least time between two looks at a job that is paused: its instants are put on record, but not one by one.
const pausedPace = time.Minute

// setOnly is an instant so far away that its alarm rings only because the clock was set.
const setOnly = 10 * 365 * 24 * time.Hour

// report writes the status, and asks to be woken when there is something to do.
func (r *Reconciler) report(ctx context.Context, l *look) error {
	if !l.m.recalled {
		s, err := r.c.Ledger.Summary(ctx, l.key.Name, l.in.now)
		if err != nil {
			return err
		}
		if l.m.recalled = true; l.m.lastRun.Before(s.LastRun) {
			l.m.lastRun = s.LastRun
		}
		if l.m.lastGood == nil && s.LastState != "" {
			good := s.LastState == ledger.Succeeded
			l.m.lastGood = &good
		}
	}
	was := r.c.Store.CronJobStatus(l.key)
	st := &v1.CronJobStatus{ObservedRevision: l.revision, LastSuccess: l.m.lastGood, UpdatedAt: l.in.now}
	if was != nil {
		st.Conditions = append(st.Conditions, was.Conditions...)
	}
	for _, a := range l.in.attempts {
		st.Running = st.Running || a.running()
	}
	if !l.m.lastRun.IsZero() {
		at := l.m.lastRun
		st.LastRun = &at
	}
	next := r.next(l)
	if !next.IsZero() && l.in.job.IsEnabled() {
		st.NextRun = &next
	}
	r.conditions(l, st)
	r.c.Store.SetCronJobStatus(l.key, st)
	r.wake(l, next)
	return nil
}

// next is the first instant that is not accounted for.
func (r *Reconciler) next(l *look) time.Time {
	if l.schedule == nil {
		return time.Time{}
	}
	return l.schedule.Next(later(l.in.now, l.state.Through))
}

// wake sets the job's alarm.
func (r *Reconciler) wake(l *look, next time.Time) {
	if !next.IsZero() && !r.c.External {
		if !l.in.job.IsEnabled() {
			next = later(next, l.in.now.Add(pausedPace))
		}
		l.plan.wakeAt(next)
	}
	if r.c.External {
		l.plan.wakeAt(l.in.now.Add(setOnly)) // to be told when the clock is set
	}
	r.c.Waker.Set(l.key, l.plan.wake)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// conditions sets each condition that this reconciler owns.
func (r *Reconciler) conditions(l *look, st *v1.CronJobStatus) {
	set := func(kind string, truth bool, reason, message string) {
		c := v1.Condition{Type: kind, Status: v1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: l.in.now}
		if truth {
			c.Status = v1.ConditionTrue
		}
		v1.SetCondition(&st.Conditions, c)
	}
	switch {
	case l.schedule == nil:
		set(v1.ConditionReady, false, "InvalidSchedule", l.scheduleErr.Error())
	case !l.in.job.IsEnabled():
		set(v1.ConditionReady, false, "Suspended", "it is paused (enabled: false)")
	default:
		set(v1.ConditionReady, true, "Scheduled", "it runs "+l.schedule.Describe())
	}
	waiting := 0
	for _, a := range l.in.attempts {
		if a.row.State == ledger.Pending {
			waiting++
		}
	}
	switch {
	case st.Running:
		set(v1.ConditionProgressing, true, "Running", "a run is under way")
	case waiting > 0:
		set(v1.ConditionProgressing, true, "Waiting", "a run waits for its time, a free slot or the end of another")
	default:
		set(v1.ConditionProgressing, false, "Settled", "no run is under way")
	}
	var lacks []string
	for _, a := range l.in.attempts {
		if a.running() && a.run != nil {
			lacks = append(lacks, a.run.Warnings...)
		}
	}
	if l.state.Overlaps >= hungAfter {
		lacks = append(lacks, "a run does not end and keeps others from starting")
	}
	if len(lacks) > 0 {
		set(v1.ConditionDegraded, true, "Degraded", strings.Join(lacks, "; "))
	} else {
		set(v1.ConditionDegraded, false, "AsAsked", "it has all that it asked for")
	}
	if problems := r.c.Desired.Problems(l.key.Name); len(problems) > 0 {
		texts := make([]string, len(problems))
		for i, p := range problems {
			texts[i] = p.String()
		}
		set(v1.ConditionManifestValid, false, "Invalid", "the last good version is in force: "+strings.Join(texts, "; "))
	} else {
		set(v1.ConditionManifestValid, true, "Valid", "the newest version is in force")
	}
}

// tellMissed tells of all instants that a look found missed, at once.
func (l *look) tellMissed(missed int, more bool) {
	var first, last time.Time
	caughtUp := 0
	for _, a := range l.claimed {
		switch {
		case a.row.State == ledger.Missed && first.IsZero():
			first, last = a.row.Instant, a.row.Instant
		case a.row.State == ledger.Missed:
			last = a.row.Instant
		case a.row.Trigger == ledger.CatchUp:
			caughtUp++
		}
	}
	text := fmt.Sprintf("%d runs were missed, from %s to %s", missed, stamp(first), stamp(last))
	if missed == 1 {
		text = "the run of " + stamp(first) + " was missed"
	}
	if more {
		text += " (and older ones, beyond what the history keeps)"
	}
	if caughtUp > 0 {
		text += fmt.Sprintf("; %d caught up now", caughtUp)
	}
	l.note(v1.EventWarning, "Missed", text, "")
}

// tellEnd tells of an end that somebody should know of.
func (l *look) tellEnd(row *ledger.Row) {
	if !row.State.Bad() {
		return
	}
	reason := "RunFailed"
	switch row.Reason {
	case reasonTimeout:
		reason = "RunTimedOut"
	case reasonNotStarted:
		reason = "RunNotStarted"
	case reasonLost:
		reason = "RunLost"
	}
	l.note(v1.EventWarning, reason, "the run of "+stamp(row.Instant)+": "+row.Message, row.Actor)
}

// note keeps an event until what it tells of is on record.
func (l *look) note(kind v1.EventType, reason, message, actor string) {
	l.notes = append(l.notes, note{kind: kind, reason: reason, message: message, actor: actor})
}

func (r *Reconciler) event(key v1.Key, n note) {
	if n.actor == "" {
		n.actor = "supervisor"
	}
	r.c.Store.RecordEvent(v1.Event{Time: r.c.Now(), Key: key, Type: n.kind, Reason: n.reason, Message: n.message, Actor: n.actor})
}
