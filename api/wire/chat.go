package wire

import (
	"encoding/json"
	"time"
)

// ChatRequest is a message to the assistant.
type ChatRequest struct {
	Message string `json:"message"`
	// Project is the name of a service or of a folder in ~/Code, or a path; empty for none.
	Project string `json:"project,omitempty"`
	// Model is opus, sonnet, haiku or one of the agent's own; empty for the default. Agent likewise.
	Model string `json:"model,omitempty"`
	Agent string `json:"agent,omitempty"`
	// SessionID goes on with a conversation; every event of one has it.
	SessionID string `json:"session_id,omitempty"`
	// Approvals says that the client shows events of type permission and answers them; without it what has to be asked for is
	// refused, and only the types text, tool, result, error and done are sent.
	Approvals bool `json:"approvals,omitempty"`
}

// ChatEvent is one event of the answer.
type ChatEvent struct {
	// Type is text, tool, result, error or done; with approvals also permission, decision, thought, plan or wait.
	Type      string `json:"type"`
	Content   string `json:"content"`
	SessionID string `json:"session_id"`
	// Tool is what a tool, result, permission or decision is about.
	Tool       *ChatTool       `json:"tool,omitempty"`
	Permission *ChatPermission `json:"permission,omitempty"`
	Usage      *ChatUsage      `json:"usage,omitempty"`
}

// ChatTool is a tool call of an agent.
type ChatTool struct {
	ID     string          `json:"id"`
	Kind   string          `json:"kind,omitempty"` // read, edit, delete, move, search, execute, fetch, think or other
	Title  string          `json:"title,omitempty"`
	Status string          `json:"status,omitempty"` // pending, in_progress, completed or failed
	Paths  []string        `json:"paths,omitempty"`
	Diffs  []ChatDiff      `json:"diffs,omitempty"`
	Input  json.RawMessage `json:"input,omitempty"`
}

// ChatDiff is an edit that an agent means to make.
type ChatDiff struct {
	Path string `json:"path"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// ChatPermission is a question of an agent, or how it was answered.
type ChatPermission struct {
	ID      string `json:"id"`
	Pending bool   `json:"pending,omitempty"`
	Allowed bool   `json:"allowed"`
	Why     string `json:"why,omitempty"`
}

// ChatUsage is what an answer took, as the agent tells it.
type ChatUsage struct {
	InputTokens  int     `json:"input_tokens"`
	OutputTokens int     `json:"output_tokens"`
	TotalTokens  int     `json:"total_tokens"`
	CostUSD      float64 `json:"cost_usd"`
}

// ChatDecision answers a question.
type ChatDecision struct {
	Allow bool `json:"allow"`
}

// Conversation is what is kept of one; in lists without what was said.
type Conversation struct {
	ID        string              `json:"id"`
	Title     string              `json:"title"`
	Agent     string              `json:"agent"`
	Model     string              `json:"model"`
	Dir       string              `json:"dir"`
	About     string              `json:"about,omitempty"`
	CreatedAt time.Time           `json:"created_at"`
	UpdatedAt time.Time           `json:"updated_at"`
	Entries   []ConversationEntry `json:"entries,omitempty"`
}

// ConversationEntry is something that was said.
type ConversationEntry struct {
	Time time.Time `json:"time"`
	Role string    `json:"role"` // user or assistant
	Text string    `json:"text"`
	// Tools are the tools that were used for it, in a line each; Error says why it is not complete.
	Tools []string `json:"tools,omitempty"`
	Error string   `json:"error,omitempty"`
}
