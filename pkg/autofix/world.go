package autofix

import (
	"context"
	"errors"
	"io"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/jobs"
)

// Errors that a World, and an Engine, answer with.
var (
	// ErrNoObject says that there is no such service or cron job.
	ErrNoObject = errors.New("there is nothing of that name")
	// ErrNoFix says that there is no such repair.
	ErrNoFix = errors.New("there is no such repair")
	// ErrState says that a repair is not in a state for what was asked.
	ErrState = errors.New("that is not possible now")
)

// Target is what may be repaired.
type Target struct {
	Key v1.Key
	// Folder is the folder that it runs in, absolute, with links resolved; Home the home of the account that it runs as.
	Folder, Home string
	// User is who the agent works as, empty for ourselves; UID and GID are the numbers.
	User     string
	UID, GID int
	// OwnUser says that User is who the program itself runs as: the agent is shown no file that this user could not read.
	OwnUser bool
	// Autofix is what its manifest says, or nil; Manifest the manifest without secrets.
	Autofix  *v1.Autofix
	Manifest string
	// Blocked says why no agent may work for it, such as that it would be root.
	Blocked error
	// EnvFiles are absolute paths; Secrets are values that nobody may be told.
	EnvFiles, Secrets []string
}

// World is what an Engine knows of services and cron jobs.
type World interface {
	// Target finds what is to be repaired, or fails with ErrNoObject.
	Target(key v1.Key) (Target, error)
	// Log is the end of what it has said: lines of the index of logs, or the output of a run of a cron job.
	Log(ctx context.Context, key v1.Key, run uint64, bytes int) string
	// Check runs the command in dir as the object would run, and returns what it printed. The error says how it ended.
	Check(ctx context.Context, key v1.Key, command, dir string) (output string, err error)
	// Wanted reports whether it is meant to run now.
	Wanted(key v1.Key) bool
	// Halt stops it, with all its processes.
	Halt(ctx context.Context, key v1.Key) error
	// Verify starts it, and returns nil when it was well for some time. Of a cron job it waits for a run.
	Verify(ctx context.Context, key v1.Key) error
	// Resume starts it again without looking how it does; a cron job needs nothing.
	Resume(ctx context.Context, key v1.Key) error
	// Failing reports whether it is still in a state that is worth a repair.
	Failing(key v1.Key) bool
	// Fixed notes what became of the repair of a run of a cron job.
	Fixed(ctx context.Context, key v1.Key, run uint64, success bool)
	// Tell puts an event on record.
	Tell(e v1.Event)
}

// Agents runs coding agents. pkg/agent fits it as it is.
type Agents interface {
	// Available is nil when an agent can be used, which may be empty for any; else it says what to do about it.
	Available(ctx context.Context, id string) error
	Run(ctx context.Context, q agent.Request, prompt string, emit func(agent.Event)) (agent.Outcome, error)
}

// Jobs runs work in the background. pkg/jobs fits it as it is.
type Jobs interface {
	Start(ctx context.Context, s jobs.Spec) (id string, err error)
	Wait(ctx context.Context, id string) (jobs.Job, error)
	Transcript(ctx context.Context, id string, to io.Writer) error
}

// JobKind is the kind of the jobs that repair.
const JobKind = "fix"

// Options say how an Engine works.
type Options struct {
	// Enabled lets failures be repaired without anybody asking.
	Enabled bool
	// Timeout bounds the agent's work.
	Timeout time.Duration
	// Backups is the folder of backups, Dir that of what repairs need, Data the supervisor's own and Manifests that of manifests.
	Backups, Dir, Data, Manifests string
	// Scratch is where copies for agents of other users are made, who cannot enter Dir.
	Scratch string
	// MaxBackup bounds a backup, in bytes; KeepBackups is how many there are of one object (10).
	MaxBackup   int64
	KeepBackups int
}
