package metrics

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// newTestSampler must be called within a synctest bubble when its time is to be fake.
func newTestSampler(t *testing.T, l Lister, o SamplerOptions) *Sampler {
	t.Helper()
	o.Log = quiet
	s, err := NewSampler(l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// us is a run that always lives: this test.
func us() Run {
	return Run{ID: "us", Owner: "Service/us", StartedAt: time.Now(), PID: 1}
}

func TestCurrentIsComputedOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lister{}
		l.set(us())
		s := newTestSampler(t, l, SamplerOptions{})
		ask := func() {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					before := time.Now()
					snap, err := s.CurrentAll(t.Context())
					if err != nil || time.Since(snap.At) > time.Second || time.Since(before) > 300*time.Millisecond {
						t.Errorf("snapshot %v old after %v, %v", time.Since(snap.At), time.Since(before), err)
					}
					if u := snap.Owners["Service/us"]; u.Window <= 0 || u.Window > longestWindow {
						t.Errorf("CPU over a window of %v", u.Window)
					}
				})
			}
			wg.Wait()
		}
		for _, step := range []struct {
			wait   time.Duration
			passes int
			why    string
		}{
			{0, 2, "nothing to compare with: two passes"},
			{500 * time.Millisecond, 2, "the last is fresh"},
			{time.Second, 3, "the one before is near enough: one pass"},
			{4 * time.Second, 4, "still near enough"},
			{time.Minute, 6, "too long ago: two passes"},
		} {
			elapse(step.wait)
			ask()
			if got := l.count(); got != step.passes {
				t.Errorf("after %v: %d passes, want %d (%s)", step.wait, got, step.passes, step.why)
			}
		}
	})
}

func TestSnapshotTakesOnePass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lister{}
		s := newTestSampler(t, l, SamplerOptions{})
		if s.Latest() != nil {
			t.Error("a latest snapshot before the first pass")
		}
		for i := range 10 { // 0.0 s to 1.8 s
			if _, err := s.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := 1 + i/5; l.count() != want {
				t.Errorf("call %d: %d passes, want %d", i, l.count(), want)
			}
			elapse(200 * time.Millisecond)
		}
		if s.Latest() == nil {
			t.Error("no latest snapshot")
		}
	})
}

func TestCurrentGivesUpForItselfOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &lister{}
		l.set(us())
		s := newTestSampler(t, l, SamplerOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Current(ctx, "Service/us"); !errors.Is(err, context.Canceled) {
				t.Errorf("the one that gave up: %v", err)
			}
		})
		synctest.Wait() // it waits between its two passes
		wg.Go(func() {
			if _, err := s.Current(t.Context(), "Service/us"); err != nil {
				t.Errorf("the one that stayed: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestCurrentOfWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTestSampler(t, &lister{}, SamplerOptions{})
		if _, err := s.Current(t.Context(), "Service/no"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%v, want ErrNotRunning", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		elapse(time.Hour)
		if _, err := s.Snapshot(t.Context()); err == nil {
			t.Error("a closed sampler answered")
		}
	})
}

// recorder keeps what it is given.
type recorder struct {
	mu    sync.Mutex
	snaps []*Snapshot
	err   error
}

func (r *recorder) Record(_ context.Context, s *Snapshot) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snaps = append(r.snaps, s)
	return r.err
}

func TestRunSamplesEachInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, rec := &lister{}, &recorder{}
		l.set(us())
		told := 0
		s := newTestSampler(t, l, SamplerOptions{Interval: time.Minute, Recorder: rec, OnSample: func(*Snapshot) { told++ }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		elapse(10*time.Minute + time.Second)
		synctest.Wait()
		if l.count() != 11 || len(rec.snaps) != 10 || told != 10 {
			t.Errorf("%d passes, %d recorded, %d told; want 11, 10, 10: the first is the base", l.count(), len(rec.snaps), told)
		}
		// Passes in between do not shorten what a recorded sample averages over.
		elapse(55 * time.Second)
		if _, err := s.CurrentAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		rec.mu.Lock()
		rec.err = errors.New("disk full")
		rec.mu.Unlock()
		elapse(10 * time.Minute)
		synctest.Wait()
		for _, snap := range rec.snaps {
			if w := snap.Owners["Service/us"].Window; w != time.Minute {
				t.Errorf("recorded sample at %v averages over %v, want a minute", snap.At, w)
			}
		}
		if len(rec.snaps) != 20 {
			t.Errorf("%d recorded, want 20: a failing recorder is tried again", len(rec.snaps))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNewRunIsComparedWithItsStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, rec := &lister{}, &recorder{}
		old := us()
		s := newTestSampler(t, l, SamplerOptions{Interval: time.Minute, Recorder: rec})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		elapse(50 * time.Second)
		fresh := us()
		fresh.ID, fresh.Owner = "fresh", "Service/fresh"
		old.StartedAt = old.StartedAt.Add(-time.Hour)
		l.set(old, fresh) // both turn up now; one began long ago
		elapse(11 * time.Second)
		cancel()
		wg.Wait()
		got := rec.snaps[0].Owners
		if w := got["Service/fresh"].Window; w != 10*time.Second {
			t.Errorf("a new run averages over %v, want the 10 s that it has run", w)
		}
		if w := got["Service/us"].Window; w != 0 {
			t.Errorf("a run that is new to us averages over %v, want 0: unknown", w)
		}
	})
}

func TestPeakOutlivesTheRun(t *testing.T) {
	t.Parallel()
	run := start(t, `exec sleep 100`, nil)
	l := &lister{}
	l.set(run)
	s := newTestSampler(t, l, SamplerOptions{})
	if _, ok := s.Peak(run.ID); ok {
		t.Error("a peak before any pass")
	}
	if _, err := s.CurrentAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.set()
	eventually(t, "a pass without the run", func() bool {
		snap, err := s.Snapshot(t.Context())
		return err == nil && len(snap.Runs) == 0
	})
	if p, ok := s.Peak(run.ID); !ok || p.MemoryBytes < 100<<10 {
		t.Errorf("peak %+v, %v", p, ok)
	}
}

func TestCurrentOfARealBurner(t *testing.T) {
	t.Parallel()
	run := start(t, `while :; do :; done`, nil)
	l := &lister{}
	l.set(run)
	s := newTestSampler(t, l, SamplerOptions{})
	eventually(t, "a busy loop shows", func() bool {
		u, err := s.Current(t.Context(), run.Owner)
		return err == nil && u.CPUPercent > 10 && u.CPUPercent < 130
	})
}
