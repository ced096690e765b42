package rest

import (
	"net/http"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

func metricsRoutes() []route {
	return tagged("metrics", []route{
		{method: http.MethodGet, path: "/metrics", summary: "All figures, for Prometheus", serve: exposition},
		{method: http.MethodGet, path: "/api/v1/metrics", summary: "What everything that runs uses now", response: wire.MetricsNow{}, serve: metricsNow},
		{method: http.MethodGet, path: "/api/v1/metrics/recent", summary: "The last hour of everything that was measured, coarsely", response: wire.Recent{}, serve: metricsRecent},
		{
			method: http.MethodGet, path: "/api/v1/services/:name/metrics/series", summary: "A chart of what a service used, oldest first",
			response: wire.Series{}, serve: metricsSeries,
			query: []param{
				{name: "hours", about: "How far back.", schema: 0, min: 1, max: 8784, def: 24},
				{name: "points", about: "How many points at most.", schema: 0, min: 10, max: 5000, def: 600},
			},
		},
		{
			method: http.MethodGet, path: "/api/v1/services/:name/processes", summary: "The processes of a service, parents first",
			response: wire.Processes{}, serve: processes,
		},
		{
			method: http.MethodPost, path: "/api/v1/alerts/test", summary: "Send a test message to the alert channels",
			response: wire.AlertTests{}, serve: testAlerts,
			query: []param{{name: "channel", about: "Only this one.", schema: ""}},
		},
	})
}

func (c *call) metrics() (Meter, error) {
	if c.api.deps.Metrics == nil {
		return nil, Errorf(wire.CodeUnavailable, "nothing is measured here")
	}
	return c.api.deps.Metrics, nil
}

func exposition(c *call) (any, error) {
	m, err := c.metrics()
	if err != nil {
		return nil, err
	}
	m.Exposition().ServeHTTP(c.Writer, c.Request)
	return answered{}, nil
}

func metricsNow(c *call) (any, error) {
	m, err := c.metrics()
	if err != nil {
		return nil, err
	}
	all, err := m.CurrentAll(c.Request.Context())
	if err != nil {
		return nil, err
	}
	out := wire.MetricsNow{Services: map[string]wire.Usage{}, CronJobs: map[string]wire.Usage{}}
	for key, usage := range all {
		if key.Kind == v1.KindService {
			out.Services[key.Name] = usage
		} else {
			out.CronJobs[key.Name] = usage
		}
	}
	return out, nil
}

func metricsRecent(c *call) (any, error) {
	m, err := c.metrics()
	if err != nil {
		return nil, err
	}
	return m.Recent(c.Request.Context())
}

func metricsSeries(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	hours, err := c.number("hours")
	if err != nil {
		return nil, err
	}
	points, err := c.number("points")
	if err != nil {
		return nil, err
	}
	m, err := c.metrics()
	if err != nil {
		return nil, err
	}
	return m.Series(c.Request.Context(), s.Key(), hours, points)
}

func processes(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	m, err := c.metrics()
	if err != nil {
		return nil, err
	}
	found, err := m.Processes(c.Request.Context(), s.Key())
	return wire.Processes{Processes: append([]wire.Process{}, found...)}, err
}

func testAlerts(c *call) (any, error) {
	m, err := c.metrics()
	if err != nil {
		return nil, err
	}
	results := m.TestAlerts(c.Request.Context(), c.Query("channel"))
	if len(results) == 0 {
		return nil, Errorf(wire.CodeUnavailable, "there is no such alert channel; set ALERT_CHANNELS, such as phone=ntfy+https://ntfy.sh/topic")
	}
	return wire.AlertTests{Results: results}, nil
}
