package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/philiporange/supervisor/api/wire"
)

// Jobs is the work in the background, newest first. An empty status takes all.
func (c *Client) Jobs(ctx context.Context, status string, limit int) ([]wire.Job, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if status != "" {
		query.Set("status", status)
	}
	return get[[]wire.Job](ctx, c, "/api/jobs", query)
}

// Job is one piece of work.
func (c *Client) Job(ctx context.Context, id string) (wire.Job, error) {
	return get[wire.Job](ctx, c, "/api/jobs/"+url.PathEscape(id), nil)
}

// CancelJob ends a piece of work.
func (c *Client) CancelJob(ctx context.Context, id string) (wire.Job, error) {
	return post[wire.Job](ctx, c, "/api/v1/jobs/"+url.PathEscape(id)+"/cancel")
}

// FollowJob calls fn with each line of a job's transcript until the job has ended, and returns how it ended.
func (c *Client) FollowJob(ctx context.Context, id string, fn func(wire.JobLine) error) (wire.Job, error) {
	var last wire.Job
	err := c.follow(ctx, "/api/v1/jobs/"+url.PathEscape(id)+"/stream", nil, "", func(f frame) error {
		if f.event == "job" {
			last = wire.Job{}
			return json.Unmarshal(f.data, &last)
		}
		var line wire.JobLine
		if err := json.Unmarshal(f.data, &line); err != nil {
			return fmt.Errorf("read a line of a job: %w", err)
		}
		return fn(line)
	})
	return last, err
}

// JobTranscript calls fn with each line of a job's transcript that is there by now.
func (c *Client) JobTranscript(ctx context.Context, id string, fn func(wire.JobLine) error) error {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/api/v1/jobs/" + url.PathEscape(id) + "/transcript"})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	lines := json.NewDecoder(resp.Body)
	for lines.More() {
		var line wire.JobLine
		if err := lines.Decode(&line); err != nil {
			return fmt.Errorf("read a line of a job: %w", err)
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	return nil
}

// Agents are the coding agents that are known.
func (c *Client) Agents(ctx context.Context) ([]wire.Agent, error) {
	return get[[]wire.Agent](ctx, c, "/api/agents", nil)
}
