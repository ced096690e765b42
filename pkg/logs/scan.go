package logs

import (
	"bytes"
	"time"
)

const (
	// maxLine is the longest line with its prefix, in bytes. The keeper continues longer ones on a new line; those of
	// somebody else are cut.
	maxLine = 64<<10 + 128
	// maxEntry is the length in bytes, prefixes included, beyond which an entry takes no further lines.
	maxEntry = 96 << 10
	// minChunk is how much of a file is read at least, when there is as much: an entry and the line that ends it.
	minChunk = 192 << 10
	// maxEntryLines is how many lines an entry has at most.
	maxEntryLines = 1000
	// groupGap is how far apart in time the lines of an entry are at most. An entry is waited for a little longer than
	// that, so that it does not matter when a file is read.
	groupGap  = int64(100 * time.Millisecond)
	groupWait = groupGap + int64(50*time.Millisecond)
)

// entry is what becomes a row, with its place in the file.
type entry struct {
	stream *stream
	at     int64 // time of the first line, Unix nanoseconds
	key    int64 // at, but never before that of the entry before it in the stream
	last   int64 // time of the last line
	level  Level
	lines  int
	cont   bool // the first line is the rest of one
	word   bool // it is the keeper's own
	text   []byte
	from   int64 // offsets in the file
	end    int64
}

// scanner cuts a block of a file into entries.
type scanner struct {
	stamps  stamps
	grouper grouper
	// joined holds the texts of entries of several lines, which do not lie in one piece in the file. Entries refer to it.
	joined []byte
}

// scanInput is one block of a file.
type scanInput struct {
	stream *stream
	block  []byte
	base   int64 // offset of the block in its file
	// final is true when nothing will be added to the block: its last line is complete without a newline.
	final bool
	// whole is true when the block reaches to the present end of the file.
	whole bool
	// now is the time, and at the time of lines that carry none, in Unix nanoseconds.
	now, at int64
	// close ends an entry even though lines may follow that belong to it.
	close bool
}

// scan appends the complete entries of a block to out. The entries refer to the block. rest is the offset of what was not
// taken; wait is when its first entry will be complete if nothing follows, 0 when there is none or more must be read.
func (s *scanner) scan(in scanInput, out []entry) (entries []entry, rest, wait int64) {
	var (
		e    entry
		from int // where the text of e begins in joined, once it has several lines
	)
	isOpen := false
	finish := func() {
		if from >= 0 {
			e.text = s.joined[from:len(s.joined):len(s.joined)]
		}
		out = append(out, e)
		isOpen = false
	}
	at := in.at
	pos := 0
	for pos < len(in.block) {
		line, next, ok := nextLine(in.block, pos, in.final)
		if !ok {
			break
		}
		stamp, kind, text, stamped := s.stamps.parse(line)
		cont, word := kind == restLine, kind == wordLine
		if stamped {
			at = stamp
		} else if len(text) == 0 {
			// The keeper writes no line without a time; an empty one is the end that it put to another's unfinished line.
			pos = next
			continue
		}
		if isOpen && !word && !e.word && s.goesOn(&e, cont, text, at, next-pos) {
			if from < 0 {
				from = len(s.joined)
				s.joined = append(s.joined, e.text...)
			}
			if !cont {
				s.joined = append(s.joined, '\n')
				e.lines++
			}
			s.joined = append(s.joined, text...)
			e.last, e.end = at, in.base+int64(next)
			pos = next
			continue
		}
		if isOpen {
			finish()
		}
		isOpen, from = true, -1
		e = entry{
			stream: in.stream, at: at, last: at, lines: 1, cont: cont, text: text,
			level: s.grouper.begin(text, in.stream.name), from: in.base + int64(pos), end: in.base + int64(next),
		}
		switch {
		case cont:
			e.lines = 0
		case word:
			e.word, e.level = true, Warning
		}
		pos = next
	}
	rest = in.base + int64(pos)
	if !isOpen {
		return out, rest, 0
	}
	gone := in.now - e.last
	switch {
	case in.final, in.close && in.whole, in.whole && (gone >= groupWait || gone < -int64(time.Second)):
		finish()
		return out, rest, 0
	case in.whole:
		return out, e.from, e.last + groupWait
	case e.end-e.from > maxEntry || e.lines >= maxEntryLines:
		finish()
		return out, rest, 0
	}
	return out, e.from, 0
}

// nextLine finds the line that begins at pos. ok is false when it is not complete.
func nextLine(block []byte, pos int, final bool) (line []byte, next int, ok bool) {
	left := block[pos:]
	if n := bytes.IndexByte(left[:min(len(left), maxLine)], '\n'); n >= 0 {
		return left[:n], pos + n + 1, true
	}
	if len(left) >= maxLine {
		return left[:maxLine], pos + maxLine, true
	}
	return left, len(block), final
}

// goesOn reports whether a line belongs to the open entry.
func (s *scanner) goesOn(e *entry, cont bool, text []byte, at int64, size int) bool {
	gap := at - e.last
	if gap > groupGap || gap < -groupGap || e.lines >= maxEntryLines || e.end+int64(size)-e.from > maxEntry {
		return false
	}
	return cont || s.grouper.joins(text)
}
