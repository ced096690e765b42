package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// FixRequest is the body of a request for a repair.
type FixRequest struct {
	// ErrorDescription says what is wrong, in a person's words.
	ErrorDescription string `json:"error_description,omitempty"`
}

// FixDetail is all that is known of one repair.
type FixDetail struct {
	Fix
	Object v1.Key `json:"object"`
	Folder string `json:"folder"`
	// State is Pending, Preparing, Working, Checking, Proposed, Applying, Verifying, Reverting, Applied, Reverted, Refused, Rejected or
	// Failed; Reason says why in a sentence.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Cause is crash, loop, errors, cron, hand, or restore for the undoing of another one.
	Cause  string `json:"cause"`
	Detail string `json:"detail"`
	Actor  string `json:"actor"`
	JobID  string `json:"job_id"`
	// Diff is what the supervisor found changed, as git would show it.
	Diff  string `json:"diff"`
	Agent string `json:"agent"`
	Model string `json:"model"`

	InputTokens     int        `json:"input_tokens"`
	OutputTokens    int        `json:"output_tokens"`
	CostUSD         float64    `json:"cost_usd"`
	DurationSeconds float64    `json:"duration_seconds"`
	EndedAt         *time.Time `json:"ended_at"`
	RestoredAt      *time.Time `json:"restored_at"`
	// ExecutionID is the run of a cron job that failed, UndoesID the repair that a restore has undone.
	ExecutionID uint64 `json:"execution_id,omitempty"`
	UndoesID    uint64 `json:"undoes_id,omitempty"`
}

// Fixes is a list of repairs, newest first.
type Fixes struct {
	Items []FixDetail `json:"items"`
}

// FixRejection is the body of a rejection.
type FixRejection struct {
	Reason string `json:"reason,omitempty"`
}
