package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

// Chat says something to the assistant, and calls fn with each event of the answer.
func (c *Client) Chat(ctx context.Context, r wire.ChatRequest, fn func(wire.ChatEvent) error) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	resp, err := c.send(ctx, request{
		method: http.MethodPost, path: "/api/chat", body: body,
		header: map[string]string{"Accept": "text/event-stream", "Content-Type": "application/json"},
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	return readFrames(resp.Body, func(f frame) error {
		var e wire.ChatEvent
		if err := json.Unmarshal(f.data, &e); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return fn(e)
	})
}

// DecidePermission answers a question of the assistant.
func (c *Client) DecidePermission(ctx context.Context, id string, allow bool) error {
	_, err := sendJSON[wire.ChatDecision](ctx, c, http.MethodPost, "/api/v1/chat/permissions/"+url.PathEscape(id), wire.ChatDecision{Allow: allow})
	return err
}

// Conversations are those that are kept, newest first, without what was said.
func (c *Client) Conversations(ctx context.Context) ([]wire.Conversation, error) {
	return get[[]wire.Conversation](ctx, c, "/api/v1/chats", nil)
}
