package v1

import (
	"errors"
	"slices"
)

// ErrGap says that changes were missed: the place to resume from is too old, or belongs to another life of the
// supervisor. Whoever gets it takes a fresh snapshot and follows from there.
var ErrGap = errors.New("changes were missed")

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds of changes.
const (
	ChangeStatus ChangeKind = "status" // an object's status is another one
	ChangeEvent  ChangeKind = "event"  // something happened
	ChangeObject ChangeKind = "object" // an object was added, edited or deleted
)

// Change is one step of what is observed, in the order in which it was observed.
type Change struct {
	// Seq grows from change to change, also across restarts; it fits a float64. An event's Seq is its ID.
	Seq  uint64     `json:"seq"`
	Kind ChangeKind `json:"kind"`
	Key  Key        `json:"key,omitzero"`
	// Status is what a ChangeStatus tells. It is shared: do not change it.
	Status *ServiceStatus `json:"status,omitempty"`
	// CronJob is what a ChangeStatus of a cron job tells. It is shared, too.
	CronJob *CronJobStatus `json:"cronjob,omitempty"`
	// Event is what a ChangeEvent tells.
	Event *Event `json:"event,omitempty"`
	// Revision is the object's new revision in a ChangeObject, empty when it is gone.
	Revision string `json:"revision,omitempty"`
	// Deleted is true in a ChangeObject when the object is gone.
	Deleted bool `json:"deleted,omitempty"`
}

// EventFilter selects events. Its zero value selects the newest ones of every object.
type EventFilter struct {
	// Key selects one object. A key without a name selects a kind.
	Key Key
	// SinceID selects events with a greater ID.
	SinceID uint64
	// Types selects some types; none means all.
	Types []EventType
	// Limit is the greatest number of events; the newest ones are taken. 0 means 100.
	Limit int
}

// Matches reports whether the filter selects e. It does not look at Limit.
func (f EventFilter) Matches(e *Event) bool {
	return e.ID > f.SinceID &&
		(f.Key.Kind == "" || f.Key.Kind == e.Key.Kind) &&
		(f.Key.Name == "" || f.Key.Name == e.Key.Name) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, e.Type))
}
