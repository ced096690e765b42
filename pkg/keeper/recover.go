package keeper

import (
	"syscall"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// jot notes what the stream is at. done is how much of the block is in files.
func (s *stream) jot(p phase, done int) {
	if s.notes == nil {
		return
	}
	s.notes.write(s.output, &note{
		phase: p, block: s.task.block, size: s.task.size, done: done, at: s.task.at.UnixNano(), limit: s.task.limit,
		dev: s.kept.dev, ino: s.kept.ino, base: s.kept.size, mine: s.kept.mine, foreign: s.kept.foreign, begun: s.begun, length: s.length, skip: s.skip,
		pending: dropCount{s.pending.Bytes, s.pending.Lines}, total: dropCount{s.total.Bytes, s.total.Lines}, errno: s.errno,
	})
}

// jotLocked is jot of something that is done to the file.
func (s *stream) jotLocked(p phase, done int) {
	if s.notes == nil {
		return
	}
	f := s.file
	if f.fd >= 0 {
		s.kept = place{dev: f.dev, ino: f.ino, size: f.size, mine: f.midLine && f.owner == s, foreign: f.midLine && f.owner != s}
	}
	s.jot(p, done)
}

// remember takes over what a former keeper has noted of the stream.
func (s *stream) remember(n *note) {
	s.begun, s.length, s.skip, s.errno = n.begun, n.length, n.skip, n.errno
	s.pending, s.total = n.pending.words(n.errno), n.total.words(n.errno)
	s.kept = place{dev: n.dev, ino: n.ino, size: n.base, mine: n.mine, foreign: n.foreign}
	s.resumes = n.mine
	s.task = task{block: n.block, size: n.size, at: time.Unix(0, n.at), limit: n.limit}
}

func (d dropCount) words(errno syscall.Errno) process.Dropped {
	out := process.Dropped{Bytes: d.bytes, Lines: d.lines}
	if d.bytes > 0 || d.lines > 0 {
		out.Reason = errno.Error()
	}
	return out
}

// recover brings to its end what a keeper was at when it was killed, so that each byte that came out of the pipe is in the
// file once. The block lies in the slate: the kernel has put it there in the very step that took it out of the pipe. What
// was to be written follows from the note, byte for byte, so the size of the file tells how much of it is written already.
func (s *stream) recover(n *note) {
	block := s.slate.at(n.block, n.size)
	if n.phase == idle || n.phase == reading && (len(block) == 0 || !s.slate.filled(block)) {
		s.jot(idle, 0)
		return
	}
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if n.phase != reading {
		s.reopenLocked(n)
	}
	if n.phase == closing {
		s.finishLocked(s.task.at)
	} else {
		if n.phase == reading {
			n.done = 0
		}
		s.feedLocked(block[min(n.done, len(block)):], s.task.at, newOutput())
	}
	if f.replay > 0 { // somebody else has written to the file
		f.replay = 0
		f.closeLocked()
	}
	s.jotLocked(idle, 0)
}

// reopenLocked opens the file that was written to, as it was at the time of the note.
func (s *stream) reopenLocked(n *note) {
	f := s.file
	s.resumes = false
	if f.readyLocked(time.Now()) != nil {
		return // feed finds the same, and counts
	}
	if f.dev != n.dev || f.ino != n.ino || f.size < n.base {
		return // it was rotated away just then, which is always done at the end of a line
	}
	f.replay = f.size - n.base
	f.size = n.base
	f.midLine, f.owner = n.mine || n.foreign, nil
	if n.mine {
		f.owner = s
	}
}

const (
	noNoteText = "supervisor: output may be missing here: a keeper has died that had no memory to note what it had in hand"
	noEndText  = "supervisor: the end of this output may be missing: the program ended while no keeper was there to read it"
)

// admit says in the log that output may be missing.
func (s *stream) admit(text string) {
	f := s.file
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.readyLocked(now) != nil || f.size == 0 {
		return
	}
	s.claimLocked()
	var line []byte
	if f.midLine {
		line = append(line, '\n')
	}
	if _, err := f.writeLocked(appendWord(line, now, "%s", text)); err == nil {
		f.owner = nil
	}
	s.jotLocked(idle, 0)
}
