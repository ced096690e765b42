package probe

import (
	"context"
	"sync"
	"time"
)

// fastest bounds how often a target is asked before its first success.
const fastest = 100 * time.Millisecond

// Spec is one probe: a check and its pace.
type Spec struct {
	Check                              Check
	InitialDelay, Period, Timeout      time.Duration
	SuccessThreshold, FailureThreshold int
}

// Set is all that is asked of one target. Startup gates the others: until it has passed once, they wait.
type Set struct {
	Startup, Readiness, Liveness *Spec
	// Started is when the target was started: initial delays count from there.
	Started time.Time
	// WasReady is the last known readiness, which holds until the first verdict: unknown is not false.
	WasReady bool
}

// Verdict is what is known of a target.
type Verdict struct {
	// Known is false until every probe that was asked has come to a verdict of its own or an earlier one holds.
	Known bool
	// Ready is whether readiness (and before it startup) passes.
	Ready bool
	// Failed is set for good when startup or liveness failed: the target has to be replaced.
	Failed bool
	// Message is the last failure, or empty.
	Message string
	// Since is when Ready last changed.
	Since time.Time
}

// Prober asks any number of targets.
type Prober struct {
	changed func(target string)

	mu      sync.Mutex
	targets map[string]*target
	running sync.WaitGroup
}

type target struct {
	cancel  context.CancelFunc
	verdict Verdict
}

// New returns a prober that calls changed with the target whenever its verdict changes. changed must not block.
func New(changed func(target string)) *Prober {
	return &Prober{changed: changed, targets: map[string]*target{}}
}

// Watch begins to ask a target. It does nothing when the target is asked already.
func (p *Prober) Watch(id string, set Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.targets[id] != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Forget and Close call it.
	t := &target{cancel: cancel, verdict: Verdict{Ready: set.WasReady, Known: set.WasReady, Since: time.Now()}}
	p.targets[id] = t
	p.running.Go(func() { p.ask(ctx, id, t, set) })
}

// Verdict returns what is known of a target; ok is false when it is not asked.
func (p *Prober) Verdict(id string) (v Verdict, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[id]
	if t == nil {
		return Verdict{}, false
	}
	return t.verdict, true
}

// Forget ends the asking of a target.
func (p *Prober) Forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		t.cancel()
		delete(p.targets, id)
	}
}

// Targets returns the targets that are asked.
func (p *Prober) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]string, 0, len(p.targets))
	for id := range p.targets {
		ids = append(ids, id)
	}
	return ids
}

// Close ends all asking and waits for checks that are under way.
func (p *Prober) Close() {
	p.mu.Lock()
	for id, t := range p.targets {
		t.cancel()
		delete(p.targets, id)
	}
	p.mu.Unlock()
	p.running.Wait()
}

// ask runs a target's probes: startup first, then readiness and liveness side by side.
func (p *Prober) ask(ctx context.Context, id string, t *target, set Set) {
	if set.Startup != nil {
		passed := false
		p.loop(ctx, *set.Startup, set.Started, func(ok bool, message string) bool {
			passed = ok
			p.update(id, t, func(v *Verdict) {
				v.Message = message
				if !ok {
					v.Failed, v.Known = true, true
				} else if set.Readiness == nil {
					v.Ready, v.Known = true, true
				}
			})
			return false
		})
		if !passed {
			return
		}
	}
	var both sync.WaitGroup
	if set.Readiness != nil {
		both.Go(func() {
			p.loop(ctx, *set.Readiness, set.Started, func(ok bool, message string) bool {
				p.update(id, t, func(v *Verdict) { v.Ready, v.Known, v.Message = ok, true, message })
				return true
			})
		})
	} else if set.Startup == nil {
		p.update(id, t, func(v *Verdict) { v.Ready, v.Known = true, true })
	}
	if set.Liveness != nil {
		both.Go(func() {
			p.loop(ctx, *set.Liveness, set.Started, func(ok bool, message string) bool {
				if !ok {
					p.update(id, t, func(v *Verdict) { v.Failed, v.Known, v.Message = true, true, message })
				}
				return ok
			})
		})
	}
	both.Wait()
}

// loop asks at the probe's pace and calls verdict at each change of it, and at the first. It ends when verdict returns false.
func (p *Prober) loop(ctx context.Context, s Spec, started time.Time, verdict func(ok bool, message string) bool) {
	var state struct {
		known, ok bool
		row       int // like answers in a row
		last      bool
	}
	eager := max(fastest, s.Period/10)
	timer := time.NewTimer(max(0, time.Until(started.Add(s.InitialDelay))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		check, cancel := context.WithTimeout(ctx, s.Timeout)
		err := s.Check.Check(check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if ok := err == nil; ok != state.last || state.row == 0 {
			state.last, state.row = ok, 1
		} else {
			state.row++
		}
		threshold, message := s.SuccessThreshold, ""
		if err != nil {
			threshold, message = s.FailureThreshold, err.Error()
		}
		if state.row >= threshold && (!state.known || state.ok != state.last) {
			state.known, state.ok = true, state.last
			if !verdict(state.ok, message) {
				return
			}
		}
		// Before the first success a target is asked more often, so that it is ready as soon as it can be; the failure
		// threshold still counts whole periods, or a slow starter would fail ten times as fast.
		wait := s.Period
		if !state.known && !state.ok && err != nil {
			wait = min(s.Period, eager)
			if elapsed := time.Since(started.Add(s.InitialDelay)); elapsed < time.Duration(s.FailureThreshold)*s.Period {
				state.row = min(state.row, s.FailureThreshold-1)
			}
		}
		timer.Reset(wait)
	}
}

// update changes a verdict and tells of it.
func (p *Prober) update(id string, t *target, change func(*Verdict)) {
	p.mu.Lock()
	was := t.verdict
	change(&t.verdict)
	if was.Ready != t.verdict.Ready {
		t.verdict.Since = time.Now()
	}
	differs := p.targets[id] == t && was != t.verdict
	p.mu.Unlock()
	if differs {
		p.changed(id)
	}
}
