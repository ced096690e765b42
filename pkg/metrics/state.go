package metrics

import "time"

// ServiceState is what the exposition tells of a service beside its usage.
type ServiceState struct {
	Name string
	// Up is how many replicas run, Ready how many of them are ready, Desired how many there should be.
	Up, Ready, Desired int
	// Restarts counts restarts since the service was made or the status begun anew.
	Restarts uint64
	// LastExitCode is nil before the first exit; -1 when a signal ended it or nobody saw how it ended.
	LastExitCode *int
	// StartedAt is when the oldest live replica began; zero when none lives.
	StartedAt time.Time
	// SkippedLogLines are lines that are in the files and not in the index; DroppedLogBytes could not be written to a file.
	SkippedLogLines, DroppedLogBytes uint64
}

// CronState is what the exposition tells of a cron job. Zero times are left out.
type CronState struct {
	Name    string
	Running int
	LastRun time.Time
	// LastSuccess is when the last successful run ended.
	LastSuccess time.Time
	// LastOutcome is nil before the first run has ended, else whether it succeeded.
	LastOutcome  *bool
	LastDuration time.Duration
	NextRun      time.Time
	// Succeeded, Failed and Missed count runs since the job was made or the status begun anew.
	Succeeded, Failed, Missed uint64
}

// ObjectSource tells the state of all objects. It is called once a scrape and must not block.
type ObjectSource interface {
	ServiceStates() []ServiceState
	CronStates() []CronState
}

// QueueState is what the exposition tells of a work queue.
type QueueState struct {
	// Name tells queues apart, such as "controllers".
	Name string
	// Depth is how many keys wait, Active how many are worked on.
	Depth, Active int
	// Adds and Retries count keys that were put on the queue, and put back after an error.
	Adds, Retries uint64
}

// QueueSource tells the state of the work queues. It is called once a scrape and must not block.
type QueueSource interface {
	QueueStates() []QueueState
}
