package wire

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// List is objects of one kind, in full.
type List[T any] struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // List
	Items      []T    `json:"items"`
}

// Results of an apply.
const (
	ResultCreated    = "created"
	ResultConfigured = "configured"
	ResultUnchanged  = "unchanged"
	ResultFailed     = "failed"
)

// Applied says what became of one document.
type Applied struct {
	Key      v1.Key `json:"key"`
	Result   string `json:"result"` // created, configured, unchanged or failed
	Revision string `json:"revision,omitempty"`
	// Phase, PID and Message are what the reconciler made of it in the time that the request waited.
	Phase   v1.Phase `json:"phase,omitempty"`
	PID     int      `json:"pid,omitempty"`
	Message string   `json:"message,omitempty"`
}

// ApplyResult is one Applied for each document, in the order in which they were sent.
type ApplyResult struct {
	Items []Applied `json:"items"`
}

// Validation is what is wrong with a text; it is valid when there is nothing.
type Validation struct {
	Valid    bool         `json:"valid"`
	Problems []v1.Problem `json:"problems"`
	// Keys are the objects that the text holds.
	Keys []v1.Key `json:"keys"`
}

// Problems is what is wrong with the manifest directory.
type Problems struct {
	Items []v1.Problem `json:"items"`
}

// Events is a page of history, oldest first.
type Events struct {
	Items []v1.Event `json:"items"`
}

// Prune is what vanished from the manifest directory in such numbers that it waits for confirmation.
type Prune struct {
	// Pending still runs, Pruned does not any more.
	Pending []v1.Key `json:"pending"`
	Pruned  []v1.Key `json:"pruned,omitempty"`
}

// Shutdown is how the end of everything went.
type Shutdown struct {
	Status  string `json:"status"` // stopped, or incomplete when something is left
	Stopped int    `json:"stopped"`
	// Killed did not stop in their grace and were killed; Left are still there.
	Killed []v1.Key `json:"killed,omitempty"`
	Left   []v1.Key `json:"left,omitempty"`
}

// Version is what is running.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	// Keeper is the version of the keeper's program, empty while it cannot be reached.
	Keeper    string    `json:"keeper,omitempty"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	// Address is where the HTTP API listens, such as 127.0.0.1:9900.
	Address string `json:"address,omitempty"`
	// ServiceHost is the name under which services are reached.
	ServiceHost string `json:"serviceHost,omitempty"`
	DataDir     string `json:"dataDir"`
	Manifests   string `json:"manifests"`
}

// Health answers /healthz and /readyz.
type Health struct {
	Status string `json:"status"` // ok
}

// Snapshot opens an event stream: all objects as they are at Seq.
type Snapshot struct {
	Seq     uint64           `json:"seq"`
	Objects []SnapshotObject `json:"objects"`
	// Gap is true when the place that the client wanted to resume from is not kept any more.
	Gap bool `json:"gap,omitempty"`
}

// SnapshotObject is one object in a Snapshot.
type SnapshotObject struct {
	Key      v1.Key            `json:"key"`
	Revision string            `json:"revision"`
	Status   *v1.ServiceStatus `json:"status,omitempty"`
	// CronJob is the status of a cron job.
	CronJob *v1.CronJobStatus `json:"cronjob,omitempty"`
}

// LogOptions selects lines of output.
type LogOptions struct {
	// Tail is how many of the last lines to begin with; negative means all.
	Tail int
	// Since leaves out earlier lines; zero means no bound.
	Since time.Time
	// Follow goes on with new lines until the caller hangs up.
	Follow bool
	// Stream is stdout, stderr, or empty for both.
	Stream string
	// Level, Text and Regexp select entries, as in a search; empty means all.
	Level, Text, Regexp string
	// Resume is the cursor of the last line that was seen; it replaces Tail and Since.
	Resume string
}

// LogLine is one line of output.
type LogLine struct {
	Service string    `json:"service"`
	Stream  string    `json:"stream"` // stdout or stderr
	Time    time.Time `json:"time"`
	Text    string    `json:"text"`
	// Cursor resumes a stream after this line. Opaque.
	Cursor string `json:"cursor,omitempty"`
	// Level is debug, info, warning or error: that of the entry. Entry is the same for all lines of an entry, such as those of a
	// stack trace; it is a cursor of the pages of entries.
	Level string `json:"level,omitempty"`
	Entry string `json:"entry,omitempty"`
}

// LoginLink logs a browser in, once.
type LoginLink struct {
	// Path goes behind the supervisor's address.
	Path string `json:"path"`
	// ExpiresIn is how long it can be used, in seconds.
	ExpiresIn int `json:"expires_in"`
}
