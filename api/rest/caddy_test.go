package rest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/rest"
	"github.com/philiporange/supervisor/api/wire"
)

// router is a Caddy that others have configured, too.
type router struct {
	reloaded string
	err      error
}

const bcrypt = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"

func (r *router) Config() wire.CaddyConfig {
	return wire.CaddyConfig{Caddyfile: "https://a.test {\n\tbasic_auth {\n\t\t`bob` `" + bcrypt + "`\n\t}\n}\n", Services: []wire.CaddyService{{Name: "a"}}}
}

func (r *router) Current(context.Context) (any, error) {
	return map[string]any{
		"apps": map[string]any{"tls": map[string]any{"api_token": "hunter2", "email": "me@a.test"}, "http": []any{map[string]any{"password": bcrypt, "dial": "127.0.0.1:80"}}},
	}, r.err
}

func (r *router) Reload(_ context.Context, actor string) error {
	r.reloaded = actor
	return r.err
}

func (r *router) Routes() wire.Routes {
	return wire.Routes{Mode: "api", State: wire.CaddyStateServing, Routes: []wire.Route{{Service: "a", URL: "https://a.test"}}}
}

// What is Caddy's is shown and reloaded; secrets, others' too, are shown to those who may see secrets.
func TestCaddy(t *testing.T) {
	fake := &router{}
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.Router = fake })
	for _, path := range []string{"/api/caddy/config", "/api/caddy/current"} {
		stranger, owner := h.call(t, request{path: path}), h.call(t, request{path: path, socket: true})
		if strings.Contains(stranger.body, bcrypt) || strings.Contains(stranger.body, "hunter2") {
			t.Errorf("%s shows secrets: %s", path, stranger.body)
		}
		if !strings.Contains(owner.body, bcrypt) {
			t.Errorf("%s hides secrets from their owner: %s", path, owner.body)
		}
	}
	if got := h.call(t, request{path: "/api/caddy/current"}); !strings.Contains(got.body, "me@a.test") || !strings.Contains(got.body, "127.0.0.1:80") {
		t.Errorf("what is no secret is hidden: %s", got.body)
	}
	if got := h.call(t, request{path: "/api/v1/routes"}); got.status != http.StatusOK || !strings.Contains(got.body, `"url":"https://a.test"`) {
		t.Errorf("routes: %d %s", got.status, got.body)
	}
	got := h.call(t, request{method: http.MethodPost, path: "/api/caddy/reload"})
	if got.status != http.StatusOK || !strings.Contains(got.body, `"status":"reloaded"`) || fake.reloaded == "" {
		t.Errorf("reload by %q: %d %s", fake.reloaded, got.status, got.body)
	}
	fake.err = rest.Errorf(wire.CodeUnprocessed, "Caddy's own words")
	if got := h.call(t, request{method: http.MethodPost, path: "/api/caddy/reload"}); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "Caddy's own words") {
		t.Errorf("a refused reload: %d %s", got.status, got.body)
	}
	fake.err = rest.Errorf(wire.CodeUnavailable, "start Caddy")
	if got := h.call(t, request{path: "/api/caddy/current"}); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "start Caddy") {
		t.Errorf("no Caddy: %d %s", got.status, got.body)
	}
	if got := newHouse(t).call(t, request{path: "/api/v1/routes"}); got.status != http.StatusServiceUnavailable {
		t.Errorf("without a router: %d", got.status)
	}
}
