package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

// Projects returns the folders that could be onboarded.
func (c *Client) Projects(ctx context.Context) ([]wire.Project, error) {
	out, err := get[wire.Projects](ctx, c, "/api/projects", nil)
	return out.Projects, err
}

// OnboardPreview looks at a project, and writes nothing.
func (c *Client) OnboardPreview(ctx context.Context, project string) (wire.OnboardPreview, error) {
	return get[wire.OnboardPreview](ctx, c, "/api/onboard/preview", url.Values{"project": {project}})
}

// Onboard makes a service of a project, in the background.
func (c *Client) Onboard(ctx context.Context, r wire.OnboardRequest) (wire.OnboardStarted, error) {
	return sendJSON[wire.OnboardStarted](ctx, c, http.MethodPost, "/api/onboard", r)
}

// Scan looks at an exposed service as a stranger would, in the background.
func (c *Client) Scan(ctx context.Context, name string, r wire.ScanRequest) (wire.JobStarted, error) {
	return sendJSON[wire.JobStarted](ctx, c, http.MethodPost, servicePath(name, "/security-scan"), r)
}

// LatestScan is the newest security scan of a service.
func (c *Client) LatestScan(ctx context.Context, name string) (wire.Scan, error) {
	return get[wire.Scan](ctx, c, servicePath(name, "/security-scan/latest"), nil)
}
