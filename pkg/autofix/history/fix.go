package history

import "time"

// State is where a repair is.
type State string

// The states of a repair. What each leads to is in pkg/autofix.
const (
	Pending   State = "Pending"   // waits for its turn
	Preparing State = "Preparing" // the folder is backed up, and copied for the agent
	Working   State = "Working"   // the agent works on the copy
	Checking  State = "Checking"  // what it changed is looked at, and the project's check runs
	Proposed  State = "Proposed"  // a person decides
	Applying  State = "Applying"  // the changes go into the folder
	Verifying State = "Verifying" // the repaired version has to show that it runs
	Reverting State = "Reverting" // it did not, and the folder becomes what it was

	Applied  State = "Applied"  // the folder is repaired
	Reverted State = "Reverted" // the folder is as it was: the repair did not help
	Refused  State = "Refused"  // the agent went beyond what it may; nothing was changed
	Rejected State = "Rejected" // a person did not want it; nothing was changed
	Failed   State = "Failed"   // it came to nothing; nothing was changed
)

// Ended reports whether nothing more comes.
func (s State) Ended() bool {
	switch s {
	case Applied, Reverted, Refused, Rejected, Failed:
		return true
	}
	return false
}

// Cause is why a repair was tried.
type Cause string

// The causes of a repair.
const (
	Crash   Cause = "crash"   // the program ended, and says where
	Loop    Cause = "loop"    // it ends again and again
	Errors  Cause = "errors"  // it runs, and logs the same error again and again
	Cron    Cause = "cron"    // a run of a cron job failed
	Hand    Cause = "hand"    // a person asked for it
	Restore Cause = "restore" // no repair: the folder was put back to a backup
)

// Fix is one repair that was tried.
type Fix struct {
	ID uint64
	// Object is Kind/name, Folder the folder that it is about, with links resolved.
	Object, Folder string
	Cause          Cause
	// Summary is the error in one line, Detail what a person said; Signature is the same for the same error.
	Summary, Detail, Signature string
	// Actor is who asked for it; Job is the job that does it, or did last, and AgentJob the one in which the agent worked.
	Actor, Job, AgentJob string
	State                State
	// Propose is true when a person has to approve it.
	Propose bool
	// Agent and Model are those that were used, Response what the agent said at last.
	Agent, Model, Response string
	// Diff is what we found changed, Files the paths.
	Diff  string
	Files []string
	// Backup is the folder's backup; empty when there is none any more. Restored is when the folder was put back to it.
	Backup   string
	Restored time.Time
	// Reason says in a sentence why it ended as it did.
	Reason string
	// Wanted is whether the program was meant to run when it was stopped for the repair.
	Wanted bool
	// Run is the execution of a cron job that caused it.
	Run uint64
	// Of is the repair that a Restore has undone.
	Of uint64

	InputTokens, OutputTokens int
	CostUSD                   float64
	CreatedAt, EndedAt        time.Time
}

// CanRestore reports whether the folder can be put back to how it was before. One that failed has a backup only when it left the
// folder in a state that nobody meant.
func (f *Fix) CanRestore() bool {
	return f.Backup != "" && f.Restored.IsZero() && (f.State == Applied || f.State == Failed)
}
