package process

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// ProtocolVersion is the version of the frames. A manager speaks this version and the one before it.
const ProtocolVersion = 1

// Errors that a caller may want to tell apart.
var (
	// ErrSlotTaken refuses a Start because another run lives in the slot.
	ErrSlotTaken = errors.New("slot is taken by a live run")
	// ErrUnknownRun answers a verb on a run that the keeper does not know (any more).
	ErrUnknownRun = errors.New("unknown run")
	// ErrBusy refuses a Shutdown while runs live, and a Forget of a live run.
	ErrBusy = errors.New("a run is still live")
	// ErrUnavailable says that the keeper could not be reached in the time that the caller gave.
	ErrUnavailable = errors.New("keeper is not reachable")
)

// Hello is what both sides know after the handshake.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the keeper's program
	PID      int    `json:"pid"`
	BootID   string `json:"bootID"`
	// Session lasts from the start of a keeper on an empty house until Shutdown or reboot. It survives a keeper's crash
	// and its upgrade. Intents belong to a session.
	Session string `json:"session"`
}

// Keeper is what the manager asks of the keeper. Client is the real one; processtest has a fake that passes the same suite.
type Keeper interface {
	// Hello returns the handshake of the present connection, waiting for one until ctx ends.
	Hello(ctx context.Context) (Hello, error)
	// Start starts a program and returns once it has been exec'd. It fails with *StartError or ErrSlotTaken.
	Start(ctx context.Context, spec Spec) (Run, error)
	// Stop signals the leader (and, where the leader is gone, the tree), waits up to grace, then kills the whole tree.
	// It returns when the order is taken; the end comes as a change. A second Stop may shorten the grace, never lengthen it.
	Stop(ctx context.Context, id RunID, sig syscall.Signal, grace time.Duration) error
	// Signal sends a signal to the leader or to the whole tree.
	Signal(ctx context.Context, id RunID, sig syscall.Signal, tree bool) error
	// Forget drops the record of an exited run.
	Forget(ctx context.Context, id RunID) error

	// Runs returns the runs of an owner, live and exited-but-not-forgotten, oldest first. It reads a mirror in memory that
	// is complete once Synced is closed, and that holds a run before the Start of it returns.
	Runs(owner string) []Run
	// All returns every run, oldest first.
	All() []Run
	// Synced is closed when the mirror is complete for the first time.
	Synced() <-chan struct{}
	// OnChange registers f to be called with the owner of each run that changes. f must not block. Register before Synced.
	OnChange(f func(owner string))
}
