package alert

import "time"

// Rule names what can go wrong with an object.
type Rule string

// The rules.
const (
	// CrashLoop holds while a service is given up, or was restarted several times in a row without getting well.
	CrashLoop Rule = "CrashLoop"
	// NotReady holds when a service that should run has not been ready for some time.
	NotReady Rule = "NotReady"
	// CronFailed holds when the last run of a cron job failed.
	CronFailed Rule = "CronFailed"
	// UpdateFailed holds while the last update of a service is one that was given up.
	UpdateFailed Rule = "UpdateFailed"
	// CronMissed holds when a run was due and did not happen.
	CronMissed Rule = "CronMissed"
	// Memory holds while a service uses more memory than it should.
	Memory Rule = "Memory"
	// Disk holds while the watched folders take more space than they should.
	Disk Rule = "Disk"
	// Test is the rule of a message that was asked for to see whether it arrives.
	Test Rule = "Test"
)

// rules in the order in which alerts of one moment are told.
func rules() []Rule {
	return []Rule{CrashLoop, NotReady, UpdateFailed, CronFailed, CronMissed, Memory, Disk}
}

// Spec says which rules are watched for an object. The zero value watches none.
type Spec struct {
	// Channels names where its alerts go; empty means to all channels.
	Channels []string
	// CrashLoop watches for a service that is given up or restarted CrashLoopAfter times in a row; 0 means 3.
	CrashLoop      bool
	CrashLoopAfter int
	// NotReadyFor is how long a service may be unready; 0 does not watch.
	NotReadyFor time.Duration
	// UpdateFailed watches for updates that are given up.
	UpdateFailed bool
	// CronFailure watches for FailuresInRow failed runs; 0 means 1.
	CronFailure   bool
	FailuresInRow int
	MissedRun     bool
	// MemoryOver and DiskOver are bounds in bytes; 0 does not watch.
	MemoryOver, DiskOver int64
}

// Observation is what is so of one object now. Pointers are nil for what is not known, which changes nothing.
type Observation struct {
	// Object is its name with its kind, such as "Service/web".
	Object string
	Spec   Spec
	// Detail is a sentence for people: why it is as it is, such as the reason of the Ready condition. It goes out as it
	// stands; what is secret has no place in it.
	Detail string

	// Wanted is false for an object that is stopped or disabled: no rule holds for what need not run.
	Wanted bool
	// GaveUp and Restarts (in a row) are about a service.
	GaveUp   bool
	Restarts int
	Ready    *bool
	// UnreadySince is when it ceased to be ready; zero means when that was first observed.
	UnreadySince time.Time
	// UpdateFailed is whether the last update of a service was given up, and UpdateError why; nil while one is under way.
	UpdateFailed *bool
	UpdateError  string
	// FailedRuns counts the runs of a cron job that failed in a row; nil while none has ended.
	FailedRuns *int
	// MissedAt is the instant of the last run that did not happen; zero when there is none, or one has begun since.
	MissedAt time.Time
	// MemoryBytes and DiskBytes are what it takes.
	MemoryBytes, DiskBytes *int64
}

// Status tells an alert that begins from one that ends.
type Status string

// The statuses of an alert.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Alert is one thing to tell.
type Alert struct {
	Rule   Rule   `json:"rule"`
	Object string `json:"object"`
	Status Status `json:"status"`
	// Summary is a line such as "Service/web is not ready for 5m0s".
	Summary string `json:"summary"`
	// Detail says why; it may be empty or have several lines.
	Detail string `json:"detail,omitempty"`
	// Since is when the rule began to hold, At when that was decided to be told.
	Since time.Time `json:"since"`
	At    time.Time `json:"at"`

	channels []string
}
