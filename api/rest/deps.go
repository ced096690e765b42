package rest

import (
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// Desired is the desired set as it is in force. What it returns is shared and never changed.
type Desired interface {
	Get(key v1.Key) (v1.Object, bool)
	// List returns the objects of a kind, sorted by name.
	List(kind string) []v1.Object
	// File is the manifest that an object comes from, relative to the manifest directory; empty when there is none.
	File(key v1.Key) string
	// Problems is what is wrong with the manifest directory.
	Problems() []v1.Problem
	// Pending is what vanished in such numbers that it runs on until Prune.
	Pending() []v1.Key
	// Prune confirms that what is pending shall go, and returns what that was.
	Prune(ctx context.Context, actor string) ([]v1.Key, error)
}

// Document is one object and, where the caller wrote one, its text.
type Document struct {
	Object v1.Object
	// Text is the document as it was sent. When it is nil, a new manifest is made of Object as it stands, and in one that
	// is there only what differs from Object is changed.
	Text []byte
}

// Change puts one field of a manifest. A nil Value removes the field.
type Change struct {
	// Path is such as ["spec", "expose", "subdomain"].
	Path  []string
	Value any
}

// Editor edits the manifest directory. Each edit returns when the desired set has taken it in, with the object's new
// revision. ifMatch is the revision that the object must still have, or empty. Errors are *Error, or v1.FieldErrors, or
// they are answered as internal.
type Editor interface {
	// Decode reads a YAML or JSON text strictly, defaults and validates. A document's `status` is ignored.
	Decode(text []byte) ([]Document, []v1.Problem)
	Create(ctx context.Context, d Document, actor string) (revision string, err error)
	Replace(ctx context.Context, d Document, ifMatch, actor string) (revision string, err error)
	Change(ctx context.Context, key v1.Key, changes []Change, ifMatch, actor string) (revision string, err error)
	Delete(ctx context.Context, key v1.Key, ifMatch, actor string) error
}

// Observed is what is known of the objects. pkg/status fits it as it is.
type Observed interface {
	// Status returns an object's status, or nil. It is shared and never changed.
	Status(key v1.Key) *v1.ServiceStatus
	WaitStatus(ctx context.Context, key v1.Key, pred func(*v1.ServiceStatus) bool) (*v1.ServiceStatus, error)
	ObjectInfo(key v1.Key) (id uint64, created, updated time.Time, ok bool)
	Events(ctx context.Context, f v1.EventFilter) ([]v1.Event, error)
	// Subscribe fails with v1.ErrGap when changes since from are not kept any more. A channel that is closed while ctx
	// lives means that the subscriber was too slow.
	Subscribe(ctx context.Context, from uint64) (<-chan v1.Change, error)
	Snapshot() (seq uint64, objects []v1.Change)
}

// Operator takes orders that are not in a manifest.
type Operator interface {
	// Intend puts an intent in force, durably, and pokes the reconciler. The status tells by ObservedIntent when it was
	// acted on.
	Intend(ctx context.Context, key v1.Key, verb v1.IntentVerb, actor string) (id string, err error)
	// Shutdown stops everything, and lets the supervisor end some moments after it has returned.
	Shutdown(ctx context.Context, actor string) (wire.Shutdown, error)
}

// LogQuery selects entries.
type LogQuery struct {
	// Services are names; none means all.
	Services []string
	// Level is debug, info, warning, error, or empty for all; Stream is stdout, stderr, or empty for both.
	Level, Stream string
	// MaxLevel leaves out what is more serious; empty for no bound.
	MaxLevel string
	// Text holds words and phrases, Regexp a regular expression.
	Text, Regexp string
	// Since is in, Until is out; zero means no bound.
	Since, Until time.Time
	// Cursor continues behind an earlier page; it is stable while entries arrive, which Offset is not.
	Cursor string
	// Through is the cursor of the newest entry that is wanted; Cursor wins.
	Through       string
	Limit, Offset int
}

// LogReader reads what services print.
type LogReader interface {
	// Rows returns entries, newest first.
	Rows(ctx context.Context, q LogQuery) (LogPage, error)
	// Lines calls fn for each line of the services, oldest first, and with Follow goes on until ctx ends.
	Lines(ctx context.Context, services []string, o wire.LogOptions, fn func(wire.LogLine) error) error
	// Raw writes the log files of a replica, oldest first.
	Raw(service string, replica int, stream string, to io.Writer) error
	// Stats says how a service's log does.
	Stats(service string) wire.LogStats
}

// Meter knows what services use of the machine.
type Meter interface {
	// Current is a service's use now; ok is false when it is not known.
	Current(key v1.Key) (m wire.Metrics, ok bool)
	// History is oldest first, for the last hours.
	History(ctx context.Context, key v1.Key, hours int) ([]wire.MetricsRow, error)
	// CurrentAll is what everything that runs uses now, by owner.
	CurrentAll(ctx context.Context) (map[v1.Key]wire.Usage, error)
	// Recent is the last hour of everything.
	Recent(ctx context.Context) (wire.Recent, error)
	// Series is a chart of the last hours.
	Series(ctx context.Context, key v1.Key, hours, points int) (wire.Series, error)
	// Processes are those of an object's runs.
	Processes(ctx context.Context, key v1.Key) ([]wire.Process, error)
	// Exposition serves Prometheus.
	Exposition() http.Handler
	// Request counts an answered request; route is the pattern that matched.
	Request(route, method string, status int, took time.Duration)
	// TestAlerts sends a message to each channel, or to one.
	TestAlerts(ctx context.Context, channel string) []wire.AlertTest
}

// Deps are the hands of the API. Rollouts, Logs, Metrics, Cron, Approvals, MCP, Onboarder, Scanner, Schemas and Dashboard may be nil.
type Deps struct {
	Desired  Desired
	Editor   Editor
	Observed Observed
	Operator Operator
	Rollouts Rollouts
	Logs     LogReader
	Metrics  Meter
	Cron     Cron
	Router   Router
	Jobs     Jobs
	Agents   Agents
	Chat     Chat
	// Approvals is what a person has to allow first. MCP answers AI programs at /mcp.
	Fixes     Fixes
	Approvals Approvals
	MCP       http.Handler
	Onboarder Onboarder
	Scanner   Scanner
	Auth      *Authorizer
	Log       *slog.Logger

	// Files are the manifest files; nil answers that they cannot be reached.
	Files Files
	// Settings says how the supervisor is set up.
	Settings func(ctx context.Context) (wire.Settings, error)
	// Environment is what a service's next process is given. Nothing in it is masked.
	Environment func(s *v1.Service) (wire.Environment, error)
	// Templates are manifests to begin with.
	Templates []wire.Template
	// Version says what is running.
	Version func() wire.Version
	// Unready says what is missing before the supervisor is ready; nothing means ready.
	Unready func() []string
	// WorkingDir is the folder that a service runs in, also when its manifest does not say; nil shows what the manifest says.
	WorkingDir func(s *v1.Service) string
	// Schemas holds the JSON Schemas that are served below /schemas/.
	Schemas fs.FS
	// Dashboard answers what is not the API's.
	Dashboard http.Handler
	// LogFile is the supervisor's own log.
	LogFile string
	// ServiceHost is the name under which services are reached.
	ServiceHost string
	// Patience is how long a write waits for the reconciler; default 10 s. A stop may take its own timeout longer.
	Patience time.Duration
	// Heartbeat is the longest silence of a stream; default 15 s.
	Heartbeat time.Duration
	// MaxStreams bounds the streams that are open at a time; default 64.
	MaxStreams int
}
