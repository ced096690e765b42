package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 32 << 10
	// drainTimeout is how long requests that are under way may take when the server ends.
	drainTimeout = 10 * time.Second
	// maxConns bounds the connections of one listener: of one, so that TCP can never lock out the unix socket.
	maxConns = 256
)

// Listen opens the unix socket, with mode 0600 from its first moment. A socket that nobody answers any more is replaced;
// one that is answered is an error: another supervisor runs on this directory.
func Listen(ctx context.Context, socket string) (net.Listener, error) {
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "unix", socket); err == nil {
		_ = conn.Close() //nolint:errcheck // it was only to see
		return nil, fmt.Errorf("another supervisor answers at %s; stop it first (supervisor shutdown) or choose another SUPERVISOR_DIR", socket)
	}
	if info, err := os.Lstat(socket); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("listen at %s: there is a file of that name that is not a socket; move it away", socket)
	}
	// Bound under another name and renamed when its mode is right: nobody can connect in between.
	temporary := fmt.Sprintf("%s.%d", socket, os.Getpid())
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen at %s: %w", socket, err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", socket, err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(temporary, 0o600)
	if err == nil {
		err = os.Rename(temporary, socket)
	}
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", socket, errors.Join(err, l.Close(), os.Remove(temporary)))
	}
	return l, nil
}

// Serve answers on every listener until ctx ends. Then streams are ended, requests under way get 10 s, and the listeners
// are closed. A listener that fails ends all.
func Serve(ctx context.Context, a *API, listeners ...net.Listener) error {
	srv := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withPeer,
		ErrorLog:          slog.NewLogLogger(a.deps.Log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(a.CloseStreams)
	failed := make(chan error, len(listeners))
	var served sync.WaitGroup
	for _, l := range listeners {
		served.Go(func() {
			if err := srv.Serve(limit(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if stop := srv.Shutdown(drain); stop != nil {
		a.deps.Log.Warn("requests were cut off at the end", "err", stop)
		err = errors.Join(err, srv.Close())
	}
	served.Wait()
	return err
}

// limit bounds how many connections of a listener are open at a time; more wait in the kernel's queue.
func limit(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a free slot, then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends the listener and whoever waits for a slot.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn.
func (c *slotConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// Unwrap returns the connection itself, for its peer's credentials.
func (c *slotConn) Unwrap() net.Conn { return c.Conn }
