package ledger

import "time"

// State is what became of one attempt at an instant.
type State string

// The states of an attempt.
const (
	Pending   State = "pending" // due, has yet to be started
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed" // exited with another code than 0, by a signal, could not be started, or nobody saw how it ended
	TimedOut  State = "timedOut"
	Stopped   State = "stopped" // by the operator, by a newer run, or because the job is gone
	Skipped   State = "skipped" // we were there and did not start it
	Missed    State = "missed"  // nobody was there at the time
)

// Open reports whether the attempt is still to come to an end.
func (s State) Open() bool { return s == Pending || s == Running }

// Ended reports whether the attempt was one that ended, as against one that was not made.
func (s State) Ended() bool {
	return s == Succeeded || s == Failed || s == TimedOut || s == Stopped
}

// Bad reports whether the attempt counts as a failure of the job.
func (s State) Bad() bool { return s == Failed || s == TimedOut }

// Trigger is why an attempt is made.
type Trigger string

// The triggers.
const (
	Scheduled Trigger = "schedule"
	CatchUp   Trigger = "catchUp" // an instant that passed while nobody was there
	Manual    Trigger = "manual"
)

// Row is one attempt at one instant. Times have microseconds.
type Row struct {
	ID  uint64
	Job string
	// Instant is the scheduled time; of a manual run, the time of the request.
	Instant time.Time
	Attempt int // from 1
	Trigger Trigger
	State   State
	// Reason is one word for programs: overlap, paused, deadline, down, asleep, exit, signal, timeout, lost, notStarted, ...
	Reason string
	// Message is a sentence for people.
	Message string
	// NotBefore is when it is to be started: the instant and its jitter, or the end of a backoff.
	NotBefore time.Time
	// Run is the keeper's name for the run.
	Run string
	// StopReason says why we have asked the run to stop, empty when we have not; Actor is who asked for the run, or for its stop.
	StopReason string
	Actor      string

	StartedAt, FinishedAt time.Time // zero when it has not
	// ExitCode is nil when there is none: it was not started, was ended by a signal, or nobody saw how it ended.
	ExitCode *int
	Signal   string
	// CPUPercent and MemoryBytes are the peaks of the whole tree; UserTime and SystemTime what it used in all.
	CPUPercent           float64
	MemoryBytes          int64
	UserTime, SystemTime time.Duration
	// Stdout and Stderr are the beginning and the end of the output. Reads that may return many rows leave them out unless asked.
	Stdout, Stderr           string
	FixAttempted, FixSuccess bool
}

// Duration is how long the attempt ran, 0 when it did not.
func (r *Row) Duration() time.Duration {
	if r.StartedAt.IsZero() || r.FinishedAt.IsZero() {
		return 0
	}
	return max(r.FinishedAt.Sub(r.StartedAt), 0)
}

// Job is how far a job's instants are accounted for.
type Job struct {
	Name string
	// Schedule, TimeZone and Seconds are those that the instants up to Through were accounted by, Paused says whether the job
	// was paused then. What passed before a change was seen is accounted by what was in force before it.
	Schedule string
	TimeZone string
	Seconds  bool
	Paused   bool
	// Through: each instant up to it has its row, or is not an instant of this job.
	Through time.Time
	// SettledFrom and SettledTo enclose instants whose rows were pruned from the history. Should the clock be set back, they
	// are not made up a second time.
	SettledFrom, SettledTo time.Time
	// Overlaps counts instants that were skipped in a row because of one run that does not end.
	Overlaps int
}

// Settled reports whether an instant was accounted for by a row that is not there any more.
func (j *Job) Settled(instant time.Time) bool {
	return !j.SettledTo.IsZero() && !instant.Before(j.SettledFrom) && !instant.After(j.SettledTo)
}

// rowRecord is a Row as it is stored; times are microseconds since 1970, 0 for none.
type rowRecord struct {
	ID           uint64 `gorm:"primaryKey"`
	Job          string
	Instant      int64
	Attempt      int
	Trigger      string
	State        string
	Reason       string
	Message      string
	NotBefore    int64
	Run          string
	StopReason   string
	Actor        string
	StartedAt    int64
	FinishedAt   int64
	ExitCode     *int
	Signal       string
	CPUPercent   float64 `gorm:"column:cpu_percent"`
	MemoryBytes  int64
	UserTime     int64
	SystemTime   int64
	FixAttempted bool
	FixSuccess   bool
}

func (rowRecord) TableName() string { return "executions" }

type outputRecord struct {
	ID             uint64 `gorm:"primaryKey;autoIncrement:false"`
	Stdout, Stderr string
}

func (outputRecord) TableName() string { return "outputs" }

type jobRecord struct {
	Name        string `gorm:"primaryKey"`
	Schedule    string
	TimeZone    string
	Seconds     bool
	Paused      bool
	Through     int64
	SettledFrom int64
	SettledTo   int64
	Overlaps    int
}

func (jobRecord) TableName() string { return "jobs" }

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

func toRecord(r *Row) rowRecord {
	return rowRecord{
		ID: r.ID, Job: r.Job, Instant: micros(r.Instant), Attempt: r.Attempt, Trigger: string(r.Trigger), State: string(r.State),
		Reason: r.Reason, Message: r.Message, NotBefore: micros(r.NotBefore), Run: r.Run, StopReason: r.StopReason, Actor: r.Actor,
		StartedAt: micros(r.StartedAt), FinishedAt: micros(r.FinishedAt), ExitCode: r.ExitCode, Signal: r.Signal,
		CPUPercent: r.CPUPercent, MemoryBytes: r.MemoryBytes, UserTime: int64(r.UserTime), SystemTime: int64(r.SystemTime),
		FixAttempted: r.FixAttempted, FixSuccess: r.FixSuccess,
	}
}

func (r *rowRecord) row() Row {
	return Row{
		ID: r.ID, Job: r.Job, Instant: fromMicros(r.Instant), Attempt: r.Attempt, Trigger: Trigger(r.Trigger), State: State(r.State),
		Reason: r.Reason, Message: r.Message, NotBefore: fromMicros(r.NotBefore), Run: r.Run, StopReason: r.StopReason, Actor: r.Actor,
		StartedAt: fromMicros(r.StartedAt), FinishedAt: fromMicros(r.FinishedAt), ExitCode: r.ExitCode, Signal: r.Signal,
		CPUPercent: r.CPUPercent, MemoryBytes: r.MemoryBytes, UserTime: time.Duration(r.UserTime), SystemTime: time.Duration(r.SystemTime),
		FixAttempted: r.FixAttempted, FixSuccess: r.FixSuccess,
	}
}

func (j *Job) record() jobRecord {
	return jobRecord{
		Name: j.Name, Schedule: j.Schedule, TimeZone: j.TimeZone, Seconds: j.Seconds, Paused: j.Paused, Through: micros(j.Through),
		SettledFrom: micros(j.SettledFrom), SettledTo: micros(j.SettledTo), Overlaps: j.Overlaps,
	}
}

func (j *jobRecord) job() Job {
	return Job{
		Name: j.Name, Schedule: j.Schedule, TimeZone: j.TimeZone, Seconds: j.Seconds, Paused: j.Paused, Through: fromMicros(j.Through),
		SettledFrom: fromMicros(j.SettledFrom), SettledTo: fromMicros(j.SettledTo), Overlaps: j.Overlaps,
	}
}
