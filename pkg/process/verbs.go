package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Hello implements Keeper.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return Hello{}, err
	}
	return l.hello, nil
}

// Start implements Keeper.
func (c *Client) Start(ctx context.Context, spec Spec) (Run, error) {
	var ch Change
	if _, err := c.call(ctx, VerbStart, spec, &ch); err != nil {
		return Run{}, fmt.Errorf("start run %s: %w", spec.ID, err)
	}
	if ch.Run == nil {
		return Run{}, fmt.Errorf("start run %s: the keeper answered without the run", spec.ID)
	}
	run := ch.Run.clone()
	c.apply(ch)
	return run, nil
}

// Stop implements Keeper.
func (c *Client) Stop(ctx context.Context, id RunID, sig syscall.Signal, grace time.Duration) error {
	_, err := c.call(ctx, VerbStop, StopRequest{ID: id, Signal: int(sig), Grace: int64(grace)}, nil)
	if err != nil {
		return fmt.Errorf("stop run %s: %w", id, err)
	}
	return nil
}

// Signal implements Keeper. When the connection is lost before the answer, it fails with ErrUnavailable and the signal may
// or may not have been sent: it is not sent twice.
func (c *Client) Signal(ctx context.Context, id RunID, sig syscall.Signal, tree bool) error {
	l, err := c.connected(ctx)
	if err == nil {
		err = l.call(ctx, VerbSignal, SignalRequest{ID: id, Signal: int(sig), Tree: tree}, nil)
	}
	if errors.Is(err, errLinkLost) {
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return fmt.Errorf("signal run %s: %w", id, err)
	}
	return nil
}

// Forget implements Keeper.
func (c *Client) Forget(ctx context.Context, id RunID) error {
	again, err := c.call(ctx, VerbForget, ForgetRequest{ID: id}, nil)
	if again && errors.Is(err, ErrUnknownRun) {
		err = nil // the first request got through
	}
	if err != nil {
		return fmt.Errorf("forget run %s: %w", id, err)
	}
	c.apply(Change{Forgotten: id})
	return nil
}

// Upgrade makes the keeper become another program in place; runs, pipes and the keeper's pid stay. It returns the new
// handshake. The old keeper goes on when the new program cannot be executed.
func (c *Client) Upgrade(ctx context.Context, path string) (Hello, error) {
	l, err := c.connected(ctx)
	if err != nil {
		return Hello{}, err
	}
	old := l.hello
	err = l.call(ctx, VerbUpgrade, UpgradeRequest{Path: path}, nil)
	if !errors.Is(err, errLinkLost) {
		if err == nil {
			err = errors.New("the keeper answered but is still the old one")
		}
		return old, fmt.Errorf("upgrade keeper to %s: %w", path, err)
	}
	c.unlink(l)
	now, err := c.Hello(ctx)
	if err != nil {
		return Hello{}, fmt.Errorf("upgrade keeper to %s: %w", path, err)
	}
	if now.PID != old.PID {
		return now, fmt.Errorf("upgrade keeper to %s: keeper %d ended, keeper %d has adopted what was running", path, old.PID, now.PID)
	}
	return now, nil
}

// Shutdown ends a keeper that has no live run (else ErrBusy). The client launches no other one after that.
func (c *Client) Shutdown(ctx context.Context) error {
	l, err := c.connected(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	if err := l.call(ctx, VerbShutdown, nil, nil); err != nil && !errors.Is(err, errLinkLost) {
		c.mu.Lock()
		c.leaving = false
		c.mu.Unlock()
		return fmt.Errorf("shut keeper down: %w", err)
	}
	return nil
}

// Runs implements Keeper.
func (c *Client) Runs(owner string) []Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mirror.list(func(r *Run) bool { return r.Owner == owner })
}

// All implements Keeper.
func (c *Client) All() []Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mirror.list(func(*Run) bool { return true })
}

// Synced implements Keeper.
func (c *Client) Synced() <-chan struct{} { return c.synced }

// OnChange implements Keeper. f is called on the goroutine that reads the connection, or on that of a verb's caller.
func (c *Client) OnChange(f func(owner string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A new slice, so that those who are being told from the old one are not disturbed.
	c.listeners = append(c.listeners[:len(c.listeners):len(c.listeners)], f)
}

var _ Keeper = (*Client)(nil)
