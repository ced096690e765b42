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
	slots    map[int]slot // of the processes that serve
	backs    map[int]slot // of the processes beside them, see rolling.go
	rollout  rollout
	stable   string // the revision that last ran with every replica ready
	// drains is since when runs that are out of rotation have been left with the connections that they had.
	drains map[process.RunID]time.Time
	// stops says why we stopped a run that has yet to end. A manager that restarts in between does not know it any more.
	stops map[process.RunID]stopReason
}

// slot is what is remembered of one replica.
type slot struct {
	lane      int           // of the replica's two places, the one of the process that serves; for a process beside it not used
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
	stopIdle     stopReason = "Idle"              // nobody asks for it
	stopDrained  stopReason = "Drained"           // its successor has taken over
	stopBeside   stopReason = "UpdateWithdrawn"   // a successor that is not wanted any more
	stopLate     stopReason = "UpdateTimedOut"    // a successor that did not become ready
)

// failure reports whether an exit after such a stop counts as a failure of the program.
func (r stopReason) failure() bool { return r == stopDead }

func (s state) clone() state {
	s.slots, s.backs, s.drains, s.stops = maps.Clone(s.slots), maps.Clone(s.backs), maps.Clone(s.drains), maps.Clone(s.stops)
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
	s.forgiveRollout()
}

// recall builds the state of a service from the status that an earlier manager wrote; st may be nil.
func recall(st *v1.ServiceStatus) state {
	s := state{slots: map[int]slot{}, backs: map[int]slot{}, drains: map[process.RunID]time.Time{}, stops: map[process.RunID]stopReason{}}
	if st == nil {
		return s
	}
	s.stable = st.StableRevision
	if st.Rollout != nil {
		s.rollout = rollout(*st.Rollout)
	}
	s.revision, s.intent, s.session, s.restarts, s.lastExit = st.ObservedRevision, st.ObservedIntent, st.Session, st.Restarts, st.LastExit
	for _, r := range st.Replicas {
		s.slots[r.Index] = slot{
			lastRun: process.RunID(r.LastRun), tried: r.Tried, attempts: r.Attempts, nextStart: r.NextStart,
			failed: r.Failed, complete: r.Complete, message: r.Message, reason: "BackingOff",
			run: process.RunID(r.Run), started: r.Started, readySince: r.ReadySince, lane: r.Lane,
		}
		if !r.DrainsSince.IsZero() {
			s.drains[process.RunID(r.Run)] = r.DrainsSince
		}
		if b := r.Beside; b != nil {
			s.backs[r.Index] = slot{
				lastRun: process.RunID(b.LastRun), tried: b.Tried, attempts: b.Attempts, nextStart: b.NextStart, message: b.Message,
				reason: "BackingOff", run: process.RunID(b.Run),
			}
			if !b.DrainsSince.IsZero() {
				s.drains[process.RunID(b.Run)] = b.DrainsSince
			}
		}
	}
	return s
}

// replicas is what is told of each slot, and what recall reads.
func (s state) replicas(in input) []v1.ReplicaStatus {
	live := in.live()
	known := map[int]bool{}
	for i := range s.slots {
		known[i] = true
	}
	for p := range live {
		known[p.replica] = true
	}
	var out []v1.ReplicaStatus
	for i := range known {
		r := s.replica(i)
		p := s.front(i)
		if run, ok := live[p]; ok {
			r.Run, r.PID, r.StartedAt, r.Port = string(run.ID), run.PID, run.StartedAt, portOf(run)
			r.Message, r.NextStart = in.verdicts[run.ID].Message, time.Time{}
			if run.State == process.Running && r.Run == string(s.slots[i].run) {
				r.Started, r.ReadySince = s.slots[i].started, s.slots[i].readySince
				r.Ready = !r.ReadySince.IsZero()
			}
			r.DrainsSince = s.drains[run.ID]
		}
		r.Beside = s.beside(in, i, live)
		if (r != v1.ReplicaStatus{Index: i}) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b v1.ReplicaStatus) int { return a.Index - b.Index })
	return out
}

func (s state) replica(i int) v1.ReplicaStatus {
	sl := s.slots[i]
	return v1.ReplicaStatus{
		Index: i, LastRun: string(sl.lastRun), Tried: sl.tried, Attempts: sl.attempts, NextStart: sl.nextStart,
		Failed: sl.failed, Complete: sl.complete, Message: sl.message, Lane: sl.lane,
	}
}

// beside is what is told of the process beside the one that serves; nil when there is nothing to tell.
func (s state) beside(in input, i int, live map[place]process.Run) *v1.BesideStatus {
	b := s.backs[i]
	out := v1.BesideStatus{LastRun: string(b.lastRun), Tried: b.tried, Attempts: b.attempts, NextStart: b.nextStart, Message: b.message}
	if run, ok := live[s.front(i).beside()]; ok {
		out.Run, out.PID, out.StartedAt, out.Port = string(run.ID), run.PID, run.StartedAt, portOf(run)
		out.DrainsSince, out.NextStart = s.drains[run.ID], time.Time{}
		if v := in.verdicts[run.ID]; out.DrainsSince.IsZero() && v.Message != "" {
			out.Message = v.Message
		}
	}
	if out == (v1.BesideStatus{}) {
		return nil
	}
	return &out
}

// front is the place of the process that serves.
func (s state) front(i int) place { return place{i, s.slots[i].lane} }

// lastRun is the newest run of a place whose exit is accounted for.
func (s state) lastRun(at place) process.RunID {
	if at != s.front(at.replica) {
		return s.backs[at.replica].lastRun
	}
	return s.slots[at.replica].lastRun
}

// prune drops what is remembered of slots that are neither wanted nor there, and of runs that are gone.
func (s *state) prune(in input) {
	there := map[int]bool{}
	for _, run := range in.runs {
		there[replicaOf(run.Slot)] = true
	}
	unknown := func(i int, _ slot) bool { return !there[i] && (in.svc == nil || i >= in.svc.ReplicaCount()) }
	maps.DeleteFunc(s.slots, unknown)
	maps.DeleteFunc(s.backs, unknown)
	gone := func(id process.RunID) bool {
		return !slices.ContainsFunc(in.runs, func(run process.Run) bool { return run.ID == id && run.Live() })
	}
	maps.DeleteFunc(s.stops, func(id process.RunID, _ stopReason) bool { return gone(id) })
	maps.DeleteFunc(s.drains, func(id process.RunID, _ time.Time) bool { return gone(id) })
}

// mark names what a slot is to run: the program, and how its failures are dealt with.
func mark(hash, policy string) string { return hash + "/" + policy }

// programOf is the program's part of a mark.
func programOf(mark string) string {
	hash, _, _ := strings.Cut(mark, "/")
	return hash
}
