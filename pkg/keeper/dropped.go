package keeper

import (
	"bytes"
	"errors"
	"syscall"
	"time"
)

// failed notes why output cannot be kept at present, and leaves the disk alone for a while.
func (s *stream) failed(err error, now time.Time) {
	s.pending.Reason, s.total.Reason = errnoText(err), errnoText(err)
	s.errno = syscall.EIO // a later keeper knows no better word for what is no errno
	_ = errors.As(err, &s.errno)
	s.file.full = s.file.full || s.errno == syscall.ENOSPC || s.errno == syscall.EDQUOT
	s.retryAt = now.Add(recheck)
}

// drop counts output that is not kept. The rest of an unfinished line goes the same way, later.
func (s *stream) drop(block []byte, now time.Time) {
	if len(block) > 0 {
		s.count(int64(len(block)), int64(bytes.Count(block, []byte{'\n'})))
		s.skip = block[len(block)-1] != '\n'
		s.begun = false
	}
	if s.total.Bytes > 0 && now.Sub(s.said) >= recheck {
		s.said = now
		s.report(s.total)
	}
}

func (s *stream) count(n, lines int64) {
	s.pending.Bytes += n
	s.pending.Lines += lines
	s.total.Bytes += n
	s.total.Lines += lines
}

// startsLine tells whether formatted output begins with a line, rather than with the rest of one. A program that prints
// our own prefix in the middle of a line can only mislead the count of what is dropped.
func startsLine(out []byte) bool {
	return len(out) >= prefixLen && out[0] == '[' && out[prefixLen-2] == ']' && out[prefixLen-3] == 'Z' && out[11] == 'T'
}

// lostText tells how many bytes and lines of a program are in formatted output.
func lostText(out []byte) (n, lines int64) {
	for len(out) > 0 {
		end := bytes.IndexByte(out, '\n') + 1
		whole := end > 0
		if !whole {
			end = len(out)
		}
		line := out[:end]
		out = out[end:]
		if startsLine(line) {
			n -= prefixLen
		}
		n += int64(len(line))
		if whole {
			lines++
			if len(out) >= prefixLen && startsLine(out) && out[prefixLen-1] == '+' {
				n-- // the newline is ours: the line goes on
				lines--
			}
		}
	}
	return n, lines
}
