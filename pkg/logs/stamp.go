package logs

import (
	"bytes"
	"strconv"
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

// What stands between the time and the text of a line.
const (
	newLine  = ' '
	restLine = '+' // the line before it goes on
	wordLine = '!' // the keeper's own word, about output that is not there
)

// parse splits a line "[time] text", where another character than the space makes it one of the other kinds. at is in Unix
// nanoseconds; ok is false for a line that does not begin with a time, all of which is text then.
func (s *stamps) parse(line []byte) (at int64, kind byte, text []byte, ok bool) {
	if len(line) >= prefixLen && line[0] == '[' && line[prefixLen-2] == ']' && string(line[1:1+stampLen]) == string(s.last[:]) {
		if c := line[prefixLen-1]; c == newLine || c == restLine || c == wordLine {
			return s.at, c, line[prefixLen:], true
		}
	}
	if len(line) < 2 || line[0] != '[' {
		return 0, newLine, line, false
	}
	end := bytes.IndexByte(line[:min(len(line), maxStamp)], ']')
	if end < 0 {
		return 0, newLine, line, false
	}
	t, err := time.Parse(time.RFC3339Nano, string(line[1:end]))
	if err != nil {
		return 0, newLine, line, false
	}
	if year := t.Year(); year < 1970 || year > 2200 {
		return 0, newLine, line, false // not a time of ours, and beyond what nanoseconds can tell
	}
	at = t.UnixNano()
	if end == prefixLen-2 {
		copy(s.last[:], line[1:])
		s.at = at
	}
	rest := line[end+1:]
	switch {
	case len(rest) == 0:
		return at, newLine, rest, true
	case rest[0] == newLine, (rest[0] == restLine || rest[0] == wordLine) && end == prefixLen-2:
		return at, rest[0], rest[1:], true
	}
	return 0, newLine, line, false
}

// droppedLines is how many lines a word of the keeper stands for; 0 when it does not tell.
func droppedLines(word []byte) int64 {
	rest, ok := bytes.CutPrefix(word, []byte("supervisor: dropped "))
	if !ok {
		return 0
	}
	number, _, _ := bytes.Cut(rest, []byte{' '})
	n, err := strconv.ParseInt(string(number), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// countLines tells how many lines begin in a block of whole lines: those that only continue another do not count, and a
// word of the keeper is as many as it stands for.
func countLines(block []byte) int64 {
	n := int64(bytes.Count(block, []byte{'\n'}))
	if len(block) > 0 && block[len(block)-1] != '\n' {
		n++
	}
	n -= countKind(block, "]+", func([]byte) int64 { return 1 })
	return n - countKind(block, "]!", func(word []byte) int64 { return 1 - droppedLines(word) })
}

// countKind adds up what the lines of a kind are worth.
func countKind(block []byte, mark string, worth func(text []byte) int64) (sum int64) {
	for at := 0; ; {
		i := bytes.Index(block[at:], []byte(mark))
		if i < 0 {
			return sum
		}
		at += i + len(mark)
		begin := at - prefixLen
		if begin >= 0 && (begin == 0 || block[begin-1] == '\n') && block[begin] == '[' && block[begin+11] == 'T' && block[begin+stampLen] == 'Z' {
			sum += worth(block[at:])
		}
	}
}
