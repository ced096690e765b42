package service

import (
	"fmt"
	"slices"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

// input is all that a decision depends on beside the state.
type input struct {
	now  time.Time
	svc  *v1.Service // nil: not desired
	want bool        // whether it should run at all
	// whyNot is why it should not, in words.
	whyNot   string
	revision string
	intent   *v1.Intent // in force
	session  string
	// hold is set while the supervisor shuts down: nothing is started, and somebody else stops.
	hold bool

	limits   limits
	policy   string // a hash of how failures are dealt with
	runs     []process.Run
	programs map[place]resolved // of the places that are wanted
	waitsFor string             // a dependency that is not there yet, in words
	verdicts map[process.RunID]probe.Verdict

	// What follows is for updates without downtime.
	rolling         bool
	version         string             // of the program, its policies and the order to restart it; empty when it cannot be told
	stable          map[place]resolved // the version that last was good, where it is another one
	drain, deadline time.Duration
	pointed         map[int]string        // where each replica's requests go
	connections     map[process.RunID]int // of the runs that drain; nil when they were not counted
	recalled        bool                  // it is the first look since the manager has started

	// What follows is for services that run only while somebody asks for them.
	activator string // where requests wait; empty for others
	idle      bool   // nobody asks for it
	demandAt  time.Time
}

// limits are the restart policy's numbers, defaults filled in.
type limits struct {
	delay, maxDelay, resetAfter time.Duration
	maxAttempts                 int
}

// resolved is a slot's program, or why there is none.
type resolved struct {
	program Program
	port    int
	err     error
	// blocked is why the program cannot take over from what runs, in words.
	blocked string
}

func (in input) live() map[place]process.Run {
	live := make(map[place]process.Run, len(in.runs))
	for _, r := range in.runs {
		if r.Live() {
			live[placeOf(r.Slot)] = r
		}
	}
	return live
}

// stop is an action: end a run.
type stop struct {
	run    process.Run
	reason stopReason
	why    string
}

// note is an event to be told.
type note struct {
	kind            v1.EventType
	reason, message string
	actor           string
}

// decision is what is to be done, what is to be told and what is to be remembered.
type decision struct {
	state state
	moves []move
	// serving are the addresses of the replicas that are ready.
	serving []string
	starts  []start
	stops   []stop
	notes   []note
	// history is what became of revisions.
	history []v1.Rollout
	// ended are runs that have been accounted for; bad is the newest of those whose end needs an explanation.
	ended []process.RunID
	bad   *process.Run
	// explains is the run whose last lines say why an update was given up, or is about to be.
	explains *process.Run

	phase   v1.Phase
	reason  string // of the phase, one word
	message string // of the phase, a sentence
	ready   int    // replicas that are ready
	// outdated is why a running process is not the one that is asked for; empty when it is.
	outdated string
	next     time.Time // the next look; zero for none
}

// acts reports whether there is anything to be done.
func (d *decision) acts() bool { return len(d.moves) > 0 || len(d.starts) > 0 || len(d.stops) > 0 }

// wake asks for another look at t.
func (d *decision) wake(t time.Time) {
	if !t.IsZero() && (d.next.IsZero() || t.Before(d.next)) {
		d.next = t
	}
}

func (d *decision) note(kind v1.EventType, reason, message, actor string) {
	d.notes = append(d.notes, note{kind, reason, message, actor})
}

// plan is the whole of the policy: a pure function. Doing what it says and asking again with nothing new comes to nothing
// to do.
func plan(in input, before state) decision {
	d := decision{state: before.clone()}
	d.settleLanes(in)
	d.account(in)
	d.renew(in)
	live := in.live()
	replicas := 0
	if in.want {
		replicas = in.svc.ReplicaCount()
	}
	d.retire(in, live, replicas)
	d.beside(in, live, replicas)
	slots := make([]slotPhase, replicas)
	for i := range replicas {
		s, at := d.state.slots[i], d.state.front(i)
		if run, ok := live[at]; ok {
			slots[i] = d.tend(in, &s, run, at)
		} else {
			slots[i] = d.fill(in, &s, at)
		}
		d.state.slots[i] = s
		if slots[i].phase == v1.PhaseRunning {
			d.ready++
		}
	}
	d.roll(in, live, slots)
	d.route(in, live, replicas)
	if in.hold {
		d.moves, d.starts, d.stops = nil, nil, nil
	}
	d.settled(in, live, slots)
	d.wake(in.demandAt)
	d.state.prune(in)
	d.summarize(in, slots, len(live))
	return d
}

// renew takes up what is new: a session, a version of the manifest, an intent. Exits were accounted for before, so that
// none of them spoils the new beginning.
func (d *decision) renew(in input) {
	s := &d.state
	if in.session != "" {
		if s.session != "" && s.session != in.session {
			s.forgive()
		}
		s.session = in.session
	}
	if in.svc != nil {
		if s.revision != "" && s.revision != in.revision {
			d.note(v1.EventNormal, "ManifestChanged", changes(s.svc, in.svc), "manifest")
		}
		s.svc, s.revision = in.svc, in.revision
	}
	if in.intent != nil && in.intent.ID != s.intent {
		s.intent = in.intent.ID
		s.forgive()
	}
	if !in.want {
		s.forgive() // what is not wanted has not failed
	}
}

// retire stops what is not wanted, the highest replica first. One that serves is taken out of rotation before.
func (d *decision) retire(in input, live map[place]process.Run, replicas int) {
	for at, run := range live {
		if at.replica < replicas || run.State != process.Running {
			continue
		}
		s := d.state.slots[at.replica]
		serves := at == d.state.front(at.replica) && (s.run == run.ID && !s.readySince.IsZero() || in.pointsAt(run))
		switch {
		case in.idle && serves:
			d.leave(in, run, stopIdle)
		case !in.want:
			d.stop(in, run, stopUnwanted, in.whyNot)
		case !in.rolling || !serves:
			d.stop(in, run, stopScaled, fmt.Sprintf("only %d of it are wanted", replicas))
		default:
			d.leave(in, run, stopScaled)
		}
	}
	slices.SortFunc(d.stops, func(a, b stop) int { return replicaOf(b.run.Slot) - replicaOf(a.run.Slot) })
}

// leave takes a process out of rotation, and then stops it.
func (d *decision) leave(in input, run process.Run, reason stopReason) {
	if d.state.drains[run.ID].IsZero() {
		d.state.drains[run.ID] = in.now
	}
	d.drain(in, run, reason)
}

func (d *decision) stop(in input, run process.Run, reason stopReason, why string) {
	d.stops = append(d.stops, stop{run, reason, why})
	if in.hold || d.state.stops[run.ID] != "" {
		return // told already
	}
	d.state.stops[run.ID] = reason
	kind, by := v1.EventNormal, ""
	if reason.failure() {
		kind = v1.EventWarning
	}
	if in.intent != nil && (reason == stopRestart || reason == stopUnwanted) {
		by = in.intent.Actor
	}
	d.note(kind, string(reason), replicaText(in.svc, replicaOf(run.Slot), "is stopped: "+why), by)
}

// slotPhase is one slot's part of the service's phase.
type slotPhase struct {
	phase           v1.Phase
	reason, message string
}

// tend decides about a slot with a live run.
func (d *decision) tend(in input, s *slot, run process.Run, at place) slotPhase {
	if s.run != run.ID {
		s.run, s.started, s.readySince = run.ID, false, time.Time{}
	}
	if run.State != process.Running {
		return slotPhase{v1.PhaseStopping, "Stopping", "waits for the process to end"}
	}
	delete(d.state.drains, run.ID) // it is wanted again
	want, v := in.programs[at], in.verdicts[run.ID]
	rolls := in.rolling && (want.err != nil || d.worthKeeping(in, *s, run, v))
	switch {
	case v.Failed:
		d.stop(in, run, stopDead, "a probe failed"+detail(v.Message))
		return slotPhase{v1.PhaseStopping, "ProbeFailed", "is being restarted, a probe failed" + detail(v.Message)}
	case !rolls && in.restarts(run):
		d.stop(in, run, stopRestart, "a restart was asked for")
		return slotPhase{v1.PhaseStopping, "Restarting", "is being restarted"}
	case want.err == nil && run.Labels[labelHash] == want.program.Hash:
	case want.err == nil && rolls:
		// Its successor is started beside it, see roll.
	case want.blocked != "":
		// A running process is better than one that cannot be started.
		d.outdated = "the process is not the one that is asked for, which cannot take over: " + want.blocked
		if want.err != nil || in.waitsFor == "" {
			d.wake(in.now.Add(blockedLook)) // a dependency tells when it is there; a port does not
		}
	default:
		why := "an env file or its folder has changed"
		if run.Labels[labelRevision] != in.revision {
			why = "the manifest asks for another process"
		}
		d.stop(in, run, stopChanged, why)
		return slotPhase{v1.PhaseStopping, "Replacing", "is being replaced: " + why}
	}
	return d.watch(in, s, run, v)
}

// worthKeeping reports whether a process serves or may come to serve, so that it stays until its successor is ready.
func (d *decision) worthKeeping(in input, s slot, run process.Run, v probe.Verdict) bool {
	good, known := in.stable[placeOf(run.Slot)]
	return s.started || !v.Known || v.Ready || known && good.err == nil && run.Labels[labelHash] == good.program.Hash
}

// watch looks at the health of a run that is to stay.
func (d *decision) watch(in input, s *slot, run process.Run, v probe.Verdict) slotPhase {
	probed := hasProbes(in.svc)
	if probed && !v.Ready {
		s.readySince = time.Time{}
		if s.started {
			return slotPhase{v1.PhaseUnready, "ProbeFailed", "runs, and fails its readiness probe" + detail(v.Message)}
		}
		return slotPhase{v1.PhaseStarting, "WaitingForProbe", "runs, and has yet to pass its probe" + detail(v.Message)}
	}
	s.started = true
	if s.readySince.IsZero() {
		s.readySince = run.StartedAt
		if probed && v.Since.After(run.StartedAt) {
			s.readySince = v.Since
		}
	}
	if s.attempts > 0 {
		// Health clears the count.
		if healthy := s.readySince.Add(in.limits.resetAfter); in.now.Before(healthy) {
			d.wake(healthy)
		} else {
			s.attempts = 0
		}
	}
	return slotPhase{v1.PhaseRunning, "Running", "runs"}
}

func detail(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

// hasProbes reports whether a service's readiness is asked for.
func hasProbes(svc *v1.Service) bool {
	return svc.Spec.Probes.Readiness != nil || svc.Spec.Probes.Startup != nil
}

// fill decides about a slot without a live run.
func (d *decision) fill(in input, s *slot, at place) slotPhase {
	want, old := in.program(*s, at)
	hash := want.program.Hash
	other := s.tried != mark(hash, in.policy)
	if s.complete {
		other = programOf(s.tried) != hash || in.svc.Spec.Restart.Policy == v1.RestartAlways
	}
	if other {
		*s = s.forgive()
	}
	if latest := in.now.Add(max(in.limits.maxDelay, in.limits.delay, hotDelay)); s.nextStart.After(latest) {
		s.nextStart = latest // the clock was set back
	}
	switch {
	case s.failed:
		return slotPhase{v1.PhaseFailed, "GaveUp", s.message}
	case s.complete:
		return slotPhase{v1.PhaseComplete, "Completed", s.message}
	case in.now.Before(s.nextStart):
		d.wake(s.nextStart)
		if s.portWaits > 0 {
			return slotPhase{v1.PhasePending, s.reason, s.message}
		}
		return slotPhase{v1.PhaseBackoff, s.reason, s.message}
	case in.waitsFor != "":
		return slotPhase{v1.PhasePending, "WaitingForDependency", in.waitsFor}
	}
	d.starts = append(d.starts, start{at, old})
	return slotPhase{v1.PhasePending, "Starting", "is about to be started"}
}

// severity orders phases: the service shows the worst of its slots.
var severity = [...]v1.Phase{
	v1.PhaseFailed, v1.PhaseBackoff, v1.PhasePending, v1.PhaseStopping, v1.PhaseUnready, v1.PhaseStarting, v1.PhaseRunning, v1.PhaseComplete,
}

// summarize is the service's phase from those of its slots.
func (d *decision) summarize(in input, slots []slotPhase, live int) {
	switch {
	case len(slots) == 0 && live > 0:
		d.phase, d.reason, d.message = v1.PhaseStopping, "Stopping", "is being stopped: "+in.whyNot
		return
	case len(slots) == 0 && in.idle:
		d.phase, d.reason, d.message = v1.PhaseStopped, v1.ReasonIdle, in.whyNot
	case len(slots) == 0:
		d.phase, d.reason, d.message = v1.PhaseStopped, "Stopped", in.whyNot
		return
	}
	for _, phase := range severity {
		i := slices.IndexFunc(slots, func(s slotPhase) bool { return s.phase == phase })
		if i < 0 {
			continue
		}
		d.phase, d.reason, d.message = phase, slots[i].reason, slots[i].message
		if len(slots) > 1 {
			d.message = fmt.Sprintf("replica %d %s (%d of %d ready)", i, d.message, d.ready, len(slots))
		}
		return
	}
}

// replicaText is a text about one of several replicas.
func replicaText(svc *v1.Service, i int, text string) string {
	if i > 0 || svc != nil && svc.ReplicaCount() > 1 {
		return fmt.Sprintf("replica %d %s", i, text)
	}
	return text
}
