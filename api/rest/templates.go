package rest

import (
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

func templateRoutes() []route {
	return tagged("manifests", []route{
		{method: http.MethodGet, path: "/api/v1/templates", summary: "Manifests to begin with", response: wire.Templates{}, serve: templates},
	})
}

func templates(c *call) (any, error) {
	return wire.Templates{Items: append([]wire.Template{}, c.api.deps.Templates...)}, nil
}
