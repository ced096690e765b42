package keeper

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// waiter is told when the kernel has something to say about a descriptor. After ready it is told nothing more until
// poller.rearm, so that a descriptor is in the hands of one worker at a time.
type waiter interface{ ready(events uint32) }

// waitFunc is a waiter that is a function.
type waitFunc func(events uint32)

func (f waitFunc) ready(events uint32) { f(events) }

// poller waits for all pipes and pidfds with one epoll, itself waited for by the runtime's own: no goroutine, stack or
// buffer per descriptor, and no thread that blocks. A few workers take turns: one waits, the others work.
type poller struct {
	file *os.File
	fd   int

	mu      sync.Mutex
	last    uint64
	waiters map[uint64]waiter
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, waiters: map[uint64]waiter{}}, nil
}

// run hands out events until close.
func (p *poller) run() {
	raw, err := p.file.SyscallConn()
	if err != nil {
		return // closed already
	}
	var events [1]unix.EpollEvent
	for {
		var n int
		var waitErr error
		err := raw.Read(func(fd uintptr) bool {
			n, waitErr = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || (waitErr != nil && waitErr != unix.EINTR)
		})
		if err != nil || waitErr != nil {
			return // closed
		}
		token := uint64(uint32(events[0].Fd)) | uint64(uint32(events[0].Pad))<<32
		p.mu.Lock()
		w := p.waiters[token]
		p.mu.Unlock()
		if w != nil {
			w.ready(events[0].Events)
		}
	}
}

func event(token uint64, events uint32) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
}

// add registers a descriptor, for one event, and returns the token by which it is known from then on.
func (p *poller) add(fd int, events uint32, w waiter) (uint64, error) {
	p.mu.Lock()
	p.last++
	token := p.last
	p.waiters[token] = w
	p.mu.Unlock()
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, event(token, events)); err != nil {
		p.mu.Lock()
		delete(p.waiters, token)
		p.mu.Unlock()
		return 0, fmt.Errorf("epoll add: %w", err)
	}
	return token, nil
}

// rearm asks for one more event.
func (p *poller) rearm(fd int, token uint64, events uint32) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, event(token, events))
}

// remove forgets a descriptor; the caller closes it after that.
func (p *poller) remove(fd int, token uint64) {
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) // closing it does the same
	p.mu.Lock()
	delete(p.waiters, token)
	p.mu.Unlock()
}

func (p *poller) close() { _ = p.file.Close() }
