package logs

import (
	"bytes"
	"time"
)

const (
	// stampLen is the length of "2006-01-02T15:04:05.000000000Z", which the keeper writes.
	stampLen = 30
	// prefixLen is the length of "[stamp] ".
	prefixLen = stampLen + 3
	// maxStamp is the length of the longest RFC 3339 time that is looked for.
	maxStamp = 40
)

// stamps reads the times at the beginnings of lines. Lines of one block carry the same time, so the last one is remembered.
type stamps struct {
	last [stampLen]byte
	at   int64
}

// parse splits "[time] text", or "[time]+text" for the rest of a line. at is in Unix nanoseconds; ok is false for a line
// that does not begin with a time, all of which is text then.
func (s *stamps) parse(line []byte) (at int64, continued bool, text []byte, ok bool) {
	if len(line) >= prefixLen && line[0] == '[' && line[prefixLen-2] == ']' && string(line[1:1+stampLen]) == string(s.last[:]) {
		if c := line[prefixLen-1]; c == ' ' || c == '+' {
			return s.at, c == '+', line[prefixLen:], true
		}
	}
	if len(line) < 2 || line[0] != '[' {
		return 0, false, line, false
	}
	end := bytes.IndexByte(line[:min(len(line), maxStamp)], ']')
	if end < 0 {
		return 0, false, line, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(line[1:end]))
	if err != nil {
		return 0, false, line, false
	}
	if year := t.Year(); year < 1970 || year > 2200 {
		return 0, false, line, false // not a time of ours, and beyond what nanoseconds can tell
	}
	at = t.UnixNano()
	if end == prefixLen-2 {
		copy(s.last[:], line[1:])
		s.at = at
	}
	rest := line[end+1:]
	switch {
	case len(rest) == 0:
		return at, false, rest, true
	case rest[0] == ' ', rest[0] == '+' && end == prefixLen-2:
		return at, rest[0] == '+', rest[1:], true
	}
	return 0, false, line, false
}

// countLines tells how many lines begin in a block of whole lines: those that only continue another do not count.
func countLines(block []byte) int64 {
	n := int64(bytes.Count(block, []byte{'\n'}))
	if len(block) > 0 && block[len(block)-1] != '\n' {
		n++
	}
	for at := 0; ; {
		i := bytes.Index(block[at:], []byte("]+"))
		if i < 0 {
			return n
		}
		at += i + 2
		begin := at - prefixLen
		if begin >= 0 && (begin == 0 || block[begin-1] == '\n') && block[begin] == '[' && block[begin+11] == 'T' && block[begin+stampLen] == 'Z' {
			n--
		}
	}
}
