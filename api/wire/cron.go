package wire

import "time"

// CronFields are the fields of a cron job that a client sets. Times are in seconds.
type CronFields struct {
	Name       *string            `json:"name,omitempty"`
	Command    *string            `json:"command,omitempty"`
	Schedule   *string            `json:"schedule,omitempty"`
	WorkingDir *string            `json:"working_dir,omitempty"`
	Enabled    *bool              `json:"enabled,omitempty"`
	Timeout    *float64           `json:"timeout,omitempty"`
	WatchDirs  *[]string          `json:"watch_dirs,omitempty"`
	EnvVars    *map[string]string `json:"env_vars,omitempty"`
	EnvFile    *string            `json:"env_file,omitempty"`
}

// Cron is the flat view of a cron job.
type Cron struct {
	ID         uint64            `json:"id"`
	Name       string            `json:"name"`
	Command    string            `json:"command"`
	Schedule   string            `json:"schedule"`
	WorkingDir string            `json:"working_dir"`
	Enabled    bool              `json:"enabled"`
	Timeout    float64           `json:"timeout"`
	WatchDirs  []string          `json:"watch_dirs"`
	EnvVars    map[string]string `json:"env_vars"`
	EnvFile    *string           `json:"env_file"`
	LastRun    *time.Time        `json:"last_run"`
	NextRun    *time.Time        `json:"next_run"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
	Running    bool              `json:"running"`
	// ScheduleDescription is the schedule in words.
	ScheduleDescription string `json:"schedule_description"`
	// Message is why it does not run as it should; empty when all is well.
	Message string `json:"message,omitempty"`
}

// Execution is one attempt of a cron job that was started, or that could not be. MB are 1,048,576 bytes.
type Execution struct {
	ID          uint64     `json:"id"`
	CronJobID   uint64     `json:"cron_job_id"`
	CronJobName string     `json:"cron_job_name"`
	StartedAt   *time.Time `json:"started_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	// ExitCode is null while it runs, and when a signal ended it.
	ExitCode *int   `json:"exit_code"`
	Stdout   string `json:"stdout"`
	Stderr   string `json:"stderr"`
	// Success is null while it has not ended.
	Success         *bool   `json:"success"`
	DurationSeconds float64 `json:"duration_seconds"`
	CPUPercent      float64 `json:"cpu_percent"`
	MemoryMB        float64 `json:"memory_mb"`
	FixAttempted    bool    `json:"fix_attempted"`
	FixSuccess      bool    `json:"fix_success"`

	// Scheduled is the instant that it is for; of a manual run, the time of the request.
	Scheduled time.Time `json:"scheduled"`
	Attempt   int       `json:"attempt"`
	// Trigger is schedule, catchUp or manual.
	Trigger string `json:"trigger"`
	// State is pending, running, succeeded, failed, timedOut, stopped, skipped or missed; Reason a word, Message a sentence.
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	Signal  string `json:"signal,omitempty"`
	// CPUSeconds is what its whole tree used in all.
	CPUSeconds float64 `json:"cpu_seconds"`
}

// CronRun answers an order to run.
type CronRun struct {
	Status      string `json:"status"` // started or already_running
	Name        string `json:"name"`
	ExecutionID uint64 `json:"execution_id"`
}

// CronTick says what a tick began.
type CronTick struct {
	Status       string    `json:"status"` // ok
	Timestamp    time.Time `json:"timestamp"`
	JobsStarted  int       `json:"jobs_started"`
	ExecutionIDs []uint64  `json:"execution_ids"`
}

// CronStatus is all cron jobs at a glance.
type CronStatus struct {
	Jobs    []CronStatusRow `json:"jobs"`
	Total   int             `json:"total"`
	Enabled int             `json:"enabled"`
	Running int             `json:"running"`
}

// CronStatusRow is one of them.
type CronStatusRow struct {
	Name                string     `json:"name"`
	Enabled             bool       `json:"enabled"`
	Schedule            string     `json:"schedule"`
	ScheduleDescription string     `json:"schedule_description"`
	Running             bool       `json:"running"`
	LastRun             *time.Time `json:"last_run"`
	NextRun             *time.Time `json:"next_run"`
	// LastSuccess is whether the newest attempt that ended did so well; null when none has ended.
	LastSuccess   *bool `json:"last_success"`
	Executions24h int   `json:"executions_24h"`
	Failures24h   int   `json:"failures_24h"`
}

// CronValidation says what a schedule means.
type CronValidation struct {
	Valid       bool        `json:"valid"`
	Message     string      `json:"message"`
	Description string      `json:"description"`
	NextRuns    []time.Time `json:"next_runs"`
}

// CronHistory is the ledger of a job, newest first.
type CronHistory struct {
	Rows []Execution `json:"rows"`
}

// CronOutput is what a run has printed so far.
type CronOutput struct {
	Lines []LogLine `json:"lines"`
	// Done is true when the run has ended and this is the rest.
	Done bool `json:"done"`
}

// Timeline is what became of all cron jobs, and what is ahead.
type Timeline struct {
	From time.Time     `json:"from"`
	To   time.Time     `json:"to"`
	Rows []TimelineRow `json:"rows"`
}

// TimelineRow is one job.
type TimelineRow struct {
	Name string `json:"name"`
	// Past is newest first.
	Past []TimelineRun `json:"past"`
	Next []time.Time   `json:"next"`
	// More is true when there are more instants than are told.
	More bool `json:"more,omitempty"`
}

// TimelineRun is what became of one instant.
type TimelineRun struct {
	ID              uint64    `json:"id"`
	At              time.Time `json:"at"`
	State           string    `json:"state"`
	DurationSeconds float64   `json:"duration_seconds"`
}
