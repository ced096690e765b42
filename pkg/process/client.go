package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketName is the keeper's socket within its folder.
const SocketName = "keeper.sock"

// ClientOptions say where the keeper is and what to do when nobody listens.
type ClientOptions struct {
	// Dir is the keeper's folder.
	Dir string
	// Version is the caller's, for the keeper's log.
	Version string
	// Launch starts a keeper for Dir when none listens (see Launch). Nil waits for one that somebody else starts.
	Launch func(ctx context.Context) error
	// Log takes a line for each connection lost, found or refused. Nil keeps quiet.
	Log func(message string)
}

// Client is the real Keeper: one connection that is made again whenever it is lost, and a mirror of all runs in memory.
// Its verbs wait for a connection until their context ends.
type Client struct {
	options ClientOptions

	mu        sync.Mutex
	link      *link         // nil while not connected
	linked    chan struct{} // closed once link is set; renewed when it is lost
	lastErr   error         // why there is no link
	leaving   bool          // Shutdown was asked for: launch no other keeper
	mirror    mirror
	listeners []func(owner string)

	synced   chan struct{}
	syncOnce sync.Once
}

// NewClient returns a client that connects once Run is called.
func NewClient(options ClientOptions) *Client {
	if options.Log == nil {
		options.Log = func(string) {}
	}
	return &Client{
		options: options,
		linked:  make(chan struct{}),
		synced:  make(chan struct{}),
		mirror:  mirror{runs: map[RunID]*mirrored{}},
	}
}

// Run keeps the connection until ctx ends, and returns ctx's error.
func (c *Client) Run(ctx context.Context) error {
	backoff := minBackoff
	for ctx.Err() == nil {
		connectedAt := time.Now()
		err := c.session(ctx)
		if ctx.Err() != nil {
			break
		}
		c.options.Log(fmt.Sprintf("keeper connection: %v", err))
		if time.Since(connectedAt) > maxBackoff {
			backoff = minBackoff
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
	return ctx.Err()
}

// The pause between two attempts grows from minBackoff to maxBackoff.
const (
	minBackoff = 2 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// session is the life of one connection.
func (c *Client) session(ctx context.Context) error {
	l, err := c.dial(ctx)
	if err != nil {
		c.mu.Lock()
		c.lastErr = err
		c.mu.Unlock()
		return err
	}
	defer l.close(errLinkLost)
	defer context.AfterFunc(ctx, func() { l.close(context.Cause(ctx)) })()
	hello, err := l.greet(ctx, c.options.Version)
	if err != nil {
		c.mu.Lock()
		c.lastErr = err
		c.mu.Unlock()
		return err
	}
	c.mu.Lock()
	l.hello = hello
	c.link, c.lastErr = l, nil
	c.mirror.begin()
	close(c.linked)
	c.mu.Unlock()
	defer c.unlink(l)

	if err := l.send(Frame{ID: l.nextID(), Verb: VerbWatch}, nil); err != nil {
		return err
	}
	err = l.read(c.take)
	return fmt.Errorf("lost keeper %d: %w", hello.PID, err)
}

func (c *Client) unlink(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.link, c.linked = nil, make(chan struct{})
	}
}

// dial connects, and launches a keeper where nobody listens.
func (c *Client) dial(ctx context.Context) (*link, error) {
	path := filepath.Join(c.options.Dir, SocketName)
	l, err := dialLink(ctx, path)
	if err == nil {
		return l, nil
	}
	nobody := errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED)
	c.mu.Lock()
	launch := c.options.Launch
	if c.leaving {
		launch = nil
	}
	c.mu.Unlock()
	if !nobody || launch == nil {
		return nil, fmt.Errorf("connect to keeper: %w", err)
	}
	if err := launch(ctx); err != nil {
		return nil, fmt.Errorf("launch keeper: %w", err)
	}
	l, err = dialLink(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("connect to the keeper just launched: %w", err)
	}
	return l, nil
}

// take handles a frame that the keeper sent unasked. It runs on the reading goroutine.
func (c *Client) take(f Frame) error {
	switch f.Verb {
	case VerbChange:
		var ch Change
		if err := json.Unmarshal(f.Body, &ch); err != nil {
			return fmt.Errorf("decode change: %w", err)
		}
		c.apply(ch)
	case VerbSynced:
		c.mu.Lock()
		owners := c.mirror.settle()
		listeners := c.listeners
		c.mu.Unlock()
		tell(listeners, owners...)
		c.syncOnce.Do(func() { close(c.synced) })
	}
	return nil
}

func (c *Client) apply(ch Change) {
	c.mu.Lock()
	owner, changed := c.mirror.apply(ch)
	listeners := c.listeners
	c.mu.Unlock()
	if changed {
		tell(listeners, owner)
	}
}

func tell(listeners []func(string), owners ...string) {
	for _, owner := range owners {
		for _, l := range listeners {
			l(owner)
		}
	}
}

// connected waits for a connection until ctx ends.
func (c *Client) connected(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, linked, cause := c.link, c.linked, c.lastErr
		c.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-linked:
		case <-ctx.Done():
			if cause != nil {
				return nil, fmt.Errorf("%w: %w (%w)", ErrUnavailable, cause, context.Cause(ctx))
			}
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// call sends a request and waits for its answer; when the connection is lost meanwhile it asks again over the next one.
// again is true in an answer to a repeated request.
func (c *Client) call(ctx context.Context, verb string, body, answer any) (again bool, err error) {
	for {
		l, err := c.connected(ctx)
		if err != nil {
			return again, err
		}
		err = l.call(ctx, verb, body, answer)
		if !errors.Is(err, errLinkLost) {
			return again, err
		}
		c.unlink(l)
		again = true
	}
}
