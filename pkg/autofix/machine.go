package autofix

import (
	"fmt"

	"github.com/philiporange/supervisor/pkg/autofix/history"
)

// outcome is how a step of a repair went.
type outcome string

const (
	done      outcome = "done"      // go on
	asks      outcome = "asks"      // a person decides
	approved  outcome = "approved"  // and does
	declined  outcome = "declined"  // or does not
	refused   outcome = "refused"   // the agent went beyond what it may
	failed    outcome = "failed"    // it came to nothing
	interrupt outcome = "interrupt" // the supervisor ended meanwhile
)

// next is the state that a repair goes to. Once the folder may have been changed every way leads to Applied or back to what it was.
func next(s history.State, o outcome) (history.State, error) {
	to, ok := transitions[s][o]
	if !ok {
		return s, fmt.Errorf("a repair that is %s cannot be %s", s, o)
	}
	return to, nil
}

var transitions = map[history.State]map[outcome]history.State{
	history.Pending:   {done: history.Preparing, failed: history.Failed, interrupt: history.Failed},
	history.Preparing: {done: history.Working, failed: history.Failed, interrupt: history.Failed},
	history.Working:   {done: history.Checking, refused: history.Refused, failed: history.Failed, interrupt: history.Failed},
	history.Checking: {
		done: history.Applying, asks: history.Proposed, refused: history.Refused, failed: history.Failed, interrupt: history.Failed,
	},
	history.Proposed:  {approved: history.Applying, declined: history.Rejected, interrupt: history.Proposed},
	history.Applying:  {done: history.Verifying, failed: history.Failed, interrupt: history.Reverting},
	history.Verifying: {done: history.Applied, failed: history.Reverting, interrupt: history.Reverting},
	history.Reverting: {done: history.Reverted, failed: history.Failed, interrupt: history.Reverting},
}
