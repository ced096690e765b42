package v1

import (
	"strings"
	"time"
)

// APIVersion is the only apiVersion that a manifest may carry.
const APIVersion = "supervisor.dev/v1"

// The kinds of objects that a manifest may hold.
const (
	KindService = "Service"
	KindCronJob = "CronJob"
)

// Key names one object. It is all that a reconcile request says.
type Key struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String renders the key as "Service/web".
func (k Key) String() string { return k.Kind + "/" + k.Name }

// Folded is the key under which names are unique: names differ by more than case.
func (k Key) Folded() Key { return Key{Kind: k.Kind, Name: strings.ToLower(k.Name)} }

// TypeMeta says what an object is.
type TypeMeta struct {
	APIVersion string `json:"apiVersion" jsonschema:"enum=supervisor.dev/v1" jsonschema_description:"Always supervisor.dev/v1."`
	Kind       string `json:"kind" jsonschema_description:"What this document describes: Service or CronJob."`
}

// ObjectMeta names an object.
type ObjectMeta struct {
	// Name matches [A-Za-z0-9][A-Za-z0-9._-]{0,62} and is unique for its kind without regard to case.
	Name        string            `json:"name" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._-]{0\\,62}$" jsonschema_description:"Unique for its kind, without regard to case."`
	Labels      map[string]string `json:"labels,omitempty" jsonschema_description:"Free key: value pairs to select objects by."`
	Annotations map[string]string `json:"annotations,omitempty" jsonschema_description:"Free notes, never interpreted."`
}

// Object is a Service or a CronJob.
type Object interface {
	// Key is the object's kind and name.
	Key() Key
	// Meta is the object's metadata, to read or to change.
	Meta() *ObjectMeta
	// Default fills what the manifest left out. It is idempotent.
	Default()
	// Validate returns everything that is wrong with a defaulted object, not only the first thing.
	Validate() FieldErrors
	// Revision is a short hash of the whole defaulted object, status apart. It is the ETag of the API and what
	// status.observedRevision echoes. Two objects of the same revision are equal.
	Revision() string
}

var (
	_ Object = (*Service)(nil)
	_ Object = (*CronJob)(nil)
)

// FieldError is one thing that is wrong with one field.
type FieldError struct {
	// Field is a path such as spec.probes.readiness.httpGet.port or spec.dependsOn[1].name.
	Field string `json:"field"`
	// Detail says what is wrong and what is allowed.
	Detail string `json:"detail"`
}

// FieldErrors is everything that is wrong with an object.
type FieldErrors []FieldError

// Error joins all errors, one a line.
func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = f.Field + ": " + f.Detail
	}
	return strings.Join(lines, "\n")
}

// ConditionStatus is True, False or Unknown.
type ConditionStatus string

// The three values of a condition.
const (
	ConditionTrue    ConditionStatus = "True"
	ConditionFalse   ConditionStatus = "False"
	ConditionUnknown ConditionStatus = "Unknown"
)

// Types of conditions.
const (
	// ConditionReady is True when every replica runs and its readiness probe (where there is one) passes.
	ConditionReady = "Ready"
	// ConditionProgressing is True while the service is on its way to the desired state, False when it gave up.
	ConditionProgressing = "Progressing"
	// ConditionDegraded is True when the service runs with less than it asked for (limits not enforced, logs dropped).
	ConditionDegraded = "Degraded"
	// ConditionExposed is True when Caddy serves the service's route.
	ConditionExposed = "Exposed"
	// ConditionLogsComplete is False when output of the service could not be kept, or is in its log files only.
	ConditionLogsComplete = "LogsComplete"
	// ConditionManifestValid is False when the newest text of the manifest is broken and the last good one is in force.
	ConditionManifestValid = "ManifestValid"
)

// ReasonIdle is the reason of Ready for a service that waits for somebody to ask for it.
const ReasonIdle = "Idle"

// Condition is one aspect of an object's state, in the form that Kubernetes uses.
type Condition struct {
	Type   string          `json:"type"`
	Status ConditionStatus `json:"status"`
	// Reason is one CamelCase word for programs, Message a sentence for people.
	Reason             string    `json:"reason"`
	Message            string    `json:"message"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

// SetCondition adds c to conds or replaces the one of its type. LastTransitionTime moves only when Status does.
// It reports whether anything but the time differs from before.
func SetCondition(conds *[]Condition, c Condition) bool {
	for i := range *conds {
		old := &(*conds)[i]
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		changed := old.Status != c.Status || old.Reason != c.Reason || old.Message != c.Message
		*old = c
		return changed
	}
	*conds = append(*conds, c)
	return true
}

// FindCondition returns the condition of type t, or nil.
func FindCondition(conds []Condition, t string) *Condition {
	for i := range conds {
		if conds[i].Type == t {
			return &conds[i]
		}
	}
	return nil
}

// Problem is something that is wrong with the manifest directory, a file or a document in it.
type Problem struct {
	// File is the path relative to the manifest directory; empty when the directory itself is at fault.
	File string `json:"file"`
	// Line is 1-based; 0 when no line can be named.
	Line int `json:"line,omitempty"`
	// Field is the path of the field at fault, when it is one field.
	Field string `json:"field,omitempty"`
	// Detail says what is wrong and what is allowed.
	Detail string `json:"detail"`
	// Key is the object concerned, when it is known.
	Key Key `json:"key,omitzero"`
}

// String renders "file:line: field: what is wrong; what is allowed".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			b.WriteByte(':')
			b.WriteString(itoa(p.Line))
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Detail)
	return b.String()
}

// EventType tells good news from bad.
type EventType string

// The types of events.
const (
	EventNormal  EventType = "Normal"
	EventWarning EventType = "Warning"
)

// Event says who did what to which object, when and why. Events are history: nothing is decided by them.
type Event struct {
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`
	Key  Key       `json:"key,omitzero"`
	Type EventType `json:"type"`
	// Reason is one CamelCase word: Started, Exited, ProbeFailed, GaveUp, ManifestChanged, ...
	Reason string `json:"reason"`
	// Message is a sentence with the numbers in it: "exited with code 1 after 3.2s; restart 2 of 3 in 10s".
	Message string `json:"message"`
	// Actor is who caused it: "supervisor", "user:1000 (cli)", "api token", "manifest services/web.yaml".
	Actor string `json:"actor,omitempty"`
}

// IntentVerb is what an operator asked for, beside what the manifest says.
type IntentVerb string

// The verbs of an intent.
const (
	IntentStart   IntentVerb = "start"
	IntentStop    IntentVerb = "stop"
	IntentRestart IntentVerb = "restart"
)

// Intent is what an operator asked of one service. At most one is in force for an object; the latest replaces the earlier.
// It holds until it is replaced, the object is deleted, or a new session of the supervisor begins (see Session).
type Intent struct {
	Key  Key        `json:"key"`
	Verb IntentVerb `json:"verb"`
	// ID is unique for each request: a restart has been done when all runs carry the ID of the intent that asked for it.
	ID    string    `json:"id"`
	Time  time.Time `json:"time"`
	Actor string    `json:"actor"`
	// Session is the keeper session in which it was made. A manager that restarts finds the same session and honours the
	// intent; after a shutdown or a reboot the session is a new one, and `enabled` decides again.
	Session string `json:"session"`
}
