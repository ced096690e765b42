package app

import (
	"context"
	"os"
	"path/filepath"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
)

// agents fits the coding agents onto the API.
type agents struct{ runner *agent.Runner }

func (a *App) openAgents(ctx context.Context) (*agents, error) {
	specs, err := agent.LoadSpecs(a.settings.AgentsFile())
	if err != nil {
		a.log.Error("the built-in agents are used as they are", "err", err)
		a.store.RecordEvent(v1.Event{Type: v1.EventWarning, Reason: "AgentsFileInvalid", Actor: "supervisor", Message: "the built-in agents are used as they are: " + err.Error()})
	}
	set := a.settings.Agent
	runner, err := agent.NewRunner(ctx, agent.Config{
		Specs: specs, Default: set.Name, Model: set.Model, KeyFile: set.KeyFile, BaseURL: set.BaseURL, Dir: filepath.Join(a.settings.Dir, "agents"),
		User: set.User, AllowRoot: set.AllowRoot, Turns: set.Turns, Limits: agent.Limits{Turn: set.Timeout, Idle: set.IdleTimeout},
		Getenv: os.Getenv, Log: a.log,
	})
	return &agents{runner}, err
}

// Agents implements rest.Agents.
func (a *agents) Agents(ctx context.Context) []wire.Agent {
	found := a.runner.Agents(ctx)
	out := make([]wire.Agent, len(found))
	for i, f := range found {
		out[i] = wire.Agent{
			ID: f.ID, Name: f.Name, Licence: f.Licence, Installed: f.Installed, Version: f.Version, Path: f.Path, Ready: f.Ready, Reason: f.Reason,
			Default: f.Default, Install: f.Install, Models: append([]string{}, f.Models...),
		}
	}
	return out
}

var _ rest.Agents = (*agents)(nil)
