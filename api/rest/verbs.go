package rest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// relapse is how long a start of a service that had been failing is watched before it is called a start.
const relapse = time.Second

func startService(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	before := c.api.deps.Observed.Status(s.Key())
	st, err := c.order(s, v1.IntentStart, c.api.deps.Patience, func(st *v1.ServiceStatus) bool { return up(st) || down(st) })
	if err != nil {
		return nil, err
	}
	if up(st) && failing(before) {
		st = c.watchRelapse(s.Key(), st)
	}
	if !running(st) {
		return nil, notRunning(s, st)
	}
	word := "started"
	if running(before) && sameProcess(before, st) {
		word = "already_running"
	}
	return wire.Started{Status: word, Name: s.Metadata.Name, PID: st.PID}, nil
}

func stopService(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	before := c.api.deps.Observed.Status(s.Key())
	if _, err := c.order(s, v1.IntentStop, c.api.stopPatience(s), func(st *v1.ServiceStatus) bool {
		return down(st) && st.Phase != v1.PhaseBackoff && st.PID == 0 && st.Phase != v1.PhaseStopping
	}); err != nil {
		return nil, err
	}
	word := "stopped"
	if !running(before) && (before == nil || down(before) && before.Phase != v1.PhaseBackoff) {
		word = "not_running"
	}
	return wire.Stopped{Status: word, Name: s.Metadata.Name}, nil
}

func restartService(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	before := c.api.deps.Observed.Status(s.Key())
	patience := c.api.stopPatience(s)
	if s.Rolls() && running(before) {
		patience += s.Spec.Update.ProgressDeadline.Or(v1.DefaultProgressDeadline)
	}
	st, err := c.order(s, v1.IntentRestart, patience, func(st *v1.ServiceStatus) bool {
		if s.Rolls() && running(before) && up(st) {
			return !rolls(st) || st.Rollout.Phase != v1.RolloutProgressing
		}
		return (up(st) && !(running(before) && sameProcess(before, st))) || down(st) && st.Phase != v1.PhaseStopped
	})
	if err != nil {
		return nil, err
	}
	if s.Rolls() && running(before) && up(st) && !rolls(st) && sameProcess(before, st) {
		why := "nothing can take its place"
		if c := v1.FindCondition(st.Conditions, v1.ConditionDegraded); c != nil && c.Status == v1.ConditionTrue {
			why = c.Message
		}
		return nil, Errorf(wire.CodeConflict, "%s was not restarted, and its process runs on: %s", s.Metadata.Name, why)
	}
	if ro := st.Rollout; s.Rolls() && rolls(st) && ro.Phase == v1.RolloutFailed {
		return nil, Errorf(wire.CodeConflict, "the restart of %s was given up, and its process of before runs on: %s", s.Metadata.Name, said(ro))
	}
	if up(st) && failing(before) {
		st = c.watchRelapse(s.Key(), st)
	}
	if !running(st) {
		return nil, notRunning(s, st)
	}
	return wire.Started{Status: "restarted", Name: s.Metadata.Name, PID: st.PID}, nil
}

// rolls reports whether the last order is carried out as an update beside the old processes. That begins with the very look
// that takes the order up, or not at all.
func rolls(st *v1.ServiceStatus) bool {
	return st.Rollout != nil && strings.HasSuffix(st.Rollout.Version, "/"+st.ObservedIntent)
}

// said is why an update was given up, with the last words of what was to take over.
func said(ro *v1.RolloutStatus) string {
	if len(ro.LastLines) == 0 {
		return ro.Message
	}
	return ro.Message + ". Its last lines:\n" + strings.Join(ro.LastLines, "\n")
}

// order puts an intent in force and waits until it was acted on with an outcome that done accepts.
func (c *call) order(s *v1.Service, verb v1.IntentVerb, patience time.Duration, done func(*v1.ServiceStatus) bool) (*v1.ServiceStatus, error) {
	id, err := c.api.deps.Operator.Intend(c.Request.Context(), s.Key(), verb, c.caller.actor())
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, s.Key(), err)
	}
	c.linger(patience)
	ctx, cancel := context.WithTimeout(c.Request.Context(), patience)
	defer cancel()
	st, err := c.api.deps.Observed.WaitStatus(ctx, s.Key(), func(st *v1.ServiceStatus) bool {
		return st != nil && st.ObservedIntent == id && done(st)
	})
	switch {
	case err == nil:
		return st, nil
	case !errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("%s %s: %w", verb, s.Key(), err)
	case st != nil && st.ObservedIntent == id && st.Phase == v1.PhasePending:
		return nil, notRunning(s, st)
	}
	phase := "not known yet"
	if st != nil {
		phase = string(st.Phase)
	}
	return nil, &Error{
		Code: wire.CodeTimeout, Cause: err,
		Detail: fmt.Sprintf("%s of %s was ordered and is still under way after %s; it is %s", verb, s.Metadata.Name, patience, phase),
	}
}

// watchRelapse returns the status as soon as the process is gone again, or as it is after a moment of life.
func (c *call) watchRelapse(key v1.Key, started *v1.ServiceStatus) *v1.ServiceStatus {
	ctx, cancel := context.WithTimeout(c.Request.Context(), relapse)
	defer cancel()
	st, err := c.api.deps.Observed.WaitStatus(ctx, key, func(st *v1.ServiceStatus) bool {
		return st == nil || !running(st) || !sameProcess(started, st)
	})
	if err != nil {
		return st // it lives
	}
	if st != nil && running(st) {
		// It died and runs anew: what counts is that it does not stay.
		failed := *st
		failed.PID = 0
		return &failed
	}
	return st
}

// up reports that a process runs and is meant to.
func up(st *v1.ServiceStatus) bool {
	return running(st) && (st.Phase == v1.PhaseRunning || st.Phase == v1.PhaseStarting || st.Phase == v1.PhaseUnready)
}

// down reports that no process runs, and that none is on its way.
func down(st *v1.ServiceStatus) bool {
	switch st.Phase {
	case v1.PhaseStopped, v1.PhaseFailed, v1.PhaseComplete, v1.PhaseBackoff:
		return st.PID == 0
	}
	return false
}

// failing reports that the service had exits that its restart policy did not like.
func failing(st *v1.ServiceStatus) bool {
	return st != nil && (st.Phase == v1.PhaseBackoff || st.Phase == v1.PhaseFailed || st.Attempts > 0)
}

func sameProcess(a, b *v1.ServiceStatus) bool {
	return a.PID == b.PID && (a.StartedAt == nil || b.StartedAt == nil || a.StartedAt.Equal(*b.StartedAt))
}

// notRunning is the honest answer to a start that did not lead to a running process: why, and its last words.
func notRunning(s *v1.Service, st *v1.ServiceStatus) error {
	if st == nil {
		return Errorf(wire.CodeConflict, "%s was deleted meanwhile", s.Metadata.Name)
	}
	detail := fmt.Sprintf("%s does not run: it is %s", s.Metadata.Name, st.Phase)
	if why := message(st); why != "" {
		detail += "; " + why
	}
	if st.LastExit != nil {
		detail += "; it " + st.LastExit.Reason
		if len(st.LastExit.LastLines) > 0 {
			detail += ". Its last lines:\n" + strings.Join(st.LastExit.LastLines, "\n")
		}
	}
	return Errorf(wire.CodeConflict, "%s", detail)
}
