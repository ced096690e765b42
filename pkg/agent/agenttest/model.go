package agenttest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Step is one answer of the scripted model: a piece of text, or a tool call, or a misfortune.
type Step struct {
	// Text is what it says; with a tool call, before it.
	Text string
	// Tool is read, write, edit, list, shell, or a tool's own name, of which a part is enough. Args are under the names path, text,
	// old, new, command, which are put into those that the agent offers; others stay as they are.
	Tool string
	Args map[string]any
	// Status is an HTTP status to fail with. Hang never answers. Cut breaks off in the middle.
	Status    int
	Hang, Cut bool
}

// Say is a Step of text.
func Say(text string) Step { return Step{Text: text} }

// Call is a Step that uses a tool; args are names and values.
func Call(tool string, args ...string) Step {
	s := Step{Tool: tool, Args: map[string]any{}}
	for i := 0; i+1 < len(args); i += 2 {
		s.Args[args[i]] = args[i+1]
	}
	return s
}

// Request is what the model was asked.
type Request struct {
	Model string
	// Tools are the names of the tools that were offered, sorted; none for a side request, such as one for a title.
	Tools []string
	// Messages are the texts of all messages, one after the other, with their roles.
	Messages []string
	// Key is what stood in the Authorization header.
	Key string
}

// Text is all that the model was told.
func (r *Request) Text() string { return strings.Join(r.Messages, "\n") }

// Model is a scripted model server that speaks chat completions. A model's ID chooses the script, and the number of the assistant's
// turns in a request the step, so that it keeps no state between requests.
type Model struct {
	// URL is what an agent is told as its base URL.
	URL string

	mu       sync.Mutex
	scripts  map[string][]Step
	requests []Request
	stop     chan struct{}
}

// NewModel starts a server that ends with the test.
func NewModel(t testing.TB, scripts map[string][]Step) *Model {
	t.Helper()
	m := &Model{scripts: maps.Clone(scripts), stop: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", m.complete)
	mux.HandleFunc("GET /v1/models", m.models)
	server := httptest.NewServer(mux)
	m.URL = server.URL + "/v1"
	t.Cleanup(func() {
		close(m.stop)
		server.CloseClientConnections()
		server.Close()
	})
	return m
}

// Script sets the steps of a model.
func (m *Model) Script(id string, steps ...Step) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scripts[id] = steps
}

// Requests are those so far that offered tools.
func (m *Model) Requests() []Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.requests), func(r Request) bool { return len(r.Tools) == 0 })
}

func (m *Model) models(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []map[string]string
	for _, id := range slices.Sorted(maps.Keys(m.scripts)) {
		list = append(list, map[string]string{"id": id, "object": "model"})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": list})
}

// completion is the part of a request that matters.
type completion struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
		Calls   json.RawMessage `json:"tool_calls"`
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name       string `json:"name"`
			Parameters struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
}

func (m *Model) complete(w http.ResponseWriter, r *http.Request) {
	var c completion
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request, turns := m.note(&c, r.Header.Get("Authorization"))
	step := Say("A title")
	if len(request.Tools) > 0 {
		m.mu.Lock()
		steps := m.scripts[c.Model]
		m.mu.Unlock()
		step = Say("That is all.")
		if turns < len(steps) {
			step = steps[turns]
		}
	}
	switch {
	case step.Status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(step.Status)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"scripted %d","type":"error"}}`, step.Status)
	case step.Hang:
		select {
		case <-r.Context().Done():
		case <-m.stop:
		}
	default:
		m.stream(w, &c, step, turns)
	}
}

// note records a request, and counts the assistant's turns in it.
func (m *Model) note(c *completion, key string) (r Request, turns int) {
	r = Request{Model: c.Model, Key: strings.TrimPrefix(key, "Bearer ")}
	for _, t := range c.Tools {
		r.Tools = append(r.Tools, t.Function.Name)
	}
	slices.Sort(r.Tools)
	for _, msg := range c.Messages {
		if msg.Role == "assistant" {
			turns++
		}
		r.Messages = append(r.Messages, msg.Role+": "+contentText(msg.Content)+string(msg.Calls))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
	return r, turns
}

func contentText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	if json.Unmarshal(raw, &parts) != nil {
		return string(raw)
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

// stream answers with server-sent events.
func (m *Model) stream(w http.ResponseWriter, c *completion, step Step, turns int) {
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(delta map[string]any, finish any, usage any) {
		raw, err := json.Marshal(map[string]any{
			"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": c.Model, "usage": usage,
			"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}},
		})
		if err == nil {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", raw)
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	for word := range strings.SplitAfterSeq(step.Text, " ") {
		if word != "" {
			send(map[string]any{"role": "assistant", "content": word}, nil, nil)
		}
	}
	if step.Cut {
		panic(http.ErrAbortHandler)
	}
	finish := "stop"
	if step.Tool != "" {
		finish = "tool_calls"
		name, args := c.mapTool(step)
		send(map[string]any{"role": "assistant", "tool_calls": []any{map[string]any{
			"index": 0, "id": fmt.Sprintf("call_%d", turns+1), "type": "function", "function": map[string]any{"name": name, "arguments": args},
		}}}, nil, nil)
	}
	send(map[string]any{}, finish, map[string]int{"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120})
	_, _ = fmt.Fprint(w, "data: [DONE]\n\n")
}

// toolNames and argNames are what agents call the tools and their arguments, ours first where nothing is offered.
var (
	toolNames = map[string][]string{
		"read": {"read", "read_file"}, "write": {"write", "write_file"}, "edit": {"edit", "replace"},
		"list": {"list", "list_directory"}, "shell": {"bash", "run_shell_command", "shell"},
	}
	argNames = map[string][]string{
		"path": {"filePath", "file_path", "absolute_path", "path"}, "text": {"content"},
		"old": {"oldString", "old_string"}, "new": {"newString", "new_string"}, "command": {"command"},
	}
)

// mapTool puts an abstract tool call into the words of the agent.
func (c *completion) mapTool(step Step) (name, args string) {
	candidates, known := toolNames[step.Tool]
	if !known {
		candidates = []string{step.Tool}
	}
	name = candidates[0]
	var offered map[string]json.RawMessage
	for _, t := range c.Tools {
		f := t.Function
		if slices.Contains(candidates, f.Name) || (!known && strings.Contains(f.Name, step.Tool)) {
			name, offered = f.Name, f.Parameters.Properties
			break
		}
	}
	out := map[string]any{}
	for arg, value := range step.Args {
		to := arg
		if names := argNames[arg]; len(names) > 0 {
			to = names[0]
			for _, n := range names {
				if _, ok := offered[n]; ok {
					to = n
					break
				}
			}
		}
		out[to] = value
	}
	if _, ok := offered["description"]; ok && out["description"] == nil {
		out["description"] = "as scripted"
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return name, "{}"
	}
	return name, string(raw)
}
