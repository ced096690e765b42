package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// maxSkipped is how much is counted in one turn, in bytes.
	maxSkipped = 64 << 20
	// overrun is how many files may be waiting behind one that was deleted already before it is only counted. maxDeleted is
	// how many deleted ones may be waiting at all.
	overrun    = 2
	maxDeleted = 1
)

// service is what the streams of one service share.
type service struct {
	id     int64
	name   string
	bucket bucket
	saved  bucket        // as it was before the present round
	keep   time.Duration // 0 for the default
	refs   int
}

// skip counts lines of one file that are not stored.
type skip struct {
	lines, bytes int64
	ino          uint64
	from, to     int64 // offsets in the file
	why          skipReason
}

type skipReason int

const (
	overBudget skipReason = iota
	rotatedAway
)

// gapText is the marker for lines that nobody has seen.
const gapText = "supervisor: log files were rotated away before they could be read: lines may be missing here"

// text is what the marker says.
func (k *skip) text(file string, rate float64) string {
	if k.why == rotatedAway {
		return fmt.Sprintf("supervisor: %d lines (%d bytes) are not in the index here: their files were rotated away before they could be stored", k.lines, k.bytes)
	}
	return fmt.Sprintf("supervisor: %d lines (%d bytes) are not in the index here: more than %.0f lines a second; they are in %s (inode %d), bytes %d to %d",
		k.lines, k.bytes, rate, file, k.ino, k.from, k.to)
}

// stream follows one output of one replica through its chain of files. Store.Run's goroutine owns it.
type stream struct {
	id      int64 // in the database; 0 while it is not there yet
	name    Stream
	replica int
	service *service
	path    string

	files []*logFile  // being read or yet to be, oldest first; the last one is the one that grows
	known []knownFile // what the database has
	stale []int64     // rows that it has no need of any more

	loaded bool  // known was read
	dirty  bool  // there may be something to read
	adrift bool  // our file is not at the path any more, nor is another
	lastAt int64 // time of the last entry
	wake   int64 // when to look even though nothing was written, Unix nanoseconds; 0 for never

	// What is counted: in the database, before the present round, and now.
	storedSkip, skipped, nextSkipped skip
	gap                              bool // lines may be missing before the next one
}

// current is the file that grows, nil when there is none.
func (st *stream) current() *logFile {
	if len(st.files) == 0 {
		return nil
	}
	return st.files[len(st.files)-1]
}

// refresh looks whether another file is at the path now. It tells when the folder is gone: the kernel does so only after
// the files in it are closed.
func (st *stream) refresh(log *slog.Logger) (gone bool) {
	id, _, err := identify(os.Stat(st.path))
	if errors.Is(err, os.ErrNotExist) {
		_, folder := os.Stat(filepath.Dir(st.path))
		gone = errors.Is(folder, os.ErrNotExist)
	}
	st.adrift = err != nil && !gone && st.current() != nil
	if cur := st.current(); cur != nil && (err != nil || cur.identity == id) {
		return gone // also while there is none: then the writer may still write to the one that was moved away
	}
	chain, err := openChain(st.path)
	if err != nil {
		log.Warn("log files cannot be read; trying again at the next change", "path", st.path, "err", err)
		return gone
	}
	st.prune(chain)
	newer := chain
	if cur := st.current(); cur != nil {
		at := indexOf(chain, cur.identity)
		st.gap = st.gap || at < 0 && len(chain) > 1
		if at >= 0 {
			newer = chain[:at]
			closeAll(chain[at:])
		}
	} else {
		st.gap = st.gap || st.lostPlace(chain)
	}
	st.place(newer, st.current() == nil)
	for i, l := range slices.Backward(newer) {
		info, err := l.f.Stat()
		if i > 0 && (err != nil || info.Size() == l.off) {
			l.close()
			continue
		}
		st.files = append(st.files, l)
	}
	st.giveUp()
	return gone
}

// giveUp closes deleted files of which too many wait to be read: they take up the disk.
func (st *stream) giveUp() {
	deleted := 0
	for _, l := range st.files {
		if info, err := l.f.Stat(); err == nil && nlink(info) == 0 {
			deleted++
		}
	}
	for ; deleted > maxDeleted; deleted-- {
		st.gap = true
		st.drop()
	}
}

// place finds the known places of files that were just opened. When none was open before, the files may have been moved to
// another disk or restored from a backup: then they are known by their beginnings alone.
func (st *stream) place(files []*logFile, moved bool) {
	used := make([]bool, len(st.known))
	for _, same := range [...]bool{true, false} {
		for _, l := range files {
			if l.row != 0 || !same && !moved {
				continue
			}
			for j := range st.known {
				k := &st.known[j]
				if used[j] || same != (k.identity == l.identity) || !k.is(l) {
					continue
				}
				used[j] = true
				l.row, l.off, l.next, l.saved = k.row, k.off, k.off, same
				break
			}
		}
	}
}

// lostPlace reports whether the file that was read last is gone, while there are others that were never read.
func (st *stream) lostPlace(chain []*logFile) bool {
	if len(st.known) == 0 {
		return false
	}
	newest := &st.known[len(st.known)-1]
	fresh := false
	for _, l := range chain {
		if newest.is(l) {
			return false
		}
		fresh = fresh || len(l.head) > 0 && !slices.ContainsFunc(st.known, func(k knownFile) bool { return k.is(l) })
	}
	return fresh
}

// prune forgets the places in files that do not exist any more, so that their numbers may come again.
func (st *stream) prune(chain []*logFile) {
	newest := len(st.known) - 1 // stays: it tells that something was read
	kept := st.known[:0]
	for i, k := range st.known {
		exists := slices.ContainsFunc(chain, k.is) || slices.ContainsFunc(st.files, k.is)
		if exists || i == newest {
			kept = append(kept, k)
		} else {
			st.stale = append(st.stale, k.row)
		}
	}
	st.known = kept
}

// piece is what one turn has read of a stream.
type piece struct {
	st       *stream
	file     *logFile
	lo, hi   int   // its entries
	wait     int64 // when an entry that was left will be complete
	more     bool  // there is more to read
	finished bool  // the file is read to its end and will not grow
	moved    bool  // the place has changed
	lastKey  int64
	left     int64 // bytes of the file that are yet to be read
	row      int64 // of its place, once saved
}

// turn is what all streams share in a round.
type turn struct {
	now     int64
	close   bool
	buf     []byte
	scanner *scanner
	entries []entry
}

// read takes what there is of the oldest file, as far as the buffer goes. It returns false when there is nothing to do.
func (st *stream) read(t *turn, limit int) (p piece, used int, err error) {
	p = piece{st: st, lo: len(t.entries), hi: len(t.entries)}
	var size int64
	for {
		if len(st.files) == 0 {
			return p, 0, nil
		}
		p.file = st.files[0]
		if size, err = p.file.size(); err != nil {
			return p, 0, err
		}
		p.moved = p.moved || p.file.unsaved()
		if p.file.off < size || len(st.files) == 1 {
			break
		}
		if p.moved || st.nextSkipped != (skip{}) {
			p.finished = true // saved first, dropped then
			return p, 0, nil
		}
		st.drop()
	}
	l := p.file
	final := len(st.files) > 1
	from := l.off
	if final && l.unlinked && len(st.files) > overrun {
		from = st.skip(t.buf[:limit], math.MaxInt64, rotatedAway, true)
	} else if b := &st.service.bucket; b.until != 0 && from < size {
		from = st.skip(t.buf[:limit], b.until, overBudget, false)
	}
	l.next = from
	size = max(size, from) // it may have grown while it was counted
	n := int(min(size-from, int64(limit)))
	if n > 0 {
		// An early end means that the file was cut this moment; the next turn sees to it.
		if n, err = l.f.ReadAt(t.buf[:n], from); n == 0 && !errors.Is(err, io.EOF) {
			return p, 0, fmt.Errorf("read log: %w", err)
		}
	}
	whole := from+int64(n) >= size
	at := st.lastAt
	if at == 0 {
		at = t.now
	}
	in := scanInput{stream: st, block: t.buf[:n], base: from, final: final && whole, whole: whole, now: t.now, at: at, close: t.close}
	t.entries, l.next, p.wait = t.scanner.scan(in, t.entries)
	if st.adrift && p.wait == 0 {
		p.wait = t.now + int64(pollPause) // should the folder go too, nobody tells while we have the file open
	}
	p.hi = len(t.entries)
	p.more = !whole
	p.left = size - from - int64(n)
	p.finished = final && whole && l.next >= size
	p.moved = p.moved || l.next != l.off
	p.lastKey = st.keys(t.entries[p.lo:])
	return p, n, nil
}

// keys gives the entries times that do not run backwards, by which they are merged with those of others.
func (st *stream) keys(entries []entry) int64 {
	key := int64(math.MinInt64)
	for i := range entries {
		key = max(key, entries[i].at)
		entries[i].key = key
	}
	return key
}

// drop ends with the oldest file.
func (st *stream) drop() {
	st.files[0].close()
	st.files = slices.Delete(st.files, 0, 1)
}

// skip counts lines instead of reading them, until one that is not before a time, or the end. It returns the new offset.
func (st *stream) skip(buf []byte, until int64, why skipReason, final bool) int64 {
	l := st.files[0]
	off := l.off
	var s stamps
	for off-l.off < maxSkipped {
		n, err := l.f.ReadAt(buf, off)
		if n == 0 {
			break
		}
		block := buf[:n]
		end := bytes.LastIndexByte(block, '\n') + 1
		switch {
		case final && err != nil: // to the end, finished or not
			end = n
		case end == 0 && n >= maxLine:
			end = maxLine
		}
		block = block[:end]
		if until != math.MaxInt64 {
			block = pausedPart(&s, block, &st.service.bucket)
		}
		if len(block) == 0 {
			break
		}
		st.count(l, off, int64(len(block)), countLines(block), why)
		off += int64(len(block))
		if len(block) < end {
			break
		}
	}
	return off
}

// pausedPart is the part of a block of lines that falls into the pause of a service. Mostly it is all of it, or nothing.
func pausedPart(s *stamps, block []byte, b *bucket) []byte {
	if len(block) == 0 {
		return nil
	}
	lastLine := block[bytes.LastIndexByte(block[:len(block)-1], '\n')+1:]
	first, _, _, ok1 := s.parse(block[:bytes.IndexByte(block, '\n')+1])
	last, _, _, ok2 := s.parse(lastLine)
	if ok1 && ok2 && b.paused(first) && b.paused(last) {
		return block
	}
	for pos := 0; pos < len(block); {
		next := pos + bytes.IndexByte(block[pos:], '\n') + 1
		if next <= pos {
			next = len(block)
		}
		if at, kind, _, ok := s.parse(block[pos:next]); ok && kind != restLine && !b.paused(at) {
			return block[:pos]
		}
		pos = next
	}
	return block
}

// count adds to what is skipped.
func (st *stream) count(l *logFile, off, n, lines int64, why skipReason) {
	k := &st.nextSkipped
	if k.lines == 0 && k.bytes == 0 {
		*k = skip{ino: l.ino, from: off, why: why}
	}
	if why == rotatedAway {
		k.why = why
	}
	k.lines += lines
	k.bytes += n
	k.to = off + n
}

// release closes all files, so that those that were deleted give up their space. What is left of them is counted.
func (st *stream) release(buf []byte) {
	for len(st.files) > 0 {
		if l := st.files[0]; len(st.files) > 1 {
			size, err := l.size()
			for err == nil && l.unlinked && l.off < size {
				off := st.skip(buf, math.MaxInt64, rotatedAway, true)
				if off == l.off {
					break
				}
				l.off = off
			}
		}
		st.drop()
	}
	st.skipped = st.nextSkipped
}

// base is the name of the file that grows.
func (st *stream) base() string { return filepath.Base(st.path) }
