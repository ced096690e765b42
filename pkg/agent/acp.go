package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	acp "github.com/coder/acp-go-sdk"
)

const (
	// maxInput and maxToolText bound what is told of a tool call: its input, and its output and the sides of its diffs each, in bytes.
	maxInput    = 16 << 10
	maxToolText = 64 << 10
)

// connect starts the process and a session in it.
func (s *Session) connect(ctx context.Context) error {
	args, err := s.plan.spec.argv(&s.plan.setup)
	if err != nil {
		return fmt.Errorf("agent %s: %w", s.plan.spec.ID, err)
	}
	p, err := start(command{path: s.plan.path, argv: args, env: s.plan.env, dir: s.request.Dir, who: s.plan.who}, s.runner.notes(), s.runner.config.graces)
	if err != nil {
		return fmt.Errorf("agent %s: %w", s.plan.spec.ID, err)
	}
	out := newFeed(p.stdout, s.request.Limits.Output, func() {
		if t := s.current(); t != nil {
			t.cancel(ErrOutput)
		} else {
			go p.kill()
		}
	})
	w := newWire(p.stdin, out, s.updated, s.asked)
	s.mu.Lock()
	s.child, s.wire = p, w
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrGone
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.request.Limits.Start, fmt.Errorf("%s was not ready within %s", s.plan.spec.Name, s.request.Limits.Start))
	defer cancel()
	if err := s.open(ctx); err != nil {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case out.exceeded.Load():
			return ErrOutput
		}
		if errors.Is(err, ErrCannotResume) {
			return err
		}
		<-p.endedSoon() // so that its last words can be told
		return s.explain(err)
	}
	return nil
}

// endedSoon is closed when the process has ended, or when it has not within its grace.
func (p *child) endedSoon() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.endedWithin(p.graces.input)
	}()
	return done
}

// open makes or loads the session.
func (s *Session) open(ctx context.Context) error {
	hello, err := acp.SendRequest[acp.InitializeResponse](s.wire.conn, ctx, acp.AgentMethodInitialize, acp.InitializeRequest{
		ProtocolVersion: acp.ProtocolVersionNumber,
		ClientInfo:      &acp.Implementation{Name: "supervisor", Version: "1"},
	})
	if err != nil {
		return err
	}
	s.loads = hello.AgentCapabilities.LoadSession
	servers := make([]acp.McpServer, 0, len(s.request.Servers))
	for _, m := range s.request.Servers {
		stdio := &acp.McpServerStdio{Name: m.Name, Command: m.Command, Args: m.args(&s.plan.spec), Env: []acp.EnvVariable{}}
		for name, value := range m.Env {
			stdio.Env = append(stdio.Env, acp.EnvVariable{Name: name, Value: value})
		}
		servers = append(servers, acp.McpServer{Stdio: stdio})
	}
	var models *acp.SessionModelState
	if id := s.request.Resume; id != "" {
		if !s.loads {
			return ErrCannotResume
		}
		resp, err := acp.SendRequest[acp.LoadSessionResponse](s.wire.conn, ctx, acp.AgentMethodSessionLoad, acp.LoadSessionRequest{SessionId: acp.SessionId(id), Cwd: s.request.Dir, McpServers: servers})
		var refused *acp.RequestError
		if errors.As(err, &refused) && s.Alive() {
			return fmt.Errorf("%w: %w", ErrCannotResume, s.explain(err))
		}
		if err != nil {
			return err
		}
		s.setID(id)
		models = resp.Models
	} else {
		resp, err := acp.SendRequest[acp.NewSessionResponse](s.wire.conn, ctx, acp.AgentMethodSessionNew, acp.NewSessionRequest{Cwd: s.request.Dir, McpServers: servers})
		if err != nil {
			return err
		}
		s.setID(string(resp.SessionId))
		models = resp.Models
	}
	return s.pickModel(ctx, models)
}

func (s *Session) setID(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id = id
}

// pickModel asks for the model by the protocol too, where the agent offers it and has another.
func (s *Session) pickModel(ctx context.Context, m *acp.SessionModelState) error {
	want := s.plan.setup.Model
	if m == nil || want == "" || string(m.CurrentModelId) == want {
		return nil
	}
	if !slices.ContainsFunc(m.AvailableModels, func(i acp.ModelInfo) bool { return string(i.ModelId) == want }) {
		return nil // its configuration says so, if anything does
	}
	_, err := acp.SendRequest[acp.UnstableSetSessionModelResponse](s.wire.conn, ctx, acp.AgentMethodSessionSetModel, acp.UnstableSetSessionModelRequest{SessionId: acp.SessionId(s.ID()), ModelId: acp.UnstableModelId(want)})
	return err
}

// updated takes what the agent tells.
func (s *Session) updated(n acp.SessionNotification) {
	t := s.current()
	if t == nil || string(n.SessionId) != s.ID() {
		return // the past, which is told when a session is loaded
	}
	for _, e := range s.events(&n.Update) {
		t.heard(e)
	}
	if u := n.Update.UsageUpdate; u != nil && u.Cost != nil && u.Cost.Currency == "USD" {
		t.mu.Lock()
		t.outcome.Usage.CostUSD = u.Cost.Amount
		t.mu.Unlock()
	}
}

// events is what an update means to us. Kinds that we do not know mean nothing.
func (s *Session) events(u *acp.SessionUpdate) []Event {
	switch {
	case u.AgentMessageChunk != nil:
		return textOf(KindText, u.AgentMessageChunk.Content)
	case u.AgentThoughtChunk != nil:
		return textOf(KindThought, u.AgentThoughtChunk.Content)
	case u.Plan != nil:
		var lines []string
		for _, e := range u.Plan.Entries {
			lines = append(lines, fmt.Sprintf("[%s] %s", e.Status, e.Content))
		}
		return []Event{{Kind: KindPlan, Text: cutText(strings.Join(lines, "\n"))}}
	case u.ToolCall != nil:
		c := u.ToolCall
		return []Event{s.toolEvent(s.merge(string(c.ToolCallId), toolParts{
			kind: string(c.Kind), title: c.Title, status: string(c.Status), locations: c.Locations, content: c.Content, input: c.RawInput, output: c.RawOutput,
		}))}
	case u.ToolCallUpdate != nil:
		c := u.ToolCallUpdate
		return []Event{s.toolEvent(s.merge(string(c.ToolCallId), toolParts{
			kind: str(c.Kind), title: str(c.Title), status: str(c.Status), locations: c.Locations, content: c.Content, input: c.RawInput, output: c.RawOutput,
		}))}
	}
	return nil
}

func (s *Session) toolEvent(t Tool) Event {
	kind := KindTool
	if t.Status == string(acp.ToolCallStatusCompleted) || t.Status == string(acp.ToolCallStatusFailed) {
		kind = KindToolEnd
		s.mu.Lock()
		delete(s.tools, t.ID)
		s.mu.Unlock()
	}
	return Event{Kind: kind, Tool: &t}
}

func textOf(kind Kind, c acp.ContentBlock) []Event {
	if c.Text == nil || c.Text.Text == "" {
		return nil
	}
	return []Event{{Kind: kind, Text: c.Text.Text}}
}

// toolParts is what one message tells of a tool call; empty parts say nothing.
type toolParts struct {
	kind, title, status string
	locations           []acp.ToolCallLocation
	content             []acp.ToolCallContent
	input, output       any
}

// merge adds what a message tells of a tool call to what is known of it.
func (s *Session) merge(id string, p toolParts) Tool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tools[id]
	t.ID = id
	for _, f := range []struct {
		field *string
		value string
	}{{&t.Kind, p.kind}, {&t.Title, s.mask(p.title)}, {&t.Status, p.status}} {
		if f.value != "" {
			*f.field = f.value
		}
	}
	if len(p.locations) > 0 {
		t.Paths = nil
	}
	t.Paths = slices.Clone(t.Paths)
	for _, l := range p.locations {
		t.Paths = appendNew(t.Paths, l.Path)
	}
	if len(p.content) > 0 {
		t.Diffs, t.Output = nil, ""
	}
	for _, c := range p.content {
		switch {
		case c.Diff != nil:
			t.Diffs = append(t.Diffs, Diff{Path: c.Diff.Path, Old: cutText(s.mask(str(c.Diff.OldText))), New: cutText(s.mask(c.Diff.NewText))})
			t.Paths = appendNew(t.Paths, c.Diff.Path)
		case c.Content != nil && c.Content.Content.Text != nil:
			t.Output += c.Content.Content.Text.Text
		}
	}
	if p.input != nil {
		for _, path := range inputPaths(p.input) {
			t.Paths = appendNew(t.Paths, path)
		}
		if raw, err := json.Marshal(p.input); err == nil && len(raw) <= maxInput {
			t.Input = json.RawMessage(s.mask(string(raw)))
		}
	}
	if t.Output == "" && p.output != nil {
		t.Output = outputText(p.output)
	}
	t.Output = cutText(s.mask(t.Output))
	if len(s.tools) < maxTools {
		s.tools[id] = t
	}
	return t
}

// maxTools bounds how many tool calls are known that have not ended.
const maxTools = 256

// inputPaths are the paths that a tool was called with, under the names that agents use.
func inputPaths(input any) []string {
	m, ok := input.(map[string]any)
	if !ok {
		return nil
	}
	var out []string
	for _, name := range []string{"filePath", "file_path", "path", "filepath", "absolute_path", "notebook_path", "dir_path", "directory"} {
		if text, ok := m[name].(string); ok && text != "" {
			out = append(out, text)
		}
	}
	for _, name := range []string{"paths", "file_paths", "filePaths", "files", "include"} {
		list, _ := m[name].([]any) //nolint:errcheck // what is no list has no items
		for _, item := range list {
			if text, ok := item.(string); ok && text != "" {
				out = append(out, text)
			}
		}
	}
	return out
}

func outputText(output any) string {
	switch v := output.(type) {
	case string:
		return v
	case map[string]any:
		for _, name := range []string{"output", "error", "content"} {
			if text, ok := v[name].(string); ok && text != "" {
				return text
			}
		}
	}
	return ""
}

func appendNew(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

func cutText(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= maxToolText {
		return text
	}
	return strings.ToValidUTF8(text[:maxToolText], "") + "… (" + strconv.Itoa(len(text)-maxToolText) + " bytes are left out)"
}

func str[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}

func usageOf(u *acp.Usage) Usage {
	if u == nil {
		return Usage{}
	}
	return Usage{InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, TotalTokens: u.TotalTokens}
}

// asked answers a request for permission.
func (s *Session) asked(ctx context.Context, q acp.RequestPermissionRequest) acp.RequestPermissionResponse {
	t := s.current()
	if t == nil || string(q.SessionId) != s.ID() {
		return answerOf(q.Options, false)
	}
	u := q.ToolCall
	ask := Ask{ID: newMark(), Tool: s.merge(string(u.ToolCallId), toolParts{
		kind: str(u.Kind), title: str(u.Title), status: str(u.Status), locations: u.Locations, content: u.Content, input: u.RawInput, output: u.RawOutput,
	})}
	t.heard(Event{Kind: KindPermission, Tool: &ask.Tool, Permission: &Answer{ID: ask.ID, Pending: true}})
	t.clocks.pause()
	// It ends with the turn, and with the request.
	decide, cancel := context.WithCancelCause(t.ctx)
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	d := s.request.Policy(decide, ask)
	cancel(nil)
	t.clocks.resume()
	if t.ctx.Err() != nil {
		return acp.RequestPermissionResponse{Outcome: acp.RequestPermissionOutcome{Cancelled: &acp.RequestPermissionOutcomeCancelled{Outcome: "cancelled"}}}
	}
	if !d.Allow {
		t.mu.Lock()
		t.outcome.Refused++
		t.mu.Unlock()
	}
	t.heard(Event{Kind: KindDecision, Tool: &ask.Tool, Permission: &Answer{ID: ask.ID, Allowed: d.Allow, Why: d.Why}})
	return answerOf(q.Options, d.Allow)
}

// answerOf picks the option that says yes or no this once. Nothing is allowed for ever.
func answerOf(options []acp.PermissionOption, allow bool) acp.RequestPermissionResponse {
	want := []acp.PermissionOptionKind{acp.PermissionOptionKindRejectOnce, acp.PermissionOptionKindRejectAlways}
	if allow {
		want = []acp.PermissionOptionKind{acp.PermissionOptionKindAllowOnce}
	}
	for _, kind := range want {
		for _, o := range options {
			if o.Kind == kind {
				return acp.RequestPermissionResponse{Outcome: acp.RequestPermissionOutcome{
					Selected: &acp.RequestPermissionOutcomeSelected{OptionId: o.OptionId, Outcome: "selected"},
				}}
			}
		}
	}
	return acp.RequestPermissionResponse{Outcome: acp.RequestPermissionOutcome{Cancelled: &acp.RequestPermissionOutcomeCancelled{Outcome: "cancelled"}}}
}
