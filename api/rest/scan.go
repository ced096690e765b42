package rest

import (
	"context"
	"net/http"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// Scanner looks at exposed services as a stranger would. Its errors are *Error, or they are answered as internal.
type Scanner interface {
	Scan(ctx context.Context, s *v1.Service, r wire.ScanRequest, actor string) (wire.JobStarted, error)
	LatestScan(ctx context.Context, service string) (wire.Scan, error)
}

func scanRoutes() []route {
	const one = "/api/services/:name/security-scan"
	return tagged("services", []route{
		{
			method: http.MethodPost, path: one, summary: "Look at an exposed service as a stranger would", request: wire.ScanRequest{}, response: wire.JobStarted{}, serve: startScan,
			query: []param{{name: "model", about: "Of the agent that gives its opinion too.", schema: ""}},
		},
		{method: http.MethodGet, path: one + "/latest", summary: "The newest security scan", response: wire.Scan{}, serve: latestScan},
	})
}

func startScan(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	if c.api.deps.Scanner == nil {
		return nil, Errorf(wire.CodeUnavailable, "no services are scanned here")
	}
	r, err := readJSON[wire.ScanRequest](c)
	if err != nil {
		return nil, err
	}
	if model := c.Query("model"); model != "" {
		r.Model = model
	}
	if !s.Exposed() {
		return nil, Errorf(wire.CodeInvalid, "service %s is not exposed; set spec.expose (or expose_caddy) first", s.Metadata.Name)
	}
	return c.api.deps.Scanner.Scan(c.Request.Context(), s, r, c.caller.actor())
}

func latestScan(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	if c.api.deps.Scanner == nil {
		return wire.Scan{}, nil
	}
	return c.api.deps.Scanner.LatestScan(c.Request.Context(), s.Metadata.Name)
}
