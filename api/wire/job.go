package wire

import (
	"encoding/json"
	"time"
)

// Job is a piece of work in the background.
type Job struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Status string `json:"status"` // pending, running, completed or failed
	// Result is what it brought; what that is depends on the kind.
	Result      any        `json:"result"`
	Error       *string    `json:"error"`
	CreatedAt   time.Time  `json:"created_at"`
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	// Progress says what it does now, or did last.
	Progress        *string  `json:"progress"`
	DurationSeconds *float64 `json:"duration_seconds"`

	// Kind is fix, onboard or scan; Subject what it is about, such as Service/web.
	Kind    string `json:"kind"`
	Subject string `json:"subject,omitempty"`
	// Reason is why it failed, in one word: error, timeout, cancelled, interrupted or panic.
	Reason string `json:"reason,omitempty"`
	// Fraction is how far it is, from 0 to 1.
	Fraction float64 `json:"fraction"`
	// Actor is who asked for it.
	Actor string `json:"actor,omitempty"`
}

// JobLine is one line of a job's transcript.
type JobLine struct {
	// Seq counts from 1 within the job.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Kind is progress, note, or what the job says: of an agent, the kind of its event.
	Kind string          `json:"kind"`
	Text string          `json:"text,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}
