package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

const (
	// maxFrame bounds one event of a stream, in bytes.
	maxFrame = 16 << 20
	// reconnectMin and reconnectMax bound the wait before a broken stream is taken up again.
	reconnectMin = 50 * time.Millisecond
	reconnectMax = 2 * time.Second
)

// frame is one server-sent event.
type frame struct {
	id, event string
	data      []byte
}

// errStop ends a stream in good order.
var errStop = errors.New("end of stream")

// readFrames calls fn for each event until the stream ends, which is not an error.
func readFrames(r io.Reader, fn func(frame) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxFrame)
	var f frame
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			if f.event != "" || f.data != nil {
				if err := fn(f); err != nil {
					return err
				}
			}
			f = frame{}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			f.id = string(value)
		case "event":
			f.event = string(value)
		case "data":
			if f.data != nil {
				f.data = append(f.data, '\n')
			}
			f.data = append(f.data, value...)
			if f.data == nil {
				f.data = []byte{}
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	return nil
}

// callbackError is an error of the caller's function: it ends the stream, where one of the connection does not.
type callbackError struct{ error }

// follow reads a stream and takes it up again after the last event seen when the connection breaks. The first connect
// must succeed. It returns when ctx ends, when fn returns an error, or when the server says that the stream is done.
func (c *Client) follow(ctx context.Context, path string, query url.Values, last string, fn func(frame) error) error {
	wait, connected := reconnectMin, false
	for {
		err := c.stream(ctx, path, query, last, func(f frame) error {
			connected, wait = true, reconnectMin
			if f.event == "end" {
				return errStop
			}
			if err := fn(f); err != nil {
				return callbackError{err}
			}
			if f.id != "" {
				last = f.id
			}
			return nil
		}, func() { connected = true })
		var mine callbackError
		var p *wire.Problem
		switch {
		case errors.Is(err, errStop):
			return nil
		case errors.As(err, &mine):
			return mine.error
		case ctx.Err() != nil:
			return ctx.Err()
		case !connected:
			return err
		case errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests:
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, reconnectMax)
	}
}

func (c *Client) stream(ctx context.Context, path string, query url.Values, last string, fn func(frame) error, connected func()) error {
	r := request{method: http.MethodGet, path: path, query: query, header: map[string]string{"Accept": "text/event-stream"}}
	if last != "" {
		r.header["Last-Event-ID"] = last
	}
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is written
	connected()
	return readFrames(resp.Body, fn)
}

// Watcher receives a stream of changes. A nil function ignores what it would receive; an error ends the watch.
type Watcher struct {
	// Snapshot is called with all objects at the begin, and again when changes were missed.
	Snapshot func(wire.Snapshot) error
	// Change is called for each change after the snapshot, in order.
	Change func(v1.Change) error
}

// Watch follows what is observed until ctx ends, across restarts of the supervisor. from resumes after that sequence
// number; 0 begins with a snapshot.
func (c *Client) Watch(ctx context.Context, from uint64, w Watcher) error {
	last := ""
	if from > 0 {
		last = strconv.FormatUint(from, 10)
	}
	return c.follow(ctx, "/api/v1/events/stream", nil, last, func(f frame) error {
		if f.event == "snapshot" {
			if w.Snapshot == nil {
				return nil
			}
			var s wire.Snapshot
			if err := json.Unmarshal(f.data, &s); err != nil {
				return fmt.Errorf("read snapshot: %w", err)
			}
			return w.Snapshot(s)
		}
		if w.Change == nil {
			return nil
		}
		var ch v1.Change
		if err := json.Unmarshal(f.data, &ch); err != nil {
			return fmt.Errorf("read change: %w", err)
		}
		return w.Change(ch)
	})
}

// WatchEvents calls fn for each change from now on until ctx ends or fn returns an error.
func (c *Client) WatchEvents(ctx context.Context, fn func(v1.Change) error) error {
	return c.Watch(ctx, 0, Watcher{Change: fn})
}

// Logs calls fn for each line of the named services' output, in order of time. No names means all services. It returns
// at the end of the output, or with Follow when ctx ends or fn returns an error.
func (c *Client) Logs(ctx context.Context, names []string, o wire.LogOptions, fn func(wire.LogLine) error) error {
	query := url.Values{"service": names, "tail": {strconv.Itoa(o.Tail)}}
	if o.Follow {
		query.Set("follow", "1")
	}
	for name, text := range map[string]string{"stream": o.Stream, "level": o.Level, "q": o.Text, "regexp": o.Regexp} {
		if text != "" {
			query.Set(name, text)
		}
	}
	if !o.Since.IsZero() {
		query.Set("since", o.Since.Format(time.RFC3339Nano))
	}
	return c.follow(ctx, "/api/v1/logs/stream", query, o.Resume, func(f frame) error {
		var line wire.LogLine
		if err := json.Unmarshal(f.data, &line); err != nil {
			return fmt.Errorf("read log line: %w", err)
		}
		return fn(line)
	})
}
