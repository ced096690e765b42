package rest_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/rest"
	"github.com/philiporange/supervisor/api/wire"
)

// parrot is a chat that says what it was told.
type parrot struct {
	told    []wire.ChatRequest
	decided map[string]bool
}

func (p *parrot) Begin(_ context.Context, r wire.ChatRequest) (func(context.Context, func(wire.ChatEvent)), error) {
	if r.SessionID != "" && r.SessionID != "chat-1" {
		return nil, rest.Errorf(wire.CodeNotFound, "there is no such conversation")
	}
	p.told = append(p.told, r)
	return func(_ context.Context, emit func(wire.ChatEvent)) {
		emit(wire.ChatEvent{Type: "text", Content: r.Message, SessionID: "chat-1"})
		emit(wire.ChatEvent{Type: "done", SessionID: "chat-1"})
	}, nil
}

func (p *parrot) Decide(id string, allow bool, _ string) error {
	if id != "q1" {
		return rest.Errorf(wire.CodeNotFound, "there is no such question")
	}
	p.decided[id] = allow
	return nil
}

func (p *parrot) Conversations() ([]wire.Conversation, error) {
	return []wire.Conversation{{ID: "chat-1", Title: "Hello"}}, nil
}

func (p *parrot) Conversation(id string) (wire.Conversation, error) {
	return wire.Conversation{ID: id, Entries: []wire.ConversationEntry{{Role: "user", Text: "Hello"}}}, nil
}

func (p *parrot) Forget(string) error { return nil }

func TestChat(t *testing.T) {
	p := &parrot{decided: map[string]bool{}}
	h := newHouse(t, func(d *rest.Deps, _ *world) { d.Chat, d.MaxStreams = p, 1 })
	r := h.call(t, request{method: http.MethodPost, path: "/api/chat", body: `{"message":"Hello","model":"sonnet","project":"web"}`})
	// Each event is data without a name, as the contract has it.
	want := "data: {\"type\":\"text\",\"content\":\"Hello\",\"session_id\":\"chat-1\"}\n\ndata: {\"type\":\"done\",\"content\":\"\",\"session_id\":\"chat-1\"}\n\n"
	if r.status != http.StatusOK || !strings.HasSuffix(r.body, want) || strings.Contains(r.body, "event:") || !strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("%d %q", r.status, r.body)
	}
	if len(p.told) != 1 || p.told[0].Model != "sonnet" || p.told[0].Project != "web" {
		t.Errorf("%+v", p.told)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/api/chat", `{"message":" "}`, 422},
		{"POST", "/api/chat", `{"message":"x","session_id":"chat-9"}`, 404},
		{"POST", "/api/v1/chat/permissions/q1", `{"allow":true}`, 200},
		{"POST", "/api/v1/chat/permissions/q2", `{"allow":true}`, 404},
		{"GET", "/api/v1/chats", "", 200},
		{"GET", "/api/v1/chats/chat-1", "", 200},
		{"DELETE", "/api/v1/chats/chat-1", "", 200},
	} {
		if r := h.call(t, request{method: c.method, path: c.path, body: c.body}); r.status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
	}
	if !p.decided["q1"] {
		t.Error("the answer did not arrive")
	}
	none := newHouse(t)
	if r := none.call(t, request{method: http.MethodPost, path: "/api/chat", body: `{"message":"Hello"}`}); r.status != http.StatusServiceUnavailable {
		t.Errorf("without an agent: %d", r.status)
	}
}
