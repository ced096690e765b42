package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// File is a log file as it lies on the disk.
type File struct {
	Name   string // such as stdout.log.2
	Stream Stream
	Index  int // 0 for the one that grows, 1 for the newest of the others
	Size   int64
	Time   time.Time // of the last change
}

// Files lists the log files of a folder: stdout before stderr, the newest first. A folder that is not there has none.
func Files(dir string) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list log files: %w", err)
	}
	var out []File
	for _, e := range entries {
		stream, index, ok := parseName(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // rotated away meanwhile, or not a log
		}
		out = append(out, File{Name: e.Name(), Stream: stream, Index: index, Size: info.Size(), Time: info.ModTime()})
	}
	slices.SortFunc(out, func(a, b File) int {
		if c := strings.Compare(string(b.Stream), string(a.Stream)); c != 0 {
			return c
		}
		return a.Index - b.Index
	})
	return out, nil
}

// OpenFile opens a log file of a folder for download. No other file of the folder can be named, nor any outside of it.
func OpenFile(dir, name string) (*os.File, error) {
	if _, _, ok := parseName(name); !ok {
		return nil, fmt.Errorf("%q is no log file: %w", name, fs.ErrNotExist)
	}
	l, err := openLogFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	return l.f, nil
}

// parseName reads stdout.log and stderr.log.3.
func parseName(name string) (Stream, int, bool) {
	for _, s := range [...]Stream{Stdout, Stderr} {
		rest, ok := strings.CutPrefix(name, string(s)+".log")
		if !ok {
			continue
		}
		if rest == "" {
			return s, 0, true
		}
		n, err := strconv.Atoi(strings.TrimPrefix(rest, "."))
		if err != nil || n < 1 || rest != "."+strconv.Itoa(n) {
			return "", 0, false
		}
		return s, n, true
	}
	return "", 0, false
}

// Line is a line as it stands in a file.
type Line struct {
	Stream Stream
	// Time is zero for a line without one.
	Time time.Time
	// Text is without the newline. A line that the keeper had to continue on a new one is whole again.
	Text string
	// Open is true for a last line that is not finished.
	Open bool
}

const (
	// tailBlock is how much is read at once from the end of a file, in bytes.
	tailBlock = 64 << 10
	// maxTail is how much is read of a stream at most.
	maxTail = 16 << 20
)

// Tail returns the last n lines of a folder's log files, oldest first: of one stream, or of both in the order of their
// times. It asks no database, so it also has what is not in the index yet. Lines before since are left out when it is set.
func Tail(dir string, stream Stream, n int, since time.Time) ([]Line, error) {
	var out []Line
	for _, s := range [...]Stream{Stdout, Stderr} {
		if stream != "" && stream != s {
			continue
		}
		lines, err := tailStream(filepath.Join(dir, string(s)+".log"), s, n, since)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	slices.SortStableFunc(out, func(a, b Line) int { return a.Time.Compare(b.Time) })
	return out[max(0, len(out)-n):], nil
}

// tailStream reads a chain of files from its end.
func tailStream(path string, s Stream, n int, since time.Time) ([]Line, error) {
	var text []byte // what was read, in the order of the files
	budget := int64(maxTail)
	for i := 0; n > 0 && budget > 0; i++ {
		l, err := openLogFile(chainName(path, i))
		if errors.Is(err, fs.ErrNotExist) {
			if i == 0 {
				continue // between two files
			}
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		enough, err := l.readBack(&text, &budget, n, since)
		l.close()
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		if enough {
			break
		}
	}
	return lastLines(text, s, n, since), nil
}

// readBack puts the end of a file before text, as much as n lines need. It tells whether there is enough.
func (l *logFile) readBack(text *[]byte, budget *int64, n int, since time.Time) (bool, error) {
	info, err := l.f.Stat()
	if err != nil {
		return false, err
	}
	for end := info.Size(); end > 0; {
		size := min(end, tailBlock, *budget)
		if size == 0 {
			return true, nil
		}
		block := make([]byte, size, int(size)+len(*text))
		if _, err := l.f.ReadAt(block, end-size); err != nil {
			return false, err
		}
		end -= size
		*budget -= size
		*text = append(block, *text...)
		whole := *text // without the line whose beginning is not read
		if end > 0 {
			_, whole, _ = bytes.Cut(*text, []byte{'\n'})
		}
		lines := lastLines(whole, "", n+1, time.Time{})
		if len(lines) > n || len(lines) > 0 && !lines[0].Time.IsZero() && lines[0].Time.Before(since) {
			return true, nil
		}
	}
	return false, nil
}

// lastLines cuts text into lines and returns the last n of them.
func lastLines(text []byte, s Stream, n int, since time.Time) []Line {
	var (
		out []Line
		st  stamps
	)
	for len(text) > 0 {
		line, next, closed := nextLine(text, 0, true)
		open := closed && text[next-1] != '\n'
		at, kind, rest, ok := st.parse(line)
		text = text[next:]
		switch {
		case kind == restLine && len(out) > 0:
			last := &out[len(out)-1]
			last.Text += string(rest)
			last.Open = open
			continue
		case !ok && len(rest) == 0:
			continue
		}
		l := Line{Stream: s, Text: string(rest), Open: open}
		if ok {
			l.Time = time.Unix(0, at).UTC()
		}
		out = append(out, l)
	}
	if !since.IsZero() {
		out = slices.DeleteFunc(out, func(l Line) bool { return l.Time.Before(since) })
	}
	return out[max(0, len(out)-n):]
}
