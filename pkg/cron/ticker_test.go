package cron

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeClock is a clock that a test can set. Its alarms follow it.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	alarms []*fakeAlarm
	broken error
}

type fakeAlarm struct {
	clock *fakeClock
	at    time.Time
	rings chan Ring
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) NewAlarm() (Alarm, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return nil, c.broken
	}
	a := &fakeAlarm{clock: c, rings: make(chan Ring, 1)}
	c.alarms = append(c.alarms, a)
	return a, nil
}

// move lets time pass; jump sets the clock.
func (c *fakeClock) move(d time.Duration) { c.change(d, false) }
func (c *fakeClock) jump(d time.Duration) { c.change(d, true) }

func (c *fakeClock) change(d time.Duration, jumped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for _, a := range c.alarms {
		a.ringLocked(jumped)
	}
}

func (a *fakeAlarm) ringLocked(jumped bool) {
	if !jumped && (a.at.IsZero() || a.at.After(a.clock.now)) {
		return
	}
	select {
	case a.rings <- Ring{Jumped: jumped}:
	default:
	}
}

func (a *fakeAlarm) Set(at time.Time) error {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	a.at = at
	a.ringLocked(false)
	return nil
}

func (a *fakeAlarm) C() <-chan Ring { return a.rings }
func (a *fakeAlarm) Close() error   { return nil }

func TestTicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		clock := &fakeClock{now: begin}
		var woken []string
		ticker := NewTicker(clock, func(key string) { woken = append(woken, key) })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ticker.Set("early", begin.Add(time.Minute)) // before Run
		done := make(chan error, 1)
		go func() { done <- ticker.Run(ctx) }()
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			slices.Sort(woken)
			if !slices.Equal(woken, want) {
				t.Errorf("%s: woken are %v, want %v", what, woken, want)
			}
			woken = nil
		}
		expect("nothing is due")
		ticker.Set("late", begin.Add(time.Hour))
		ticker.Set("moved", begin.Add(time.Hour))
		ticker.Set("gone", begin.Add(time.Minute))
		ticker.Set("moved", begin.Add(time.Minute))
		ticker.Remove("gone")
		ticker.Remove("never there")
		expect("nothing is due yet")
		clock.move(time.Minute)
		expect("two are due", "early", "moved")
		clock.move(time.Minute)
		expect("each once")
		ticker.Set("past", begin.Add(-time.Hour))
		expect("what is past is due at once", "past")
		ticker.Set("other", begin.Add(24*time.Hour))
		clock.jump(-time.Hour)
		expect("the clock was set: all look anew", "late", "other")
		if n := ticker.Len(); n != 0 {
			t.Errorf("%d wait", n)
		}
		ticker.Set("x", begin.Add(24*time.Hour))
		ticker.Set("x", time.Time{})
		clock.move(48 * time.Hour)
		expect("removed by the zero time")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
	})
}

func TestTickerWithoutAlarm(t *testing.T) {
	broken := errors.New("no alarms left")
	err := NewTicker(&fakeClock{broken: broken}, func(int) {}).Run(t.Context())
	if !errors.Is(err, broken) {
		t.Errorf("run ended with %v", err)
	}
}

func TestSystemAlarm(t *testing.T) {
	clock := SystemClock{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	due := clock.Now().Add(50 * time.Millisecond)
	woken := make(chan time.Time, 2)
	ticker := NewTicker(clock, func(string) { woken <- clock.Now() })
	ticker.Set("past", clock.Now().Add(-100*time.Hour*24*365)) // before 1970
	ticker.Set("soon", due)
	done := make(chan error, 1)
	go func() { done <- ticker.Run(ctx) }()
	for i := range 2 {
		select {
		case at := <-woken:
			if i == 1 && at.Before(due) {
				t.Errorf("woken %v early", due.Sub(at))
			}
		case <-ctx.Done():
			t.Fatal("not woken")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("run ended with %v", err)
	}
}

func TestRingsAreNotLost(t *testing.T) {
	a := &kernelAlarm{rings: make(chan Ring, 1)}
	a.ring(Ring{Jumped: true})
	a.ring(Ring{})
	if r := <-a.C(); !r.Jumped {
		t.Error("the jump was lost")
	}
}

func BenchmarkTicker(b *testing.B) {
	clock := &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	keys := make([]string, 500)
	for i := range keys {
		keys[i] = fmt.Sprintf("job-%d", i)
	}
	ticker := NewTicker(clock, func(string) {})
	for b.Loop() {
		for i, key := range keys {
			ticker.Set(key, clock.now.Add(time.Duration(i%7)*time.Minute))
		}
		ticker.due(clock.now.Add(time.Hour), false)
	}
}
