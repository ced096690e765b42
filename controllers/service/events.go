package service

import (
	"fmt"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// An object may tell eventBurst events of one reason in a row, and one more each eventPause after that: a crash loop that
// goes on for a week is history, not news.
const (
	eventBurst = 20
	eventPause = time.Minute
)

// teller keeps an object from flooding the history. It is owned by the worker that reconciles the object.
type teller struct{ spent map[string]*allowance }

type allowance struct {
	left   int
	since  time.Time // of the last refill
	untold int
}

// admit decides whether an event is told, and how many of its reason were kept back since the last that was.
func (t *teller) admit(reason string, now time.Time) (ok bool, untold int) {
	a := t.spent[reason]
	if a == nil {
		a = &allowance{left: eventBurst, since: now}
		if t.spent == nil {
			t.spent = map[string]*allowance{}
		}
		t.spent[reason] = a
	}
	if refill := int(now.Sub(a.since) / eventPause); refill > 0 {
		a.left = min(eventBurst, a.left+refill)
		a.since = a.since.Add(time.Duration(refill) * eventPause)
	}
	if a.left == 0 {
		a.untold++
		return false, 0
	}
	a.left--
	untold, a.untold = a.untold, 0
	return true, untold
}

// tell records what happened.
func (r *Reconciler) tell(key v1.Key, t *teller, notes []note, now time.Time) {
	for _, n := range notes {
		ok, untold := t.admit(n.reason, now)
		if !ok {
			continue
		}
		if untold > 0 {
			n.message += fmt.Sprintf(" (%d more of these were not told)", untold)
		}
		if n.actor == "" {
			n.actor = "supervisor"
		}
		r.c.Store.RecordEvent(v1.Event{Key: key, Type: n.kind, Reason: n.reason, Message: n.message, Actor: n.actor})
	}
}
