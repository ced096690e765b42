package service

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// memory is what the reconciler knows of a service beside what can be observed. Only a reconcile of that service touches it.
type memory struct {
	revision string // last seen; another one gives everything a fresh start
	intent   string // ID of the last intent that was taken up
	restarts int
	lastExit *v1.ExitInfo
	slots    map[int]*slot
	// stops says why we stopped a run.
	stops map[process.RunID]stopReason
}

// slot is what is remembered of one replica.
type slot struct {
	lastRun   process.RunID // newest run whose exit is accounted for
	attempts  int           // restarts in the present row of failures
	nextStart time.Time
	failed    bool
	complete  bool
	message   string // why it does not run
	portWaits int    // looks at a taken port in a row
	readyAt   time.Time
	wasReady  bool
	probes    string // the run and the probes that are asked of it
}

// fresh forgets failures: an edit, a start or a restart gives everything another chance at once.
func (m *memory) fresh() {
	for _, s := range m.slots {
		s.attempts, s.nextStart, s.failed, s.complete, s.message, s.portWaits = 0, time.Time{}, false, false, "", 0
	}
}

func (m *memory) slot(i int) *slot {
	if m.slots[i] == nil {
		m.slots[i] = &slot{}
	}
	return m.slots[i]
}

// recall builds the memory of a service from the status that an earlier manager wrote; st may be nil.
func recall(st *v1.ServiceStatus) *memory {
	m := &memory{slots: map[int]*slot{}, stops: map[process.RunID]stopReason{}}
	if st == nil {
		return m
	}
	m.revision, m.intent, m.restarts, m.lastExit = st.ObservedRevision, st.ObservedIntent, st.Restarts, st.LastExit
	for _, r := range st.Replicas {
		m.slots[r.Index] = &slot{
			lastRun: process.RunID(r.LastRun), attempts: r.Attempts, nextStart: r.NextStart,
			failed: r.Failed, complete: r.Complete, message: r.Message, wasReady: r.Ready,
		}
	}
	return m
}

// stopReason is why a run was stopped by us.
type stopReason string

const (
	stopUnwanted stopReason = "unwanted" // stopped by the operator, disabled, or its manifest is gone
	stopScaled   stopReason = "scaled"   // fewer replicas
	stopChanged  stopReason = "changed"  // the manifest asks for another process
	stopRestart  stopReason = "restart"  // the operator asked for a restart
	stopDead     stopReason = "dead"     // liveness or startup probe
)

// failure reports whether an exit after such a stop counts as a failure of the program.
func (r stopReason) failure() bool { return r == stopDead }
