package agenttest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	acp "github.com/coder/acp-go-sdk"

	"github.com/philiporange/supervisor/pkg/agent"
)

const (
	// scriptEnv makes the test's program be the fake agent; logEnv is where it notes what it is told.
	scriptEnv = "AGENTTEST_SCRIPT"
	logEnv    = "AGENTTEST_LOG"
)

// Act is one thing that the fake does in a turn. The fields that are set are done in the order in which they stand here.
type Act struct {
	// Say and Think are pieces of text.
	Say, Think string `json:",omitempty"`
	// Read tells of reading a file, without asking.
	Read string `json:",omitempty"`
	// Edit asks whether it may write Text to a file, and does on a yes. Write does without asking.
	Edit, Write, Text string `json:",omitempty"`
	// Delete asks, and deletes on a yes.
	Delete string `json:",omitempty"`
	// Run asks whether it may run a command, and does on a yes.
	Run string `json:",omitempty"`
	// Tool asks whether it may use a tool of that name, of an MCP server's.
	Tool string `json:",omitempty"`
	// Garbage puts so many bytes that are no message on standard output; Flood says so many bytes in pieces of text.
	Garbage, Flood int `json:",omitempty"`
	// Spawn starts a program in a session of its own that ignores SIGTERM, and writes its number to a file.
	Spawn string `json:",omitempty"`
	// Escape does the same with a program that nothing of us can be seen in, and that holds standard output open.
	Escape string `json:",omitempty"`
	// Fail ends the turn with an error; Crash ends the process with a code.
	Fail  string `json:",omitempty"`
	Crash int    `json:",omitempty"`
	// Wait goes on until the turn is cancelled. Hang goes on, and ignores that and SIGTERM.
	Wait, Hang bool `json:",omitempty"`
}

// Script is what the fake does: in each turn of a session the next list of acts, and beyond the last one that.
type Script struct {
	Turns [][]Act
	// NoLoad makes it unable to resume sessions. DeafStart makes it answer nothing at all.
	NoLoad    bool `json:",omitempty"`
	DeafStart bool `json:",omitempty"`
}

// Told is one note of what the fake was told.
type Told struct {
	Session string
	Prompt  string
	Env     []string
	Args    []string
	Dir     string
	UID     int
	Servers []string
}

// Main is to be called first by TestMain: in a process that Fake starts it is the agent, and does not return.
func Main() {
	text := os.Getenv(scriptEnv)
	if text == "" {
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("fake 1.2.3")
		os.Exit(0)
	}
	var script Script
	if err := json.Unmarshal([]byte(text), &script); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if script.DeafStart {
		select {}
	}
	f := &fake{script: script, cancels: map[string]context.CancelFunc{}}
	f.conn = acp.NewAgentSideConnection(f, os.Stdout, os.Stdin)
	<-f.conn.Done()
	os.Exit(0)
}

// Fake is the Spec of a scripted agent. The test's TestMain has to call Main.
func Fake(t testing.TB, id string, script Script) agent.Spec {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Scripted(program, id, script)
	if err != nil {
		t.Fatal(err)
	}
	spec.Env[logEnv] = LogOf(t, id)
	return spec
}

// Scripted is the Spec of a scripted agent that is a program whose main function calls Main first.
func Scripted(program, id string, script Script) (agent.Spec, error) {
	text, err := json.Marshal(script)
	if err != nil {
		return agent.Spec{}, err
	}
	return agent.Spec{
		ID: id, Name: "Fake " + id, Protocol: agent.ProtocolACP, Argv: []string{program, "{{if .Model}}--model={{.Model}}{{end}}"},
		Version: []string{"--version"}, NoKey: true, Env: map[string]string{scriptEnv: string(text)},
		KeyEnv: "FAKE_KEY", BaseURLEnv: "FAKE_URL",
	}, nil
}

var logs sync.Map // of a test's name and an agent's ID: a file

// LogOf is the file in which a fake notes what it is told.
func LogOf(t testing.TB, id string) string {
	key := t.Name() + "\x00" + id
	path, known := logs.Load(key)
	if !known {
		path = filepath.Join(t.TempDir(), "told.jsonl")
		logs.Store(key, path)
		t.Cleanup(func() { logs.Delete(key) }) // the test may be run again
	}
	return path.(string)
}

// ToldOf is what a fake was told so far.
func ToldOf(t testing.TB, id string) []Told {
	t.Helper()
	text, err := os.ReadFile(LogOf(t, id))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var out []Told
	for line := range strings.Lines(string(text)) {
		var told Told
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			t.Fatal(err)
		}
		out = append(out, told)
	}
	return out
}

// fake is the agent.
type fake struct {
	conn   *acp.AgentSideConnection
	script Script

	mu      sync.Mutex
	cancels map[string]context.CancelFunc
	dirs    map[string]string
	servers map[string][]string
	calls   int
}

func (f *fake) sessionFile(id string) string {
	return filepath.Join(os.Getenv("HOME"), "session-"+filepath.Base(id)+".json")
}

// turns is how many turns a session has had.
func (f *fake) turns(id string) int {
	text, err := os.ReadFile(f.sessionFile(id))
	if err != nil {
		return -1
	}
	var n int
	if json.Unmarshal(text, &n) != nil {
		return -1
	}
	return n
}

func (f *fake) keep(id string, turns int) error {
	return os.WriteFile(f.sessionFile(id), fmt.Append(nil, turns), 0o600)
}

// Initialize implements acp.Agent.
func (f *fake) Initialize(context.Context, acp.InitializeRequest) (acp.InitializeResponse, error) {
	return acp.InitializeResponse{
		ProtocolVersion: acp.ProtocolVersionNumber, AgentCapabilities: acp.AgentCapabilities{LoadSession: !f.script.NoLoad},
		AuthMethods: []acp.AuthMethod{},
	}, nil
}

func (f *fake) enter(id, dir string, servers []acp.McpServer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirs == nil {
		f.dirs, f.servers = map[string]string{}, map[string][]string{}
	}
	f.dirs[id] = dir
	for _, s := range servers {
		if s.Stdio != nil {
			f.servers[id] = append(f.servers[id], s.Stdio.Name)
		}
	}
}

// NewSession implements acp.Agent.
func (f *fake) NewSession(_ context.Context, q acp.NewSessionRequest) (acp.NewSessionResponse, error) {
	id := fmt.Sprintf("fake-%d-%d", os.Getpid(), time.Now().UnixNano())
	f.enter(id, q.Cwd, q.McpServers)
	return acp.NewSessionResponse{SessionId: acp.SessionId(id)}, f.keep(id, 0)
}

// LoadSession implements acp.AgentLoader.
func (f *fake) LoadSession(ctx context.Context, q acp.LoadSessionRequest) (acp.LoadSessionResponse, error) {
	id := string(q.SessionId)
	if f.turns(id) < 0 {
		return acp.LoadSessionResponse{}, acp.NewInvalidParams(map[string]any{"details": "session not found"})
	}
	f.enter(id, q.Cwd, q.McpServers)
	// The past is told again, as the protocol wants it.
	return acp.LoadSessionResponse{}, f.update(ctx, id, acp.UpdateAgentMessageText("(from the past)"))
}

func (f *fake) update(ctx context.Context, id string, u acp.SessionUpdate) error {
	return f.conn.SessionUpdate(ctx, acp.SessionNotification{SessionId: acp.SessionId(id), Update: u})
}

// Cancel implements acp.Agent.
func (f *fake) Cancel(_ context.Context, n acp.CancelNotification) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cancel := f.cancels[string(n.SessionId)]; cancel != nil {
		cancel()
	}
	return nil
}

// Prompt implements acp.Agent.
func (f *fake) Prompt(ctx context.Context, q acp.PromptRequest) (acp.PromptResponse, error) {
	id := string(q.SessionId)
	var prompt strings.Builder
	for _, b := range q.Prompt {
		if b.Text != nil {
			prompt.WriteString(b.Text.Text)
		}
	}
	// A turn ends by session/cancel, not with its request.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	f.mu.Lock()
	f.cancels[id] = cancel
	dir, servers := f.dirs[id], f.servers[id]
	f.mu.Unlock()
	f.note(Told{Session: id, Prompt: prompt.String(), Env: os.Environ(), Args: os.Args[1:], Dir: dir, UID: os.Getuid(), Servers: servers})
	turn := max(f.turns(id), 0)
	if err := f.keep(id, turn+1); err != nil {
		return acp.PromptResponse{}, err
	}
	var acts []Act
	if n := len(f.script.Turns); n > 0 {
		acts = f.script.Turns[min(turn, n-1)]
	}
	for _, a := range acts {
		if err := f.act(ctx, id, dir, a); err != nil {
			return acp.PromptResponse{}, err
		}
		if ctx.Err() != nil {
			return acp.PromptResponse{StopReason: acp.StopReasonCancelled}, nil
		}
	}
	return acp.PromptResponse{
		StopReason: acp.StopReasonEndTurn, Usage: &acp.Usage{InputTokens: 100, OutputTokens: 20, TotalTokens: 120},
	}, nil
}

func (f *fake) note(t Told) {
	path := os.Getenv(logEnv)
	if path == "" {
		return
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	_, _ = file.Write(append(raw, '\n'))
	_ = file.Close()
}

func (f *fake) act(ctx context.Context, id, dir string, a Act) error {
	at := func(path string) string {
		if filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	if a.Think != "" {
		if err := f.update(ctx, id, acp.UpdateAgentThoughtText(a.Think)); err != nil {
			return err
		}
	}
	if a.Say != "" {
		if err := f.update(ctx, id, acp.UpdateAgentMessageText(a.Say)); err != nil {
			return err
		}
	}
	if a.Read != "" {
		text, err := os.ReadFile(at(a.Read))
		if err != nil {
			text = []byte(err.Error())
		}
		if err := f.tool(ctx, id, acp.ToolKindRead, "read", at(a.Read), false, func() (string, error) { return string(text), nil }); err != nil {
			return err
		}
	}
	write := func(path string) func() (string, error) {
		return func() (string, error) { return "written", os.WriteFile(path, []byte(a.Text), 0o644) }
	}
	if a.Edit != "" {
		if err := f.edit(ctx, id, at(a.Edit), a.Text, write(at(a.Edit))); err != nil {
			return err
		}
	}
	if a.Write != "" {
		if _, err := write(at(a.Write))(); err != nil {
			return err
		}
	}
	if a.Delete != "" {
		if err := f.tool(ctx, id, acp.ToolKindDelete, "delete", at(a.Delete), true, func() (string, error) { return "deleted", os.Remove(at(a.Delete)) }); err != nil {
			return err
		}
	}
	if a.Run != "" {
		err := f.tool(ctx, id, acp.ToolKindExecute, a.Run, "", true, func() (string, error) {
			cmd := exec.CommandContext(ctx, "sh", "-c", a.Run)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			return string(out), err
		})
		if err != nil {
			return err
		}
	}
	if a.Tool != "" {
		if err := f.tool(ctx, id, acp.ToolKindOther, a.Tool, "", true, func() (string, error) { return "used", nil }); err != nil {
			return err
		}
	}
	if a.Garbage > 0 {
		_, _ = os.Stdout.WriteString("this is no message " + strings.Repeat("x", a.Garbage) + "\n")
	}
	for left := a.Flood; left > 0; left -= 4096 {
		if err := f.update(ctx, id, acp.UpdateAgentMessageText(strings.Repeat("y", min(left, 4096)))); err != nil {
			return err
		}
	}
	if a.Spawn != "" {
		if err := spawn(at(a.Spawn), exec.Command("sh", "-c", forEver)); err != nil {
			return err
		}
	}
	if a.Escape != "" {
		cmd := exec.Command("env", "-i", "sh", "-c", forEver)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := spawn(at(a.Escape), cmd); err != nil {
			return err
		}
	}
	switch {
	case a.Fail != "":
		return &acp.RequestError{Code: -32000, Message: "Authentication required", Data: map[string]any{"details": a.Fail}}
	case a.Crash != 0:
		fmt.Fprintln(os.Stderr, "the fake crashes as it was told")
		os.Exit(a.Crash)
	case a.Wait:
		<-ctx.Done()
	case a.Hang:
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		for {
			time.Sleep(time.Hour)
		}
	}
	return nil
}

// forEver ignores polite requests.
const forEver = `trap "" TERM HUP; while :; do sleep 1000; done`

// spawn starts a program in a session of its own, and notes its number.
func spawn(path string, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Append(nil, cmd.Process.Pid), 0o644)
}

func (f *fake) nextCall() acp.ToolCallId {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	return acp.ToolCallId(fmt.Sprintf("call-%d", f.calls))
}

// tool tells of a tool call, asks when it shall, and does it.
func (f *fake) tool(ctx context.Context, id string, kind acp.ToolKind, title, path string, ask bool, do func() (string, error)) error {
	call := f.nextCall()
	opts := []acp.ToolCallStartOpt{acp.WithStartKind(kind), acp.WithStartStatus(acp.ToolCallStatusPending)}
	if path != "" {
		opts = append(opts, acp.WithStartLocations([]acp.ToolCallLocation{{Path: path}}))
	}
	if err := f.update(ctx, id, acp.StartToolCall(call, title, opts...)); err != nil {
		return err
	}
	if ask {
		allowed, err := f.ask(ctx, id, acp.ToolCallUpdate{ToolCallId: call, Kind: &kind, Title: &title})
		if err != nil {
			return err
		}
		if !allowed {
			return f.update(ctx, id, acp.UpdateToolCall(call, acp.WithUpdateStatus(acp.ToolCallStatusFailed)))
		}
	}
	out, err := do()
	status := acp.ToolCallStatusCompleted
	if err != nil {
		status, out = acp.ToolCallStatusFailed, err.Error()
	}
	return f.update(ctx, id, acp.UpdateToolCall(call, acp.WithUpdateStatus(status),
		acp.WithUpdateContent([]acp.ToolCallContent{acp.ToolContent(acp.TextBlock(out))})))
}

func (f *fake) edit(ctx context.Context, id, path, text string, do func() (string, error)) error {
	call, kind, title := f.nextCall(), acp.ToolKindEdit, "edit"
	if err := f.update(ctx, id, acp.StartToolCall(call, title, acp.WithStartKind(kind), acp.WithStartStatus(acp.ToolCallStatusPending))); err != nil {
		return err
	}
	old, _ := os.ReadFile(path)
	diff := []acp.ToolCallContent{acp.ToolDiffContent(path, text, string(old))}
	allowed, err := f.ask(ctx, id, acp.ToolCallUpdate{ToolCallId: call, Kind: &kind, Title: &title, Content: diff})
	if err != nil {
		return err
	}
	status := acp.ToolCallStatusFailed
	if allowed {
		if _, err := do(); err == nil {
			status = acp.ToolCallStatusCompleted
		}
	}
	return f.update(ctx, id, acp.UpdateToolCall(call, acp.WithUpdateStatus(status), acp.WithUpdateContent(diff)))
}

func (f *fake) ask(ctx context.Context, id string, call acp.ToolCallUpdate) (bool, error) {
	resp, err := f.conn.RequestPermission(ctx, acp.RequestPermissionRequest{
		SessionId: acp.SessionId(id), ToolCall: call, Options: []acp.PermissionOption{
			{Kind: acp.PermissionOptionKindAllowOnce, Name: "Allow", OptionId: "once"},
			{Kind: acp.PermissionOptionKindAllowAlways, Name: "Always", OptionId: "always"},
			{Kind: acp.PermissionOptionKindRejectOnce, Name: "Reject", OptionId: "reject"},
		},
	})
	if err != nil && ctx.Err() == nil {
		return false, err
	}
	chosen := resp.Outcome.Selected
	return chosen != nil && chosen.OptionId == "once", nil
}

// Authenticate implements acp.Agent.
func (*fake) Authenticate(context.Context, acp.AuthenticateRequest) (acp.AuthenticateResponse, error) {
	return acp.AuthenticateResponse{}, nil
}

// CloseSession implements acp.Agent.
func (*fake) CloseSession(context.Context, acp.CloseSessionRequest) (acp.CloseSessionResponse, error) {
	return acp.CloseSessionResponse{}, nil
}

// ListSessions implements acp.Agent.
func (*fake) ListSessions(context.Context, acp.ListSessionsRequest) (acp.ListSessionsResponse, error) {
	return acp.ListSessionsResponse{}, acp.NewMethodNotFound("session/list")
}

// ResumeSession implements acp.Agent.
func (*fake) ResumeSession(context.Context, acp.ResumeSessionRequest) (acp.ResumeSessionResponse, error) {
	return acp.ResumeSessionResponse{}, acp.NewMethodNotFound("session/resume")
}

// SetSessionConfigOption implements acp.Agent.
func (*fake) SetSessionConfigOption(context.Context, acp.SetSessionConfigOptionRequest) (acp.SetSessionConfigOptionResponse, error) {
	return acp.SetSessionConfigOptionResponse{}, nil
}

// SetSessionMode implements acp.Agent.
func (*fake) SetSessionMode(context.Context, acp.SetSessionModeRequest) (acp.SetSessionModeResponse, error) {
	return acp.SetSessionModeResponse{}, nil
}

var (
	_ acp.Agent       = (*fake)(nil)
	_ acp.AgentLoader = (*fake)(nil)
)

// Configure makes agents those of a supervisor whose data folder is dir, and the only ones.
func Configure(t testing.TB, dir string, specs ...agent.Spec) {
	t.Helper()
	if err := Write(dir, specs...); err != nil {
		t.Fatal(err)
	}
}

// Write is Configure where there is no test.
func Write(dir string, specs ...agent.Spec) error {
	for _, b := range agent.Builtin() {
		if !slices.ContainsFunc(specs, func(s agent.Spec) bool { return s.ID == b.ID }) {
			specs = append(specs, agent.Spec{ID: b.ID, Protocol: b.Protocol, Argv: b.Argv, Disabled: true})
		}
	}
	text, err := json.Marshal(specs)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "agents.json"), text, 0o600)
}
