package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Status is where a job is.
type Status string

// The statuses of a job.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
)

// Ended reports whether nothing more comes.
func (s Status) Ended() bool { return s == Completed || s == Failed }

// Reason is one word for programs that says why a job failed.
type Reason string

// The reasons of a failure.
const (
	ReasonError       Reason = "error"       // its function said so
	ReasonTimeout     Reason = "timeout"     // it took longer than it may
	ReasonCancelled   Reason = "cancelled"   // somebody wanted it to end
	ReasonInterrupted Reason = "interrupted" // the supervisor ended while it ran
	ReasonPanic       Reason = "panic"       // a mistake in its function
)

// Job is what is known of one.
type Job struct {
	ID string
	// Kind is a word for programs (fix, onboard, scan), Name a title for people.
	Kind, Name string
	// Subject is what it is about, such as Service/web; Folder what it has to itself. Both may be empty.
	Subject, Folder string
	// Actor is who asked for it.
	Actor  string
	Status Status
	// Reason and Error say why it failed; Result is what it brought, which a failed one may have too.
	Reason Reason
	Error  string
	Result json.RawMessage
	// Step says what it does, or did last, and Fraction how far it is, from 0 to 1.
	Step     string
	Fraction float64

	CreatedAt, StartedAt, CompletedAt time.Time // zero when it has not
}

// Duration is how long it has run by now, 0 when it has not.
func (j *Job) Duration(now time.Time) time.Duration {
	switch {
	case j.StartedAt.IsZero():
		return 0
	case j.CompletedAt.IsZero():
		return max(now.Sub(j.StartedAt), 0)
	}
	return max(j.CompletedAt.Sub(j.StartedAt), 0)
}

// Spec is a job to be done.
type Spec struct {
	Kind, Name, Subject, Actor string
	// Folder is what the job has to itself, as an absolute path; empty for none.
	Folder string
	// Timeout bounds its run, not its wait; 0 means DefaultTimeout.
	Timeout time.Duration
	// Run does the work, and returns soon after its context ends; context.Cause tells why it did. What it returns is kept as
	// JSON, beside an error too.
	Run func(ctx context.Context, h *Handle) (result any, err error)
}

// DefaultTimeout bounds a job that does not say.
const DefaultTimeout = 30 * time.Minute

// The causes with which a job's context ends.
var (
	ErrCancelled = errors.New("the job was cancelled")
	ErrTimeout   = errors.New("the job took longer than it may")
	ErrLeaving   = errors.New("the supervisor ends")
)

var (
	// ErrUnknown says that there is no job of that ID.
	ErrUnknown = errors.New("there is no such job")
	// ErrEnded says that a job cannot be cancelled any more.
	ErrEnded = errors.New("the job has ended")
	// ErrQueueFull refuses a job when too many wait.
	ErrQueueFull = errors.New("too many jobs wait; try again when some have ended")
)

// BusyError refuses a job whose folder another one has to itself.
type BusyError struct {
	// Job is the one that has it.
	Job Job
	// Folder is what the refused job asked for.
	Folder string
}

// Error names the folder, who has it, and what can be done.
func (e *BusyError) Error() string {
	return fmt.Sprintf("job %s (%s) works in %s; wait for it, or cancel it", e.Job.ID, e.Job.Name, e.Job.Folder)
}
