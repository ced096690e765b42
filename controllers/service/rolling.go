package service

import (
	"fmt"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// An update without downtime goes from replica to replica:
//
//	old serves ──► new starts beside it ──► new is ready ──► requests go to new ──► old has no connection left ──► old stops
//	                   │  ▲                                                          (or update.drain has passed)
//	              exit ▼  │ backoff
//	                 given up: old serves on
//
// Which of a replica's two processes serves is in its slot's lane. The other one is its successor, or, when it drains, its
// predecessor. There is at most one of them in the whole service at a time.

const (
	// drainSettle is how long a process is left alone after requests were sent elsewhere: who had read its address by then
	// has connected.
	drainSettle = 300 * time.Millisecond
	// drainLook is how often its connections are counted: of those the kernel does not tell.
	drainLook = 200 * time.Millisecond
)

// rollout is what is remembered of an update.
type rollout v1.RolloutStatus

// start is an action: start the program of a place.
type start struct {
	at place
	// old is set when it is the last good version that is started, as the new one has yet to prove itself.
	old bool
}

// program is what a place is to run when it is empty. Until a replica was updated, that is the version that last was good.
func (in input) program(s slot, at place) (want resolved, old bool) {
	want = in.programs[at]
	good, known := in.stable[at]
	if !known || good.err != nil || want.err == nil && (good.program.Hash == want.program.Hash || programOf(s.tried) == want.program.Hash) {
		return want, false
	}
	return good, true
}

// restarts reports whether an operator asked for this process to be replaced.
func (in input) restarts(run process.Run) bool {
	i := in.intent
	return i != nil && i.Verb == v1.IntentRestart && run.Labels[labelIntent] != i.ID && run.StartedAt.Before(i.Time)
}

// due reports whether a replica has yet to be updated.
func (d *decision) due(in input, i int, live map[place]process.Run) bool {
	at := d.state.front(i)
	run, serves := live[at]
	if !serves {
		_, old := in.program(d.state.slots[i], at)
		return old
	}
	want := in.programs[at]
	return want.err == nil && run.Labels[labelHash] != want.program.Hash || in.restarts(run)
}

// settleLanes finds out which process of a replica serves, where that is not remembered or was decided by a manager that
// could not note it any more.
func (d *decision) settleLanes(in input) {
	live := in.live()
	for _, run := range in.runs {
		i := replicaOf(run.Slot)
		one, first := live[place{i, 0}]
		two, second := live[place{i, 1}]
		if s, known := d.state.slots[i]; !known {
			switch {
			case first && second:
				s.lane = in.elder(one, two)
			case second:
				s.lane = 1
			case !first:
				s.lane = placeOf(run.Slot).lane // of the last that ended: the runs are sorted
				if in.newest(i) != run.ID {
					continue
				}
			}
			d.state.slots[i] = s
		}
		// Only what has taken over is ever pointed at.
		if back, ok := live[d.state.front(i).beside()]; ok && in.recalled && in.pointed[i] == address(back) {
			d.exchange(in, i, live)
		}
	}
}

// newest is the run of a replica that was started last.
func (in input) newest(i int) (id process.RunID) {
	for _, run := range in.runs {
		if replicaOf(run.Slot) == i {
			id = run.ID
		}
	}
	return id
}

// elder is the lane of the process that serves, of two that nothing is remembered of: the one that is not what is asked for,
// or else the one that was there first.
func (in input) elder(one, two process.Run) int {
	asked := func(run process.Run) bool {
		want, ok := in.programs[placeOf(run.Slot)]
		return ok && want.err == nil && run.Labels[labelHash] == want.program.Hash
	}
	if a, b := asked(one), asked(two); a != b {
		if a {
			return 1
		}
		return 0
	}
	if two.StartedAt.Before(one.StartedAt) {
		return 1
	}
	return 0
}

// exchange makes the process beside the one that serves the one that serves.
func (d *decision) exchange(in input, i int, live map[place]process.Run) {
	at := d.state.front(i)
	front, back := d.state.slots[i], d.state.backs[i].forgive()
	back.lane = at.beside().lane
	d.state.slots[i], d.state.backs[i] = back, front.forgive()
	if old, ok := live[at]; ok {
		d.state.drains[old.ID] = in.now
	}
}

// beside decides about the processes beside those that serve.
func (d *decision) beside(in input, live map[place]process.Run, replicas int) {
	for i := range replicas {
		at := d.state.front(i)
		run, ok := live[at.beside()]
		if !ok {
			continue
		}
		_, drains := d.state.drains[run.ID]
		_, serves := live[at]
		_, old := in.program(d.state.slots[i], at)
		v := in.verdicts[run.ID]
		switch {
		case drains:
			d.drain(in, run, stopDrained)
		case run.State != process.Running:
		case !serves && !old:
			d.exchange(in, i, live) // there is nothing that it could wait for
		case in.rolling && in.version == "":
			// It cannot be told whether it is the one that is asked for.
		case v.Failed:
			d.stop(in, run, stopDead, "the new process failed a probe"+detail(v.Message))
		case !in.rolling || !d.due(in, i, live) || d.state.rollout.gaveUp(in) || !in.asked(run):
			d.stop(in, run, stopBeside, "the update that it belongs to is not wanted any more")
		case v.Known && v.Ready:
			d.promote(in, i, run, live)
		default:
			d.await(in, i, run)
		}
	}
}

// asked reports whether a successor is the one that is asked for.
func (in input) asked(run process.Run) bool {
	want := in.programs[placeOf(run.Slot)]
	return want.err == nil && run.Labels[labelHash] == want.program.Hash && !in.restarts(run)
}

// promote sends requests to a successor, and leaves its predecessor with those that it has.
func (d *decision) promote(in input, i int, run process.Run, live map[place]process.Run) {
	d.exchange(in, i, live)
	s := d.state.slots[i]
	s.run, s.started, s.readySince = run.ID, true, in.verdicts[run.ID].Since
	if s.readySince.Before(run.StartedAt) {
		s.readySince = run.StartedAt
	}
	d.state.slots[i] = s
	d.note(v1.EventNormal, "TookOver", replicaText(in.svc, i, fmt.Sprintf("is now process %d, which is ready; the one before may finish what it began", run.PID)), "")
}

// await bounds the wait for a successor to become ready.
func (d *decision) await(in input, i int, run process.Run) {
	since := d.state.rollout.StepAt
	if d.state.rollout.Version != in.version || since.IsZero() {
		since = run.StartedAt
	}
	late := since.Add(in.deadline)
	if in.now.Before(late) {
		d.wake(late)
		return
	}
	why := fmt.Sprintf("the new process was not ready after %s%s", v1.Duration(in.deadline), detail(in.verdicts[run.ID].Message))
	d.giveUp(in, replicaText(in.svc, i, why))
	d.explains = &run
	d.stop(in, run, stopLate, why)
}

// drain stops a process that is out of rotation once nobody is connected to it any more, or has had the time.
func (d *decision) drain(in input, run process.Run, reason stopReason) {
	if run.State != process.Running {
		return
	}
	since := d.state.drains[run.ID]
	open, counted := in.connections[run.ID]
	if in.pointsAt(run) {
		d.wake(in.now.Add(drainLook)) // it has yet to be taken out of rotation, see route
		return
	}
	switch end := since.Add(in.drain); {
	case !in.now.Before(end):
		why := "its last connection has ended"
		if open > 0 {
			why = fmt.Sprintf("it had %s to finish, and %d of its connections are open still", v1.Duration(in.drain), open)
		}
		d.stop(in, run, reason, why)
	case counted && open == 0 && !in.now.Before(since.Add(drainSettle)):
		d.stop(in, run, reason, "its last connection has ended")
	default:
		d.wake(in.now.Add(drainLook))
		d.wake(end)
	}
}

// accountBeside takes the exit of a process beside the one that serves into the state.
func (d *decision) accountBeside(in input, n, i int) {
	run, b := in.runs[n], d.state.backs[i]
	if run.Exit == nil || run.ID <= b.lastRun {
		return
	}
	info, ours := exitInfo(run), d.state.stops[run.ID]
	what := fmt.Sprintf("%s after %s", info.Reason, round(info.At.Sub(info.StartedAt)))
	_, drained := d.state.drains[run.ID]
	b.lastRun, b.run = run.ID, ""
	d.state.lastExit = info
	switch asked := ours != "" || run.Exit.Stopped; {
	case asked && !ours.failure():
		d.note(v1.EventNormal, "Exited", replicaText(in.svc, i, what+", as asked"), "")
	case drained || in.svc == nil || !in.want || i >= in.svc.ReplicaCount():
		d.note(v1.EventNormal, "Exited", replicaText(in.svc, i, what), "")
	default:
		b.tried = mark(run.Labels[labelHash], in.policy)
		b.fail(in, "BackingOff", "the new process "+what, info.At)
		d.bad, d.explains = &in.runs[n], &in.runs[n]
		d.note(v1.EventWarning, "Exited", replicaText(in.svc, i, b.message), "")
		if b.failed {
			d.giveUp(in, replicaText(in.svc, i, b.message))
			b = b.forgive()
		}
	}
	d.state.backs[i] = b
}

// gaveUp reports whether this very version was tried and given up.
func (ro *rollout) gaveUp(in input) bool {
	return ro.Phase == v1.RolloutFailed && ro.Version == in.version
}

// giveUp ends an update without success: what served before serves on.
func (d *decision) giveUp(in input, why string) {
	ro := &d.state.rollout
	if ro.Phase != v1.RolloutProgressing {
		return
	}
	d.end(in, v1.RolloutFailed, why)
	d.note(v1.EventWarning, "RolloutFailed", "the update was given up, and what ran before it runs on: "+why, "")
}

// end ends an update.
func (d *decision) end(in input, phase v1.RolloutPhase, message string) {
	at := in.now
	ro := &d.state.rollout
	ro.Phase, ro.Step, ro.Message, ro.EndedAt = phase, "", message, &at
	if phase != v1.RolloutFailed {
		ro.LastLines = nil
	}
	d.record(in, *ro)
}

// record takes what became of a revision into the history.
func (d *decision) record(in input, ro rollout) {
	r := v1.Rollout{Revision: ro.To, Phase: ro.Phase, StartedAt: ro.StartedAt, Actor: ro.Actor, Message: ro.Message}
	if ro.EndedAt != nil {
		r.EndedAt = *ro.EndedAt
	}
	if in.svc != nil && ro.To == in.revision {
		r.Service = in.svc
	}
	d.history = append(d.history, r)
}

// forgiveRollout gives an update that was given up another chance.
func (s *state) forgiveRollout() {
	if s.rollout.Phase == v1.RolloutFailed {
		s.rollout.Version = ""
	}
	for i, b := range s.backs {
		s.backs[i] = b.forgive()
	}
}

// roll brings an update on by one step: it says whose turn it is, and starts that replica's successor.
func (d *decision) roll(in input, live map[place]process.Run, slots []slotPhase) {
	ro := &d.state.rollout
	if in.hold {
		return
	}
	if !in.want || !in.rolling {
		if ro.Phase == v1.RolloutProgressing {
			d.end(in, v1.RolloutSuperseded, "it was not complete when "+orText(in.whyNot, "the strategy became another one"))
		}
		return
	}
	if in.version == "" {
		return // what is to run cannot be told, and tend says so
	}
	turn := d.turn(in, live, len(slots))
	if turn < 0 {
		d.complete(in, live, slots)
		return
	}
	if ro.Version != in.version || ro.Phase != v1.RolloutProgressing && ro.Phase != v1.RolloutFailed {
		d.begin(in, turn, live)
	}
	if ro.Phase == v1.RolloutFailed {
		return
	}
	ro.To = in.revision
	if ro.Replica != turn {
		ro.Replica, ro.StepAt = turn, in.now
	}
	d.advance(in, turn, live, slots)
}

// turn is the replica that is to be updated next, or -1: one that has a successor already, or the first that needs one.
func (d *decision) turn(in input, live map[place]process.Run, replicas int) int {
	turn := -1
	for i := range replicas {
		if !d.due(in, i, live) {
			continue
		}
		if run, ok := live[d.state.front(i).beside()]; ok && d.state.drains[run.ID].IsZero() {
			return i
		}
		if turn < 0 {
			turn = i
		}
	}
	return turn
}

// begin begins an update.
func (d *decision) begin(in input, turn int, live map[place]process.Run) {
	ro := &d.state.rollout
	if ro.Phase == v1.RolloutProgressing {
		d.end(in, v1.RolloutSuperseded, "another version came before it was complete")
	}
	from := d.state.stable
	if run, ok := live[d.state.front(turn)]; ok {
		from = run.Labels[labelRevision]
	}
	for i, b := range d.state.backs {
		d.state.backs[i] = b.forgive()
	}
	actor, what := "manifest", "a new version is started beside the one that runs"
	if from == in.revision {
		what = "new processes are started beside those that run"
	}
	if in.intent != nil && in.intent.Verb == v1.IntentRestart && from == in.revision {
		actor = in.intent.Actor
	}
	*ro = rollout{
		From: from, To: in.revision, Phase: v1.RolloutProgressing, Replica: turn, StartedAt: in.now, StepAt: in.now, Actor: actor, Version: in.version,
	}
	d.note(v1.EventNormal, "RolloutStarted", what, actor)
	d.record(in, *ro)
}

// advance starts the successor of the replica whose turn it is, once nothing is in the way.
func (d *decision) advance(in input, turn int, live map[place]process.Run, slots []slotPhase) {
	ro := &d.state.rollout
	step := func(step, message string) { ro.Step, ro.Message = step, message }
	for i := range slots {
		run, ok := live[d.state.front(i).beside()]
		switch {
		case !ok:
		case !d.state.drains[run.ID].IsZero():
			step("Draining", replicaText(in.svc, i, fmt.Sprintf("process %d, the one before, finishes what it began", run.PID)))
			return
		case run.State != process.Running:
			step("Stopping", replicaText(in.svc, i, "the new process is being stopped"))
			return
		default:
			step("WaitingForReady", replicaText(in.svc, i, fmt.Sprintf("process %d, the new one, has yet to pass its probe%s", run.PID, detail(in.verdicts[run.ID].Message))))
			return
		}
	}
	late := ro.StepAt.Add(in.deadline)
	if !in.now.Before(late) {
		d.giveUp(in, fmt.Sprintf("%s was not updated within %s: %s", replicaText(in.svc, turn, "it"), v1.Duration(in.deadline), ro.Message))
		return
	}
	d.wake(late)
	for i, s := range slots {
		if i != turn && s.phase != v1.PhaseRunning && !d.due(in, i, live) {
			step("WaitingForReplica", replicaText(in.svc, i, "was updated, and is not ready: "+s.message))
			return
		}
	}
	b := d.state.backs[turn]
	if latest := in.now.Add(max(in.limits.maxDelay, in.limits.delay, hotDelay)); b.nextStart.After(latest) {
		b.nextStart = latest // the clock was set back
		d.state.backs[turn] = b
	}
	switch {
	case in.now.Before(b.nextStart):
		d.wake(b.nextStart)
		step("BackingOff", replicaText(in.svc, turn, b.message))
	case in.waitsFor != "":
		step("WaitingForDependency", in.waitsFor)
	default:
		d.starts = append(d.starts, start{at: d.state.front(turn).beside()})
		step("Starting", replicaText(in.svc, turn, "the new process is about to be started"))
	}
}

// complete ends an update of which nothing is left to be done.
func (d *decision) complete(in input, live map[place]process.Run, slots []slotPhase) {
	ro := &d.state.rollout
	if ro.Phase == v1.RolloutFailed && ro.Version != in.version {
		ro.Phase, ro.Message, ro.LastLines = v1.RolloutSuperseded, "it was given up, and has been taken back", nil // the history keeps what it was
	}
	if ro.Phase != v1.RolloutProgressing {
		return
	}
	for i, s := range slots {
		if run, ok := live[d.state.front(i).beside()]; ok {
			ro.Step, ro.Message = "Draining", replicaText(in.svc, i, fmt.Sprintf("process %d, the one before, finishes what it began", run.PID))
			return
		}
		if s.phase != v1.PhaseRunning {
			ro.Step, ro.Message = "WaitingForReplica", replicaText(in.svc, i, "was updated, and is not ready: "+s.message)
			if late := ro.StepAt.Add(in.deadline); in.now.Before(late) {
				d.wake(late)
			} else {
				d.giveUp(in, ro.Message)
			}
			return
		}
	}
	if ro.To != in.revision || ro.Version != in.version {
		d.end(in, v1.RolloutSuperseded, "it was taken back before it was complete")
		return
	}
	d.end(in, v1.RolloutComplete, fmt.Sprintf("every replica was updated in %s", round(in.now.Sub(ro.StartedAt))))
	d.note(v1.EventNormal, "RolloutComplete", ro.Message, "")
}

// settled notes the version that runs with every replica ready: the one that is gone back to.
func (d *decision) settled(in input, live map[place]process.Run, slots []slotPhase) {
	if !in.want && !in.hold {
		d.state.stable = "" // who starts it again wants what the manifest says then
	}
	if !in.want || in.hold || len(slots) == 0 || d.state.stable == in.revision || d.outdated != "" || len(d.starts)+len(d.stops) > 0 {
		return
	}
	for i, s := range slots {
		if s.phase != v1.PhaseRunning && s.phase != v1.PhaseComplete || d.due(in, i, live) {
			return
		}
	}
	ro := d.state.rollout
	if ro.Phase == v1.RolloutProgressing {
		return
	}
	d.state.stable = in.revision
	if ro.Phase != v1.RolloutComplete || ro.To != in.revision {
		at := in.now
		d.record(in, rollout{To: in.revision, Phase: v1.RolloutComplete, StartedAt: in.now, EndedAt: &at, Actor: "manifest"})
	}
}

func orText(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
