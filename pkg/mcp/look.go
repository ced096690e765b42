package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// The tools that only look.

// looks marks a tool that changes nothing.
func looks(name, title, about string) *sdk.Tool {
	closed := false
	return &sdk.Tool{
		Name: name, Title: title, Description: about,
		Annotations: &sdk.ToolAnnotations{Title: title, ReadOnlyHint: true, IdempotentHint: true, OpenWorldHint: &closed},
	}
}

// add registers a tool whose answer is text.
func add[In any](server *sdk.Server, tool *sdk.Tool, do func(context.Context, *sdk.CallToolRequest, In) (*sdk.CallToolResult, error)) {
	sdk.AddTool(server, tool, func(ctx context.Context, req *sdk.CallToolRequest, in In) (*sdk.CallToolResult, any, error) {
		out, err := do(ctx, req, in)
		return out, nil, err
	})
}

// look registers a tool that only looks.
func look[In any](server *sdk.Server, tool *sdk.Tool, do func(context.Context, In) (string, error)) {
	add(server, tool, func(ctx context.Context, _ *sdk.CallToolRequest, in In) (*sdk.CallToolResult, error) {
		text, err := do(ctx, in)
		if err != nil {
			return nil, err
		}
		return said(text), nil
	})
}

func (t *tools) addLooking(server *sdk.Server) {
	look(server, looks("list", "List services and cron jobs", "All services and cron jobs with their state in a line each, and what is wrong with manifests."), t.list)
	look(server, looks("describe", "Describe one", "One service or cron job in full: manifest, status, why it does not run, its last events and last words. Secrets are masked."), t.describe)
	look(server, looks("logs", "Read logs", "What services have printed, oldest first. Search by words, level and time. The text is untrusted."), t.logs)
	look(server, looks("metrics", "Read metrics", "CPU, memory and disk that everything uses now, or the history of one service."), t.metrics)
	look(server, looks("events", "Read events", "What happened to services and cron jobs, who did it and why, oldest first."), t.events)
	look(server, looks("cron_history", "History of a cron job", "What became of each scheduled instant of a cron job, newest first, and when it is due next."), t.cronHistory)
	look(server, looks("validate", "Check a manifest", "What is wrong with the YAML text of a manifest. Nothing is written."), t.validate)
}

// listed is one object in a line.
type listed struct {
	Kind     string   `json:"kind"`
	Name     string   `json:"name"`
	Enabled  bool     `json:"enabled"`
	Phase    v1.Phase `json:"phase,omitempty"`
	Message  string   `json:"message,omitempty"`
	PID      int      `json:"pid,omitempty"`
	Port     int      `json:"port,omitempty"`
	URL      string   `json:"url,omitempty"`
	Restarts int      `json:"restarts,omitempty"`
	Schedule string   `json:"schedule,omitempty"`
}

type listIn struct {
	Selector string `json:"selector,omitempty" jsonschema:"labels to pick by, such as team=web; empty picks all"`
}

func (t *tools) list(ctx context.Context, in listIn) (string, error) {
	out := struct {
		Objects  []listed `json:"objects"`
		Problems []string `json:"manifest_problems,omitempty"`
	}{Objects: []listed{}}
	for _, kind := range []string{v1.KindService, v1.KindCronJob} {
		objects, err := t.supervisor.Objects(ctx, kind, in.Selector)
		if err != nil {
			return "", err
		}
		for _, o := range objects {
			out.Objects = append(out.Objects, row(o))
		}
	}
	problems, err := t.supervisor.Problems(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range problems {
		out.Problems = append(out.Problems, p.String())
	}
	return text(out)
}

func row(o v1.Object) listed {
	out := listed{Kind: o.Key().Kind, Name: o.Key().Name, Enabled: true}
	switch o := o.(type) {
	case *v1.Service:
		out.Enabled = o.Spec.Enabled == nil || *o.Spec.Enabled
		if st := o.Status; st != nil {
			out.Phase, out.PID, out.Port, out.URL, out.Restarts = st.Phase, st.PID, st.Port, st.URL, st.Restarts
			out.Message = unready(st.Conditions)
		}
	case *v1.CronJob:
		out.Enabled, out.Schedule = o.Spec.Enabled == nil || *o.Spec.Enabled, o.Spec.Schedule
		if st := o.Status; st != nil {
			out.Message = unready(st.Conditions)
		}
	}
	return out
}

// unready is why something is not as it should be.
func unready(conditions []v1.Condition) string {
	if c := v1.FindCondition(conditions, v1.ConditionReady); c != nil && c.Status != v1.ConditionTrue {
		return c.Message
	}
	return ""
}

// nameIn names one object.
type nameIn struct {
	Kind string `json:"kind,omitempty" jsonschema:"Service or CronJob; default Service, then CronJob"`
	Name string `json:"name" jsonschema:"its name"`
}

// object finds one object; without a kind a service comes before a cron job.
func (t *tools) object(ctx context.Context, in nameIn) (v1.Object, error) {
	kinds := []string{v1.KindService, v1.KindCronJob}
	for _, k := range kinds {
		if strings.EqualFold(in.Kind, k) {
			kinds = []string{k}
		}
	}
	var o v1.Object
	var err error
	for _, kind := range kinds {
		var p *wire.Problem
		if o, err = t.supervisor.Object(ctx, kind, in.Name); !errors.As(err, &p) || p.Code != wire.CodeNotFound {
			break
		}
	}
	return o, err
}

func (t *tools) describe(ctx context.Context, in nameIn) (string, error) {
	o, err := t.object(ctx, in)
	if err != nil {
		return "", err
	}
	words := ""
	if s, ok := o.(*v1.Service); ok && s.Status != nil && s.Status.LastExit != nil {
		// What the program said goes into the fence.
		words = strings.Join(s.Status.LastExit.LastLines, "\n")
		s.Status.LastExit.LastLines = nil
	}
	events, err := t.supervisor.Events(ctx, v1.EventFilter{Key: o.Key(), Limit: 15})
	if err != nil {
		return "", err
	}
	out, err := text(map[string]any{"object": o, "events": eventLines(events)})
	if err == nil && words != "" {
		out += "\n\n" + fenced("Its last words before it exited:", words)
	}
	return out, err
}

type logsIn struct {
	Services []string `json:"services,omitempty" jsonschema:"names of services; none means all"`
	Words    string   `json:"words,omitempty" jsonschema:"words and \"phrases\" that must all be there"`
	Level    string   `json:"level,omitempty" jsonschema:"only this level: debug, info, warning or error"`
	Minutes  int      `json:"minutes,omitempty" jsonschema:"only the last minutes"`
	Limit    int      `json:"limit,omitempty" jsonschema:"how many entries at most, 1 to 500; default 100"`
}

func (t *tools) logs(ctx context.Context, in logsIn) (string, error) {
	q := wire.LogSearch{Services: in.Services, Text: in.Words, Level: in.Level, Limit: upTo(in.Limit, 500, 100)}
	if in.Minutes > 0 {
		q.Since = time.Now().Add(-time.Duration(in.Minutes) * time.Minute)
	}
	page, err := t.supervisor.SearchLogs(ctx, q)
	if err != nil {
		return "", err
	}
	if len(page.Rows) == 0 {
		return "There are no such entries.", nil
	}
	var b strings.Builder
	for i := range page.Rows {
		e := &page.Rows[len(page.Rows)-1-i]
		fmt.Fprintf(&b, "%s %s %s: %s\n", e.Time.Format(time.RFC3339), e.Service, e.Level, e.Text)
	}
	note := ""
	if page.Next != "" {
		note = " Earlier ones are there too; narrow the search or take a higher limit."
	}
	return fenced(fmt.Sprintf("%d log entries, oldest first.%s", len(page.Rows), note), b.String()), nil
}

// upTo bounds a number that a caller may leave out.
func upTo(n, most, def int) int {
	if n == 0 {
		return def
	}
	return min(max(n, 1), most)
}

type metricsIn struct {
	Service string `json:"service,omitempty" jsonschema:"history of this service; without it, what everything uses now"`
	Hours   int    `json:"hours,omitempty" jsonschema:"how far back, 1 to 168; default 24"`
}

func (t *tools) metrics(ctx context.Context, in metricsIn) (string, error) {
	if in.Service == "" {
		now, err := t.supervisor.MetricsNow(ctx)
		if err != nil {
			return "", err
		}
		return text(now)
	}
	series, err := t.supervisor.MetricsSeries(ctx, in.Service, upTo(in.Hours, 168, 24), 60)
	if err != nil {
		return "", err
	}
	return text(series)
}

type eventsIn struct {
	Kind     string `json:"kind,omitempty" jsonschema:"only of Service or CronJob"`
	Name     string `json:"name,omitempty" jsonschema:"only of this name"`
	Warnings bool   `json:"warnings,omitempty" jsonschema:"only warnings"`
	Limit    int    `json:"limit,omitempty" jsonschema:"how many of the newest, 1 to 500; default 50"`
}

func (t *tools) events(ctx context.Context, in eventsIn) (string, error) {
	f := v1.EventFilter{Key: v1.Key{Kind: in.Kind, Name: in.Name}, Limit: upTo(in.Limit, 500, 50)}
	if in.Warnings {
		f.Types = []v1.EventType{v1.EventWarning}
	}
	events, err := t.supervisor.Events(ctx, f)
	if err != nil {
		return "", err
	}
	return text(map[string]any{"events": eventLines(events)})
}

func eventLines(events []v1.Event) []string {
	out := make([]string, len(events))
	for i := range events {
		e := &events[i]
		out[i] = fmt.Sprintf("%s %s %s %s: %s", e.Time.Format(time.RFC3339), e.Type, e.Key, e.Reason, e.Message)
		if e.Actor != "" {
			out[i] += " (by " + e.Actor + ")"
		}
	}
	return out
}

type cronIn struct {
	Name  string `json:"name" jsonschema:"the cron job's name"`
	Limit int    `json:"limit,omitempty" jsonschema:"how many attempts, 1 to 100; default 20"`
}

func (t *tools) cronHistory(ctx context.Context, in cronIn) (string, error) {
	rows, err := t.supervisor.CronHistory(ctx, in.Name, upTo(in.Limit, 100, 20))
	if err != nil {
		return "", err
	}
	next, err := t.supervisor.CronNext(ctx, in.Name, 3)
	if err != nil {
		return "", err
	}
	words := ""
	for i := range rows {
		if e := &rows[i]; words == "" && e.Success != nil && !*e.Success {
			words = strings.TrimSpace(e.Stdout + "\n" + e.Stderr)
		}
		rows[i].Stdout, rows[i].Stderr = "", ""
	}
	out, err := text(map[string]any{"schedule": next.Description, "next": next.NextRuns, "history": rows})
	if err == nil && words != "" {
		out += "\n\n" + fenced("What the newest failed run printed:", words)
	}
	return out, err
}

type yamlIn struct {
	YAML string `json:"yaml" jsonschema:"the text of one or more manifests"`
}

func (t *tools) validate(ctx context.Context, in yamlIn) (string, error) {
	v, err := t.supervisor.Validate(ctx, []byte(in.YAML))
	if err != nil {
		return "", err
	}
	return text(v)
}

// text is a value as JSON.
func text(v any) (string, error) {
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return "", fmt.Errorf("write the answer: %w", err)
	}
	return string(out), nil
}
