package rest

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"github.com/philiporange/supervisor/api/wire"
)

// Jobs is the work in the background. Its errors are *Error, or they are answered as internal.
type Jobs interface {
	// List is newest first; an empty status takes all.
	List(ctx context.Context, status string, limit, offset int) ([]wire.Job, error)
	Get(ctx context.Context, id string) (wire.Job, error)
	// Cancel tells a job to end, and returns it when it has, or as it is when that takes longer.
	Cancel(ctx context.Context, id, actor string) (wire.Job, error)
	// Follow calls fn with each line after one, until the job has ended, and returns how.
	Follow(ctx context.Context, id string, after uint64, fn func(wire.JobLine) error) (wire.Job, error)
	// Transcript writes all lines as JSON, one a line.
	Transcript(ctx context.Context, id string, to io.Writer) error
}

func jobRoutes() []route {
	const one = "/api/v1/jobs/:id"
	get := http.MethodGet
	return tagged("jobs", []route{
		{
			method: get, path: "/api/jobs", summary: "Work in the background, newest first", response: []wire.Job{}, serve: listJobs,
			query: []param{
				{name: "status", about: "Only in this state.", schema: "", enum: []string{"pending", "running", "completed", "failed"}},
				limitParam(500, 100), offsetParam(),
			},
		},
		{method: get, path: "/api/jobs/:id", summary: "One piece of work", response: wire.Job{}, serve: getJob},
		{method: http.MethodPost, path: one + "/cancel", summary: "End a piece of work", response: wire.Job{}, serve: cancelJob},
		{
			method: get, path: one + "/stream", summary: "A job and its transcript as it grows (event: job, line, then job and end)",
			response: wire.JobLine{}, stream: true, serve: streamJob,
			query: []param{{name: "last_event_id", about: "Resume after this line, as the header Last-Event-ID does.", schema: ""}},
		},
		{method: get, path: one + "/transcript", summary: "A job's whole transcript: JSON, one line each", serve: jobTranscript},
	})
}

func (c *call) work() (Jobs, error) {
	if c.api.deps.Jobs == nil {
		return nil, Errorf(wire.CodeUnavailable, "no work is done in the background here")
	}
	return c.api.deps.Jobs, nil
}

func listJobs(c *call) (any, error) {
	work, err := c.work()
	if err != nil {
		return nil, err
	}
	status, err := c.choice("status")
	if err != nil {
		return nil, err
	}
	limit, err := c.number("limit")
	if err != nil {
		return nil, err
	}
	offset, err := c.number("offset")
	if err != nil {
		return nil, err
	}
	found, err := work.List(c.Request.Context(), status, limit, offset)
	return append([]wire.Job{}, found...), err
}

func getJob(c *call) (any, error) {
	work, err := c.work()
	if err != nil {
		return nil, err
	}
	return work.Get(c.Request.Context(), c.Param("id"))
}

func cancelJob(c *call) (any, error) {
	work, err := c.work()
	if err != nil {
		return nil, err
	}
	c.linger(c.api.deps.Patience)
	ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.deps.Patience)
	defer cancel()
	return work.Cancel(ctx, c.Param("id"), c.caller.actor())
}

func streamJob(c *call) (any, error) {
	work, err := c.work()
	if err != nil {
		return nil, err
	}
	after, _, err := c.lastID()
	if err != nil {
		return nil, err
	}
	id := c.Param("id")
	begun, err := work.Get(c.Request.Context(), id)
	if err != nil {
		return nil, err
	}
	return c.serveStream(func(ctx context.Context, s *stream) error {
		if err := s.send("", "job", begun); err != nil {
			return err
		}
		ended, err := work.Follow(ctx, id, after, func(l wire.JobLine) error { return s.send(strconv.FormatUint(l.Seq, 10), "line", l) })
		if err != nil {
			return err
		}
		if err := s.send("", "job", ended); err != nil {
			return err
		}
		return s.send("", "end", struct{}{})
	})
}

func jobTranscript(c *call) (any, error) {
	work, err := c.work()
	if err != nil {
		return nil, err
	}
	if _, err := work.Get(c.Request.Context(), c.Param("id")); err != nil {
		return nil, err
	}
	c.Header("Content-Type", "application/x-ndjson; charset=utf-8")
	c.Header("Cache-Control", "no-store")
	return answered{}, work.Transcript(c.Request.Context(), c.Param("id"), c.Writer)
}
