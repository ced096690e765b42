package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// The states of an approval.
const (
	ApprovalWaiting  = "waiting"
	ApprovalApproved = "approved"
	ApprovalRejected = "rejected"
	ApprovalUsed     = "used"
	ApprovalExpired  = "expired"
)

// Approval is a change that a program wants to make and a person has to allow first.
type Approval struct {
	ID string `json:"id"`
	// Action is one word: apply, start, stop, restart, run.
	Action string `json:"action"`
	// Keys are the objects that it is about.
	Keys []v1.Key `json:"keys"`
	// Summary is a sentence, Detail what would change, line by line.
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	// Actor is who wants it.
	Actor     string    `json:"actor"`
	State     string    `json:"state"` // waiting, approved, rejected, used or expired
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	// DecidedBy is who allowed or refused it.
	DecidedBy string `json:"decided_by,omitempty"`
}

// ApprovalRequest asks for an approval. Digest identifies the exact change: an approval serves for that alone, once.
type ApprovalRequest struct {
	Action  string   `json:"action"`
	Keys    []v1.Key `json:"keys"`
	Summary string   `json:"summary"`
	Detail  string   `json:"detail,omitempty"`
	Digest  string   `json:"digest"`
}

// ApprovalUse spends an approval.
type ApprovalUse struct {
	Digest string `json:"digest"`
}

// Approvals are those that wait, and those that were decided lately, newest first.
type Approvals struct {
	Items []Approval `json:"items"`
}
