package service

import (
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// report writes the status and the events: once, on every way out of a reconcile. It says when to look again.
func (r *Reconciler) report(t *turn) reconcile.Result {
	if t.phase == "" {
		return reconcile.Result{} // a panic came before the first decision
	}
	// Nothing that ended is explained before what it makes room for was started: reading the last lines touches the disk.
	if last := t.record.state.lastExit; t.bad != nil && last != nil && last.At.Equal(t.bad.Exit.At) {
		told := *last
		told.LastLines = r.c.LastLines(*t.bad, explained)
		t.record.state.lastExit = &told
	}
	if t.explains != nil {
		t.record.state.rollout.LastLines = r.c.LastLines(*t.explains, explained)
	}
	if t.in.svc == nil && len(t.in.runs) == 0 && r.bury(t) {
		return reconcile.Result{}
	}
	was := r.c.Store.Status(t.key)
	st := r.status(t, was)
	r.c.Store.SetStatus(t.key, st)
	if t.in.activator != "" {
		failed := ""
		if st.Phase == v1.PhaseFailed {
			failed = t.message
		}
		r.c.Demand.Tell(t.key.Name, t.serving, failed)
	}
	for _, h := range t.history {
		r.c.Store.RecordRollout(t.key, h)
	}
	r.tell(t.key, &t.record.teller, append(t.told, t.transition(was, st)...), t.in.now)
	if len(t.ended) > 0 {
		r.c.Forgetter.Forget(t.ended...) // once the status that speaks of them is durable
	}
	if was == nil || was.Phase != st.Phase || was.PID != st.PID || was.ObservedRevision != st.ObservedRevision {
		r.wakeDependants(t.key.Name)
	}
	if t.next.IsZero() {
		return reconcile.Result{}
	}
	return reconcile.Result{RequeueAfter: max(time.Until(t.next), time.Millisecond)}
}

// bury forgets a service of which nothing is left. It reports false when the service has come back meanwhile.
func (r *Reconciler) bury(t *turn) bool {
	if _, _, back := r.c.Desired.Service(t.key.Name); back {
		return false
	}
	r.mu.Lock()
	delete(r.records, t.key.Name)
	r.mu.Unlock()
	if r.c.Store.Status(t.key) != nil {
		t.told = append(t.told, note{v1.EventNormal, "Deleted", "its manifest is gone and nothing of it is left", ""})
	}
	r.tell(t.key, &t.record.teller, t.told, t.in.now)
	r.c.Track(t.key, nil)
	r.c.Store.DeleteObject(t.key)
	if t.record.demand.held {
		r.c.Demand.Forget(t.key.Name)
	}
	if err := r.c.Upstreams.Remove(t.key.Name); err != nil {
		r.c.Log.Warn("the addresses of a deleted service stay", "service", t.key.Name, "err", err)
	}
	r.wakeDependants(t.key.Name)
	return true
}

// wakeDependants puts the services that wait for a service on the queue.
func (r *Reconciler) wakeDependants(name string) {
	for _, svc := range r.c.Desired.Services() {
		if slices.ContainsFunc(svc.Spec.DependsOn, func(d v1.Dependency) bool { return strings.EqualFold(d.Name, name) }) {
			r.c.Enqueue(svc.Key())
		}
	}
}

// status is what is told of the service. Conditions and fields that others own are taken over from was.
func (r *Reconciler) status(t *turn, was *v1.ServiceStatus) *v1.ServiceStatus {
	s := t.record.state
	st := &v1.ServiceStatus{
		ObservedRevision: s.revision, ObservedIntent: s.intent, Session: s.session, Phase: t.phase, Restarts: s.restarts, LastExit: s.lastExit,
		Replicas: s.replicas(t.in), StableRevision: s.stable, UpdatedAt: t.in.now,
	}
	if s.rollout.Phase != "" {
		ro := v1.RolloutStatus(s.rollout)
		st.Rollout = &ro
	}
	for _, rep := range st.Replicas {
		if rep.PID != 0 && st.PID == 0 {
			at := rep.StartedAt
			st.PID, st.StartedAt, st.Port = rep.PID, &at, rep.Port
		}
		st.Attempts = max(st.Attempts, rep.Attempts)
		if next := rep.NextStart; rep.PID == 0 && next.After(t.in.now) && (st.NextRestart == nil || next.Before(*st.NextRestart)) {
			st.NextRestart = &next
		}
	}
	if st.Port == 0 && t.in.svc != nil {
		if st.Port = t.in.svc.Spec.Port.Number; t.in.svc.Spec.Port.Auto {
			st.Port, _ = r.c.Store.Port(s.front(0).in(t.key))
		}
	}
	if was != nil {
		st.Conditions = append(st.Conditions, was.Conditions...)
		st.URL = was.URL
	}
	r.conditions(t, st)
	return st
}

// conditions sets each condition that this reconciler owns; others are left as they are.
func (r *Reconciler) conditions(t *turn, st *v1.ServiceStatus) {
	set := func(kind string, is bool, reason, message string) {
		status := v1.ConditionFalse
		if is {
			status = v1.ConditionTrue
		}
		v1.SetCondition(&st.Conditions, v1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: t.in.now})
	}
	set(v1.ConditionReady, t.phase == v1.PhaseRunning, t.reason, t.message)
	switch t.phase {
	case v1.PhaseFailed:
		set(v1.ConditionProgressing, false, t.reason, t.message+lastWords(st.LastExit))
	case v1.PhaseStopped:
		set(v1.ConditionProgressing, false, "Settled", "there is nothing to be done")
	case v1.PhaseRunning, v1.PhaseComplete, v1.PhaseUnready:
		r.rolloutCondition(st, set)
	default:
		set(v1.ConditionProgressing, true, t.reason, t.message)
	}
	if lacks := t.lacks(); len(lacks) > 0 {
		set(v1.ConditionDegraded, true, "Degraded", strings.Join(lacks, "; "))
	} else {
		set(v1.ConditionDegraded, false, "AsAsked", "it has all that it asked for")
	}
	r.logsCondition(t, set)
	if problems := r.c.Desired.Problems(t.key.Name); len(problems) > 0 {
		texts := make([]string, len(problems))
		for i, p := range problems {
			texts[i] = p.String()
		}
		set(v1.ConditionManifestValid, false, "Invalid", "the last good version is in force: "+strings.Join(texts, "; "))
	} else {
		set(v1.ConditionManifestValid, true, "Valid", "the newest version is in force")
	}
}

// logsCondition says whether all that the service has printed is kept and can be found.
func (r *Reconciler) logsCondition(t *turn, set func(kind string, is bool, reason, message string)) {
	var lost process.Dropped
	for _, run := range t.in.runs {
		if d := run.Dropped; run.Live() && d.Bytes > 0 {
			lost.Bytes += d.Bytes
			lost.Lines += d.Lines
			lost.Reason = d.Reason
		}
	}
	unindexed := int64(0)
	if r.c.Unindexed != nil {
		unindexed = r.c.Unindexed(t.key.Name)
	}
	later := fmt.Sprintf("%d lines are in the log files only: they came faster than spec.logs.linesPerSecond, or than they could be read", unindexed)
	switch {
	case lost.Bytes > 0:
		message := fmt.Sprintf("%d lines (%d bytes) of output are lost: %s; make room on the disk of the data folder", lost.Lines, lost.Bytes, lost.Reason)
		if unindexed > 0 {
			message += "; " + later
		}
		set(v1.ConditionLogsComplete, false, "OutputDropped", message)
	case unindexed > 0:
		set(v1.ConditionLogsComplete, false, "LinesNotIndexed", later)
	default:
		set(v1.ConditionLogsComplete, true, "Complete", "all output is kept and can be searched")
	}
}

// rolloutCondition says how the update of a service that runs does.
func (r *Reconciler) rolloutCondition(st *v1.ServiceStatus, set func(kind string, is bool, reason, message string)) {
	ro := st.Rollout
	switch {
	case ro != nil && ro.Phase == v1.RolloutProgressing:
		set(v1.ConditionProgressing, true, ro.Step, "an update is under way: "+ro.Message)
	case ro != nil && ro.Phase == v1.RolloutFailed:
		set(v1.ConditionProgressing, false, "RolloutFailed", "the update was given up, and what ran before it runs on: "+ro.Message+quoted(ro.LastLines))
	default:
		set(v1.ConditionProgressing, false, "Settled", "there is nothing to be done")
	}
}

// lacks is what the service asked for and does not have.
func (t *turn) lacks() (lacks []string) {
	if t.outdated != "" {
		lacks = append(lacks, t.outdated)
	}
	for _, run := range t.in.runs {
		if !run.Live() {
			continue
		}
		lacks = append(lacks, run.Warnings...)
		if d := run.Dropped; d.Bytes > 0 {
			lacks = append(lacks, fmt.Sprintf("%d bytes of output (%d lines) could not be kept: %s", d.Bytes, d.Lines, d.Reason))
		}
	}
	return lacks
}

// lastWords are the last of the lines that explain an exit.
func lastWords(e *v1.ExitInfo) string {
	if e == nil {
		return ""
	}
	return quoted(e.LastLines)
}

// quoted are the last of some lines, in words.
func quoted(lines []string) string {
	const most = 3
	if len(lines) == 0 {
		return ""
	}
	return "; it last said: " + strings.Join(lines[max(0, len(lines)-most):], " | ")
}

// transition is what is told of a change of phase that no action has told of already.
func (t *turn) transition(was, is *v1.ServiceStatus) []note {
	var before v1.Phase
	if was != nil {
		before = was.Phase
	}
	if before == is.Phase && (is.Phase != v1.PhasePending || readyMessage(was) == readyMessage(is)) {
		return nil
	}
	switch is.Phase {
	case v1.PhaseRunning:
		if before == v1.PhaseUnready {
			return []note{{v1.EventNormal, "Recovered", "passes its readiness probe again", ""}}
		}
		return []note{{v1.EventNormal, "Ready", "runs and is ready", ""}}
	case v1.PhaseUnready:
		return []note{{v1.EventWarning, "Unready", t.message, ""}}
	case v1.PhasePending:
		kind := v1.EventNormal
		if t.reason == "PortInUse" {
			kind = v1.EventWarning
		}
		return []note{{kind, t.reason, t.message, ""}}
	case v1.PhaseStopped:
		if was != nil {
			return []note{{v1.EventNormal, "Stopped", t.message, ""}}
		}
	}
	return nil
}

func readyMessage(st *v1.ServiceStatus) string {
	if c := v1.FindCondition(st.Conditions, v1.ConditionReady); c != nil {
		return c.Message
	}
	return ""
}
