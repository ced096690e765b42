package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/controllers/cronjob"
	"github.com/philiporange/supervisor/pkg/command"
	"github.com/philiporange/supervisor/pkg/cron"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/logs"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/settings"
)

// cronJobs is everything that runs cron jobs. It fits it onto the API, and keeps what was observed of them: that is made
// anew from the ledger by the first look at each job.
type cronJobs struct {
	app        *App
	ledger     *ledger.Store
	ticker     *cron.Ticker[v1.Key]
	reconciler *cronjob.Reconciler

	mu       sync.Mutex
	statuses map[v1.Key]*v1.CronJobStatus
	changed  chan struct{} // closed and replaced when a status changes
}

func (a *App) makeCron(ctx context.Context, p *programs) (*cronJobs, error) {
	c := &cronJobs{app: a, statuses: map[v1.Key]*v1.CronJobStatus{}, changed: make(chan struct{})}
	var err error
	if c.ledger, err = ledger.Open(ctx, filepath.Join(a.settings.Dir, "cron.db"), a.log); err != nil {
		return nil, err
	}
	c.ticker = cron.NewTicker(cron.SystemClock{}, a.loop.Add)
	c.reconciler = cronjob.New(cronjob.Config{
		Desired: c, Keeper: a.keeper, Store: c, Ledger: c.ledger, Waker: c.ticker, Program: p.job, LogDir: c.logDir,
		Peak: func(id process.RunID) (cronjob.Peak, bool) {
			peak, ok := a.measuring.sampler.Peak(string(id))
			return cronjob.Peak{CPUPercent: peak.CPUPercent, MemoryBytes: peak.MemoryBytes}, ok
		},
		Ended: a.jobEnded, Enqueue: a.loop.Add, External: a.settings.CronScheduler == settings.CronTick,
		MaxRuns: a.settings.CronMaxRuns, Log: a.log,
	})
	return c, nil
}

func (c *cronJobs) logDir(job string, id uint64) string {
	return filepath.Join(c.app.settings.Dir, "runs", job, strconv.FormatUint(id, 10))
}

// job is what the keeper is to be given for a run of a cron job.
func (p *programs) job(j *v1.CronJob) (process.Spec, error) {
	sp := &j.Spec
	request, _, err := p.jobRequest(j)
	if err != nil {
		return process.Spec{}, err
	}
	resolved, err := command.Resolve(request)
	if err != nil {
		return process.Spec{}, &process.StartError{Reason: process.ReasonBadSpec, Detail: err.Error()}
	}
	sig, err := v1.ParseSignal(sp.Stop.Signal)
	if err != nil {
		return process.Spec{}, &process.StartError{Reason: process.ReasonBadSpec, Detail: err.Error()}
	}
	spec := process.Spec{
		Argv: resolved.Argv, Env: resolved.Env, Dir: resolved.Dir, User: sp.User, Group: sp.Group, Limits: limits(sp.Resources),
		StopSignal: int(sig), StopGrace: sp.Stop.Timeout.Or(v1.DefaultStopTimeout),
		Logs: process.LogSpec{MaxBytes: p.maxBytes, Backups: p.backups},
	}
	if sp.Umask != "" {
		mask, err := strconv.ParseInt(sp.Umask, 8, 32)
		if err != nil {
			return spec, &process.StartError{Reason: process.ReasonBadSpec, Detail: fmt.Sprintf("umask %q: %v", sp.Umask, err)}
		}
		m := int(mask)
		spec.Umask = &m
	}
	if sp.Logs.MaxBytes > 0 {
		spec.Logs.MaxBytes = int64(sp.Logs.MaxBytes)
	}
	if sp.Logs.Backups != nil {
		spec.Logs.Backups = *sp.Logs.Backups
	}
	return spec, nil
}

// jobRequest is what a manifest says about the program of a cron job.
func (p *programs) jobRequest(j *v1.CronJob) (command.Request, command.Account, error) {
	sp := &j.Spec
	account, err := p.accounts.get(sp.User)
	if err != nil {
		return command.Request{}, account, &process.StartError{Reason: process.ReasonBadUser, Detail: err.Error()}
	}
	request := command.Request{
		Line: sp.Command.Line, Argv: sp.Command.Argv, Dir: sp.WorkingDir, Base: p.base(j.Key()), Account: account, Env: sp.Env,
		Vars: map[string]string{"SUPERVISOR_CRONJOB": j.Metadata.Name},
	}
	for _, f := range sp.EnvFile {
		request.EnvFiles = append(request.EnvFiles, command.EnvFile{Path: f.Path, Optional: f.Optional})
	}
	return request, account, nil
}

// CronJob implements cronjob.Desired.
func (c *cronJobs) CronJob(name string) (*v1.CronJob, string, bool) {
	object, revision, _, ok := c.app.desired.Get(v1.Key{Kind: v1.KindCronJob, Name: name})
	j, isJob := object.(*v1.CronJob)
	if !ok || !isJob || j.Metadata.Name != name {
		return nil, "", false
	}
	return j, revision, true
}

// CronJobs implements cronjob.Desired.
func (c *cronJobs) CronJobs() []*v1.CronJob {
	objects := c.app.desired.List(v1.KindCronJob)
	out := make([]*v1.CronJob, 0, len(objects))
	for _, o := range objects {
		if j, ok := o.(*v1.CronJob); ok {
			out = append(out, j)
		}
	}
	return out
}

// Complete implements cronjob.Desired.
func (c *cronJobs) Complete() bool { return c.app.desired.Complete() }

// Problems implements cronjob.Desired.
func (c *cronJobs) Problems(name string) []v1.Problem {
	return c.app.desired.ProblemsOf(v1.Key{Kind: v1.KindCronJob, Name: name})
}

// CronJobStatus implements cronjob.Store.
func (c *cronJobs) CronJobStatus(key v1.Key) *v1.CronJobStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.statuses[key]
}

// SetCronJobStatus implements cronjob.Store.
func (c *cronJobs) SetCronJobStatus(key v1.Key, st *v1.CronJobStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.statuses[key]
	c.statuses[key] = st
	c.tell()
	if !sameCronJobStatus(was, st) {
		c.app.store.TellCronJob(key, st) // under the lock, so that they are told in order
	}
}

// sameCronJobStatus reports whether two statuses differ in nothing but the time at which they were made.
func sameCronJobStatus(a, b *v1.CronJobStatus) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.UpdatedAt, y.UpdatedAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(x, y)
}

// tell wakes who waits for a status. c.mu is held.
func (c *cronJobs) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// DeleteObject implements cronjob.Store.
func (c *cronJobs) DeleteObject(key v1.Key) {
	c.app.store.DeleteObject(key)
	if err := os.RemoveAll(filepath.Join(c.app.settings.Dir, "runs", key.Name)); err != nil {
		c.app.log.Warn("the output of a deleted cron job stays", "cronjob", key.Name, "err", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.statuses, key)
	c.tell()
}

// RecordEvent implements cronjob.Store.
func (c *cronJobs) RecordEvent(e v1.Event) uint64 {
	if e.Reason == "Missed" || e.Reason == "Hung" {
		if j, _, ok := c.CronJob(e.Key.Name); ok {
			c.app.measuring.jobMissed(j, e.Message)
		}
	}
	return c.app.store.RecordEvent(e)
}

// Gone implements rest.Cron.
func (c *cronJobs) Gone(ctx context.Context, name string) error {
	key := v1.Key{Kind: v1.KindCronJob, Name: name}
	for {
		c.mu.Lock()
		_, there := c.statuses[key]
		changed := c.changed
		c.mu.Unlock()
		if !there {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Status implements rest.Cron.
func (c *cronJobs) Status(name string) *v1.CronJobStatus {
	return c.CronJobStatus(v1.Key{Kind: v1.KindCronJob, Name: name})
}

// Describe implements rest.Cron.
func (c *cronJobs) Describe(j *v1.CronJob) string {
	s, err := cronjob.ScheduleOf(j)
	if err != nil {
		return ""
	}
	return s.Describe()
}

// Check implements rest.Cron.
func (c *cronJobs) Check(j *v1.CronJob) v1.FieldErrors { return cronjob.Check(j) }

// Validate implements rest.Cron.
func (c *cronJobs) Validate(schedule, zone string, seconds bool, count int) wire.CronValidation {
	out := wire.CronValidation{NextRuns: []time.Time{}}
	where := time.Local
	if zone != "" {
		var err error
		if where, err = time.LoadLocation(zone); err != nil {
			out.Message = fmt.Sprintf("%q is not a time zone; write an IANA name such as Europe/London or UTC", zone)
			return out
		}
	}
	v := cron.Validate(schedule, cron.Options{Seconds: seconds, Location: where}, time.Now(), count)
	out.Valid, out.Message, out.Description = v.Valid, v.Message, v.Description
	out.NextRuns = append(out.NextRuns, v.NextRuns...)
	return out
}

// inWords puts the reconciler's errors into the API's.
func inWords(err error) error {
	if errors.Is(err, cronjob.ErrUnknown) {
		return rest.ErrNoCronJob
	}
	return err
}

// Run implements rest.Cron.
func (c *cronJobs) Run(ctx context.Context, name, actor string) (uint64, bool, error) {
	id, started, err := c.reconciler.Run(ctx, name, actor)
	return id, started, inWords(err)
}

// Stop implements rest.Cron.
func (c *cronJobs) Stop(ctx context.Context, name, actor string) (bool, error) {
	stopped, err := c.reconciler.Stop(ctx, name, actor)
	return stopped, inWords(err)
}

// Tick implements rest.Cron.
func (c *cronJobs) Tick(ctx context.Context) ([]uint64, error) { return c.reconciler.Tick(ctx) }

// Executions implements rest.Cron.
func (c *cronJobs) Executions(ctx context.Context, q rest.CronQuery) ([]wire.Execution, error) {
	rows, err := c.ledger.Executions(ctx, ledger.Query{Job: q.Job, All: q.All, Limit: q.Limit, Offset: q.Offset, Output: !q.All})
	out := make([]wire.Execution, len(rows))
	for i := range rows {
		out[i] = execution(&rows[i])
	}
	return out, err
}

// Execution implements rest.Cron.
func (c *cronJobs) Execution(ctx context.Context, job string, id uint64) (wire.Execution, bool, error) {
	row, ok, err := c.ledger.Execution(ctx, job, id)
	return execution(&row), ok, err
}

func execution(r *ledger.Row) wire.Execution {
	out := wire.Execution{
		ID: r.ID, CronJobName: r.Job, ExitCode: r.ExitCode, Stdout: r.Stdout, Stderr: r.Stderr, DurationSeconds: r.Duration().Seconds(),
		CPUPercent: r.CPUPercent, MemoryMB: float64(r.MemoryBytes) / mebibyte, FixAttempted: r.FixAttempted, FixSuccess: r.FixSuccess,
		Scheduled: r.Instant, Attempt: r.Attempt, Trigger: string(r.Trigger), State: string(r.State), Reason: r.Reason, Message: r.Message,
		Signal: r.Signal, CPUSeconds: (r.UserTime + r.SystemTime).Seconds(),
	}
	if !r.StartedAt.IsZero() {
		out.StartedAt = &r.StartedAt
	}
	if !r.FinishedAt.IsZero() {
		out.FinishedAt = &r.FinishedAt
	}
	if r.State.Ended() {
		success := r.State == ledger.Succeeded
		out.Success = &success
	}
	return out
}

// Counts implements rest.Cron.
func (c *cronJobs) Counts(ctx context.Context, since time.Time) (began, failed map[string]int, err error) {
	all, err := c.ledger.Summaries(ctx, since)
	began, failed = make(map[string]int, len(all)), make(map[string]int, len(all))
	for name, s := range maps.All(all) {
		began[name], failed[name] = s.Executions, s.Failures
	}
	return began, failed, err
}

// outputLook is the time between two looks at the output of a run that somebody watches.
const outputLook = 100 * time.Millisecond

// Output implements rest.Cron.
func (c *cronJobs) Output(ctx context.Context, job string, id uint64, skip int) (wire.CronOutput, error) {
	tick := time.NewTicker(outputLook)
	defer tick.Stop()
	for size := int64(-1); ; {
		// The state is read before the files: what a run has printed is complete when it has ended.
		row, ok, err := c.ledger.Execution(context.WithoutCancel(ctx), job, id)
		if err != nil {
			return wire.CronOutput{}, err
		}
		if !ok {
			return wire.CronOutput{}, rest.Errorf(wire.CodeNotFound, "cron job %s has no execution %d; it may have left the history (spec.history.keep)", job, id)
		}
		out := wire.CronOutput{Done: !row.State.Open()}
		now := int64(0)
		files, err := logs.Files(c.logDir(job, id))
		if err != nil {
			return out, err
		}
		for _, f := range files {
			now += f.Size
		}
		if now != size || out.Done {
			size = now
			if out.Lines, err = c.lines(job, id, skip); err != nil || len(out.Lines) > 0 || out.Done {
				return out, err
			}
		}
		select {
		case <-ctx.Done():
			return out, nil
		case <-tick.C:
		}
	}
}

// maxOutput bounds how many lines of a run are read at a time.
const maxOutput = 1_000_000

func (c *cronJobs) lines(job string, id uint64, skip int) ([]wire.LogLine, error) {
	found, err := logs.Tail(c.logDir(job, id), "", maxOutput, time.Time{})
	if err != nil {
		return nil, err
	}
	var out []wire.LogLine
	for i, l := range found {
		if i >= skip && !l.Open {
			out = append(out, wire.LogLine{Service: job, Stream: string(l.Stream), Time: l.Time, Text: l.Text})
		}
	}
	return out, nil
}

// shutdown stops what runs, puts it on record, and starts nothing any more.
func (c *cronJobs) shutdown(ctx context.Context, actor string) {
	defer c.reconciler.Close()
	look := time.NewTicker(outputLook)
	defer look.Stop()
	asked := map[string]bool{}
	for {
		left := 0
		for _, run := range c.app.keeper.All() {
			key, ok := parseKey(run.Owner)
			if !ok || key.Kind != v1.KindCronJob {
				continue
			}
			left++
			if asked[key.Name] {
				continue
			}
			asked[key.Name] = true
			if _, err := c.reconciler.Stop(ctx, key.Name, actor); err != nil {
				c.app.log.Warn("a cron job was not stopped", "cronjob", key.Name, "err", err)
			}
		}
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

var (
	_ cronjob.Desired = (*cronJobs)(nil)
	_ cronjob.Store   = (*cronJobs)(nil)
	_ rest.Cron       = (*cronJobs)(nil)
)
