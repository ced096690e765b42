package cronjob

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxRotated bounds how many rotated files of an output are looked for.
	maxRotated = 1000
	// stampLen is the length of "[2006-01-02T15:04:05.000000000Z] ", with which the keeper begins each line.
	stampLen = 33
	// rawFactor times as many bytes and rawMore are read than are kept, as the stamps go.
	rawFactor = 4
	rawMore   = 4 << 10
)

// readOutput returns the beginning and the end of what a run has written, each stream within limit bytes. What cannot be read
// is left out: the files are where they are.
func readOutput(dir string, limit int) (stdout, stderr string) {
	if dir == "" {
		return "", ""
	}
	return readStream(filepath.Join(dir, "stdout.log"), limit), readStream(filepath.Join(dir, "stderr.log"), limit)
}

// readStream reads a file and its rotated predecessors, NAME.1 the newest of them, as one text.
func readStream(path string, limit int) string {
	var files []string
	for n := 1; n <= maxRotated; n++ {
		name := path + "." + strconv.Itoa(n)
		if _, err := os.Stat(name); err != nil {
			break
		}
		files = append([]string{name}, files...)
	}
	files = append(files, path)
	sizes, total := make([]int64, len(files)), int64(0)
	for i, f := range files {
		if info, err := os.Stat(f); err == nil {
			sizes[i] = info.Size()
			total += info.Size()
		}
	}
	head, tail := limit/4, limit-limit/4
	rawHead, rawTail := int64(rawFactor*head+rawMore), int64(rawFactor*tail+rawMore)
	if total <= rawHead+rawTail {
		text := strip(readSpan(files, sizes, 0, total))
		if len(text) <= limit {
			return clean(text)
		}
		return clean(text[:head]) + leftOut(path) + clean(text[len(text)-tail:])
	}
	first := strip(readSpan(files, sizes, 0, rawHead))
	last := readSpan(files, sizes, total-rawTail, rawTail)
	// It begins within a line; from the next one on, each has its stamp.
	if at := strings.IndexByte(last, '\n'); at >= 0 && at+1 < len(last) {
		last = last[at+1:]
	}
	last = strip(last)
	return clean(first[:min(head, len(first))]) + leftOut(path) + clean(last[max(len(last)-tail, 0):])
}

func leftOut(path string) string {
	return fmt.Sprintf("\n[... the middle is left out; the whole output is in %s ...]\n", path)
}

// strip takes the keeper's stamps off the lines: "[time] text", or "[time]+text" for what continues the line before.
func strip(raw string) string {
	var text strings.Builder
	for len(raw) > 0 {
		end := strings.IndexByte(raw, '\n') + 1
		if end == 0 {
			end = len(raw)
		}
		line := raw[:end]
		raw = raw[end:]
		if stamped(line) {
			line = line[stampLen:]
		}
		if continues(raw) {
			line = strings.TrimSuffix(line, "\n")
		}
		text.WriteString(line)
	}
	return text.String()
}

func stamped(line string) bool {
	return len(line) >= stampLen && line[0] == '[' && line[stampLen-2] == ']' && line[stampLen-3] == 'Z' && line[11] == 'T'
}

func continues(line string) bool { return stamped(line) && line[stampLen-1] == '+' }

// readSpan reads length bytes from offset on of the files taken as one.
func readSpan(files []string, sizes []int64, offset, length int64) string {
	var text strings.Builder
	for i, name := range files {
		if offset >= sizes[i] {
			offset -= sizes[i]
			continue
		}
		n := min(sizes[i]-offset, length)
		if n <= 0 {
			break
		}
		if f, err := os.Open(name); err == nil {
			_, _ = io.Copy(&text, io.NewSectionReader(f, offset, n)) // what cannot be read is left out
			_ = f.Close()
		}
		offset, length = 0, length-n
	}
	return text.String()
}

// clean makes text of what a program wrote: a database and JSON take no other.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
