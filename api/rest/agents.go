package rest

import (
	"context"
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

// Agents are the coding agents of this machine.
type Agents interface {
	// Agents are those that are known, installed or not, in the order in which they are preferred.
	Agents(ctx context.Context) []wire.Agent
}

func agentRoutes() []route {
	return tagged("agents", []route{
		{method: http.MethodGet, path: "/api/agents", summary: "Coding agents that are known, and what each lacks", response: []wire.Agent{}, serve: listAgents},
	})
}

func listAgents(c *call) (any, error) {
	if c.api.deps.Agents == nil {
		return []wire.Agent{}, nil
	}
	return append([]wire.Agent{}, c.api.deps.Agents.Agents(c.Request.Context())...), nil
}
