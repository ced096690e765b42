package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// errLinkLost is what pending calls get when their connection ends; the client asks again over the next one.
var errLinkLost = errors.New("connection to the keeper was lost")

// handshakeTimeout bounds the wait for the first answer of something that listens on the socket.
const handshakeTimeout = 5 * time.Second

// link is one connection to a keeper.
type link struct {
	conn  net.Conn
	in    *bufio.Reader
	hello Hello

	sendMu sync.Mutex
	out    []byte

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan Frame
	lost    chan struct{}
	cause   error
}

func dialLink(ctx context.Context, path string) (*link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return &link{
		conn: conn, in: bufio.NewReaderSize(conn, 16<<10),
		pending: map[uint64]chan Frame{}, lost: make(chan struct{}),
	}, nil
}

// greet is the handshake: nothing else is in flight, so the next frame is the answer.
func (l *link) greet(ctx context.Context, version string) (Hello, error) {
	deadline := time.Now().Add(handshakeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := l.conn.SetDeadline(deadline); err != nil {
		return Hello{}, fmt.Errorf("keeper handshake: %w", err)
	}
	req := HelloRequest{MinProtocol: MinProtocol, MaxProtocol: ProtocolVersion, Version: version}
	if err := l.send(Frame{ID: l.nextID(), Verb: VerbHello}, req); err != nil {
		return Hello{}, fmt.Errorf("keeper handshake: %w", err)
	}
	f, err := ReadFrame(l.in)
	if err != nil {
		return Hello{}, fmt.Errorf("keeper handshake: %w", err)
	}
	if f.Error != nil {
		return Hello{}, fmt.Errorf("keeper handshake: %w", f.Error.Err())
	}
	var h Hello
	if err := json.Unmarshal(f.Body, &h); err != nil {
		return Hello{}, fmt.Errorf("keeper handshake: %w", err)
	}
	if h.Protocol < MinProtocol || h.Protocol > ProtocolVersion {
		return Hello{}, fmt.Errorf("keeper %d (version %s) speaks protocol %d, we speak %d to %d: upgrade the older of the two",
			h.PID, h.Version, h.Protocol, MinProtocol, ProtocolVersion)
	}
	return h, l.conn.SetDeadline(time.Time{})
}

func (l *link) nextID() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	return l.last
}

func (l *link) send(f Frame, body any) error {
	l.sendMu.Lock()
	defer l.sendMu.Unlock()
	out, err := AppendFrame(l.out[:0], f, body)
	if err != nil {
		return err
	}
	if cap(out) <= 64<<10 {
		l.out = out
	}
	if _, err := l.conn.Write(out); err != nil {
		return fmt.Errorf("%w: %w", errLinkLost, err)
	}
	return nil
}

// call sends a request and waits for the answer.
func (l *link) call(ctx context.Context, verb string, body, answer any) error {
	ch := make(chan Frame, 1)
	l.mu.Lock()
	l.last++
	id := l.last
	l.pending[id] = ch
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pending, id)
		l.mu.Unlock()
	}()
	if err := l.send(Frame{ID: id, Verb: verb}, body); err != nil {
		return err
	}
	var f Frame
	select {
	case f = <-ch:
	case <-ctx.Done():
		return fmt.Errorf("%w: no answer to %s: %w", ErrUnavailable, verb, context.Cause(ctx))
	case <-l.lost:
		select {
		case f = <-ch: // the answer came before the end
		default:
			return fmt.Errorf("%s: %w", verb, errLinkLost)
		}
	}
	if f.Error != nil {
		return f.Error.Err()
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(f.Body, answer); err != nil {
		return fmt.Errorf("decode answer to %s: %w", verb, err)
	}
	return nil
}

// read hands answers to those who wait and everything else to take, until the connection ends.
func (l *link) read(take func(Frame) error) error {
	for {
		f, err := ReadFrame(l.in)
		if err != nil {
			l.close(err)
			return err
		}
		if f.ID == 0 {
			if err := take(f); err != nil {
				l.close(err)
				return err
			}
			continue
		}
		l.mu.Lock()
		ch := l.pending[f.ID]
		l.mu.Unlock()
		if ch != nil {
			ch <- f
		}
	}
}

func (l *link) close(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = cause
		close(l.lost)
		_ = l.conn.Close() // nothing more is to be said
	}
}
