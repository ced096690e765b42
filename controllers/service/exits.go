package service

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// hotLoop is how many restarts in a row a service may have at its own delay. After that the delay is at least hotDelay,
	// whatever the manifest says, so that delay 0s and a large maxAttempts together cannot eat the machine.
	hotLoop  = 20
	hotDelay = 100 * time.Millisecond
	// portRetry is the first wait for a port that is taken; it doubles up to the service's maxDelay.
	portRetry = 250 * time.Millisecond
	// blockedLook is how often it is tried again to replace a process whose successor cannot take over.
	blockedLook = 10 * time.Second
	// explained is how many lines of output an exit is explained with.
	explained = 20
)

// account takes the exits of runs into the state, whether they were seen live or happened while no manager was there.
func (d *decision) account(in input) {
	for n, run := range in.runs {
		if run.Live() {
			continue
		}
		d.ended = append(d.ended, run.ID)
		i := replicaOf(run.Slot)
		if placeOf(run.Slot) != d.state.front(i) {
			d.accountBeside(in, n, i)
			continue
		}
		s := d.state.slots[i]
		if run.Exit == nil || run.ID <= s.lastRun {
			continue
		}
		info := exitInfo(run)
		d.state.lastExit = info
		reason := d.state.stops[run.ID]
		told, bad := s.settle(in, run, info, reason)
		d.state.slots[i] = s
		kind, word := v1.EventNormal, "Exited"
		if bad {
			d.bad, kind = &in.runs[n], v1.EventWarning
			if s.failed {
				word = "GaveUp"
			}
		}
		d.note(kind, word, replicaText(in.svc, i, told), "")
	}
}

// settle takes a run's exit into its slot, by the restart policy. It returns what is to be told of it.
func (s *slot) settle(in input, run process.Run, info *v1.ExitInfo, ours stopReason) (told string, bad bool) {
	readySince := s.readySince
	if s.run != run.ID {
		readySince = time.Time{}
	}
	s.lastRun, s.run, s.started, s.readySince = run.ID, "", false, time.Time{}
	s.tried = mark(run.Labels[labelHash], in.policy)
	what := fmt.Sprintf("%s after %s", info.Reason, round(info.At.Sub(info.StartedAt)))
	switch asked := ours != "" || run.Exit.Stopped; {
	case asked && !ours.failure():
		s.nextStart = time.Time{}
		return what + ", as asked", false
	case in.svc == nil || !in.want || replicaOf(run.Slot) >= in.svc.ReplicaCount():
		return what, false
	}
	policy := in.svc.Spec.Restart.Policy
	if info.Code == 0 && !ours.failure() && policy != v1.RestartAlways {
		s.complete, s.message = true, what
		return what + "; its policy is content with that", false
	}
	if policy == v1.RestartNever {
		s.failed, s.message = true, what+"; its policy is never to restart"
		return s.message, true
	}
	if !readySince.IsZero() && info.At.Sub(readySince) >= in.limits.resetAfter {
		s.attempts = 0
	}
	s.fail(in, "BackingOff", what, info.At)
	return s.message, true
}

// fail begins a backoff that counts from at, or gives up.
func (s *slot) fail(in input, reason, what string, at time.Time) {
	l := in.limits
	s.portWaits = 0
	if l.maxAttempts >= 0 && s.attempts >= l.maxAttempts {
		s.failed, s.nextStart = true, time.Time{}
		s.message = fmt.Sprintf("%s; given up after %d restarts in a row", what, s.attempts)
		return
	}
	delay := backoff(l, s.attempts)
	s.attempts++
	s.nextStart = at.Add(delay)
	if latest := in.now.Add(delay); s.nextStart.After(latest) {
		s.nextStart = latest
	}
	of, when := "", "at once"
	if l.maxAttempts >= 0 {
		of = fmt.Sprintf(" of %d", l.maxAttempts)
	}
	if delay > 0 {
		when = "in " + v1.Duration(delay).String()
	}
	s.reason, s.message = reason, fmt.Sprintf("%s; restart %d%s %s", what, s.attempts, of, when)
}

// backoff is the wait before a restart: delay × 2^attempts, at most maxDelay.
func backoff(l limits, attempts int) time.Duration {
	delay, limit := l.delay, max(l.delay, l.maxDelay)
	for range attempts {
		if delay >= limit/2 {
			delay = limit
		}
		if delay == 0 || delay >= limit {
			break
		}
		delay *= 2
	}
	delay = min(delay, limit)
	if attempts >= hotLoop {
		delay = max(delay, hotDelay)
	}
	return delay
}

// outcome is what became of a start.
type outcome struct {
	at     place
	hash   string      // of the program
	run    process.Run // started, when err is nil and holder empty
	err    error       // why it cannot be started
	port   int
	holder string // who holds the port
}

// absorb takes the outcome of a start into the state.
func (d *decision) absorb(in input, o outcome) {
	s, i := &d.state, o.at.replica
	slots, beside := s.slots, o.at != s.front(i)
	if beside {
		slots = s.backs
	}
	sl := slots[i]
	sl.tried = mark(o.hash, in.policy)
	by, who := "", ""
	if in.intent != nil {
		by = in.intent.Actor
	}
	if beside {
		who = "the new process "
	}
	switch {
	case o.err != nil:
		sl.fail(in, startReason(o.err), who+"cannot be started: "+startDetail(o.err), in.now)
		word := "StartFailed"
		switch {
		case sl.failed && beside:
			d.giveUp(in, replicaText(in.svc, i, sl.message))
			sl = sl.forgive()
		case sl.failed:
			word = "GaveUp"
		}
		d.note(v1.EventWarning, word, replicaText(in.svc, i, sl.message), "")
	case o.holder != "":
		sl.nextStart = in.now.Add(min(portRetry<<min(sl.portWaits, 20), max(in.limits.maxDelay, portRetry)))
		sl.portWaits++
		sl.reason, sl.message = "PortInUse", fmt.Sprintf("port %d is held by %s; stop it, or choose another port", o.port, o.holder)
		// the phase tells
	default:
		if sl.attempts > 0 && sl.lastRun != "" && !beside {
			s.restarts++
		}
		sl.nextStart, sl.message, sl.reason, sl.portWaits = time.Time{}, "", "", 0
		sl.run, sl.started, sl.readySince = o.run.ID, false, time.Time{}
		as := fmt.Sprintf("runs as process %d", o.run.PID)
		if o.port != 0 {
			as += fmt.Sprintf(", port %d", o.port)
		}
		d.note(v1.EventNormal, "Started", replicaText(in.svc, i, who+as), by)
		for _, w := range o.run.Warnings {
			d.note(v1.EventWarning, "Degraded", w, "")
		}
	}
	slots[i] = sl
}

// exitInfo puts an exit into words.
func exitInfo(run process.Run) *v1.ExitInfo {
	e := run.Exit
	info := &v1.ExitInfo{Code: e.Code, Core: e.Core, OOM: e.OOM != nil && *e.OOM, Lost: e.Lost, StartedAt: run.StartedAt, At: e.At}
	switch {
	case e.Lost:
		info.Code, info.Reason = -1, "ended while nobody could see how"
	case e.Signal != 0:
		info.Code, info.Signal = -1, v1.SignalName(syscall.Signal(e.Signal))
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
	return max(0, d.Round(time.Millisecond))
}
