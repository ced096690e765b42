package rest

import (
	"context"
	"net/http"
	"strings"

	"github.com/philiporange/supervisor/api/wire"
)

// Chat is the conversation with a coding agent. Its errors are *Error, or they are answered as internal.
type Chat interface {
	// Begin takes a message; answer then tells what comes of it, and must be called.
	Begin(ctx context.Context, r wire.ChatRequest) (answer func(ctx context.Context, emit func(wire.ChatEvent)), err error)
	// Decide answers a question of the agent.
	Decide(id string, allow bool, actor string) error
	// Conversations are those that are kept, newest first, without what was said.
	Conversations() ([]wire.Conversation, error)
	Conversation(id string) (wire.Conversation, error)
	Forget(id string) error
}

func chatRoutes() []route {
	const all, one = "/api/v1/chats", "/api/v1/chats/:id"
	get, post := http.MethodGet, http.MethodPost
	return tagged("chat", []route{
		{
			method: post, path: "/api/chat", summary: "Say something to the assistant; the answer is a stream of data without event names",
			request: wire.ChatRequest{}, response: wire.ChatEvent{}, stream: true, serve: sayChat,
		},
		{method: post, path: "/api/v1/chat/permissions/:id", summary: "Answer a question of the assistant", request: wire.ChatDecision{}, response: wire.ChatDecision{}, serve: decideChat},
		{method: get, path: all, summary: "Conversations, newest first", response: []wire.Conversation{}, serve: listChats},
		{method: get, path: one, summary: "One conversation, with what was said", response: wire.Conversation{}, serve: getChat},
		{method: http.MethodDelete, path: one, summary: "Forget a conversation", response: wire.Deleted{}, serve: deleteChat},
	})
}

func (c *call) chat() (Chat, error) {
	if c.api.deps.Chat == nil {
		return nil, noAgent()
	}
	return c.api.deps.Chat, nil
}

func sayChat(c *call) (any, error) {
	chat, err := c.chat()
	if err != nil {
		return nil, err
	}
	r, err := readJSON[wire.ChatRequest](c)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(r.Message) == "" {
		return nil, badParam("message", "there is no message")
	}
	answer, err := chat.Begin(c.Request.Context(), r)
	if err != nil {
		return nil, err
	}
	answered := false
	out, err := c.serveStream(func(ctx context.Context, s *stream) error {
		answered = true
		var failed error
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer(ctx, func(e wire.ChatEvent) {
			if err := s.send("", "", e); err != nil {
				failed = err
				cancel() // nobody listens any more
			}
		})
		return failed
	})
	if !answered {
		ctx, cancel := context.WithCancel(c.Request.Context())
		cancel()
		answer(ctx, func(wire.ChatEvent) {})
	}
	return out, err
}

func decideChat(c *call) (any, error) {
	chat, err := c.chat()
	if err != nil {
		return nil, err
	}
	d, err := readJSON[wire.ChatDecision](c)
	if err != nil {
		return nil, err
	}
	return d, chat.Decide(c.Param("id"), d.Allow, c.caller.actor())
}

func listChats(c *call) (any, error) {
	chat, err := c.chat()
	if err != nil {
		return nil, err
	}
	found, err := chat.Conversations()
	return append([]wire.Conversation{}, found...), err
}

func getChat(c *call) (any, error) {
	chat, err := c.chat()
	if err != nil {
		return nil, err
	}
	return chat.Conversation(c.Param("id"))
}

func deleteChat(c *call) (any, error) {
	chat, err := c.chat()
	if err != nil {
		return nil, err
	}
	return wire.Deleted{Status: "deleted", Name: c.Param("id")}, chat.Forget(c.Param("id"))
}
