package service

import (
	"encoding/json"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// report writes the status: once, on every way out of a reconcile. It reports whether the service is gone for good.
func (r *Reconciler) report(key v1.Key, in input, m *memory, p plan) (gone bool) {
	r.prune(in, m)
	if in.svc == nil && len(in.runs) == 0 {
		r.mu.Lock()
		delete(r.memories, key.Name)
		r.mu.Unlock()
		if r.c.Store.Status(key) != nil {
			r.event(key, v1.EventNormal, "Deleted", "its manifest is gone and nothing of it is left", "")
		}
		r.c.Store.DeleteObject(key)
		r.c.Track(key, nil)
		return true
	}
	was := r.c.Store.Status(key)
	st := &v1.ServiceStatus{
		ObservedRevision: m.revision, ObservedIntent: m.intent, Phase: p.phase, Restarts: m.restarts, LastExit: m.lastExit,
		Replicas: replicaStatuses(in, m), UpdatedAt: in.now,
	}
	for _, rep := range st.Replicas {
		if rep.PID != 0 && st.PID == 0 {
			at := rep.StartedAt
			st.PID, st.StartedAt, st.Port = rep.PID, &at, rep.Port
		}
		st.Attempts = max(st.Attempts, rep.Attempts)
		if next := rep.NextStart; rep.PID == 0 && next.After(in.now) && (st.NextRestart == nil || next.Before(*st.NextRestart)) {
			st.NextRestart = &next
		}
	}
	if st.Port == 0 && in.svc != nil {
		st.Port = in.svc.Spec.Port.Number
	}
	if was != nil {
		st.Conditions = append(st.Conditions, was.Conditions...)
		st.URL = was.URL
	}
	r.conditions(key, in, p, st)
	r.c.Store.SetStatus(key, st)
	r.tell(key, was, st, p)
	if was == nil || was.Phase != st.Phase || was.PID != st.PID {
		for _, d := range r.dependants(key.Name) {
			r.c.Enqueue(d)
		}
	}
	return false
}

// prune drops what is remembered of slots that are neither wanted nor there.
func (r *Reconciler) prune(in input, m *memory) {
	there := map[int]bool{}
	for _, run := range in.runs {
		there[slotIndex(run.Slot)] = true
	}
	for i := range m.slots {
		if !there[i] && (in.svc == nil || i >= in.svc.ReplicaCount()) {
			delete(m.slots, i)
		}
	}
	for id := range m.stops {
		found := false
		for _, run := range in.runs {
			found = found || run.ID == id
		}
		if !found {
			delete(m.stops, id)
		}
	}
}

// conditions sets each condition that this reconciler owns; others are left as they are.
func (r *Reconciler) conditions(key v1.Key, in input, p plan, st *v1.ServiceStatus) {
	set := func(kind string, status v1.ConditionStatus, reason, message string) {
		v1.SetCondition(&st.Conditions, v1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: in.now})
	}
	truth := map[bool]v1.ConditionStatus{true: v1.ConditionTrue, false: v1.ConditionFalse}
	set(v1.ConditionReady, truth[p.phase == v1.PhaseRunning], p.reason, p.message)
	switch p.phase {
	case v1.PhaseFailed:
		message := p.message
		if st.LastExit != nil && len(st.LastExit.LastLines) > 0 {
			message += "; it last said: " + st.LastExit.LastLines[len(st.LastExit.LastLines)-1]
		}
		set(v1.ConditionProgressing, v1.ConditionFalse, p.reason, message)
	case v1.PhaseRunning, v1.PhaseComplete, v1.PhaseStopped, v1.PhaseUnready:
		set(v1.ConditionProgressing, v1.ConditionFalse, "Settled", "there is nothing to be done")
	default:
		set(v1.ConditionProgressing, v1.ConditionTrue, p.reason, p.message)
	}
	var lacks []string
	for _, run := range in.runs {
		if !run.Live() {
			continue
		}
		lacks = append(lacks, run.Warnings...)
		if d := run.Dropped; d.Bytes > 0 {
			lacks = append(lacks, droppedText(d.Lines, d.Bytes, d.Reason))
		}
	}
	if len(lacks) > 0 {
		set(v1.ConditionDegraded, v1.ConditionTrue, "Degraded", strings.Join(lacks, "; "))
	} else {
		set(v1.ConditionDegraded, v1.ConditionFalse, "AsAsked", "it has all that it asked for")
	}
	if problems := r.c.Desired.Problems(key.Name); len(problems) > 0 {
		texts := make([]string, len(problems))
		for i, pr := range problems {
			texts[i] = pr.String()
		}
		set(v1.ConditionManifestValid, v1.ConditionFalse, "Invalid", "the last good version is in force: "+strings.Join(texts, "; "))
	} else {
		set(v1.ConditionManifestValid, v1.ConditionTrue, "Valid", "the newest version is in force")
	}
}

// tell records changes of state that no action has told of already.
func (r *Reconciler) tell(key v1.Key, was, is *v1.ServiceStatus, p plan) {
	if was != nil && was.Phase == is.Phase && (is.Phase != v1.PhasePending || message(was) == message(is)) {
		return
	}
	switch is.Phase {
	case v1.PhaseRunning:
		r.event(key, v1.EventNormal, "Ready", "runs and is ready", "")
	case v1.PhaseUnready:
		r.event(key, v1.EventWarning, "Unready", p.message, "")
	case v1.PhasePending:
		r.event(key, v1.EventNormal, p.reason, p.message, "")
	case v1.PhaseStopped:
		if was != nil {
			r.event(key, v1.EventNormal, "Stopped", p.message, "")
		}
	}
}

func message(st *v1.ServiceStatus) string {
	if c := v1.FindCondition(st.Conditions, v1.ConditionReady); c != nil {
		return c.Message
	}
	return ""
}

func droppedText(lines, bytes int64, reason string) string {
	text, err := marshal(map[string]any{"lines": lines, "bytes": bytes})
	if err != nil {
		return reason
	}
	return "output could not be kept (" + reason + "): " + strings.Trim(text, "{}")
}

func marshal(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// settled is how long Shutdown waits beyond the grace of what it stops.
const settled = 5 * time.Second
