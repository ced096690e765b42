package cronjob

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

// Labels of a run, by which a manager without a ledger knows what it is.
const (
	labelInstant = "instant" // microseconds since 1970
	labelAttempt = "attempt"
	labelTrigger = "trigger"
)

// runID names one attempt at an instant for ever. It is the slot as well: attempts of several instants may run side by side.
func runID(r *ledger.Row) process.RunID {
	return process.RunID(fmt.Sprintf("%s/%s/%013x-%d", v1.KindCronJob, r.Job, r.Instant.UnixMicro(), r.Attempt))
}

func labels(r *ledger.Row) map[string]string {
	return map[string]string{
		labelInstant: strconv.FormatInt(r.Instant.UnixMicro(), 10), labelAttempt: strconv.Itoa(r.Attempt), labelTrigger: string(r.Trigger),
	}
}

// rowOf is the row that a run must have had; false when its labels are not ours.
func rowOf(job string, run *process.Run) (ledger.Row, bool) {
	instant, err := strconv.ParseInt(run.Labels[labelInstant], 10, 64)
	if err != nil {
		return ledger.Row{}, false
	}
	attempt, err := strconv.Atoi(run.Labels[labelAttempt])
	if err != nil || attempt < 1 {
		return ledger.Row{}, false
	}
	r := ledger.Row{
		Job: job, Instant: time.UnixMicro(instant).UTC(), Attempt: attempt, Trigger: ledger.Trigger(run.Labels[labelTrigger]),
		State: ledger.Running, Run: string(run.ID), StartedAt: run.StartedAt, NotBefore: run.StartedAt,
	}
	return r, true
}

// jitter is how much later than its instant a run starts: always the same for a job and an instant, and spread over 0 to most.
func jitter(job string, instant time.Time, most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s|%d", job, instant.Unix()) // a hash takes everything
	return time.Duration(h.Sum64() % uint64(most)).Truncate(time.Millisecond)
}

// ScheduleOf parses a job's schedule in its zone.
func ScheduleOf(job *v1.CronJob) (*cron.Schedule, error) {
	return parse(job.Spec.Schedule, job.Spec.TimeZone, job.Spec.Seconds)
}

func parse(expr, zone string, seconds bool) (*cron.Schedule, error) {
	o := cron.Options{Seconds: seconds}
	if zone != "" {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			return nil, fmt.Errorf("time zone %q is not known; write an IANA name such as Europe/London: %w", zone, err)
		}
		o.Location = loc
	}
	return cron.Parse(expr, o)
}

// Check tells whether the schedule of a job can be used, in the form of v1's own validation, which knows no schedules.
func Check(job *v1.CronJob) v1.FieldErrors {
	if _, err := ScheduleOf(job); err != nil {
		return v1.FieldErrors{{Field: "spec.schedule", Detail: err.Error()}}
	}
	return nil
}
