package rest

import (
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

func settingsRoutes() []route {
	return tagged("supervisor", []route{
		{
			method: http.MethodGet, path: "/api/v1/settings", summary: "How the supervisor is set up, where each value comes from, versions, and sizes of data",
			response: wire.Settings{}, serve: effectiveSettings,
		},
	})
}

func effectiveSettings(c *call) (any, error) {
	if c.api.deps.Settings == nil {
		return nil, Errorf(wire.CodeUnavailable, "the settings cannot be told here; see: supervisor run --help")
	}
	return c.api.deps.Settings(c.Request.Context())
}
