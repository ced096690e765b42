package rest

import (
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

func environmentRoutes() []route {
	return tagged("services", []route{{
		method: http.MethodGet, path: "/api/v1/services/:name/environment", summary: "The environment of a service's process, and where each variable comes from",
		response: wire.Environment{}, serve: environment,
		query: []param{{name: "reveal", about: "Show secrets; over the unix socket or with the token only.", schema: false}},
	}})
}

func environment(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	reveal, err := c.reveal()
	if err != nil {
		return nil, err
	}
	if c.api.deps.Environment == nil {
		return nil, Errorf(wire.CodeUnavailable, "environments cannot be told here")
	}
	out, err := c.api.deps.Environment(s)
	if err != nil {
		return nil, Errorf(wire.CodeUnprocessed, "%s cannot be started as it is: %v", s.Metadata.Name, err)
	}
	if !reveal {
		hide(&out)
	}
	return out, nil
}

// hide masks the secrets of an environment.
func hide(e *wire.Environment) {
	for i := range e.Variables {
		v := &e.Variables[i]
		if shown := maskLeaf([]string{"env", v.Name}, "", v.Value); shown != v.Value {
			v.Value, v.Masked = shown, true
		}
	}
	before := ""
	for i, word := range e.Argv {
		e.Argv[i] = maskURL(maskWord(before, word))
		if e.Shell {
			e.Argv[i] = maskText(word)
		}
		before = word
	}
}
