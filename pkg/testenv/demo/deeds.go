package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/agent/agenttest"
)

// The agents: one repairs, one reads the source of what is scanned, and one talks.
var (
	mender = agenttest.Script{Turns: [][]agenttest.Act{{
		{Think: "The traceback names line 8."},
		{Read: "app.py"},
		{Say: "There are no members yet, and `average` divides by their number. "},
		{Edit: "app.py", Text: mended},
		{Say: "An empty list has the average 0 now. Nothing else was changed."},
	}}}
	auditor = agenttest.Script{Turns: [][]agenttest.Act{{
		{Read: "app.py"},
		{Say: "```json\n" + `[
  {"category": "authorization", "check": "Prices are changed by whoever asks", "status": "red", "detail": "app.py:23: POST /prices takes any caller's word; nothing asks who that is.", "recommendation": "Ask for the session of a member of staff before anything is written."},
  {"category": "injection", "check": "Queries take their values apart from their text", "status": "green", "detail": "app.py:31: all statements are parametrised.", "recommendation": ""}
]` + "\n```"},
	}}}
	guide = agenttest.Script{Turns: [][]agenttest.Act{
		{
			{Tool: "supervisor_describe"},
			{Say: "**recommendations** was given up after two restarts. Its model file is missing:\n\n"},
			{Say: "```\nFileNotFoundError: [Errno 2] No such file or directory: \"/srv/models/v3.bin\"\n```\n\n"},
			{Say: "1. Put the file back, or point `MODEL_PATH` at the one before it.\n2. Then start it anew.\n\nNothing that runs depends on it, so the shop itself is *not* affected."},
		},
		{{Say: "I would have to start it for that. "}, {Tool: "supervisor_start"}, {Say: "As you like."}},
	}}
)

const (
	broken = `import time

members = []


def average(points):
    # What a member has, as the newsletter tells it.
    return sum(points) / len(points)


print("average", average([m["points"] for m in members]), flush=True)
while True:
    time.sleep(60)
`
	mended = `import time

members = []


def average(points):
    # What a member has, as the newsletter tells it.
    return sum(points) / len(points) if points else 0


print("average", average([m["points"] for m in members]), flush=True)
while True:
    time.sleep(60)
`
)

// giftCards is a project that no service runs from.
const giftCards = `from fastapi import FastAPI

app = FastAPI(title="Gift cards")


@app.get("/health")
def health():
    return {"status": "ok"}
`

// prepare makes the projects that are worked on, and the agents that do.
func prepare(dir, projects string) error {
	app, err := fs.ReadFile(world, "world/app.py")
	if err != nil {
		return err
	}
	for path, text := range map[string]string{
		"loyalty/app.py": broken, "newsletter/app.py": broken, "pricing/app.py": string(app),
		"gift-cards/main.py": giftCards, "gift-cards/requirements.txt": "fastapi\nuvicorn\n",
	} {
		path = filepath.Join(projects, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var specs []agent.Spec
	for _, a := range []struct {
		id, name string
		script   agenttest.Script
	}{{"mender", "Mender", mender}, {"auditor", "Auditor", auditor}, {"guide", "Guide", guide}} {
		spec, err := agenttest.Scripted(self, a.id, a.script)
		if err != nil {
			return err
		}
		spec.Name = a.name
		specs = append(specs, spec)
	}
	return agenttest.Write(dir, specs...)
}

// withCaddy is what makes the supervisor run a Caddy, or the one that lies beside it, if one does.
func withCaddy(dir, bin, caddy string) ([]string, error) {
	if caddy == "" {
		caddy = filepath.Join(bin, "caddy")
	}
	caddy, err := filepath.Abs(caddy)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(caddy); errors.Is(err, fs.ErrNotExist) {
		return []string{"CADDY_MODE=off"}, nil
	}
	plain, err := freePort()
	if err != nil {
		return nil, err
	}
	secure, err := freePort()
	if err != nil {
		return nil, err
	}
	return []string{
		"CADDY_MODE=managed", "CADDY_PROGRAM=" + caddy, "CADDY_ADMIN_URL=unix/" + filepath.Join(dir, "caddy.sock"), "CADDY_BIND=127.0.0.1",
		"CADDY_BASE_DOMAIN=localhost", "CADDY_DOMAIN=localhost:" + strconv.Itoa(secure), "CADDY_HTTP_PORT=" + strconv.Itoa(plain), "CADDY_PORT=" + strconv.Itoa(secure),
		"CADDY_UPSTREAMS_DIR=" + filepath.Join(dir, "upstreams"),
	}, nil
}

// act does with the world what is done with one.
func act(ctx context.Context, c *client.Client, dir, projects string) error {
	drop := func(name, spec string) error {
		text := fmt.Sprintf("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: %s, labels: {team: shop, tier: api}}\nspec:\n%s", name, spec)
		return os.WriteFile(filepath.Join(dir, "manifests", name+".yaml"), []byte(text), 0o600)
	}
	for name, mode := range map[string]string{"loyalty": "propose", "newsletter": "apply"} {
		err := drop(name, fmt.Sprintf("  command: /usr/bin/python3 app.py\n  workingDir: %s\n  restart: {maxAttempts: 0}\n  autofix: {agent: mender, mode: %s}\n", filepath.Join(projects, name), mode))
		if err != nil {
			return err
		}
	}
	if err := updates(ctx, c, func(rates string) error {
		return drop("pricing", fmt.Sprintf(`  command: python3 app.py pricing --memory 24 --lines 0.5
  workingDir: %s
  port: auto
  env: {RATES: %s}
  update: {strategy: Rolling, drain: 1s, progressDeadline: 30s}
  restart: {delay: 0s, maxAttempts: 1}
  probes: {readiness: {httpGet: {path: /}, period: 1s}}
  expose: {subdomain: pricing, tls: "off"}
`, filepath.Join(projects, "pricing"), rates))
	}); err != nil {
		return err
	}
	if err := repairs(ctx, c); err != nil {
		return err
	}
	started, err := c.Scan(ctx, "pricing", wire.ScanRequest{Agent: "auditor"})
	if err != nil {
		return err
	}
	if job, err := c.FollowJob(ctx, started.JobID, func(wire.JobLine) error { return nil }); err != nil || job.Error != nil {
		return fmt.Errorf("the scan: %w, %+v", err, job)
	}
	return c.Chat(ctx, wire.ChatRequest{Message: "Why is recommendations down?"}, func(wire.ChatEvent) error { return nil })
}

// updates rolls out two versions that work and one that does not.
func updates(ctx context.Context, c *client.Client, version func(rates string) error) error {
	for i, want := range []v1.RolloutPhase{"", v1.RolloutComplete, v1.RolloutFailed} {
		if err := version("v" + strconv.Itoa(i+1)); err != nil {
			return err
		}
		if err := await(ctx, func() bool {
			history, err := c.RolloutHistory(ctx, "pricing")
			return err == nil && len(history) == i+1 && phase(ctx, c, "pricing") == v1.PhaseRunning && (want == "" || history[0].Phase == want)
		}); err != nil {
			return fmt.Errorf("update %d of pricing: %w", i+1, err)
		}
	}
	return nil
}

// repairs waits for those that begin by themselves, takes one back, and asks for it again.
func repairs(ctx context.Context, c *client.Client) error {
	newest := func(name, state string, restored bool) (id uint64, err error) {
		err = await(ctx, func() bool {
			fixes, err := c.Fixes(ctx, v1.Key{Kind: v1.KindService, Name: name}, 1, false)
			if err != nil || len(fixes) == 0 || fixes[0].State != state || fixes[0].Restored != restored {
				return false
			}
			id = fixes[0].ID
			return true
		})
		if err != nil {
			return 0, fmt.Errorf("the repair of %s: %w", name, err)
		}
		return id, nil
	}
	if _, err := newest("loyalty", "Proposed", false); err != nil {
		return err
	}
	id, err := newest("newsletter", "Applied", false)
	if err != nil {
		return err
	}
	if _, err := c.RestoreFix(ctx, id); err != nil {
		return err
	}
	if _, err := c.Fix(ctx, v1.Key{Kind: v1.KindService, Name: "newsletter"}, "It ends as soon as it begins, since the list of members is empty."); err != nil {
		return err
	}
	_, err = newest("newsletter", "Applied", false)
	return err
}
