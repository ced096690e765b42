package keeper

import (
	"bytes"
	"fmt"
	"sync"
	"syscall"
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
	// A program that writes more than paceFrom bytes at a time, or again within busy, is left alone for the time of pace: its
	// pipe fills meanwhile, and we move large blocks instead of being woken for each of its writes.
	paceFrom = 16 << 10
	busy     = time.Millisecond
	pace     = 300 * time.Microsecond
	// timeFormat is RFC3339Nano with all nine digits, so that lines are aligned and sort as text.
	timeFormat = "2006-01-02T15:04:05.000000000Z"
)

// buffers are what one worker needs to move a block from a pipe to a file.
type buffers struct {
	index int // of the block of the slate
	slate *slate
	in    []byte // the block
	out   []byte
}

// bufferPool bounds how many blocks are under way at once, and with it the memory for all services together.
type bufferPool chan *buffers

func newBufferPool(n int, sl *slate) bufferPool {
	p := make(bufferPool, n)
	for i := range n {
		p <- &buffers{index: i, slate: sl}
	}
	return p
}

func (p bufferPool) get() *buffers {
	b := <-p
	if b.in == nil {
		if b.in = b.slate.block(b.index); b.in == nil {
			b.in = make([]byte, firstRoom) // no room there: the next keeper finds a block that was never filled
		}
		b.out = newOutput()
	}
	return b
}

func newOutput() []byte { return make([]byte, 0, blockSize+blockSize/2+maxLine+2*prefixLen) }

// room returns the block with room for n bytes, or for fewer.
func (b *buffers) room(n int) []byte {
	if n > len(b.in) && len(b.in) < blockSize {
		if all := b.slate.grow(b.index); all != nil {
			b.in = all
		}
	}
	return b.in[:min(n, len(b.in))]
}

func (p bufferPool) put(b *buffers) { p <- b }

// stream is one of the two outputs of a run: it reads the FIFO and writes lines.
//
// A line is "[time] text". What has come of an unfinished line is written at once, so that nothing waits in memory, and
// its rest is appended later. Where that is not possible (the line has reached maxLine, another run has written to the
// file, the file was replaced) the rest is on a line "[time]+text", to be read as one with the line before it. Bytes are
// kept as they are.
//
// A line "[time]!text" is the keeper's own word, about output that is not there.
//
// Before each step it is noted what is about to be done (see slate), so that the next keeper can finish it: recover.
type stream struct {
	file    *logFile
	poll    *poller
	pool    bufferPool
	gate    *gate                   // held while a block is under way
	grow    func(fd, size int) bool // enlarges the pipe if that may be
	report  func(d process.Dropped) // tells what was dropped in all
	atEOF   func()                  // called once, when no writer is left
	resumes bool                    // a former keeper may have left our unfinished line
	slate   *slate
	notes   notebook // nil where there is no room for them
	output  int      // 0 for stdout, 1 for stderr

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
	errno   syscall.Errno // the reason of both
	retryAt time.Time
	said    time.Time
	task    task
	kept    place // where our last block has ended
	orphan  bool  // the program has ended unseen, and nothing was read since
}

// notebook is what a stream notes in: a slot.
type notebook interface{ write(output int, n *note) }

// task is the block that is under way.
type task struct {
	block, size int
	at          time.Time
	limit       int64 // where the file is rotated
}

// place is an end of a file.
type place struct {
	dev, ino uint64
	size     int64
	mine     bool // it is in the middle of our line
	foreign  bool // of another's
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
	before := s.task.at
	n := s.stepLocked(b)
	again := s.task.at.Sub(before) < busy
	switch {
	case s.closed:
	case n < paceFrom && !again, n >= len(b.in):
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
	// What a read will return has to be known before it, so that it can be noted. One byte where there seems to be none:
	// only a read tells the end.
	waiting, err := unix.IoctlGetInt(s.fd, unix.TIOCINQ)
	if err != nil || waiting < 1 {
		waiting = 1
	}
	block := b.room(waiting)
	s.task = task{block: b.index, size: len(block), at: time.Now(), limit: s.file.max.Load()}
	s.slate.guard(block)
	s.jot(reading, 0)
	for {
		n, err := unix.Read(s.fd, block)
		switch {
		case n > 0:
			s.task.size, s.orphan = n, false
			s.feed(block[:n], s.task.at, b.out)
			if n >= s.size-s.size/4 && s.size < pipeSize && s.grow(s.fd, pipeSize) {
				s.size = pipeSize
			}
			return n
		case err == unix.EINTR:
			continue
		}
		s.jot(idle, 0)
		if n == 0 && err == nil {
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
	if s.orphan {
		s.admit(noEndText)
	}
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
	s.file.mu.Lock()
	defer s.file.mu.Unlock()
	s.task = task{at: now}
	s.finishLocked(now)
	if s.total.Bytes > 0 {
		s.report(s.total)
	}
}

func (s *stream) finishLocked(now time.Time) {
	f := s.file
	if s.skip {
		s.pending.Lines++
		s.total.Lines++
		s.skip = false
	}
	mine := s.begun && f.midLine && f.owner == s
	if (mine || s.pending.Bytes > 0 || s.resumes) && f.readyLocked(now) == nil {
		s.claimLocked()
		s.jotLocked(closing, 0)
		if f.midLine && f.owner == s {
			if _, err := f.writeLocked([]byte{'\n'}); err == nil { // on a full disk the next writer does it
				s.begun = false
				s.jotLocked(closing, 0)
			}
		}
		if s.pending.Bytes > 0 {
			_ = s.markLocked(now) // Run.Dropped says it in any case
		}
	}
	if f.owner == s {
		f.owner = nil
	}
	s.begun, s.length = false, 0
	s.jotLocked(idle, 0)
}

// feed writes a block that was read at now. out is scratch space.
func (s *stream) feed(block []byte, now time.Time, out []byte) {
	s.file.mu.Lock()
	defer s.file.mu.Unlock()
	s.feedLocked(block, now, out)
	s.jotLocked(idle, 0)
}

func (s *stream) feedLocked(block []byte, now time.Time, out []byte) {
	if s.pending.Bytes > 0 && now.Before(s.retryAt) {
		s.drop(block, now)
		return
	}
	if err := s.prepareLocked(now, len(block)); err != nil {
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
		s.jotLocked(writing, s.task.size-len(block))
	}
	s.linesLocked(block, now, out)
}

// prepareLocked makes the file ready for the continuation of our own line, or for a new one. left is how much of the block
// is to be written.
func (s *stream) prepareLocked(now time.Time, left int) error {
	f := s.file
	if err := f.readyLocked(now); err != nil {
		return err
	}
	f.yieldLocked(now)
	s.claimLocked()
	s.jotLocked(writing, s.task.size-left)
	if f.midLine && f.owner != s {
		if _, err := f.writeLocked([]byte{'\n'}); err != nil {
			return err
		}
		s.jotLocked(writing, s.task.size-left)
	}
	return nil
}

// claimLocked takes the unfinished line at the end of a file that was just opened for the one that a former keeper has left
// of us.
func (s *stream) claimLocked() {
	f := s.file
	known := s.kept.ino != 0
	ours := !known || s.kept.ino == f.ino && s.kept.dev == f.dev && s.kept.size == f.size
	if s.resumes && f.midLine && f.owner == nil && ours {
		f.owner, s.begun = s, true
	}
	s.resumes = false
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
	limit := s.task.limit
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
				s.jotLocked(writing, s.task.size-len(block))
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
		if len(rest) > 0 {
			s.jotLocked(writing, s.task.size-len(rest))
		}
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

// appendWord appends a line of the keeper's own: "[time]!text".
func appendWord(out []byte, now time.Time, format string, args ...any) []byte {
	var head [prefixLen]byte
	makePrefix(&head, now)
	head[prefixLen-1] = '!'
	out = append(out, head[:]...)
	return append(fmt.Appendf(out, format, args...), '\n')
}

// markLocked writes the line that stands for what was dropped.
func (s *stream) markLocked(now time.Time) error {
	f := s.file
	var line []byte
	if f.midLine {
		line = append(line, '\n')
	}
	line = appendWord(line, now, "supervisor: dropped %d lines (%d bytes) of this output: %s", s.pending.Lines, s.pending.Bytes, s.pending.Reason)
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
