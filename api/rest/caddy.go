package rest

import (
	"context"
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

// Router brings routes to Caddy. Its errors are *Error.
type Router interface {
	// Config is what is generated; it needs no Caddy.
	Config() wire.CaddyConfig
	// Current is Caddy's running configuration.
	Current(ctx context.Context) (any, error)
	// Reload makes Caddy load its configuration although nothing has changed. Its error holds Caddy's own text.
	Reload(ctx context.Context, actor string) error
	// Routes is how services are reached, and whether they answer; it needs no Caddy.
	Routes() wire.Routes
}

func caddyRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return tagged("caddy", []route{
		{method: get, path: "/api/caddy/config", summary: "What is generated for Caddy", response: wire.CaddyConfig{}, serve: caddyConfig},
		{method: get, path: "/api/caddy/current", summary: "Caddy's running configuration", response: map[string]any{}, serve: caddyCurrent},
		{method: post, path: "/api/caddy/reload", summary: "Make Caddy load its configuration anew", response: wire.CaddyReloaded{}, serve: caddyReload},
		{method: get, path: "/api/v1/routes", summary: "How services are reached through Caddy, and whether they answer", response: wire.Routes{}, serve: listRoutes},
	})
}

func (c *call) router() (Router, error) {
	if c.api.deps.Router == nil {
		return nil, Errorf(wire.CodeUnavailable, "no routes are served here")
	}
	return c.api.deps.Router, nil
}

func caddyConfig(c *call) (any, error) {
	router, err := c.router()
	if err != nil {
		return nil, err
	}
	out := router.Config()
	if !c.caller.trusted() {
		out.Caddyfile = bcryptHash.ReplaceAllString(out.Caddyfile, mask)
	}
	return out, nil
}

func caddyCurrent(c *call) (any, error) {
	router, err := c.router()
	if err != nil {
		return nil, err
	}
	config, err := router.Current(c.Request.Context())
	if err != nil || c.caller.trusted() {
		return config, err
	}
	return maskConfig(config), nil
}

// maskConfig hides the secrets in a configuration of Caddy: others' too, such as the keys to a DNS provider.
func maskConfig(config any) any {
	return walk(config, nil, nil, func(path []string, _, s string, _ any) string {
		if len(path) > 0 && secretName.MatchString(path[len(path)-1]) && !reference.MatchString(s) {
			return mask
		}
		return maskURL(bcryptHash.ReplaceAllString(s, mask))
	})
}

func caddyReload(c *call) (any, error) {
	router, err := c.router()
	if err != nil {
		return nil, err
	}
	if err := router.Reload(c.Request.Context(), c.caller.actor()); err != nil {
		return nil, err
	}
	return wire.CaddyReloaded{Status: "reloaded", Message: "Caddy has loaded its configuration"}, nil
}

func listRoutes(c *call) (any, error) {
	router, err := c.router()
	if err != nil {
		return nil, err
	}
	return router.Routes(), nil
}
