package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	"github.com/philiporange/supervisor/api/wire"
)

// errands are two jobs: one that has ended, and one that runs until it is cancelled.
type errands struct {
	jobs  []wire.Job
	lines []wire.JobLine
}

func newErrands() *errands {
	now, two := time.Now(), 2.0
	return &errands{
		jobs: []wire.Job{
			{ID: "fix-2", Name: "fix web", Status: "running", CreatedAt: now, StartedAt: &now},
			{ID: "fix-1", Name: "fix web", Status: "completed", CreatedAt: now, StartedAt: &now, CompletedAt: &now, DurationSeconds: &two, Result: json.RawMessage(`{"ok":true}`)},
		},
		lines: []wire.JobLine{{Seq: 1, Time: now, Kind: "text", Text: "one"}, {Seq: 2, Time: now, Kind: "tool", Data: json.RawMessage(`{"n":2}`)}},
	}
}

func (e *errands) List(_ context.Context, status string, _, _ int) ([]wire.Job, error) {
	return slices.DeleteFunc(slices.Clone(e.jobs), func(j wire.Job) bool { return status != "" && j.Status != status }), nil
}

func (e *errands) Get(_ context.Context, id string) (wire.Job, error) {
	for _, j := range e.jobs {
		if j.ID == id {
			return j, nil
		}
	}
	return wire.Job{}, rest.Errorf(wire.CodeNotFound, "there is no job %q", id)
}

func (e *errands) Cancel(_ context.Context, id, actor string) (wire.Job, error) {
	if id != "fix-2" {
		return wire.Job{}, rest.Errorf(wire.CodeConflict, "job %s has ended", id)
	}
	why := "cancelled by " + actor
	e.jobs[0].Status, e.jobs[0].Error = "failed", &why
	return e.jobs[0], nil
}

func (e *errands) Follow(ctx context.Context, id string, after uint64, fn func(wire.JobLine) error) (wire.Job, error) {
	for _, l := range e.lines {
		if l.Seq > after {
			if err := fn(l); err != nil {
				return wire.Job{}, err
			}
		}
	}
	return e.Get(ctx, id)
}

func (e *errands) Transcript(_ context.Context, _ string, to io.Writer) error {
	for _, l := range e.lines {
		if err := json.NewEncoder(to).Encode(l); err != nil {
			return err
		}
	}
	return nil
}

type noAgents struct{}

func (noAgents) Agents(context.Context) []wire.Agent {
	return []wire.Agent{{ID: "opencode", Name: "opencode", Reason: "not installed", Models: []string{}}}
}

func TestAJobsStream(t *testing.T) {
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.Jobs = newErrands() })
	for after, want := range map[string][]string{"": {"job", "line 1", "line 2", "job", "end"}, "1": {"job", "line 2", "job", "end"}} {
		r := h.call(t, request{path: "/api/v1/jobs/fix-1/stream?last_event_id=" + after}).body
		var got []string
		for frame := range strings.SplitSeq(r, "\n\n") {
			var id, event string
			for line := range strings.Lines(frame) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				switch name {
				case "id":
					id = " " + value
				case "event":
					event = value
				}
			}
			if event != "" {
				got = append(got, event+id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %q: %v", after, got)
		}
	}
}
