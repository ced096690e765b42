package mcp

import (
	"context"
	"errors"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// The tools that change something.

const asks = " A person is asked first."

// changes marks a tool that changes something.
func changes(name, title, about string, destructive, idempotent bool) *sdk.Tool {
	closed := false
	return &sdk.Tool{
		Name: name, Title: title, Description: about + asks,
		Annotations: &sdk.ToolAnnotations{Title: title, DestructiveHint: &destructive, IdempotentHint: idempotent, OpenWorldHint: &closed},
	}
}

func (t *tools) addChanging(server *sdk.Server) {
	add(server, changes("apply", "Write manifests", "Make or replace services and cron jobs from the YAML text of manifests. Call validate first.", true, true), t.apply)
	add(server, changes("start", "Start a service", "Start a service; its manifest is not changed.", false, true), t.start)
	add(server, changes("stop", "Stop a service", "Stop a service; its manifest is not changed.", true, true), t.stop)
	add(server, changes("restart", "Restart a service", "Replace every process of a service by a new one.", true, false), t.restart)
	add(server, changes("run_cron", "Run a cron job", "Run a cron job now.", false, false), t.runCron)
}

type applyIn struct {
	YAML     string `json:"yaml" jsonschema:"the text of one or more manifests"`
	Approval string `json:"approval,omitempty" jsonschema:"ID that an earlier answer to this same call gave, after the person has allowed it"`
}

func (t *tools) apply(ctx context.Context, req *sdk.CallToolRequest, in applyIn) (*sdk.CallToolResult, error) {
	v, err := t.supervisor.Validate(ctx, []byte(in.YAML))
	if err != nil {
		return nil, err
	}
	if !v.Valid || len(v.Keys) == 0 {
		return nil, fmt.Errorf("the text is not valid; nothing was changed:\n%s", faults(v))
	}
	c := &change{action: "apply", keys: v.Keys, body: in.YAML}
	if c.detail, err = t.difference(ctx, in.YAML); err != nil {
		return nil, err
	}
	c.summary = "write the manifest of " + list(v.Keys)
	return t.changing(ctx, req, c, in.Approval, func() (any, error) { return t.supervisor.Apply(ctx, []byte(in.YAML)) })
}

func faults(v wire.Validation) string {
	if len(v.Problems) == 0 {
		return "it holds no document"
	}
	var lines []string
	for _, p := range v.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

func list(keys []v1.Key) string {
	words := make([]string, len(keys))
	for i, k := range keys {
		words[i] = kindWord(k.Kind) + " " + k.Name
	}
	return strings.Join(words, ", ")
}

func kindWord(kind string) string {
	if kind == v1.KindCronJob {
		return "cron job"
	}
	return "service"
}

type orderIn struct {
	Name     string `json:"name" jsonschema:"its name"`
	Approval string `json:"approval,omitempty" jsonschema:"ID that an earlier answer to this same call gave, after the person has allowed it"`
}

func (t *tools) start(ctx context.Context, req *sdk.CallToolRequest, in orderIn) (*sdk.CallToolResult, error) {
	return t.order(ctx, req, "start", v1.KindService, in, func() (any, error) { return t.supervisor.Start(ctx, in.Name) })
}

func (t *tools) stop(ctx context.Context, req *sdk.CallToolRequest, in orderIn) (*sdk.CallToolResult, error) {
	return t.order(ctx, req, "stop", v1.KindService, in, func() (any, error) { return t.supervisor.Stop(ctx, in.Name) })
}

func (t *tools) restart(ctx context.Context, req *sdk.CallToolRequest, in orderIn) (*sdk.CallToolResult, error) {
	return t.order(ctx, req, "restart", v1.KindService, in, func() (any, error) { return t.supervisor.Restart(ctx, in.Name) })
}

func (t *tools) runCron(ctx context.Context, req *sdk.CallToolRequest, in orderIn) (*sdk.CallToolResult, error) {
	return t.order(ctx, req, "run", v1.KindCronJob, in, func() (any, error) { return t.supervisor.RunCronJob(ctx, in.Name) })
}

// order gives an order about one object, which must be there before anybody is asked.
func (t *tools) order(ctx context.Context, req *sdk.CallToolRequest, verb, kind string, in orderIn, do func() (any, error)) (*sdk.CallToolResult, error) {
	if _, err := t.supervisor.Object(ctx, kind, in.Name); err != nil {
		return nil, err
	}
	key := v1.Key{Kind: kind, Name: in.Name}
	c := &change{action: verb, keys: []v1.Key{key}, summary: verb + " " + kindWord(kind) + " " + in.Name}
	return t.changing(ctx, req, c, in.Approval, do)
}

// changing asks, and makes the change on a yes.
func (t *tools) changing(ctx context.Context, req *sdk.CallToolRequest, c *change, approval string, do func() (any, error)) (*sdk.CallToolResult, error) {
	if answer, err := t.asker.ask(ctx, req, c, approval); answer != nil || err != nil {
		return answer, err
	}
	done, err := do()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.summary, err)
	}
	out, err := text(done)
	if err != nil {
		return nil, err
	}
	return said("Done: " + c.summary + ".\n" + out), nil
}

// difference says what an apply would change, a line for each field.
func (t *tools) difference(ctx context.Context, yaml string) (string, error) {
	var lines []string
	docs, _ := manifest.Decode("", []byte(yaml)) // the supervisor has found no problem in it
	for _, doc := range docs {
		key, next := doc.Key, doc.Object
		if next == nil {
			continue
		}
		cur, err := t.supervisor.Object(ctx, key.Kind, key.Name)
		var p *wire.Problem
		switch {
		case errors.As(err, &p) && p.Code == wire.CodeNotFound:
			cur = nil
			lines = append(lines, key.String()+" is new:")
		case err != nil:
			return "", err
		default:
			lines = append(lines, key.String()+" is changed:")
		}
		fields, err := compare(cur, next)
		if err != nil {
			return "", err
		}
		if len(fields) == 0 {
			fields = []string{"  nothing"}
		}
		lines = append(lines, fields...)
	}
	return strings.Join(lines, "\n"), nil
}
