package client

import (
	"context"
	"net/url"
	"strconv"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// Problems returns what is wrong with the manifest directory.
func (c *Client) Problems(ctx context.Context) ([]v1.Problem, error) {
	out, err := get[wire.Problems](ctx, c, "/api/v1/problems", nil)
	return out.Items, err
}

// Prune returns what waits for confirmation before it is stopped; with confirm it is stopped.
func (c *Client) Prune(ctx context.Context, confirm bool) (wire.Prune, error) {
	if confirm {
		return post[wire.Prune](ctx, c, "/api/v1/prune")
	}
	return get[wire.Prune](ctx, c, "/api/v1/prune", nil)
}

// Shutdown stops every service and then the supervisor. It works over the unix socket only.
func (c *Client) Shutdown(ctx context.Context) (wire.Shutdown, error) {
	return post[wire.Shutdown](ctx, c, "/api/v1/shutdown")
}

// Version says what is running.
func (c *Client) Version(ctx context.Context) (wire.Version, error) {
	return get[wire.Version](ctx, c, "/api/v1/version", nil)
}

// Ready returns nil when the supervisor has read its manifests and speaks with its keeper.
func (c *Client) Ready(ctx context.Context) error {
	_, err := get[wire.Health](ctx, c, "/readyz", nil)
	return err
}

// SupervisorLogs returns the last lines of the supervisor's own log.
func (c *Client) SupervisorLogs(ctx context.Context, lines int) (wire.SupervisorLogs, error) {
	return get[wire.SupervisorLogs](ctx, c, "/api/supervisor/logs", url.Values{"lines": {strconv.Itoa(lines)}})
}

// Events returns the newest events that the filter selects, oldest first.
func (c *Client) Events(ctx context.Context, f v1.EventFilter) ([]v1.Event, error) {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("kind", f.Key.Kind)
	set("name", f.Key.Name)
	if f.SinceID > 0 {
		set("since", strconv.FormatUint(f.SinceID, 10))
	}
	if f.Limit > 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	for _, t := range f.Types {
		query.Add("type", string(t))
	}
	out, err := get[wire.Events](ctx, c, "/api/v1/events", query)
	return out.Items, err
}

// LoginLink makes a link that logs a browser in, once. It works over the unix socket or with the token.
func (c *Client) LoginLink(ctx context.Context) (wire.LoginLink, error) {
	return post[wire.LoginLink](ctx, c, "/api/v1/login")
}

// Settings says how the supervisor is set up, and where each value comes from.
func (c *Client) Settings(ctx context.Context) (wire.Settings, error) {
	return get[wire.Settings](ctx, c, "/api/v1/settings", nil)
}

// Templates are manifests to begin with.
func (c *Client) Templates(ctx context.Context) ([]wire.Template, error) {
	out, err := get[wire.Templates](ctx, c, "/api/v1/templates", nil)
	return out.Items, err
}
