package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrNotRunning says that an owner has no live run to measure.
var ErrNotRunning = errors.New("not running")

// Recorder keeps samples. History is one.
type Recorder interface {
	// Record keeps one sample of each owner and replica. It is called once an interval, never concurrently.
	Record(ctx context.Context, snap *Snapshot) error
}

// SamplerOptions tune a Sampler. The zero value is good.
type SamplerOptions struct {
	// Interval is the time between samples that are recorded (MONITOR_INTERVAL); 0 means 60 s.
	Interval time.Duration
	// Recorder keeps the samples; nil keeps none.
	Recorder Recorder
	// FileBudget is how many files and folders one walk over an owner's watched folders may meet; 0 means 1,000,000.
	FileBudget int64
	// OnSample is called after each recorded sample, on the sampler's goroutine; nil is fine.
	OnSample func(*Snapshot)
	// Log takes what goes wrong; nil means slog.Default().
	Log *slog.Logger
}

const (
	// freshness is how old an answer may be.
	freshness = time.Second
	// longestWindow is how far back a figure called current may reach; older passes are no base for its CPU.
	longestWindow = 5 * time.Second
	// closest is the least time between two passes: within less, a single clock tick would be a peak.
	closest = 200 * time.Millisecond
	// baseWindow is the time between two passes that are made for one answer: 25 clock ticks.
	baseWindow = 250 * time.Millisecond
)

// Sampler measures runs: each interval for the Recorder, and whenever it is asked. It is safe for concurrent use.
type Sampler struct {
	lister   Lister
	interval time.Duration
	recorder Recorder
	onSample func(*Snapshot)
	log      *slog.Logger
	disk     *diskWatcher

	// passing is held while a pass is taken.
	passing sync.Mutex
	scanner *scanner
	closed  bool
	// recorded are the totals at the last recorded sample, as passes in between move the scanner's base.
	recorded   map[string]recordedTotals
	recordedAt time.Time
	peaks      map[string]*peak

	mu     sync.Mutex
	last   *pass
	flight chan struct{} // closed when the answer that is under way is there
}

// pass is a snapshot and the time since the one before.
type pass struct {
	snap   *Snapshot
	window time.Duration // 0 for the first
}

type recordedTotals struct {
	totals
	at time.Time
}

// NewSampler opens /proc. Call Run to sample in the background, and Close when done.
func NewSampler(lister Lister, o SamplerOptions) (*Sampler, error) {
	sc, err := newScanner()
	if err != nil {
		return nil, err
	}
	s := &Sampler{
		lister: lister, interval: o.Interval, recorder: o.Recorder, onSample: o.OnSample, log: o.Log,
		scanner: sc, recorded: make(map[string]recordedTotals), peaks: make(map[string]*peak),
	}
	if s.interval <= 0 {
		s.interval = time.Minute
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.disk = newDiskWatcher(o.FileBudget)
	return s, nil
}

// Run samples until ctx ends. The first pass, at once, is the base that the first sample is compared with.
func (s *Sampler) Run(ctx context.Context) error {
	var walking sync.WaitGroup
	defer walking.Wait()
	walking.Go(func() { s.disk.run(ctx) })

	ticks := time.NewTicker(s.interval)
	defer ticks.Stop()
	failing := false
	for first := true; ; first = false {
		err := s.sample(ctx, first)
		switch {
		case err != nil && ctx.Err() == nil && !failing: // once for each spell of trouble, not once a minute
			s.log.Error("metrics are not sampled; trying again each interval", "interval", s.interval, "error", err)
		case err == nil && failing:
			s.log.Info("metrics are sampled again")
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// Close lets go of /proc. No call may follow or be under way, Run included.
func (s *Sampler) Close() error {
	s.passing.Lock()
	defer s.passing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.scanner.close()
}

func (s *Sampler) sample(ctx context.Context, base bool) error {
	p, err := s.pass()
	if err != nil {
		return err
	}
	snap := s.sinceRecorded(p.snap)
	if base {
		return nil
	}
	if s.onSample != nil {
		s.onSample(snap)
	}
	if s.recorder == nil {
		return nil
	}
	if err := s.recorder.Record(ctx, snap); err != nil {
		return fmt.Errorf("record sample: %w", err)
	}
	return nil
}

// pass measures all runs now, or answers with the last pass when that was a moment ago.
func (s *Sampler) pass() (*pass, error) {
	s.passing.Lock()
	defer s.passing.Unlock()
	if s.closed {
		return nil, errors.New("measure: the sampler is closed")
	}
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	if last != nil && time.Since(last.snap.At) < closest {
		return last, nil
	}
	runs := s.lister.LiveRuns()
	s.disk.want(runs)
	snap, err := s.scanner.scan(time.Now(), runs)
	if err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	s.disk.fill(snap)
	s.keepPeaks(snap)

	s.mu.Lock()
	defer s.mu.Unlock()
	p := &pass{snap: snap}
	if s.last != nil {
		p.window = snap.At.Sub(s.last.snap.At)
	}
	s.last = p
	return p, nil
}

// sinceRecorded is the snapshot with CPU figures since the last recorded sample instead of since the last pass.
func (s *Sampler) sinceRecorded(snap *Snapshot) *Snapshot {
	out := &Snapshot{At: snap.At, Runs: make([]RunUsage, len(snap.Runs)), Owners: make(map[string]Usage, len(snap.Owners))}
	next := make(map[string]recordedTotals, len(snap.Runs))
	for i, r := range snap.Runs {
		t := recordedTotals{totals: totals{cpu: r.CPUTime, read: r.ReadBytes, wrote: r.WriteBytes}, at: snap.At}
		if base, ok := s.recorded[r.ID]; ok {
			r.Window = snap.At.Sub(base.at)
			r.CPUPercent = percentOfCore(r.CPUTime-base.cpu, r.Window)
		} else if r.Window, r.CPUPercent = 0, 0; !s.recordedAt.IsZero() && r.StartedAt.After(s.recordedAt) {
			r.Window = max(snap.At.Sub(r.StartedAt), shortestWindow)
			r.CPUPercent = percentOfCore(r.CPUTime, r.Window)
		}
		next[r.ID] = t
		out.Runs[i] = r
	}
	s.recorded, s.recordedAt = next, snap.At
	for owner, u := range snap.Owners {
		u.CPUPercent, u.Window = 0, 0
		for _, r := range out.RunsOf(owner) {
			u.CPUPercent += r.CPUPercent
			u.Window = max(u.Window, r.Window)
		}
		out.Owners[owner] = u
	}
	return out
}

// Latest is the last pass, however old; nil before the first. It costs nothing.
func (s *Sampler) Latest() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		return nil
	}
	return s.last.snap
}

// Snapshot measures all runs unless that was done within the last second. Its CPUPercent is the average since the pass
// before, whenever that was; ask Current for what is going on right now.
func (s *Sampler) Snapshot(ctx context.Context) (*Snapshot, error) {
	return s.answer(ctx, func(p *pass) (bool, time.Duration) {
		return p != nil && time.Since(p.snap.At) < freshness, 0
	})
}

// CurrentAll is like Snapshot, and its CPUPercent reaches back five seconds at most. When the last pass is older than that,
// it takes two, a quarter of a second apart.
func (s *Sampler) CurrentAll(ctx context.Context) (*Snapshot, error) {
	return s.answer(ctx, func(p *pass) (bool, time.Duration) {
		if p == nil {
			return false, 0
		}
		age := time.Since(p.snap.At)
		switch {
		case age < freshness && p.window > 0 && p.window <= longestWindow:
			return true, 0
		case age > longestWindow:
			return false, 0
		}
		return false, baseWindow - age
	})
}

// Current is what an owner uses now, at most one second old. It fails with ErrNotRunning when it has no live run.
func (s *Sampler) Current(ctx context.Context, owner string) (Usage, error) {
	snap, err := s.CurrentAll(ctx)
	if err != nil {
		return Usage{}, err
	}
	u, ok := snap.Owners[owner]
	if !ok {
		return Usage{}, fmt.Errorf("measure %s: %w", owner, ErrNotRunning)
	}
	return u, nil
}

// answer takes passes until one is good. Whoever comes while somebody else does so waits for that one's answer.
// good says whether a pass will do, and else how long to wait before the next is taken.
func (s *Sampler) answer(ctx context.Context, good func(*pass) (bool, time.Duration)) (*Snapshot, error) {
	for {
		s.mu.Lock()
		ok, wait := good(s.last)
		if ok {
			snap := s.last.snap
			s.mu.Unlock()
			return snap, nil
		}
		if other := s.flight; other != nil {
			s.mu.Unlock()
			select {
			case <-other:
				continue // its pass may be good for us; if it gave up, it is our turn
			case <-ctx.Done():
				return nil, fmt.Errorf("measure: %w", ctx.Err())
			}
		}
		done := make(chan struct{})
		s.flight = done
		s.mu.Unlock()
		err := s.waitAndPass(ctx, wait)
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(done)
		if err != nil {
			return nil, err
		}
	}
}

func (s *Sampler) waitAndPass(ctx context.Context, wait time.Duration) error {
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("measure: %w", ctx.Err())
		}
	}
	_, err := s.pass()
	return err
}
