package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// frameTimeout is how long one write to a stream may take before the client is taken for dead.
const frameTimeout = 10 * time.Second

// errSlow ends a stream whose reader does not keep up; it may resume.
var errSlow = errors.New("the reader does not keep up")

const (
	// batchPause is how long events wait at most that are queued, and batchSize how many bytes of them wait: thousands of
	// lines a second are then some dozen writes for us, and as many wake-ups for a browser.
	batchPause = 40 * time.Millisecond
	batchSize  = 64 << 10
)

// errEnded is what a stream says that has ended.
var errEnded = errors.New("the stream has ended")

// stream writes server-sent events. It is safe for concurrent use.
type stream struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	rc      *http.ResponseController
	buf     bytes.Buffer // what is not written yet
	flushed time.Time    // when something was written last
	timer   *time.Timer  // flushes what is queued
	err     error
}

// serveStream answers with a stream that run fills. run's context ends with the client, with the server, and with the
// first write that fails.
func (c *call) serveStream(run func(ctx context.Context, s *stream) error) (any, error) {
	select {
	case c.api.open <- struct{}{}:
		defer func() { <-c.api.open }()
	default:
		return nil, Errorf(wire.CodeTooMany, "%d streams are open, which is the most there can be; close one", cap(c.api.open))
	}
	if c.api.streams.Err() != nil {
		return nil, Errorf(wire.CodeUnavailable, "the supervisor is ending")
	}
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(c.api.streams, cancel)()

	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	c.Writer.WriteHeader(http.StatusOK)
	s := &stream{w: c.Writer, rc: http.NewResponseController(c.Writer)}
	// A recorder in a test has no deadline to lift.
	_ = s.rc.SetReadDeadline(time.Time{}) //nolint:errcheck // see above
	if s.comment("hello") != nil {
		return answered{}, nil
	}
	var beats sync.WaitGroup
	defer s.end()
	defer beats.Wait()
	defer cancel()
	beats.Go(func() {
		if s.beat(ctx, c.api.deps.Heartbeat) != nil {
			cancel()
		}
	})
	if err := run(ctx, s); err != nil && ctx.Err() == nil {
		c.api.deps.Log.Debug("a stream ended", "request_id", c.GetString(keyRequest), "err", err)
	}
	return answered{}, nil
}

// beat sends a comment whenever the interval has passed, until ctx ends.
func (s *stream) beat(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.comment("alive"); err != nil {
				return err
			}
		}
	}
}

func (s *stream) comment(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.WriteString(": " + text + "\n\n")
	return s.flushLocked()
}

// send writes one event. An empty id leaves the client's place as it is; an empty event is one without a name.
func (s *stream) send(id, event string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write %s: %w", event, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appendLocked(id, event, body)
	return s.flushLocked()
}

// queue writes one event soon, together with others: at once when it has been quiet.
func (s *stream) queue(id, event string, data any) error { //nolint:unparam // It is send, later.
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write %s: %w", event, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	waits := s.buf.Len() > 0
	s.appendLocked(id, event, body)
	switch rest := batchPause - time.Since(s.flushed); {
	case s.err != nil || s.buf.Len() >= batchSize:
		return s.flushLocked()
	case waits: // the timer runs
	case s.timer == nil:
		s.timer = time.AfterFunc(rest, s.flush)
	default:
		s.timer.Reset(rest)
	}
	return nil
}

func (s *stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buf.Len() > 0 {
		_ = s.flushLocked() // whoever writes next is told
	}
}

// end writes what is queued. Nothing is written after it.
func (s *stream) end() {
	s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.err = errEnded
}

func (s *stream) appendLocked(id, event string, body []byte) {
	if id != "" {
		s.buf.WriteString("id: " + id + "\n")
	}
	if event != "" {
		s.buf.WriteString("event: " + event + "\n")
	}
	s.buf.WriteString("data: ")
	s.buf.Write(body)
	s.buf.WriteString("\n\n")
}

func (s *stream) flushLocked() error {
	if s.err != nil {
		return s.err
	}
	// A recorder in a test has no deadline to set.
	_ = s.rc.SetWriteDeadline(time.Now().Add(frameTimeout)) //nolint:errcheck // see above
	if _, s.err = s.w.Write(s.buf.Bytes()); s.err == nil {
		s.err = s.rc.Flush()
	}
	s.buf.Reset()
	s.flushed = time.Now()
	return s.err
}

// streamEvents tells all that is observed: a snapshot, then every change. A client that comes back with the last ID it saw
// gets what it missed; when that is not kept any more it gets a new snapshot, and the events from the history.
func streamEvents(c *call) (any, error) {
	from, resume, err := c.lastID()
	if err != nil {
		return nil, err
	}
	return c.serveStream(func(ctx context.Context, s *stream) error {
		observed := c.api.deps.Observed
		changes, err := observed.Subscribe(ctx, from)
		if !resume || errors.Is(err, v1.ErrGap) {
			seq, objects := observed.Snapshot()
			if changes, err = observed.Subscribe(ctx, seq); err != nil {
				return err
			}
			if err := c.snapshot(s, seq, objects, resume); err != nil {
				return err
			}
			if resume {
				if err := c.replay(ctx, s, from, seq); err != nil {
					return err
				}
			}
		}
		if err != nil {
			return err
		}
		for change := range changes {
			if err := s.send(strconv.FormatUint(change.Seq, 10), string(change.Kind), change); err != nil {
				return err
			}
		}
		if ctx.Err() == nil {
			return errSlow
		}
		return nil
	})
}

// lastID is where the client wants to resume: the header that EventSource sends, or the query.
func (c *call) lastID() (from uint64, resume bool, err error) {
	text := c.GetHeader("Last-Event-ID")
	if text == "" {
		text = c.Query("last_event_id")
	}
	if text == "" {
		return 0, false, nil
	}
	from, err = strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, badParam("last_event_id", "%.40q is not an ID of this stream", text)
	}
	return from, true, nil
}

// snapshot sends all objects. A cron job's status is that of now, which may be newer than seq: the change that made it
// follows, and says the same.
func (c *call) snapshot(s *stream, seq uint64, objects []v1.Change, gap bool) error {
	snap := wire.Snapshot{Seq: seq, Gap: gap, Objects: make([]wire.SnapshotObject, len(objects))}
	for i, o := range objects {
		snap.Objects[i] = wire.SnapshotObject{Key: o.Key, Revision: o.Revision, Status: o.Status}
		if o.Key.Kind == v1.KindCronJob && c.api.deps.Cron != nil {
			snap.Objects[i].CronJob = c.api.deps.Cron.Status(o.Key.Name)
		}
	}
	return s.send(strconv.FormatUint(seq, 10), "snapshot", snap)
}

// replay sends the events of the history between from and the snapshot. They carry no ID: the snapshot's holds.
func (c *call) replay(ctx context.Context, s *stream, from, until uint64) error {
	events, err := c.api.deps.Observed.Events(ctx, v1.EventFilter{SinceID: from, Limit: 1000})
	if err != nil {
		return err
	}
	for i := range events {
		if e := &events[i]; e.ID <= until {
			if err := s.send("", string(v1.ChangeEvent), v1.Change{Seq: e.ID, Kind: v1.ChangeEvent, Key: e.Key, Event: e}); err != nil {
				return err
			}
		}
	}
	return nil
}

// streamLogs tells lines of output. Its IDs are the reader's cursors.
func streamLogs(c *call) (any, error) {
	services := c.QueryArray("service")
	if name := c.Param("name"); name != "" {
		services = []string{name}
	}
	for _, name := range services {
		key := v1.Key{Kind: v1.KindService, Name: name}
		if _, ok := c.api.deps.Desired.Get(key); !ok {
			return nil, notFound(key)
		}
	}
	if len(services) == 0 {
		for _, s := range c.api.services() {
			services = append(services, s.Metadata.Name)
		}
	}
	o, err := c.logOptions()
	if err != nil {
		return nil, err
	}
	if c.api.deps.Logs == nil {
		return nil, Errorf(wire.CodeUnavailable, "output cannot be read here; the files are in the logs folder of the data directory")
	}
	return c.serveStream(func(ctx context.Context, s *stream) error {
		err := c.api.deps.Logs.Lines(ctx, services, o, func(line wire.LogLine) error { return s.queue(line.Cursor, "line", line) })
		if err != nil || ctx.Err() != nil {
			return err
		}
		return s.send("", "end", struct{}{})
	})
}

func (c *call) logOptions() (o wire.LogOptions, err error) {
	if o.Tail, err = c.number("tail"); err != nil {
		return o, err
	}
	if o.Follow, err = c.flag("follow"); err != nil {
		return o, err
	}
	if o.Stream, err = c.choice("stream"); err != nil {
		return o, err
	}
	if o.Since, err = c.moment("since"); err != nil {
		return o, err
	}
	if o.Level, err = c.choice("level"); err != nil {
		return o, err
	}
	o.Text, o.Regexp = c.Query("q"), c.Query("regexp")
	if o.Resume = c.GetHeader("Last-Event-ID"); o.Resume == "" {
		o.Resume = c.Query("last_event_id")
	}
	return o, nil
}
