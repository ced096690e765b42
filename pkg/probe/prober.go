package probe

import (
	"context"
	"math/rand/v2"
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
	// WasReady is the last known readiness, which holds until the first verdict: unknown is not false. A target with it is
	// one that was asked before, so that it is asked at its own pace from the beginning.
	WasReady bool
}

// Verdict is what is known of a target.
type Verdict struct {
	// Known is false until there is a verdict, or an earlier one that holds.
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

// Prober asks any number of targets. Each probe is one goroutine that sleeps between its checks.
type Prober struct {
	changed func(target string)

	mu      sync.Mutex
	targets map[string]*target
	closed  bool
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

// Watch begins to ask a target. It does nothing when the target is asked already, or after Close.
func (p *Prober) Watch(id string, set Set) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.targets[id] != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec,forbidigo // Forget and Close end it; no caller's context lasts as long.
	t := &target{cancel: cancel, verdict: Verdict{Ready: set.WasReady, Known: set.WasReady, Since: time.Now()}}
	if set.Startup == nil && set.Readiness == nil {
		t.verdict.Ready, t.verdict.Known = true, true // nothing else is asked of it
	}
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

// Forget ends the asking of a target. A check that is under way is cancelled, and not waited for.
func (p *Prober) Forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[id]; t != nil {
		t.cancel()
		delete(p.targets, id)
	}
}

// Close ends all asking and waits for checks that are under way.
func (p *Prober) Close() {
	p.mu.Lock()
	p.closed = true
	for id, t := range p.targets {
		t.cancel()
		delete(p.targets, id)
	}
	p.mu.Unlock()
	p.running.Wait()
}

// ask runs a target's probes: startup first, then readiness and liveness side by side.
func (p *Prober) ask(ctx context.Context, id string, t *target, set Set) {
	if set.Startup != nil && !p.startup(ctx, id, t, set) {
		return
	}
	var both sync.WaitGroup
	if set.Readiness != nil {
		both.Go(func() {
			r := rounds{Spec: *set.Readiness, started: set.Started, eager: !set.WasReady, spread: set.WasReady}
			r.run(ctx, func(ok bool, message string) bool {
				p.update(id, t, func(v *Verdict) { v.Ready, v.Known, v.Message = ok, true, message })
				return true
			})
		})
	}
	if set.Liveness != nil {
		r := rounds{Spec: *set.Liveness, started: set.Started, spread: set.WasReady}
		r.run(ctx, func(ok bool, message string) bool {
			if !ok {
				p.update(id, t, func(v *Verdict) { v.Failed, v.Known, v.Message = true, true, message })
			}
			return ok
		})
	}
	both.Wait()
}

// startup asks until the target is up, or has failed for good.
func (p *Prober) startup(ctx context.Context, id string, t *target, set Set) (passed bool) {
	r := rounds{Spec: *set.Startup, started: set.Started, eager: true}
	r.run(ctx, func(ok bool, message string) bool {
		passed = ok
		p.update(id, t, func(v *Verdict) {
			v.Message = message
			switch {
			case !ok:
				v.Failed, v.Known = true, true
			case set.Readiness == nil:
				v.Ready, v.Known = true, true
			}
		})
		return false
	})
	return passed
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

// rounds asks one probe at its pace.
type rounds struct {
	Spec
	started time.Time
	eager   bool // ask more often until the first success
	spread  bool // begin anywhere within the first period: many targets are taken up at once

	known, good bool // the verdict so far
	last        bool // the last answer
	row         int  // like answers in a row
}

// run calls verdict at each change of the verdict, and at the first. It ends when verdict returns false.
func (r *rounds) run(ctx context.Context, verdict func(ok bool, message string) bool) {
	timer := time.NewTimer(r.first())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		check, cancel := context.WithTimeout(ctx, r.Timeout)
		err := r.Check.Check(check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		message := ""
		if err != nil {
			message = err.Error()
		}
		if r.count(err == nil) && !verdict(r.good, message) {
			return
		}
		timer.Reset(r.pause())
	}
}

// first is the wait before the first check. The clock may have been set meanwhile: it is never longer than what was asked for.
func (r *rounds) first() time.Duration {
	wait := min(max(0, time.Until(r.started.Add(r.InitialDelay))), r.InitialDelay)
	if r.spread {
		wait = max(wait, rand.N(max(r.Period, 1))) //nolint:gosec // Not a secret.
	}
	return wait
}

// count takes an answer and reports whether the verdict is another one.
func (r *rounds) count(ok bool) bool {
	if ok != r.last || r.row == 0 {
		r.last, r.row = ok, 1
	} else {
		r.row++
	}
	threshold := r.SuccessThreshold
	if !ok {
		threshold = r.FailureThreshold
		// Who is asked more often does not fail sooner: the threshold counts whole periods.
		if r.hurried() && time.Since(r.started.Add(r.InitialDelay)) < time.Duration(threshold-1)*r.Period {
			return false
		}
	}
	if r.row < threshold || r.known && r.good == ok {
		return false
	}
	r.known, r.good = true, ok
	return true
}

// hurried reports whether the target is asked more often, as it has neither succeeded nor failed yet.
func (r *rounds) hurried() bool { return r.eager && !r.known }

// pause is the wait before the next check.
func (r *rounds) pause() time.Duration {
	if r.hurried() && !r.last {
		return min(r.Period, max(fastest, r.Period/10))
	}
	return r.Period
}
