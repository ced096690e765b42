package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"github.com/philiporange/supervisor/api/wire"
)

// RunCronJob asks for a run now. It returns when the request is on record.
func (c *Client) RunCronJob(ctx context.Context, name string) (wire.CronRun, error) {
	return post[wire.CronRun](ctx, c, "/api/cron/"+url.PathEscape(name)+"/run")
}

// StopCronJob ends what runs of a job.
func (c *Client) StopCronJob(ctx context.Context, name string) (wire.Stopped, error) {
	return post[wire.Stopped](ctx, c, "/api/cron/"+url.PathEscape(name)+"/stop")
}

// CronNext tells what a job's schedule means and when it is due next.
func (c *Client) CronNext(ctx context.Context, name string, count int) (wire.CronValidation, error) {
	return get[wire.CronValidation](ctx, c, "/api/v1/cronjobs/"+url.PathEscape(name)+"/next", url.Values{"count": {strconv.Itoa(count)}})
}

// CronHistory is what became of each instant of a job, newest first.
func (c *Client) CronHistory(ctx context.Context, name string, limit int) ([]wire.Execution, error) {
	out, err := get[wire.CronHistory](ctx, c, "/api/v1/cronjobs/"+url.PathEscape(name)+"/history", url.Values{"limit": {strconv.Itoa(limit)}})
	return out.Rows, err
}

// Execution is one run of a job.
func (c *Client) Execution(ctx context.Context, name string, id uint64) (wire.Execution, error) {
	return get[wire.Execution](ctx, c, "/api/cron/"+url.PathEscape(name)+"/executions/"+strconv.FormatUint(id, 10), nil)
}

// FollowRun calls fn with each line that a run prints, until it has ended, and returns how it ended.
func (c *Client) FollowRun(ctx context.Context, name string, id uint64, fn func(wire.LogLine)) (wire.Execution, error) {
	path := "/api/v1/cronjobs/" + url.PathEscape(name) + "/runs/" + strconv.FormatUint(id, 10) + "/output/stream"
	err := c.follow(ctx, path, nil, "", func(f frame) error {
		var line wire.LogLine
		if err := json.Unmarshal(f.data, &line); err != nil {
			return fmt.Errorf("read a line of output: %w", err)
		}
		fn(line)
		return nil
	})
	if err != nil {
		return wire.Execution{}, err
	}
	return c.Execution(ctx, name, id)
}

// Timeline is what became of all jobs, and when they are due in the next hours.
func (c *Client) Timeline(ctx context.Context, hours int) (wire.Timeline, error) {
	return get[wire.Timeline](ctx, c, "/api/v1/timeline", url.Values{"hours": {strconv.Itoa(hours)}})
}
