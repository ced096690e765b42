package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	acp "github.com/coder/acp-go-sdk"
)

// maxAhead bounds the updates that were read and have yet to be handled. Beyond 1024 the SDK would give the connection up.
const maxAhead = 256

// wire is the connection to an agent. The SDK handles requests beside the notifications that came before them; a request for
// permission that overtakes what it is about cannot be judged, so a request is read only when all before it has been handled.
type wire struct {
	conn *acp.Connection
	feed *feed
}

// newWire speaks with an agent. update and permission are called in the order of what the agent says, update one at a time, and
// permission beside the others.
func newWire(to io.Writer, f *feed, update func(acp.SessionNotification), permission func(context.Context, acp.RequestPermissionRequest) acp.RequestPermissionResponse) *wire {
	handler := func(ctx context.Context, method string, params json.RawMessage) (any, *acp.RequestError) {
		switch method {
		case acp.ClientMethodSessionUpdate:
			defer f.handled()
			var n acp.SessionNotification
			if err := json.Unmarshal(params, &n); err == nil { // kinds of updates that we do not know mean nothing to us
				update(n)
			}
			return nil, nil
		case acp.ClientMethodSessionRequestPermission:
			var q acp.RequestPermissionRequest
			if err := json.Unmarshal(params, &q); err != nil {
				return nil, acp.NewInvalidParams(map[string]any{"error": err.Error()})
			}
			return permission(ctx, q), nil
		}
		// Neither files nor terminals are offered: what an agent does it does as its own user.
		return nil, acp.NewMethodNotFound(method)
	}
	w := &wire{conn: acp.NewConnection(handler, to, f), feed: f}
	w.conn.SetLogger(slog.New(slog.DiscardHandler)) // it would quote what the agent says
	close(f.open)                                   // the SDK reads its logger without a lock
	return w
}

// done is closed when the agent has closed its output.
func (w *wire) done() <-chan struct{} { return w.conn.Done() }

// feed is an agent's standard output on its way to the SDK: bounded, line by line, and no faster than it is handled.
type feed struct {
	file *os.File
	buf  *bufio.Reader
	open chan struct{}
	left int64
	over func() // called once when it is too much

	exceeded atomic.Bool
	rest     []byte // of the line that is being read

	mu    sync.Mutex
	less  *sync.Cond
	ahead int // updates that were read and not handled
}

func newFeed(file *os.File, limit int64, over func()) *feed {
	f := &feed{file: file, buf: bufio.NewReaderSize(file, 64<<10), open: make(chan struct{}), left: limit, over: over}
	f.less = sync.NewCond(&f.mu)
	return f
}

// Read implements io.Reader. A line is begun only when all that may go before it was handled.
func (f *feed) Read(b []byte) (int, error) {
	<-f.open
	if len(f.rest) == 0 {
		line, err := f.line()
		if len(line) == 0 {
			return 0, err
		}
		f.await(line)
		f.rest = line
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// line reads one line, within what may be read in all.
func (f *feed) line() ([]byte, error) {
	var line []byte
	for {
		part, err := f.buf.ReadSlice('\n')
		if f.left -= int64(len(part)); f.left < 0 {
			if !f.exceeded.Swap(true) {
				f.over()
			}
			// What more there is is dropped, so that the agent is not blocked while it is ended.
			_, _ = io.Copy(io.Discard, f.file) //nolint:errcheck // its end is the end
			return nil, io.EOF
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull { //nolint:errorlint // it comes unwrapped by contract
			return line, err
		}
	}
}

// await waits with a request until all updates are handled, and with an update until not too many are on their way.
func (f *feed) await(line []byte) {
	var m struct {
		ID     *json.RawMessage `json:"id"`
		Method string           `json:"method"`
	}
	if json.Unmarshal(line, &m) != nil || m.Method == "" || m.Method == "$/cancel_request" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	update := m.ID == nil && m.Method == acp.ClientMethodSessionUpdate
	most := 0
	if update {
		most = maxAhead
	}
	for f.ahead > most {
		f.less.Wait()
	}
	if update {
		f.ahead++
	}
}

// handled says that an update was.
func (f *feed) handled() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead > 0 {
		f.ahead--
	}
	f.less.Broadcast()
}
