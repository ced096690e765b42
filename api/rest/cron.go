package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// ErrNoCronJob answers an order for a job that there is not.
var ErrNoCronJob = errors.New("there is no such cron job")

// CronQuery says which attempts are wanted, newest first.
type CronQuery struct {
	Job string
	// All takes what was skipped, missed or waits, too.
	All           bool
	Limit, Offset int
}

// Cron runs cron jobs and knows what became of them.
type Cron interface {
	// Status is nil when nothing is known yet. It is shared and never changed.
	Status(name string) *v1.CronJobStatus
	// Describe is a schedule in words; empty when it cannot be used.
	Describe(job *v1.CronJob) string
	// Check tells whether a schedule can be used.
	Check(job *v1.CronJob) v1.FieldErrors
	// Validate explains a schedule: what is wrong with it, or when it is due next.
	Validate(schedule, zone string, seconds bool, count int) wire.CronValidation
	// Run, Stop and Tick fail with ErrNoCronJob.
	Run(ctx context.Context, name, actor string) (id uint64, started bool, err error)
	Stop(ctx context.Context, name, actor string) (stopped bool, err error)
	Tick(ctx context.Context) ([]uint64, error)
	Executions(ctx context.Context, q CronQuery) ([]wire.Execution, error)
	Execution(ctx context.Context, job string, id uint64) (e wire.Execution, ok bool, err error)
	// Counts is how many attempts of each job began, and failed, since a time.
	Counts(ctx context.Context, since time.Time) (began, failed map[string]int, err error)
	// Output returns what a run has printed, but for the first skip lines, as soon as there is any or the run has ended.
	Output(ctx context.Context, job string, id uint64, skip int) (wire.CronOutput, error)
	// Gone waits until nothing is left of a deleted job.
	Gone(ctx context.Context, name string) error
}

func cronRoutes() []route {
	const all, one, v1one = "/api/cron", "/api/cron/:name", "/api/v1/cronjobs/:name"
	get, post := http.MethodGet, http.MethodPost
	return tagged("cron", []route{
		{method: get, path: all, summary: "All cron jobs", response: []wire.Cron{}, serve: listCron},
		{method: post, path: all, summary: "Make a cron job", request: wire.CronFields{}, response: wire.Cron{}, serve: createCron},
		{method: get, path: "/api/cron/status", summary: "All cron jobs at a glance", response: wire.CronStatus{}, serve: cronStatus},
		{
			method: get, path: "/api/cron/validate", summary: "What a schedule means", response: wire.CronValidation{}, serve: validateCron,
			query: []param{
				{name: "schedule", about: "Such as 0 3 * * *.", schema: ""},
				{name: "time_zone", about: "An IANA name; default is the machine's.", schema: ""},
				{name: "seconds", about: "The schedule has six fields.", schema: false},
			},
		},
		{method: post, path: "/api/cron/tick", summary: "Start what is due and was not started for it", response: wire.CronTick{}, serve: tickCron},
		{
			method: get, path: "/api/v1/timeline", summary: "The last outcomes and the next instants of every cron job", response: wire.Timeline{}, serve: timeline,
			query: []param{
				{name: "hours", about: "How far ahead.", schema: 0, min: 1, max: 744, def: 24},
				{name: "past", about: "How many outcomes of each job.", schema: 0, max: 100, def: 20},
			},
		},
		{method: get, path: one, summary: "One cron job", response: wire.Cron{}, serve: getCron},
		{method: http.MethodPut, path: one, summary: "Change fields of a cron job", request: wire.CronFields{}, response: wire.Cron{}, serve: updateCron},
		{method: http.MethodDelete, path: one, summary: "Delete a cron job and its history", response: wire.Deleted{}, serve: deleteCron},
		{method: post, path: one + "/run", summary: "Run a cron job now", response: wire.CronRun{}, serve: runCron},
		{method: post, path: one + "/stop", summary: "Stop what runs of a cron job", response: wire.Stopped{}, serve: stopCron},
		{
			method: get, path: one + "/executions", summary: "Runs of a cron job, newest first", response: []wire.Execution{}, serve: cronExecutions,
			query: []param{limitParam(500, 50), offsetParam()},
		},
		{method: get, path: one + "/executions/:id", summary: "One run", response: wire.Execution{}, serve: cronExecution},
		{
			method: get, path: v1one + "/history", summary: "What became of each scheduled instant, newest first", response: wire.CronHistory{}, serve: cronHistory,
			query: []param{limitParam(500, 50), offsetParam()},
		},
		{
			method: get, path: v1one + "/next", summary: "The next instants of a cron job", response: wire.CronValidation{}, serve: cronNext,
			query: []param{{name: "count", about: "How many.", schema: 0, min: 1, max: 100, def: 5}},
		},
		{
			method: get, path: v1one + "/runs/:id/output", summary: "What a run has printed; waits for more", response: wire.CronOutput{}, serve: cronOutput,
			query: []param{{name: "skip", about: "Leave out so many lines.", schema: 0, max: 1_000_000_000}},
		},
		{
			method: get, path: v1one + "/runs/:id/output/stream", summary: "What a run prints (event: line, and end when it has ended); an ID is how many lines there were",
			response: wire.LogLine{}, stream: true, serve: streamCronOutput,
			query: []param{{name: "last_event_id", about: "Resume after this ID, as the header Last-Event-ID does.", schema: ""}},
		},
	})
}

func offsetParam() param {
	return param{name: "offset", about: "Leave out so many.", schema: 0, max: 1_000_000_000}
}

// cron is the part that runs cron jobs.
func (c *call) cron() (Cron, error) {
	if c.api.deps.Cron == nil {
		return nil, Errorf(wire.CodeUnavailable, "no cron jobs are run here")
	}
	return c.api.deps.Cron, nil
}

// job is the cron job that the path names.
func (c *call) job() (*v1.CronJob, Cron, error) {
	runner, err := c.cron()
	if err != nil {
		return nil, nil, err
	}
	key := v1.Key{Kind: v1.KindCronJob, Name: c.Param("name")}
	o, ok := c.api.deps.Desired.Get(key)
	j, isJob := o.(*v1.CronJob)
	if !ok || !isJob {
		return nil, nil, notFound(key)
	}
	return j, runner, nil
}

func (c *call) jobs() ([]*v1.CronJob, Cron, error) {
	runner, err := c.cron()
	if err != nil {
		return nil, nil, err
	}
	var out []*v1.CronJob
	for _, o := range c.api.deps.Desired.List(v1.KindCronJob) {
		if j, ok := o.(*v1.CronJob); ok {
			out = append(out, j)
		}
	}
	return out, runner, nil
}

func listCron(c *call) (any, error) {
	jobs, _, err := c.jobs()
	if err != nil {
		return nil, err
	}
	out := make([]wire.Cron, len(jobs))
	for i, j := range jobs {
		out[i] = c.api.cronView(j)
	}
	return out, nil
}

func getCron(c *call) (any, error) {
	j, _, err := c.job()
	if err != nil {
		return nil, err
	}
	return c.api.cronView(j), nil
}

func cronStatus(c *call) (any, error) {
	jobs, runner, err := c.jobs()
	if err != nil {
		return nil, err
	}
	began, failed, err := runner.Counts(c.Request.Context(), time.Now().Add(-24*time.Hour))
	if err != nil {
		return nil, err
	}
	out := wire.CronStatus{Jobs: make([]wire.CronStatusRow, len(jobs)), Total: len(jobs)}
	for i, j := range jobs {
		v := c.api.cronView(j)
		row := wire.CronStatusRow{
			Name: v.Name, Enabled: v.Enabled, Schedule: v.Schedule, ScheduleDescription: v.ScheduleDescription, Running: v.Running,
			LastRun: v.LastRun, NextRun: v.NextRun, Executions24h: began[v.Name], Failures24h: failed[v.Name],
		}
		if st := runner.Status(v.Name); st != nil {
			row.LastSuccess = st.LastSuccess
		}
		if row.Enabled {
			out.Enabled++
		}
		if row.Running {
			out.Running++
		}
		out.Jobs[i] = row
	}
	return out, nil
}

func validateCron(c *call) (any, error) {
	runner, err := c.cron()
	if err != nil {
		return nil, err
	}
	return runner.Validate(c.Query("schedule"), c.Query("time_zone"), c.Query("seconds") == "true", 5), nil
}

func tickCron(c *call) (any, error) {
	runner, err := c.cron()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ids, err := runner.Tick(c.Request.Context())
	if err != nil {
		return nil, err
	}
	return wire.CronTick{Status: "ok", Timestamp: now, JobsStarted: len(ids), ExecutionIDs: append([]uint64{}, ids...)}, nil
}

func runCron(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	id, started, err := runner.Run(c.Request.Context(), j.Metadata.Name, c.caller.actor())
	if err != nil {
		return nil, orNoJob(err, j)
	}
	out := wire.CronRun{Status: "started", Name: j.Metadata.Name, ExecutionID: id}
	if !started {
		out.Status = "already_running"
	}
	return out, nil
}

func stopCron(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	stopped, err := runner.Stop(c.Request.Context(), j.Metadata.Name, c.caller.actor())
	if err != nil {
		return nil, orNoJob(err, j)
	}
	out := wire.Stopped{Status: "stopped", Name: j.Metadata.Name}
	if !stopped {
		out.Status = "not_running"
	}
	return out, nil
}

// orNoJob is a 404 for a job that went away meanwhile.
func orNoJob(err error, j *v1.CronJob) error {
	if errors.Is(err, ErrNoCronJob) {
		return notFound(j.Key())
	}
	return err
}

func (c *call) executions(all bool) ([]wire.Execution, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	q := CronQuery{Job: j.Metadata.Name, All: all}
	if q.Limit, err = c.number("limit"); err != nil {
		return nil, err
	}
	if q.Offset, err = c.number("offset"); err != nil {
		return nil, err
	}
	found, err := runner.Executions(c.Request.Context(), q)
	if err != nil {
		return nil, err
	}
	id, _, _, _ := c.api.deps.Observed.ObjectInfo(j.Key())
	for i := range found {
		found[i].CronJobID = id
	}
	return append([]wire.Execution{}, found...), nil
}

func cronExecutions(c *call) (any, error) { return c.executions(false) }

func cronHistory(c *call) (any, error) {
	rows, err := c.executions(true)
	return wire.CronHistory{Rows: rows}, err
}

// runID is the execution that the path names.
func (c *call) runID() (uint64, error) {
	id, err := strconv.ParseUint(c.Param("id"), 10, 64)
	if err != nil {
		return 0, Errorf(wire.CodeNotFound, "%.40q is not the ID of an execution", c.Param("id"))
	}
	return id, nil
}

func cronExecution(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	id, err := c.runID()
	if err != nil {
		return nil, err
	}
	e, ok, err := runner.Execution(c.Request.Context(), j.Metadata.Name, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, Errorf(wire.CodeNotFound, "cron job %s has no execution %d; it may have left the history (spec.history.keep)", j.Metadata.Name, id)
	}
	e.CronJobID, _, _, _ = c.api.deps.Observed.ObjectInfo(j.Key())
	return e, nil
}

func cronNext(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	count, err := c.number("count")
	if err != nil {
		return nil, err
	}
	return runner.Validate(j.Spec.Schedule, j.Spec.TimeZone, j.Spec.Seconds, count), nil
}

// outputWait is the longest that a request for more output waits.
const outputWait = 10 * time.Second

func cronOutput(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	id, err := c.runID()
	if err != nil {
		return nil, err
	}
	skip, err := c.number("skip")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), outputWait)
	defer cancel()
	out, err := runner.Output(ctx, j.Metadata.Name, id, skip)
	if err != nil {
		return nil, orNoJob(err, j)
	}
	out.Lines = append([]wire.LogLine{}, out.Lines...)
	return out, nil
}

// streamCronOutput tells what a run prints until it ends.
func streamCronOutput(c *call) (any, error) {
	j, runner, err := c.job()
	if err != nil {
		return nil, err
	}
	id, err := c.runID()
	if err != nil {
		return nil, err
	}
	seen, _, err := c.lastID()
	if err != nil || seen > 1_000_000_000 {
		return nil, badParam("last_event_id", "%d is not an ID of this stream", seen)
	}
	// A run that there is not is told before the stream begins.
	if _, ok, err := runner.Execution(c.Request.Context(), j.Metadata.Name, id); err != nil || !ok {
		if err == nil {
			err = Errorf(wire.CodeNotFound, "cron job %s has no execution %d; it may have left the history (spec.history.keep)", j.Metadata.Name, id)
		}
		return nil, err
	}
	return c.serveStream(func(ctx context.Context, s *stream) error {
		for ctx.Err() == nil {
			out, err := runner.Output(ctx, j.Metadata.Name, id, int(seen)) //nolint:gosec // bounded above
			if err != nil {
				return err
			}
			for _, line := range out.Lines {
				seen++
				if err := s.queue(strconv.FormatUint(seen, 10), "line", line); err != nil {
					return err
				}
			}
			if out.Done {
				return s.send("", "end", struct{}{})
			}
		}
		return ctx.Err()
	})
}

// maxInstants bounds what a timeline tells of one job.
const maxInstants = 240

// timeline is what became of all jobs, and what is ahead.
func timeline(c *call) (any, error) {
	jobs, runner, err := c.jobs()
	if err != nil {
		return nil, err
	}
	hours, err := c.number("hours")
	if err != nil {
		return nil, err
	}
	past, err := c.number("past")
	if err != nil {
		return nil, err
	}
	now := time.Now()
	out := wire.Timeline{From: now, To: now.Add(time.Duration(hours) * time.Hour), Rows: make([]wire.TimelineRow, len(jobs))}
	for i, j := range jobs {
		row := wire.TimelineRow{Name: j.Metadata.Name, Past: []wire.TimelineRun{}, Next: []time.Time{}}
		if past > 0 {
			found, err := runner.Executions(c.Request.Context(), CronQuery{Job: row.Name, All: true, Limit: past})
			if err != nil {
				return nil, err
			}
			for _, e := range found {
				row.Past = append(row.Past, wire.TimelineRun{ID: e.ID, At: e.Scheduled, State: e.State, DurationSeconds: e.DurationSeconds})
			}
		}
		if j.IsEnabled() {
			for _, at := range runner.Validate(j.Spec.Schedule, j.Spec.TimeZone, j.Spec.Seconds, maxInstants).NextRuns {
				if at.After(out.To) {
					break
				}
				row.Next = append(row.Next, at)
			}
			row.More = len(row.Next) == maxInstants
		}
		out.Rows[i] = row
	}
	return out, nil
}
