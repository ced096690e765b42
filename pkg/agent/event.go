package agent

import (
	"encoding/json"
	"time"
)

// Kind is what an Event tells.
type Kind string

// The kinds of events.
const (
	KindSession    Kind = "session"    // the session has an ID: Text
	KindWait       Kind = "wait"       // it waits for its turn, or for the agent to start: Text says for what
	KindText       Kind = "text"       // a piece of the answer
	KindThought    Kind = "thought"    // a piece of what it thinks
	KindPlan       Kind = "plan"       // what it means to do: Text, one step a line
	KindTool       Kind = "tool"       // a tool call begins, or is known better
	KindToolEnd    Kind = "tool_end"   // a tool call has ended
	KindPermission Kind = "permission" // it asks whether it may: Tool, and Permission
	KindDecision   Kind = "decision"   // what it was answered: Permission
	KindUsage      Kind = "usage"
	KindError      Kind = "error" // the turn has failed: Text
	KindDone       Kind = "done"  // the turn has ended: Stop
)

// Event is one thing that happens in a turn. It goes to those who watch, into the transcript, and to tests.
type Event struct {
	// Seq counts from 1 within the session.
	Seq        uint64    `json:"seq"`
	Time       time.Time `json:"time"`
	Kind       Kind      `json:"kind"`
	Text       string    `json:"text,omitempty"`
	Tool       *Tool     `json:"tool,omitempty"`
	Permission *Answer   `json:"permission,omitempty"`
	Usage      *Usage    `json:"usage,omitempty"`
	// Stop is why the turn ended: end_turn, cancelled, refusal, max_tokens, ...
	Stop string `json:"stop,omitempty"`
}

// Tool is a tool call as the agent tells it.
type Tool struct {
	ID string `json:"id"`
	// Kind is read, edit, delete, move, search, execute, fetch, think or other.
	Kind  string `json:"kind,omitempty"`
	Title string `json:"title,omitempty"`
	// Status is pending, in_progress, completed or failed.
	Status string `json:"status,omitempty"`
	// Paths are the files that it is about, absolute.
	Paths []string `json:"paths,omitempty"`
	Diffs []Diff   `json:"diffs,omitempty"`
	// Input is what the tool was called with, and Output the text that it gave, both cut.
	Input  json.RawMessage `json:"input,omitempty"`
	Output string          `json:"output,omitempty"`
}

// Diff is one edit as the agent tells it. What really changed is for the caller to find out.
type Diff struct {
	Path string `json:"path"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new"`
}

// Answer is how a request for permission was answered.
type Answer struct {
	// ID names the request.
	ID      string `json:"id"`
	Allowed bool   `json:"allowed"`
	// Why says so in a sentence.
	Why string `json:"why,omitempty"`
	// Pending is true while a person is asked.
	Pending bool `json:"pending,omitempty"`
}

// Usage is what a turn took, as the agent tells it; 0 where it does not.
type Usage struct {
	InputTokens  int     `json:"input_tokens,omitempty"`
	OutputTokens int     `json:"output_tokens,omitempty"`
	TotalTokens  int     `json:"total_tokens,omitempty"`
	CostUSD      float64 `json:"cost_usd,omitempty"`
}

// Outcome is what a turn brought.
type Outcome struct {
	// Session can be resumed with this ID where the agent can do that.
	Session string
	// Agent and Model are those that were used; Model is empty for the agent's own.
	Agent, Model string
	// Text is the whole answer, cut where it is very long.
	Text string
	Stop string
	// Usage is that of the turn.
	Usage Usage
	// Refused counts the requests for permission that were answered with no.
	Refused int
	// Duration is how long the turn took, without the wait for its turn.
	Duration time.Duration
}
