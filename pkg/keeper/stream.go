package keeper

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// maxLine is the length in bytes at which a line is continued on a new one.
	maxLine = 64 << 10
	// prefixLen is the length of "[2006-01-02T15:04:05.000000000Z] ".
	prefixLen = 33
	// blockSize is what is read at once: large enough to make the calls cheap, small enough to stay in the cache.
	blockSize = 256 << 10
	// pipeSize is what a pipe grows to once its program writes faster than we are woken.
	pipeSize = 1 << 20
	// A program that writes more than paceFrom bytes at a time is left alone for the time of pace: its pipe fills meanwhile,
	// and we move large blocks instead of being woken for each of its writes.
	paceFrom = 16 << 10
	pace     = 300 * time.Microsecond
	// timeFormat is RFC3339Nano with all nine digits, so that lines are aligned and sort as text.
	timeFormat = "2006-01-02T15:04:05.000000000Z"
)

// buffers are what one worker needs to move a block from a pipe to a file.
type buffers struct{ in, out []byte }

// bufferPool bounds how many blocks are under way at once, and with it the memory for all services together.
type bufferPool chan *buffers

func newBufferPool(n int) bufferPool {
	p := make(bufferPool, n)
	for range n {
		p <- &buffers{}
	}
	return p
}

func (p bufferPool) get() *buffers {
	b := <-p
	if b.in == nil {
		b.in = make([]byte, blockSize)
		b.out = make([]byte, 0, blockSize+blockSize/2+maxLine+2*prefixLen)
	}
	return b
}

func (p bufferPool) put(b *buffers) { p <- b }

// stream is one of the two outputs of a run: it reads the FIFO and writes lines.
//
// A line is "[time] text". What has come of an unfinished line is written at once, so that nothing waits in memory, and
// its rest is appended later. Where that is not possible (the line has reached maxLine, another run has written to the
// file, the file was replaced) the rest is on a line "[time]+text", to be read as one with the line before it. Bytes are
// kept as they are. A keeper that takes over finds out by the file's last byte whether a line is unfinished.
type stream struct {
	file    *logFile
	poll    *poller
	pool    bufferPool
	gate    *gate                   // held while a block is under way
	grow    func(fd, size int) bool // enlarges the pipe if that may be
	report  func(d process.Dropped) // tells what was dropped in all
	atEOF   func()                  // called once, when no writer is left
	resumes bool                    // a former keeper may have left our unfinished line

	mu     sync.Mutex
	fd     int
	token  uint64
	size   int // of the pipe
	pacer  *time.Timer
	closed bool
	eof    chan struct{}

	begun   bool // the program is within a line of which something is in the file
	length  int  // of that line so far, in bytes
	skip    bool // the rest of the present line is dropped, for its beginning was
	pending process.Dropped
	total   process.Dropped
	retryAt time.Time
	said    time.Time
}

// watch begins to read.
func (s *stream) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	// Only memory can be missing here; then what is written comes when the run ends.
	s.token, _ = s.poll.add(s.fd, unix.EPOLLIN, s)
}

// ready moves one block. Then every other stream that has something gets its turn.
func (s *stream) ready(uint32) {
	s.gate.enter()
	defer s.gate.leave()
	b := s.pool.get()
	defer s.pool.put(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	n := s.stepLocked(b)
	switch {
	case s.closed:
	case n < paceFrom || n >= len(b.in):
		s.rearmLocked()
	case s.pacer == nil:
		s.pacer = time.AfterFunc(pace, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.closed {
				s.rearmLocked()
			}
		})
	default:
		s.pacer.Reset(pace)
	}
}

func (s *stream) rearmLocked() { _ = s.poll.rearm(s.fd, s.token, unix.EPOLLIN) } // fails for a closed one only

// stepLocked moves one block and returns its size; 0 when there is none, or no more.
func (s *stream) stepLocked(b *buffers) int {
	for {
		n, err := unix.Read(s.fd, b.in)
		switch {
		case n > 0:
			s.feed(b.in[:n], time.Now(), b.out)
			if n >= s.size-s.size/4 && s.size < pipeSize && s.grow(s.fd, pipeSize) {
				s.size = pipeSize
			}
			return n
		case err == unix.EINTR:
			continue
		case n == 0 && err == nil:
			s.closeLocked()
		}
		return 0 // the end, or nothing at present
	}
}

// drain moves what is there and tells whether the end was reached.
func (s *stream) drain() bool {
	b := s.pool.get()
	defer s.pool.put(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	// A pipe's worth: what a writer that is left adds meanwhile is for the next turn.
	for range 2*pipeSize/blockSize + 2 {
		if s.closed || s.stepLocked(b) == 0 {
			break
		}
	}
	return s.closed
}

// close ends the reading even though somebody may still hold the other end.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

func (s *stream) closeLocked() {
	if s.closed {
		return
	}
	s.closed = true
	s.finish(time.Now())
	s.poll.remove(s.fd, s.token)
	_ = unix.Close(s.fd)
	close(s.eof)
	if s.atEOF != nil {
		s.atEOF()
	}
}

// finish ends an unfinished line and says what was dropped.
func (s *stream) finish(now time.Time) {
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.skip {
		s.pending.Lines++
		s.total.Lines++
	}
	mine := s.begun && f.midLine && f.owner == s
	if (mine || s.pending.Bytes > 0 || s.resumes) && f.readyLocked(now) == nil {
		if f.midLine && (f.owner == s || f.owner == nil && s.resumes) {
			_, _ = f.writeLocked([]byte{'\n'}) // on a full disk the next writer does it
		}
		if s.pending.Bytes > 0 {
			_ = s.markLocked(now) // Run.Dropped says it in any case
		}
	}
	if s.total.Bytes > 0 {
		s.report(s.total)
	}
	if f.owner == s {
		f.owner = nil
	}
}

// feed writes a block that was read at now. out is scratch space.
func (s *stream) feed(block []byte, now time.Time, out []byte) {
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.pending.Bytes > 0 && now.Before(s.retryAt) {
		s.drop(block, now)
		return
	}
	if err := s.prepareLocked(now); err != nil {
		s.failed(err, now)
		s.drop(block, now)
		return
	}
	if s.skip {
		end := bytes.IndexByte(block, '\n') + 1
		if end == 0 {
			s.drop(block, now)
			return
		}
		s.drop(block[:end], now)
		block = block[end:]
		if s.pending.Bytes > 0 && len(block) == 0 {
			return
		}
	}
	if s.pending.Bytes > 0 {
		if err := s.markLocked(now); err != nil {
			s.failed(err, now)
			s.drop(block, now)
			return
		}
	}
	s.linesLocked(block, now, out)
}

// prepareLocked makes the file ready for the continuation of our own line, or for a new one.
func (s *stream) prepareLocked(now time.Time) error {
	f := s.file
	if err := f.readyLocked(now); err != nil {
		return err
	}
	if f.midLine && f.owner == nil && s.resumes {
		f.owner, s.begun = s, true
	}
	s.resumes = false
	if f.midLine && f.owner != s {
		if _, err := f.writeLocked([]byte{'\n'}); err != nil {
			return err
		}
	}
	return nil
}

// linesLocked writes the lines of a block, in as few writes as there are files to write to.
func (s *stream) linesLocked(block []byte, now time.Time, out []byte) {
	f := s.file
	var head [prefixLen]byte
	makePrefix(&head, now)
	out = out[:0]
	if s.begun && (!f.midLine || f.owner != s) {
		out = appendContinued(out, &head)
	}
	full := cap(out) - maxLine - 2*prefixLen
	limit := f.max.Load()
	for len(block) > 0 {
		n := bytes.IndexByte(block, '\n') + 1
		whole := n > 0
		if !whole {
			n = len(block)
		}
		if !s.begun {
			at := f.size + int64(len(out))
			if at > 0 && at+prefixLen+int64(n) > limit {
				if !s.flushLocked(out, block, now) {
					return
				}
				out = out[:0]
				if err := f.rotateLocked(now); err != nil && f.fd < 0 {
					s.failed(err, now)
					s.drop(block, now)
					return
				}
			}
			out = append(out, head[:]...)
			s.length = 0
		}
		if s.length+n > maxLine+1 { // the newline does not count
			n, whole = max(maxLine-s.length, 0), false
			out = append(out, block[:n]...)
			out = append(out, '\n')
			out = appendContinued(out, &head)
			s.length = 0
		} else {
			out = append(out, block[:n]...)
			s.length += n
		}
		s.begun = !whole
		block = block[n:]
		if len(out) > full {
			if !s.flushLocked(out, block, now) {
				return
			}
			out = out[:0]
		}
	}
	s.flushLocked(out, nil, now)
}

// flushLocked writes out. When it cannot, the lines that did not get through are dropped and so is rest, and it returns
// false.
func (s *stream) flushLocked(out, rest []byte, now time.Time) bool {
	f := s.file
	if len(out) == 0 {
		return true
	}
	before, mid := f.size, f.midLine
	n, err := f.writeLocked(out)
	f.owner = s
	if err == nil {
		return true
	}
	// A line is there whole or not at all, except for one of which a part was there before.
	kept := bytes.LastIndexByte(out[:n], '\n') + 1
	if kept < n && f.truncateLocked(before+int64(kept)) {
		f.midLine = kept == 0 && mid
	} else {
		kept = n
	}
	s.failed(err, now)
	lost := out[kept:]
	s.count(lostText(lost))
	s.skip = len(lost) > 0 && lost[len(lost)-1] != '\n'
	s.begun = false
	s.drop(rest, now)
	return false
}

// makePrefix writes "[time] ".
func makePrefix(head *[prefixLen]byte, now time.Time) {
	head[0] = '['
	now.UTC().AppendFormat(head[1:1], timeFormat)
	head[prefixLen-2], head[prefixLen-1] = ']', ' '
}

// appendContinued appends "[time]+".
func appendContinued(out []byte, head *[prefixLen]byte) []byte {
	out = append(out, head[:]...)
	out[len(out)-1] = '+'
	return out
}

// markLocked writes the line that stands for what was dropped.
func (s *stream) markLocked(now time.Time) error {
	f := s.file
	var head [prefixLen]byte
	makePrefix(&head, now)
	var line []byte
	if f.midLine {
		line = append(line, '\n')
	}
	line = append(line, head[:]...)
	line = fmt.Appendf(line, "supervisor: dropped %d lines (%d bytes) of this output: %s\n", s.pending.Lines, s.pending.Bytes, s.pending.Reason)
	before, mid := f.size, f.midLine
	if n, err := f.writeLocked(line); err != nil {
		if n > 0 && f.truncateLocked(before) {
			f.midLine = mid
		}
		return err
	}
	s.pending = process.Dropped{}
	return nil
}
