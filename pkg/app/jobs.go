package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/jobs"
)

// background fits the jobs onto the API.
type background struct {
	app  *App
	jobs *jobs.Manager
}

func (a *App) openJobs(ctx context.Context) (*background, error) {
	b := &background{app: a}
	var err error
	b.jobs, err = jobs.Open(ctx, jobs.Options{
		Path: filepath.Join(a.settings.Dir, "jobs.db"), Dir: filepath.Join(a.settings.Dir, "jobs"), Workers: a.settings.JobWorkers,
		Changed: b.changed, Log: a.log,
	})
	return b, err
}

// changed puts on record what becomes of jobs, for those who watch events.
func (b *background) changed(j jobs.Job) {
	e := v1.Event{Type: v1.EventNormal, Actor: j.Actor}
	e.Key, _ = parseKey(j.Subject)
	switch j.Status {
	case jobs.Pending:
		return // it is told when it begins
	case jobs.Running:
		e.Reason, e.Message = "JobStarted", fmt.Sprintf("%s (job %s)", j.Name, j.ID)
	case jobs.Completed:
		e.Reason, e.Message = "JobCompleted", fmt.Sprintf("%s (job %s), in %s", j.Name, j.ID, j.Duration(time.Now()).Round(time.Second))
	case jobs.Failed:
		e.Type, e.Reason, e.Message = v1.EventWarning, "JobFailed", fmt.Sprintf("%s (job %s): %s", j.Name, j.ID, j.Error)
	}
	b.app.store.RecordEvent(e)
}

func jobView(j *jobs.Job) wire.Job {
	out := wire.Job{
		ID: j.ID, Name: j.Name, Status: string(j.Status), CreatedAt: j.CreatedAt, Kind: j.Kind, Subject: j.Subject, Reason: string(j.Reason),
		Fraction: j.Fraction, Actor: j.Actor,
	}
	if j.Result != nil {
		out.Result = j.Result
	}
	if j.Error != "" {
		out.Error = &j.Error
	}
	if j.Step != "" {
		out.Progress = &j.Step
	}
	if !j.StartedAt.IsZero() {
		out.StartedAt = &j.StartedAt
		seconds := j.Duration(time.Now()).Seconds()
		out.DurationSeconds = &seconds
	}
	if !j.CompletedAt.IsZero() {
		out.CompletedAt = &j.CompletedAt
	}
	return out
}

// inJobs puts the errors of jobs into the API's.
func inJobs(id string, err error) error {
	var busy *jobs.BusyError
	switch {
	case errors.Is(err, jobs.ErrUnknown):
		return rest.Errorf(wire.CodeNotFound, "there is no job %q; it may have left the history", id)
	case errors.Is(err, jobs.ErrEnded):
		return rest.Errorf(wire.CodeConflict, "job %s has ended", id)
	case errors.As(err, &busy):
		return rest.Errorf(wire.CodeConflict, "%v", err)
	case errors.Is(err, jobs.ErrQueueFull):
		return rest.Errorf(wire.CodeTooMany, "%v", err)
	}
	return err
}

// List implements rest.Jobs.
func (b *background) List(ctx context.Context, status string, limit, offset int) ([]wire.Job, error) {
	found, err := b.jobs.List(ctx, jobs.Query{Status: jobs.Status(status), Limit: limit, Offset: offset})
	out := make([]wire.Job, len(found))
	for i := range found {
		out[i] = jobView(&found[i])
	}
	return out, err
}

// Get implements rest.Jobs.
func (b *background) Get(ctx context.Context, id string) (wire.Job, error) {
	j, ok, err := b.jobs.Get(ctx, id)
	if err == nil && !ok {
		err = jobs.ErrUnknown
	}
	return jobView(&j), inJobs(id, err)
}

// Cancel implements rest.Jobs.
func (b *background) Cancel(ctx context.Context, id, actor string) (wire.Job, error) {
	if err := b.jobs.Cancel(ctx, id, actor); err != nil {
		return wire.Job{}, inJobs(id, err)
	}
	j, err := b.jobs.Wait(ctx, id)
	if ctx.Err() != nil {
		return b.Get(context.WithoutCancel(ctx), id)
	}
	return jobView(&j), inJobs(id, err)
}

// Follow implements rest.Jobs.
func (b *background) Follow(ctx context.Context, id string, after uint64, fn func(wire.JobLine) error) (wire.Job, error) {
	j, err := b.jobs.Follow(ctx, id, after, func(l jobs.Line) error { return fn(wire.JobLine(l)) })
	return jobView(&j), inJobs(id, err)
}

// Transcript implements rest.Jobs.
func (b *background) Transcript(ctx context.Context, id string, to io.Writer) error {
	return inJobs(id, b.jobs.Transcript(ctx, id, to))
}

var _ rest.Jobs = (*background)(nil)
