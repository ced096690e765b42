package rest

import (
	"context"
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

// Onboarder makes services of projects. Its errors are *Error, or they are answered as internal.
type Onboarder interface {
	Projects(ctx context.Context) ([]wire.Project, error)
	Preview(ctx context.Context, project string) (wire.OnboardPreview, error)
	Onboard(ctx context.Context, r wire.OnboardRequest, actor string) (wire.OnboardStarted, error)
}

func onboardRoutes() []route {
	return tagged("onboarding", []route{
		{method: http.MethodGet, path: "/api/projects", summary: "The folders that could be onboarded", response: wire.Projects{}, serve: projects},
		{
			method: http.MethodGet, path: "/api/onboard/preview", summary: "What a look at a project proposes; nothing is written", response: wire.OnboardPreview{}, serve: previewOnboard,
			query: []param{{name: "project", about: "A folder's name in PROJECTS_DIR, or a path.", schema: ""}},
		},
		{
			method: http.MethodPost, path: "/api/onboard", summary: "Make a service of a project: look, refine, try, revise",
			request: wire.OnboardRequest{}, response: wire.OnboardStarted{}, serve: startOnboard,
		},
	})
}

func (c *call) onboarder() (Onboarder, error) {
	if c.api.deps.Onboarder == nil {
		return nil, Errorf(wire.CodeUnavailable, "no projects are onboarded here")
	}
	return c.api.deps.Onboarder, nil
}

func projects(c *call) (any, error) {
	o, err := c.onboarder()
	if err != nil {
		return nil, err
	}
	found, err := o.Projects(c.Request.Context())
	return wire.Projects{Projects: append([]wire.Project{}, found...)}, err
}

func previewOnboard(c *call) (any, error) {
	o, err := c.onboarder()
	if err != nil {
		return nil, err
	}
	if c.Query("project") == "" {
		return nil, badParam("project", "name a folder of PROJECTS_DIR, or a path")
	}
	return o.Preview(c.Request.Context(), c.Query("project"))
}

func startOnboard(c *call) (any, error) {
	o, err := c.onboarder()
	if err != nil {
		return nil, err
	}
	r, err := readJSON[wire.OnboardRequest](c)
	if err != nil {
		return nil, err
	}
	if r.Project == "" {
		return nil, badParam("project", "name a folder of PROJECTS_DIR, or a path")
	}
	if r.Port < 0 || r.Port > 65535 {
		return nil, badParam("port", "%d is not a port; write a number from 1 to 65535", r.Port)
	}
	return o.Onboard(c.Request.Context(), r, c.caller.actor())
}
