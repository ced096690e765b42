package agent

import (
	"context"
	"sync"
	"time"
)

// clocks end a turn that takes too long, or in which nothing is heard for too long. They stand while a person is asked.
type clocks struct {
	limits Limits

	mu      sync.Mutex
	total   *time.Timer
	idle    *time.Timer
	left    time.Duration // of the total, when it last began to run
	since   time.Time
	stopped bool
	paused  int
}

// newClocks returns clocks that stand until resume.
func newClocks(l Limits, cancel context.CancelCauseFunc) *clocks {
	c := &clocks{limits: l, left: l.Turn, paused: 1}
	c.total = time.AfterFunc(l.Turn, func() { cancel(&TimeoutError{After: l.Turn}) })
	c.idle = time.AfterFunc(l.Idle, func() { cancel(&TimeoutError{Idle: true, After: l.Idle}) })
	c.total.Stop()
	c.idle.Stop()
	return c
}

// touch says that something was heard.
func (c *clocks) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped && c.paused == 0 {
		c.idle.Reset(c.limits.Idle)
	}
}

// pause lets the clocks stand until as many calls of resume have come as of pause.
func (c *clocks) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused++; c.paused == 1 && !c.stopped {
		c.idle.Stop()
		c.total.Stop()
		c.left = max(c.left-time.Since(c.since), 0)
	}
}

func (c *clocks) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused--; c.paused == 0 && !c.stopped {
		c.since = time.Now()
		c.idle.Reset(c.limits.Idle)
		c.total.Reset(c.left)
	}
}

func (c *clocks) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.idle.Stop()
	c.total.Stop()
}
