package client

import (
	"context"

	"github.com/philiporange/supervisor/api/wire"
)

// Routes is how services are reached through Caddy, and whether they answer.
func (c *Client) Routes(ctx context.Context) (wire.Routes, error) {
	return get[wire.Routes](ctx, c, "/api/v1/routes", nil)
}

// CaddyConfig is what is generated for Caddy.
func (c *Client) CaddyConfig(ctx context.Context) (wire.CaddyConfig, error) {
	return get[wire.CaddyConfig](ctx, c, "/api/caddy/config", nil)
}

// CaddyCurrent is Caddy's running configuration.
func (c *Client) CaddyCurrent(ctx context.Context) (any, error) {
	return get[any](ctx, c, "/api/caddy/current", nil)
}

// ReloadCaddy makes Caddy load its configuration although nothing has changed.
func (c *Client) ReloadCaddy(ctx context.Context) (wire.CaddyReloaded, error) {
	return post[wire.CaddyReloaded](ctx, c, "/api/caddy/reload")
}
