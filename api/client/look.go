package client

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/philiporange/supervisor/api/wire"
)

// SearchLogs returns a page of entries, newest first.
func (c *Client) SearchLogs(ctx context.Context, q wire.LogSearch) (wire.LogPage, error) {
	query := url.Values{"service": q.Services}
	for name, text := range map[string]string{"stream": q.Stream, "level": q.Level, "q": q.Text, "regexp": q.Regexp, "cursor": q.Cursor} {
		if text != "" {
			query.Set(name, text)
		}
	}
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			query.Set(name, t.Format(time.RFC3339Nano))
		}
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[wire.LogPage](ctx, c, "/api/v1/logs", query)
}

// MetricsNow is what everything that runs uses now.
func (c *Client) MetricsNow(ctx context.Context) (wire.MetricsNow, error) {
	return get[wire.MetricsNow](ctx, c, "/api/v1/metrics", nil)
}

// MetricsSeries is a chart of what a service used in the last hours.
func (c *Client) MetricsSeries(ctx context.Context, service string, hours, points int) (wire.Series, error) {
	query := url.Values{"hours": {strconv.Itoa(hours)}, "points": {strconv.Itoa(points)}}
	return get[wire.Series](ctx, c, "/api/v1/services/"+url.PathEscape(service)+"/metrics/series", query)
}
