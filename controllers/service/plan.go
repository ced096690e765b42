package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// hotLoop is how many fast restarts in a row a service without a bound on attempts may have at its own delay; after that
	// its delay is at least hotDelay, so that delay 0s and maxAttempts -1 together cannot eat the machine.
	hotLoop  = 20
	hotDelay = 100 * time.Millisecond
	// portRetry is the first wait for a port that is taken; it doubles up to the service's maxDelay.
	portRetry = 250 * time.Millisecond
)

// Labels on runs, by which a manager without a database knows what is running.
const (
	labelHash     = "hash"
	labelIntent   = "intent"
	labelPort     = "port"
	labelRevision = "revision"
)

// input is all that a decision depends on.
type input struct {
	now time.Time
	svc *v1.Service // nil: not desired
	// want is whether it should run at all, and why not.
	want    bool
	whyNot  string
	intent  *v1.Intent // in force
	restart bool       // the intent asks for a restart

	delay, maxDelay, resetAfter time.Duration
	maxAttempts                 int

	runs     []process.Run
	programs map[int]resolved // of the slots that are wanted
	waitsFor string           // a dependency that is not there yet, in words
	portBusy func(port int) string
	verdict  func(process.RunID) (probe.Verdict, bool)
}

// resolved is a slot's program, or why there is none.
type resolved struct {
	program Program
	port    int
	err     error
}

// start and stop are the actions of a plan.
type (
	start struct{ slot int }
	stop  struct {
		run    process.Run
		reason stopReason
		why    string
	}
)

// plan is a decision.
type plan struct {
	starts  []start
	stops   []stop
	phase   v1.Phase
	message string // of the phase, a sentence
	reason  string // of the phase, one word
	ready   int    // replicas that are ready
	next    time.Time
}

// wake asks for another look at t.
func (p *plan) wake(t time.Time) {
	if !t.IsZero() && (p.next.IsZero() || t.Before(p.next)) {
		p.next = t
	}
}

// decide is the whole of the policy. It changes memory only for backoffs that begin and end.
func decide(in input, m *memory) plan {
	var p plan
	live := map[int]process.Run{}
	for _, r := range in.runs {
		if r.Live() {
			live[slotIndex(r.Slot)] = r
		}
	}
	replicas := 0
	if in.want {
		replicas = in.svc.ReplicaCount()
	}
	for i, r := range live {
		if i >= replicas && r.State == process.Running {
			reason, why := stopUnwanted, in.whyNot
			if in.want {
				reason, why = stopScaled, fmt.Sprintf("only %d replicas are wanted", replicas)
			}
			p.stops = append(p.stops, stop{r, reason, why})
		}
	}
	var phases []slotState
	for i := range replicas {
		run, isLive := live[i]
		var s slotState
		if isLive {
			s = p.tend(in, m.slot(i), run, i)
		} else {
			s = p.fill(in, m.slot(i), i)
		}
		phases = append(phases, s)
		if s.phase == v1.PhaseRunning {
			p.ready++
		}
	}
	slices.SortFunc(p.stops, func(a, b stop) int { return slotIndex(b.run.Slot) - slotIndex(a.run.Slot) })
	p.summarize(in, phases, len(live))
	return p
}

// slotState is one slot's part of the phase.
type slotState struct {
	phase           v1.Phase
	reason, message string
}

// tend decides about a slot with a live run.
func (p *plan) tend(in input, s *slot, run process.Run, i int) slotState {
	if run.State != process.Running {
		return slotState{v1.PhaseStopping, "Stopping", "waits for the process to end"}
	}
	want := in.programs[i]
	switch {
	case want.err != nil:
		// What cannot be resolved now cannot replace what runs: it runs on.
	case run.Labels[labelHash] != want.program.Hash:
		p.stops = append(p.stops, stop{run, stopChanged, "the manifest or an env file asks for another process"})
		return slotState{v1.PhaseStopping, "Changed", "is being replaced: the manifest or an env file has changed"}
	case in.restart && run.Labels[labelIntent] != in.intent.ID && run.StartedAt.Before(in.intent.Time):
		p.stops = append(p.stops, stop{run, stopRestart, "a restart was asked for by " + in.intent.Actor})
		return slotState{v1.PhaseStopping, "Restarting", "is being restarted"}
	}
	v, asked := in.verdict(run.ID)
	if asked && v.Failed {
		p.stops = append(p.stops, stop{run, stopDead, "a probe failed: " + v.Message})
		return slotState{v1.PhaseStopping, "ProbeFailed", "is being restarted, its probe failed: " + v.Message}
	}
	ready := !hasProbes(in.svc) || asked && v.Ready
	if !ready {
		if s.readyAt.IsZero() {
			return slotState{v1.PhaseStarting, "WaitingForProbe", "runs, and has yet to pass its probe" + suffix(v.Message)}
		}
		return slotState{v1.PhaseUnready, "ProbeFailed", "runs, and fails its readiness probe" + suffix(v.Message)}
	}
	if s.readyAt.IsZero() {
		s.readyAt = run.StartedAt
		if asked && !v.Since.IsZero() && v.Since.After(run.StartedAt) {
			s.readyAt = v.Since
		}
	}
	if s.attempts > 0 {
		// Health clears the count.
		if healthy := s.readyAt.Add(in.resetAfter); in.now.Before(healthy) {
			p.wake(healthy)
		} else {
			s.attempts = 0
		}
	}
	return slotState{v1.PhaseRunning, "Running", "runs"}
}

func suffix(message string) string {
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
func (p *plan) fill(in input, s *slot, i int) slotState {
	want := in.programs[i]
	switch {
	case s.failed:
		return slotState{v1.PhaseFailed, "GaveUp", s.message}
	case s.complete:
		return slotState{v1.PhaseComplete, "Completed", s.message}
	case in.now.Before(s.nextStart):
		p.wake(s.nextStart)
		phase, reason := v1.PhaseBackoff, "BackingOff"
		if s.portWaits > 0 {
			phase, reason = v1.PhasePending, "PortInUse"
		}
		return slotState{phase, reason, s.message}
	case in.waitsFor != "":
		return slotState{v1.PhasePending, "WaitingForDependency", in.waitsFor}
	}
	if want.err == nil && want.port != 0 {
		if holder := in.portBusy(want.port); holder != "" {
			wait := min(portRetry<<min(s.portWaits, 10), in.maxDelay)
			s.portWaits++
			s.nextStart = in.now.Add(wait)
			s.message = fmt.Sprintf("port %d is held by %s; stop it, or choose another port", want.port, holder)
			p.wake(s.nextStart)
			return slotState{v1.PhasePending, "PortInUse", s.message}
		}
	}
	s.portWaits = 0
	p.starts = append(p.starts, start{i})
	return slotState{v1.PhaseStarting, "Starting", "is being started"}
}

// severity orders phases: the service shows the worst of its slots.
var severity = []v1.Phase{
	v1.PhaseFailed, v1.PhaseBackoff, v1.PhasePending, v1.PhaseStopping, v1.PhaseUnready, v1.PhaseStarting, v1.PhaseComplete, v1.PhaseRunning,
}

// summarize is the service's phase from those of its slots.
func (p *plan) summarize(in input, slots []slotState, live int) {
	switch {
	case len(slots) == 0 && live > 0:
		p.phase, p.reason, p.message = v1.PhaseStopping, "Stopping", "is being stopped: "+in.whyNot
		return
	case len(slots) == 0:
		p.phase, p.reason, p.message = v1.PhaseStopped, "Stopped", in.whyNot
		return
	}
	for _, phase := range severity {
		if i := slices.IndexFunc(slots, func(s slotState) bool { return s.phase == phase }); i >= 0 {
			p.phase, p.reason, p.message = phase, slots[i].reason, slots[i].message
			if len(slots) > 1 {
				p.message = fmt.Sprintf("replica %d %s (%d of %d ready)", i, p.message, p.ready, len(slots))
			}
			return
		}
	}
}

// account notes an exit: what it means for the slot, by the restart policy. It returns what is to be told of it.
func account(in input, m *memory, run process.Run, info *v1.ExitInfo, lasted time.Duration) (told string, bad bool) {
	s := m.slot(slotIndex(run.Slot))
	s.lastRun = run.ID
	readyAt := s.readyAt
	s.readyAt, s.wasReady = time.Time{}, false
	reason, ours := m.stops[run.ID]
	delete(m.stops, run.ID)
	m.lastExit = info
	what := fmt.Sprintf("%s after %s", info.Reason, round(lasted))
	if (ours && !reason.failure()) || (!ours && run.Exit.Stopped) {
		s.nextStart = time.Time{}
		return what + ", as asked", false
	}
	if in.svc == nil || !in.want || slotIndex(run.Slot) >= in.svc.ReplicaCount() {
		return what, false
	}
	success := info.Code == 0 && !ours
	switch policy := in.svc.Spec.Restart.Policy; {
	case policy == v1.RestartNever && success, policy == v1.RestartOnFailure && success:
		s.complete, s.message = true, what
		return what + "; its policy is content with that", false
	case policy == v1.RestartNever:
		s.failed, s.message = true, what+"; its policy is never to restart"
		return s.message, true
	}
	if !readyAt.IsZero() && info.At.Sub(readyAt) >= in.resetAfter {
		s.attempts = 0
	}
	return fail(in, m, s, what, info.At), true
}

// fail begins a backoff, or gives up.
func fail(in input, m *memory, s *slot, what string, at time.Time) string {
	if in.maxAttempts >= 0 && s.attempts >= in.maxAttempts {
		s.failed = true
		s.message = fmt.Sprintf("%s; given up after %d restarts in a row", what, s.attempts)
		return s.message
	}
	delay := backoff(in.delay, in.maxDelay, s.attempts)
	if in.maxAttempts < 0 && s.attempts >= hotLoop {
		delay = max(delay, hotDelay)
	}
	s.attempts++
	m.restarts++
	s.nextStart = at.Add(delay)
	of := ""
	if in.maxAttempts >= 0 {
		of = fmt.Sprintf(" of %d", in.maxAttempts)
	}
	when := "at once"
	if delay > 0 {
		when = "in " + v1.Duration(delay).String()
	}
	s.message = fmt.Sprintf("%s; restart %d%s %s", what, s.attempts, of, when)
	return s.message
}

// backoff is delay × 2^attempts, at most limit.
func backoff(delay, limit time.Duration, attempts int) time.Duration {
	for range attempts {
		if delay >= limit {
			break
		}
		delay *= 2
	}
	return min(delay, max(limit, 0))
}

// exitInfo puts an exit into words.
func exitInfo(run process.Run) *v1.ExitInfo {
	e := run.Exit
	info := &v1.ExitInfo{Code: e.Code, Core: e.Core, OOM: e.OOM != nil && *e.OOM, Lost: e.Lost, StartedAt: run.StartedAt, At: e.At}
	switch {
	case e.Lost:
		info.Code, info.Reason = -1, "ended while nobody could see how"
	case e.Signal != 0:
		info.Signal = signalName(e.Signal)
		info.Reason = "was ended by " + info.Signal
		if info.OOM {
			info.Reason += " (out of memory)"
		}
		if e.Core {
			info.Reason += " (core dumped)"
		}
	default:
		info.Reason = fmt.Sprintf("exited with code %d", e.Code)
		if info.OOM {
			info.Reason += " (a process of it was killed: out of memory)"
		}
	}
	if len(e.Left) > 0 {
		info.Reason += "; still there: " + strings.Join(e.Left, ", ")
	}
	return info
}

func round(d time.Duration) time.Duration {
	switch {
	case d > time.Minute:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// replicaStatuses is what is told, and remembered, of each slot.
func replicaStatuses(in input, m *memory) []v1.ReplicaStatus {
	live := map[int]process.Run{}
	for _, r := range in.runs {
		if r.Live() {
			live[slotIndex(r.Slot)] = r
		}
	}
	indexes := map[int]bool{}
	for i := range live {
		indexes[i] = true
	}
	for i, s := range m.slots {
		if s.lastRun != "" || s.attempts > 0 || s.failed || s.complete || !s.nextStart.IsZero() {
			indexes[i] = true
		}
	}
	var out []v1.ReplicaStatus
	for _, i := range slices.Sorted(maps.Keys(indexes)) {
		s := m.slot(i)
		r := v1.ReplicaStatus{
			Index: i, LastRun: string(s.lastRun), Attempts: s.attempts, NextStart: s.nextStart, Failed: s.failed, Complete: s.complete, Message: s.message,
		}
		if run, ok := live[i]; ok {
			v, asked := in.verdict(run.ID)
			r.Run, r.PID, r.StartedAt, r.Port = string(run.ID), run.PID, run.StartedAt, portOf(run)
			r.Ready = run.State == process.Running && in.svc != nil && (!hasProbes(in.svc) || asked && v.Ready)
			r.Message = v.Message
			r.NextStart = time.Time{}
		}
		out = append(out, r)
	}
	return out
}
