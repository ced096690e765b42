package keeper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// acceptPause is how long no caller is let in after one could not be.
const acceptPause = 100 * time.Millisecond

// greetTimeout is how long a caller may take to say hello.
const greetTimeout = 5 * time.Second

// server speaks the frames on the socket.
type server struct {
	k        *Keeper
	starts   chan struct{} // how many starts are prepared at once
	shutdown func()

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	ended bool
}

func newServer(k *Keeper, shutdown func()) *server {
	return &server{
		k: k, shutdown: shutdown, conns: map[net.Conn]struct{}{},
		starts: make(chan struct{}, 2*runtime.NumCPU()),
	}
}

// serve accepts callers until the listener is closed.
func (s *server) serve(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.k.log("accept: %v", err)
			<-time.After(acceptPause) // out of descriptors: those that we have are enough to go on
			continue
		}
		if err := checkPeer(conn); err != nil {
			s.k.log("%v", err)
			_ = conn.Close()
			continue
		}
		s.mu.Lock()
		if s.ended {
			_ = conn.Close()
		} else {
			s.conns[conn] = struct{}{}
			go s.handle(conn)
		}
		s.mu.Unlock()
	}
}

// close ends all connections.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for c := range s.conns {
		_ = c.Close()
	}
}

// checkPeer lets in our own user and root.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("check peer: %w", err)
	}
	var peer *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return fmt.Errorf("check peer: %w", err)
	}
	if credErr != nil {
		return fmt.Errorf("check peer: %w", credErr)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("refused process %d of user %d: the keeper of user %d serves its own user and root", peer.Pid, peer.Uid, os.Geteuid())
	}
	return nil
}

// caller is one connection after the handshake.
type caller struct {
	s   *server
	out *watcher
}

func (s *server) handle(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	in := bufio.NewReaderSize(conn, 8<<10)
	if err := s.greet(conn, in); err != nil {
		if !errors.Is(err, io.EOF) {
			s.k.log("handshake: %v", err)
		}
		return
	}
	w := newWatcher(s.k)
	defer w.close()
	go func() {
		if err := w.write(conn); err != nil {
			_ = conn.Close() // ends the reading below
		}
	}()
	c := &caller{s: s, out: w}
	for {
		f, err := process.ReadFrame(in)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
				s.k.log("read request: %v", err)
			}
			return
		}
		c.take(f)
	}
}

// greet is the handshake. It is answered before there is a writer.
func (s *server) greet(conn net.Conn, in *bufio.Reader) error {
	if err := conn.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	f, err := process.ReadFrame(in)
	if err != nil {
		return err
	}
	var req process.HelloRequest
	answer := process.Frame{ID: f.ID}
	var body any
	protocol := 0
	switch {
	case f.Verb != process.VerbHello:
		err = fmt.Errorf("the first request must be %q, not %q", process.VerbHello, f.Verb)
	case json.Unmarshal(f.Body, &req) != nil:
		err = errors.New("the hello cannot be read")
	default:
		protocol, err = agree(req)
	}
	if err != nil {
		answer.Error = process.ToWire(err)
	} else {
		body = process.Hello{Protocol: protocol, Version: s.k.version, PID: os.Getpid(), BootID: s.k.boot, Session: s.k.session}
	}
	out, encodeErr := process.AppendFrame(nil, answer, body)
	if encodeErr != nil {
		return encodeErr
	}
	if _, writeErr := conn.Write(out); writeErr != nil {
		return writeErr
	}
	if err != nil {
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// agree picks the highest version that both sides speak.
func agree(req process.HelloRequest) (int, error) {
	if req.MaxProtocol < process.MinProtocol || req.MinProtocol > process.ProtocolVersion {
		return 0, fmt.Errorf("this keeper speaks protocol %d to %d, the caller %d to %d: upgrade the older of the two",
			process.MinProtocol, process.ProtocolVersion, req.MinProtocol, req.MaxProtocol)
	}
	return min(req.MaxProtocol, process.ProtocolVersion), nil
}

// take answers one request. Starts take their time and are done beside each other; all else is done at once, in order.
func (c *caller) take(f process.Frame) {
	k := c.s.k
	switch f.Verb {
	case process.VerbStart:
		c.s.starts <- struct{}{}
		go func() {
			defer func() { <-c.s.starts }()
			var spec process.Spec
			c.guarded(f, &spec, func() (any, error) {
				change, err := k.start(&spec)
				if err != nil {
					return nil, err
				}
				return change, nil
			})
		}()
	case process.VerbStop:
		var req process.StopRequest
		c.guarded(f, &req, func() (any, error) {
			return nil, k.stop(req.ID, syscall.Signal(req.Signal), time.Duration(req.Grace))
		})
	case process.VerbSignal:
		var req process.SignalRequest
		c.guarded(f, &req, func() (any, error) { return nil, k.signal(req.ID, syscall.Signal(req.Signal), req.Tree) })
	case process.VerbForget:
		var req process.ForgetRequest
		c.guarded(f, &req, func() (any, error) { return nil, k.forget(req.ID) })
	case process.VerbWatch:
		c.out.answer(f.ID, nil, nil)
		c.out.begin()
	case process.VerbUpgrade:
		var req process.UpgradeRequest
		if err := json.Unmarshal(f.Body, &req); err != nil {
			c.out.answer(f.ID, nil, err)
			return
		}
		c.out.answer(f.ID, nil, k.upgrade(req.Path)) // returns only when it did not work
	case process.VerbShutdown:
		if n := k.live(); n > 0 {
			c.out.answer(f.ID, nil, fmt.Errorf("%d runs live; stop them first: %w", n, process.ErrBusy))
			return
		}
		c.out.answer(f.ID, nil, nil)
		c.out.flush()
		c.s.shutdown()
	default:
		c.out.answer(f.ID, nil, fmt.Errorf("this keeper (version %s) does not know %q; upgrade it", k.version, f.Verb))
	}
}

// guarded answers a request that an upgrade has to wait for.
func (c *caller) guarded(f process.Frame, into any, do func() (any, error)) {
	c.s.k.gate.enter()
	defer c.s.k.gate.leave()
	if err := json.Unmarshal(f.Body, into); err != nil {
		c.out.answer(f.ID, nil, fmt.Errorf("the request cannot be read: %w", err))
		return
	}
	body, err := do()
	c.out.answer(f.ID, body, err)
}
