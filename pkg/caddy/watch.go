package caddy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// refresh is how often a quiet connection is used: Caddy closes one that is idle for a minute.
	refresh = 25 * time.Second
	// firstRetry and lastRetry bound the time between two tries to reach Caddy.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// Watch calls changed whenever Caddy may serve something else than before: when it comes up, goes away, or has its
// configuration changed by whomever, until ctx ends.
//
// It asks for almost nothing: Caddy closes all connections to its admin API when its configuration changes, so one connection
// is held open, and its end is the news.
func (c *Client) Watch(ctx context.Context, changed func()) {
	wait := firstRetry
	up := false
	for ctx.Err() == nil {
		conn, err := c.connect(ctx)
		if err == nil {
			up, wait = true, firstRetry
			changed()
			c.hold(ctx, conn)
		} else if up {
			up = false
			changed()
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

// connect opens a connection over which Caddy has answered once.
func (c *Client) connect(ctx context.Context) (*watched, error) {
	bounded, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	conn, err := c.dial(bounded)
	if err != nil {
		return nil, err
	}
	w := &watched{Conn: conn, reader: bufio.NewReader(conn), host: c.base.Host}
	if err := w.ask(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// hold returns when the connection has ended.
func (c *Client) hold(ctx context.Context, conn *watched) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // wakes the read
	defer func() {
		stop()
		_ = conn.Close() // it has ended, or nobody needs it
	}()
	for ctx.Err() == nil {
		if err := conn.SetReadDeadline(time.Now().Add(refresh)); err != nil {
			return
		}
		_, err := conn.reader.Peek(1)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || conn.ask() != nil {
			return
		}
	}
}

// watched is a connection to the admin API that is used now and then.
type watched struct {
	net.Conn
	reader *bufio.Reader
	host   string
}

// ask makes the smallest request there is.
func (w *watched) ask() error {
	if err := w.SetDeadline(time.Now().Add(lookPatience)); err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodGet, "http://"+w.host+"/config/admin/disabled", http.NoBody) //nolint:noctx // The deadline bounds it.
	if err != nil {
		return fmt.Errorf("ask Caddy: %w", err)
	}
	if err := request.Write(w); err != nil {
		return err
	}
	resp, err := http.ReadResponse(w.reader, request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
