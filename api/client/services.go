package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

func servicePath(name, rest string) string { return "/api/services/" + url.PathEscape(name) + rest }

// Services returns the flat view of every service, sorted by name.
func (c *Client) Services(ctx context.Context) ([]wire.Service, error) {
	return get[[]wire.Service](ctx, c, "/api/services", nil)
}

// Service returns the flat view of one service.
func (c *Client) Service(ctx context.Context, name string) (wire.Service, error) {
	return get[wire.Service](ctx, c, servicePath(name, ""), nil)
}

// CreateService writes a new manifest and returns what the reconciler made of it.
func (c *Client) CreateService(ctx context.Context, f wire.ServiceFields) (wire.Service, error) {
	return sendJSON[wire.Service](ctx, c, http.MethodPost, "/api/services", f)
}

// UpdateService changes the fields of the manifest that are not nil, and returns what the reconciler made of it.
func (c *Client) UpdateService(ctx context.Context, name string, f wire.ServiceFields) (wire.Service, error) {
	return sendJSON[wire.Service](ctx, c, http.MethodPut, servicePath(name, ""), f)
}

// Start asks for a service to run, and returns when it does; the error says why it does not.
func (c *Client) Start(ctx context.Context, name string) (wire.Started, error) {
	return post[wire.Started](ctx, c, servicePath(name, "/start"))
}

// Stop asks for a service to be stopped, and returns when nothing of it is left.
func (c *Client) Stop(ctx context.Context, name string) (wire.Stopped, error) {
	return post[wire.Stopped](ctx, c, servicePath(name, "/stop"))
}

// Restart asks for every replica to be replaced, and returns when they run.
func (c *Client) Restart(ctx context.Context, name string) (wire.Started, error) {
	return post[wire.Started](ctx, c, servicePath(name, "/restart"))
}

// Status returns all services at a glance.
func (c *Client) Status(ctx context.Context) (wire.Status, error) {
	return get[wire.Status](ctx, c, "/api/status", nil)
}

// Environment is what a service's next process is given. Secrets are masked unless reveal is true, which works over the
// unix socket or with the token.
func (c *Client) Environment(ctx context.Context, name string, reveal bool) (wire.Environment, error) {
	query := url.Values{}
	if reveal {
		query.Set("reveal", "true")
	}
	return get[wire.Environment](ctx, c, "/api/v1/services/"+url.PathEscape(name)+"/environment", query)
}
