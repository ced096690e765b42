package cronjob

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// maxBackoff bounds the wait before a retry, which doubles with each.
	maxBackoff = 24 * time.Hour
	// Reasons of rows that have ended.
	reasonExit       = "exit"
	reasonSignal     = "signal"
	reasonMemory     = "outOfMemory"
	reasonTimeout    = "timeout"
	reasonDeleted    = "deleted"
	reasonShutdown   = "shutdown"
	reasonLost       = "lost"
	reasonNotStarted = "notStarted"
)

// settle brings rows and runs together: what the keeper started is running, what has exited has ended, and what the keeper knows
// nothing of any more is lost.
func (r *Reconciler) settle(ctx context.Context, l *look) error {
	open := map[string]*attempt{}
	for _, a := range l.in.attempts {
		open[string(runID(a.row))] = a
	}
	for _, run := range r.c.Keeper.Runs(l.key.String()) {
		a := open[string(run.ID)]
		if a == nil {
			var err error
			if a, err = r.adopt(ctx, l, run); err != nil {
				return err
			}
		}
		if a == nil {
			continue
		}
		a.run = &run
		if a.row.State == ledger.Pending {
			a.row.State, a.row.Run, a.row.StartedAt, a.dirty = ledger.Running, string(run.ID), run.StartedAt, true
		}
		if run.Live() {
			r.slots.hold(run.ID, a.row.Trigger == ledger.CatchUp)
		} else {
			l.forget = append(l.forget, run.ID)
			r.conclude(l, a)
		}
	}
	for _, a := range l.in.attempts {
		if a.running() && a.run == nil {
			a.row.State, a.row.Reason = ledger.Failed, reasonLost
			a.row.Message = "nobody saw how it ended: the machine or the keeper went down while it ran"
			a.row.FinishedAt = l.in.now
			r.end(l, a)
		}
	}
	return nil
}

// adopt finds the row of a run that no open row speaks of. Either its end is on record and only the keeper has not forgotten it
// yet, or the ledger was lost, and the run's labels tell what it is.
func (r *Reconciler) adopt(ctx context.Context, l *look, run process.Run) (*attempt, error) {
	row, ok := rowOf(l.key.Name, &run)
	if !ok {
		return nil, nil // not started by us
	}
	_, recorded, err := r.c.Ledger.Attempt(ctx, l.key.Name, row.Instant, row.Attempt)
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", l.key, err)
	}
	if recorded {
		if !run.Live() {
			l.forget = append(l.forget, run.ID)
		}
		return nil, nil
	}
	a := &attempt{row: &row, fresh: true}
	l.in.attempts = append(l.in.attempts, a)
	return a, nil
}

// conclude writes into a row how its run has ended.
func (r *Reconciler) conclude(l *look, a *attempt) {
	exit := a.run.Exit
	if exit == nil {
		exit = &process.Exit{Code: -1, Lost: true, At: l.in.now}
	}
	row := a.row
	row.FinishedAt = exit.At
	row.UserTime, row.SystemTime = exit.Usage.UserTime, exit.Usage.SystemTime
	row.State, row.Reason, row.Message = outcome(row, exit, l.in.timeout())
	if !exit.Lost && exit.Signal == 0 {
		row.ExitCode = &exit.Code
	}
	if exit.Signal != 0 {
		row.Signal = v1.SignalName(syscall.Signal(exit.Signal))
	}
	r.measure(row, a.run)
	row.Stdout, row.Stderr = readOutput(a.run.LogDir, r.c.OutputBytes)
	r.end(l, a)
}

// measure takes the peaks that were sampled; what was too short for that is told by the kernel's own account of the leader.
func (r *Reconciler) measure(row *ledger.Row, run *process.Run) {
	if r.c.Peak != nil {
		if p, ok := r.c.Peak(run.ID); ok {
			row.CPUPercent, row.MemoryBytes = p.CPUPercent, p.MemoryBytes
		}
	}
	if run.Exit != nil {
		row.MemoryBytes = max(row.MemoryBytes, run.Exit.Usage.MaxRSS)
	}
	if d := row.Duration(); d > 0 {
		row.CPUPercent = max(row.CPUPercent, 100*float64(row.UserTime+row.SystemTime)/float64(d))
	}
}

// end is what all ends have in common: the slot is given back, and another attempt is made where one is left.
func (r *Reconciler) end(l *look, a *attempt) {
	a.dirty = true
	l.ended = append(l.ended, a)
	l.in.overlaps = 0
	delete(l.m.began, runID(a.row))
	r.slots.release(runID(a.row))
	if retry := retryOf(l.in.job, a.row); retry != nil {
		l.in.attempts = append(l.in.attempts, &attempt{row: retry, fresh: true})
		a.row.Message += fmt.Sprintf("; attempt %d of %d follows at %s", retry.Attempt, l.in.job.Spec.Retries.Limit+1, stamp(retry.NotBefore))
	}
	l.tellEnd(a.row)
}

// retryOf is the next attempt at the instant of a row that has ended, or nil.
func retryOf(job *v1.CronJob, row *ledger.Row) *ledger.Row {
	if job == nil || !row.State.Bad() || row.Trigger == ledger.Manual || row.Attempt > job.Spec.Retries.Limit || !job.IsEnabled() {
		return nil
	}
	delay := job.Spec.Retries.Delay.Or(v1.DefaultRetryDelay)
	for range row.Attempt - 1 {
		if delay >= maxBackoff {
			break
		}
		delay *= 2
	}
	return &ledger.Row{
		Job: row.Job, Instant: row.Instant, Attempt: row.Attempt + 1, Trigger: row.Trigger, State: ledger.Pending,
		NotBefore: row.FinishedAt.Add(min(delay, maxBackoff)),
	}
}

// outcome puts an exit into the ledger's words.
func outcome(row *ledger.Row, exit *process.Exit, timeout time.Duration) (state ledger.State, reason, message string) {
	how := exitText(exit)
	switch {
	case exit.Lost:
		return ledger.Failed, reasonLost, how
	case exit.Stopped && row.StopReason == reasonTimeout:
		return ledger.TimedOut, reasonTimeout, fmt.Sprintf("it took longer than its timeout of %s, and %s", v1.Duration(timeout), how)
	case exit.Stopped && row.StopReason != "":
		return ledger.Stopped, row.StopReason, stopText(row.StopReason) + how
	case exit.Stopped:
		return ledger.Stopped, reasonShutdown, "it was stopped with everything else, and " + how
	case exit.Signal != 0 && exit.OOM != nil && *exit.OOM:
		return ledger.Failed, reasonMemory, how
	case exit.Signal != 0:
		return ledger.Failed, reasonSignal, how
	case exit.Code != 0:
		return ledger.Failed, reasonExit, how
	}
	return ledger.Succeeded, reasonExit, how
}

func stopText(reason string) string {
	switch reason {
	case reasonReplaced:
		return "a newer run has taken its place, and it "
	case reasonStopped:
		return "it was asked to stop, and "
	}
	return "its job was deleted, and it "
}

func exitText(e *process.Exit) string {
	var text string
	switch {
	case e.Lost:
		return "nobody saw how it ended"
	case e.Signal != 0:
		text = "was ended by " + v1.SignalName(syscall.Signal(e.Signal))
		if e.OOM != nil && *e.OOM {
			text += " (out of memory)"
		}
		if e.Core {
			text += " (core dumped)"
		}
	default:
		text = fmt.Sprintf("exited with code %d", e.Code)
	}
	if len(e.Left) > 0 {
		text += "; still there: " + strings.Join(e.Left, ", ")
	}
	return text
}
