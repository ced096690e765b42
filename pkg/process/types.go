package process

import (
	"fmt"
	"time"
)

// RunID names one execution of one program for ever. The manager makes it; a Start with a RunID that the keeper has
// seen is answered with that run, never with a second process.
type RunID string

// Spec is all that the keeper needs to start a program. Nothing is inherited from the keeper's own environment.
type Spec struct {
	ID RunID `json:"id"`
	// Owner is the object that the run belongs to, such as "Service/web". Opaque to the keeper; runs are listed by it.
	Owner string `json:"owner"`
	// Slot is where the run lives, such as "Service/web/0". A slot holds at most one live run: a Start for an occupied
	// slot is refused with ErrSlotTaken.
	Slot string `json:"slot"`
	// Labels are the manager's own notes (spec hash, port, intent), handed back with every Run, so that a manager
	// without a database knows what is running.
	Labels map[string]string `json:"labels,omitempty"`

	// Argv[0] is looked up in the PATH of Env when it has no slash.
	Argv []string `json:"argv"`
	// Env is the whole environment, NAME=value. The keeper adds SUPERVISOR_RUN_ID, by which it finds its runs again.
	Env []string `json:"env"`
	Dir string   `json:"dir"`
	// User and Group are names or numbers; empty means the keeper's own. Supplementary groups follow the user (initgroups).
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
	// Umask is the octal file mode mask; nil leaves the keeper's 022.
	Umask  *int   `json:"umask,omitempty"`
	Limits Limits `json:"limits,omitzero"`

	// StopSignal and StopGrace say how what is left of the tree is ended when the leader has exited by itself.
	StopSignal int           `json:"stopSignal,omitempty"`
	StopGrace  time.Duration `json:"stopGrace,omitempty"`

	Logs LogSpec `json:"logs"`
}

// Limits are bounds on the tree (cgroup) and on each process (rlimits). Zero means no bound.
type Limits struct {
	MemoryMax int64  `json:"memoryMax,omitempty"` // bytes
	CPUMilli  int64  `json:"cpuMilli,omitempty"`  // thousandths of a core
	PidsMax   int64  `json:"pidsMax,omitempty"`
	OpenFiles uint64 `json:"openFiles,omitempty"`
	CoreSize  *int64 `json:"coreSize,omitempty"` // bytes
}

// LogSpec says where the output goes: Dir/stdout.log and Dir/stderr.log, rotated to stdout.log.1 (the newest) up to
// stdout.log.N.
type LogSpec struct {
	Dir      string `json:"dir"`
	MaxBytes int64  `json:"maxBytes"` // per file; 0 means 10 MiB
	Backups  int    `json:"backups"`  // rotated files kept
}

// State is where a run is in its life.
//
//	Start ──► Running ──► Stopping ──► Exited ──► (Forget)
//	             └────────────────────────┘
type State string

// The states of a run.
const (
	Running  State = "running"
	Stopping State = "stopping" // a Stop is under way, or the leader is gone and its tree is being ended
	Exited   State = "exited"   // nothing of the tree is left, the outcome is known or known to be lost
)

// Run is what the keeper knows of one run.
type Run struct {
	ID     RunID             `json:"id"`
	Owner  string            `json:"owner"`
	Slot   string            `json:"slot"`
	Labels map[string]string `json:"labels,omitempty"`
	State  State             `json:"state"`
	// PID is that of the leader, which is also its session and process group.
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"startedAt"`
	// Cgroup is the path of the run's cgroup v2 directory; empty where none could be made.
	Cgroup string `json:"cgroup,omitempty"`
	// Warnings say what was asked for and could not be had: limits that are not enforced, for example.
	Warnings []string `json:"warnings,omitempty"`
	// Adopted is true for a run that an earlier keeper started and that is not our child.
	Adopted bool `json:"adopted,omitempty"`
	// Dropped counts output that could not be kept (full disk).
	Dropped Dropped `json:"dropped,omitzero"`
	Exit    *Exit   `json:"exit,omitempty"`
	LogDir  string  `json:"logDir,omitempty"`
}

// Live reports whether anything of the run's tree may still be there.
func (r *Run) Live() bool { return r.State != Exited }

// Dropped counts output that was read from the program and could not be written.
type Dropped struct {
	Bytes int64 `json:"bytes,omitempty"`
	Lines int64 `json:"lines,omitempty"`
	// Reason is the last error, such as "no space left on device".
	Reason string `json:"reason,omitempty"`
}

// Exit is how a run ended. It is kept until Forget.
type Exit struct {
	// Code is the leader's exit code; -1 when it was ended by a signal or when Lost.
	Code int `json:"code"`
	// Signal is the number of the signal that ended the leader, 0 when none did.
	Signal int  `json:"signal,omitempty"`
	Core   bool `json:"core,omitempty"`
	// OOM is nil when the kernel gives no way to know.
	OOM *bool `json:"oom,omitempty"`
	// Lost is true when the leader is gone and nobody saw how.
	Lost bool      `json:"lost,omitempty"`
	At   time.Time `json:"at"`
	// Killed is true when SIGKILL had to be sent because the grace had passed.
	Killed bool `json:"killed,omitempty"`
	// Stopped is true when a Stop was asked for before the leader ended.
	Stopped bool `json:"stopped,omitempty"`
	// Left lists processes that even SIGKILL did not end in time (state D), as "pid name".
	Left  []string `json:"left,omitempty"`
	Usage Usage    `json:"usage"`
}

// Usage is what the leader and the descendants that it waited for have used.
type Usage struct {
	UserTime   time.Duration `json:"userTime"`
	SystemTime time.Duration `json:"systemTime"`
	MaxRSS     int64         `json:"maxRSS"` // bytes
}

// StartReason is why a program could not be started.
type StartReason string

// Why a program could not be started.
const (
	ReasonNotFound      StartReason = "NotFound"      // no such program
	ReasonNotExecutable StartReason = "NotExecutable" // no permission, or not a program
	ReasonBadFolder     StartReason = "BadFolder"
	ReasonBadUser       StartReason = "BadUser"
	ReasonBadLimit      StartReason = "BadLimit"
	ReasonBadLog        StartReason = "BadLog" // the log folder cannot be made
	ReasonNoResources   StartReason = "NoResources"
	ReasonBadSpec       StartReason = "BadSpec"
)

// StartError says precisely why a program could not be started.
type StartError struct {
	Reason StartReason `json:"reason"`
	// Detail is a sentence that names the thing, the cause and the remedy.
	Detail string `json:"detail"`
}

// Error implements error.
func (e *StartError) Error() string { return fmt.Sprintf("%s: %s", e.Reason, e.Detail) }
