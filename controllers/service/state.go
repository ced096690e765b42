package service

import (
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// state is what the reconciler has to remember of a service beside what can be observed. It is a value: a decision takes
// one and returns the next.
type state struct {
	svc      *v1.Service // of the last decision; nil after a restart of the manager
	revision string
	intent   string // ID of the last intent that was taken up
	session  string
	restarts int
	lastExit *v1.ExitInfo // not changed once it is here
	slots    map[int]slot
	// stops says why we stopped a run that has yet to end. A manager that restarts in between does not know it any more.
	stops map[process.RunID]stopReason
}

// slot is what is remembered of one replica.
type slot struct {
	lastRun   process.RunID // newest run whose exit is accounted for
	tried     string        // what was tried last, see mark
	attempts  int           // restarts in the present row of failures
	nextStart time.Time
	failed    bool
	complete  bool
	message   string // why it does not run
	reason    string // the same in one word
	portWaits int    // looks at a taken port in a row

	run        process.RunID // the live run that the following is about
	started    bool          // it has been ready once
	readySince time.Time     // zero while it is not ready
}

// stopReason is why a run was stopped by us.
type stopReason string

const (
	stopUnwanted stopReason = "Stopping"          // stopped by the operator, disabled, or its manifest is gone
	stopScaled   stopReason = "ScaledDown"        // fewer replicas
	stopChanged  stopReason = "Replacing"         // the manifest asks for another process
	stopRestart  stopReason = "RestartedByIntent" // the operator asked for a restart
	stopDead     stopReason = "ProbeFailed"       // liveness or startup probe
)

// failure reports whether an exit after such a stop counts as a failure of the program.
func (r stopReason) failure() bool { return r == stopDead }

func (s state) clone() state {
	s.slots, s.stops = maps.Clone(s.slots), maps.Clone(s.stops)
	return s
}

// forgive gives a slot another chance at once. What was noted of its runs stays.
func (s slot) forgive() slot {
	s.attempts, s.nextStart, s.failed, s.complete, s.message, s.reason, s.portWaits = 0, time.Time{}, false, false, "", "", 0
	return s
}

func (s *state) forgive() {
	for i, sl := range s.slots {
		s.slots[i] = sl.forgive()
	}
}

// recall builds the state of a service from the status that an earlier manager wrote; st may be nil.
func recall(st *v1.ServiceStatus) state {
	s := state{slots: map[int]slot{}, stops: map[process.RunID]stopReason{}}
	if st == nil {
		return s
	}
	s.revision, s.intent, s.session, s.restarts, s.lastExit = st.ObservedRevision, st.ObservedIntent, st.Session, st.Restarts, st.LastExit
	for _, r := range st.Replicas {
		s.slots[r.Index] = slot{
			lastRun: process.RunID(r.LastRun), tried: r.Tried, attempts: r.Attempts, nextStart: r.NextStart,
			failed: r.Failed, complete: r.Complete, message: r.Message, reason: "BackingOff",
			run: process.RunID(r.Run), started: r.Started, readySince: r.ReadySince,
		}
	}
	return s
}

// replicas is what is told of each slot, and what recall reads.
func (s state) replicas(in input) []v1.ReplicaStatus {
	live := in.live()
	var out []v1.ReplicaStatus
	for i := range s.slots {
		if _, ok := live[i]; !ok {
			out = append(out, s.replica(i))
		}
	}
	for i, run := range live {
		r, v := s.replica(i), in.verdicts[run.ID]
		r.Run, r.PID, r.StartedAt, r.Port = string(run.ID), run.PID, run.StartedAt, portOf(run)
		r.Message, r.NextStart = v.Message, time.Time{}
		if run.State == process.Running && r.Run == string(s.slots[i].run) {
			r.Started, r.ReadySince = s.slots[i].started, s.slots[i].readySince
			r.Ready = !r.ReadySince.IsZero()
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b v1.ReplicaStatus) int { return a.Index - b.Index })
	return slices.DeleteFunc(out, func(r v1.ReplicaStatus) bool { return r == v1.ReplicaStatus{Index: r.Index} })
}

func (s state) replica(i int) v1.ReplicaStatus {
	sl := s.slots[i]
	return v1.ReplicaStatus{
		Index: i, LastRun: string(sl.lastRun), Tried: sl.tried, Attempts: sl.attempts, NextStart: sl.nextStart,
		Failed: sl.failed, Complete: sl.complete, Message: sl.message,
	}
}

// prune drops what is remembered of slots that are neither wanted nor there, and of runs that are gone.
func (s *state) prune(in input) {
	there := map[int]bool{}
	for _, run := range in.runs {
		there[slotIndex(run.Slot)] = true
	}
	maps.DeleteFunc(s.slots, func(i int, _ slot) bool { return !there[i] && (in.svc == nil || i >= in.svc.ReplicaCount()) })
	maps.DeleteFunc(s.stops, func(id process.RunID, _ stopReason) bool {
		return !slices.ContainsFunc(in.runs, func(run process.Run) bool { return run.ID == id && run.Live() })
	})
}

// mark names what a slot is to run: the program, and how its failures are dealt with.
func mark(hash, policy string) string { return hash + "/" + policy }

// programOf is the program's part of a mark.
func programOf(mark string) string {
	hash, _, _ := strings.Cut(mark, "/")
	return hash
}
