package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Rollout is how the update of a service does.
type Rollout struct {
	Name     string            `json:"name"`
	Strategy v1.UpdateStrategy `json:"strategy"`
	// Revision is the one that is asked for, StableRevision the one that last ran with every replica ready.
	Revision       string `json:"revision"`
	StableRevision string `json:"stable_revision,omitempty"`
	// Settled is true when nothing more will happen by itself.
	Settled bool `json:"settled"`
	// Message says it in words.
	Message string `json:"message"`
	// Current is the present update, or the last one; absent when there was none beside old processes.
	Current *v1.RolloutStatus `json:"current,omitempty"`
}

// RolloutRevision is a revision of a service that was rolled out.
type RolloutRevision struct {
	Number    int             `json:"number"`
	Revision  string          `json:"revision"`
	Phase     v1.RolloutPhase `json:"phase"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
	Actor     string          `json:"actor,omitempty"`
	Message   string          `json:"message,omitempty"`
	// Current is true for the revision that is asked for now.
	Current bool `json:"current"`
	// Changes are the fields that differ from the revision before.
	Changes []string `json:"changes,omitempty"`
	// Spec is what the manifest said, its secrets masked.
	Spec any `json:"spec,omitempty"`
}

// RolloutHistory is the newest first.
type RolloutHistory struct {
	Name      string            `json:"name"`
	Revisions []RolloutRevision `json:"revisions"`
}

// RolloutUndo says which revision to go back to; 0 is the last that was complete before the present one.
type RolloutUndo struct {
	To int `json:"to,omitempty"`
}

// RolloutUndone says what an undo did.
type RolloutUndone struct {
	Status string `json:"status"` // undone
	Name   string `json:"name"`
	// To is the number that was gone back to, Revision the manifest's revision now.
	To       int    `json:"to"`
	Revision string `json:"revision"`
}

// RolloutRetried says that an update is tried again.
type RolloutRetried struct {
	Status string `json:"status"` // retrying
	Name   string `json:"name"`
}
