package agent

import (
	"errors"
	"fmt"
	"time"
)

// UnavailableError says that no agent can be used, and what to do about it.
type UnavailableError struct {
	// Agent is the ID that was asked for; empty when any would do.
	Agent  string
	Reason string
}

func (e *UnavailableError) Error() string {
	if e.Agent == "" {
		return "no coding agent can be used: " + e.Reason
	}
	return fmt.Sprintf("the coding agent %s cannot be used: %s", e.Agent, e.Reason)
}

// TimeoutError says that a turn was ended by one of its clocks.
type TimeoutError struct {
	// Idle is true when the agent has said nothing for that time.
	Idle  bool
	After time.Duration
}

func (e *TimeoutError) Error() string {
	if e.Idle {
		return fmt.Sprintf("the agent said nothing for %s and was ended; the address of its models may not answer, or limit its requests", e.After)
	}
	return fmt.Sprintf("the agent took longer than %s and was ended", e.After)
}

var (
	// ErrOutput ends an agent that says more than it may.
	ErrOutput = errors.New("the agent said more than it may, and was ended")
	// ErrBusy refuses a second turn beside one that goes on.
	ErrBusy = errors.New("the agent is busy with a turn of this session")
	// ErrGone says that the agent's process has ended: its session can be resumed with another.
	ErrGone = errors.New("the agent's process has ended")
	// ErrCannotResume says that the agent does not know the session any more, or cannot resume any.
	ErrCannotResume = errors.New("the agent cannot resume that session")
)
