package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

const (
	// maxScan bounds how much of one file is read for its last lines, in bytes.
	maxScan = 8 << 20
	// rowsTail is how many lines of each file the rows of the API are taken from.
	rowsTail = 2000
)

// logFiles reads the keeper's files, which are the truth about what services have said.
type logFiles struct{ a *App }

// Rows implements rest.LogReader.
func (l logFiles) Rows(_ context.Context, q rest.LogQuery) ([]wire.LogRow, error) {
	id, _, _, ok := l.a.store.ObjectInfo(q.Key)
	if !ok {
		return []wire.LogRow{}, nil
	}
	lines, err := l.last(q.Key.Name, "", rowsTail)
	if err != nil {
		return nil, err
	}
	rows := []wire.LogRow{}
	for _, line := range slices.Backward(lines) {
		level := levelOf(line)
		if q.Level != "" && q.Level != level {
			continue
		}
		rows = append(rows, wire.LogRow{ID: uint64(line.Time.UnixMicro()), ServiceID: id, Level: level, Message: line.Text, Timestamp: line.Time})
	}
	rows = rows[min(q.Offset, len(rows)):]
	return rows[:min(q.Limit, len(rows))], nil
}

// levelOf guesses a line's level from the words that loggers begin their lines with.
func levelOf(line wire.LogLine) string {
	head := strings.ToUpper(line.Text[:min(len(line.Text), 120)])
	switch {
	case strings.Contains(head, "ERROR"), strings.Contains(head, "CRITICAL"), strings.Contains(head, "FATAL"),
		strings.Contains(head, "TRACEBACK"), strings.Contains(head, "PANIC:"):
		return "error"
	case strings.Contains(head, "WARN"):
		return "warning"
	}
	return "info"
}

// file is one log file of a service.
type file struct {
	service, stream, path string
}

// files are the current log files of a service, of all its replicas.
func (l logFiles) files(service, stream string) []file {
	var out []file
	root := filepath.Join(l.a.settings.Logs(), service)
	dirs := []string{root}
	if more, err := filepath.Glob(filepath.Join(root, "replica-*")); err == nil {
		dirs = append(dirs, more...)
	}
	for _, dir := range dirs {
		for _, s := range []string{"stdout", "stderr"} {
			if stream == "" || stream == s {
				out = append(out, file{service, s, filepath.Join(dir, s+".log")})
			}
		}
	}
	return out
}

// last returns the last n lines of a service, oldest first; all of them when n is negative.
func (l logFiles) last(service, stream string, n int) ([]wire.LogLine, error) {
	var lines []wire.LogLine
	for _, f := range l.files(service, stream) {
		own, err := f.last(n)
		if err != nil {
			return nil, err
		}
		lines = append(lines, own...)
	}
	sortLines(lines)
	if n >= 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, nil
}

func sortLines(lines []wire.LogLine) {
	slices.SortStableFunc(lines, func(a, b wire.LogLine) int { return a.Time.Compare(b.Time) })
}

// last reads the last n lines of a file, and of the rotated ones before it where it has too few.
func (f file) last(n int) ([]wire.LogLine, error) {
	var lines []wire.LogLine
	for i := 0; n < 0 || len(lines) < n; i++ {
		path := f.path
		if i > 0 {
			path += "." + strconv.Itoa(i)
		}
		text, err := readTail(path, n < 0)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		lines = append(f.parse(text), lines...)
	}
	if n >= 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, nil
}

func readTail(path string, whole bool) ([]byte, error) {
	h, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, err
	}
	from := info.Size() - maxScan
	if from <= 0 || whole {
		return io.ReadAll(h)
	}
	text := make([]byte, maxScan)
	n, err := h.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	_, text, _ = bytes.Cut(text[:n], []byte("\n"))
	return text, nil
}

func (f file) parse(text []byte) []wire.LogLine {
	var lines []wire.LogLine
	for raw := range bytes.Lines(text) {
		if line, ok := f.line(raw); ok {
			lines = append(lines, line)
		}
	}
	return lines
}

func (f file) line(raw []byte) (wire.LogLine, bool) {
	stamp, rest, ok := bytes.Cut(bytes.TrimRight(raw, "\r\n"), []byte("] "))
	if !ok || len(stamp) == 0 || stamp[0] != '[' {
		return wire.LogLine{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp[1:]))
	if err != nil {
		return wire.LogLine{}, false
	}
	return wire.LogLine{
		Service: f.service, Stream: f.stream, Time: at, Text: strings.ToValidUTF8(string(rest), "\ufffd"), Cursor: at.Format(time.RFC3339Nano),
	}, true
}

// Lines implements rest.LogReader.
func (l logFiles) Lines(ctx context.Context, services []string, o wire.LogOptions, fn func(wire.LogLine) error) error {
	if len(services) == 0 {
		for _, object := range l.a.desired.List(v1.KindService) {
			services = append(services, object.Meta().Name)
		}
	}
	since, tailN := o.Since, o.Tail
	if o.Resume != "" {
		at, err := time.Parse(time.RFC3339Nano, o.Resume)
		if err != nil {
			return rest.Errorf(wire.CodeInvalid, "%q is no cursor of a log line", o.Resume)
		}
		since, tailN = at.Add(1), -1
	}
	// The watch begins before the files are read, so that no line falls between the two.
	var w *fsnotify.Watcher
	var follow []*follower
	if o.Follow {
		var err error
		if w, err = fsnotify.NewBufferedWatcher(64); err != nil {
			return fmt.Errorf("follow logs: %w", err)
		}
		defer w.Close()
	}
	var lines []wire.LogLine
	for _, s := range services {
		for _, f := range l.files(s, o.Stream) {
			if o.Follow {
				fo := &follower{file: f}
				if err := w.Add(filepath.Dir(f.path)); err == nil {
					fo.open()
				}
				follow = append(follow, fo)
			}
		}
		own, err := l.last(s, o.Stream, tailN)
		if err != nil {
			return err
		}
		lines = append(lines, own...)
	}
	sortLines(lines)
	var newest time.Time
	for _, line := range lines {
		newest = line.Time
		if line.Time.Before(since) {
			continue
		}
		if err := fn(line); err != nil {
			return err
		}
	}
	if !o.Follow {
		return nil
	}
	for {
		var fresh []wire.LogLine
		for _, fo := range follow {
			fresh = append(fresh, fo.more()...)
		}
		sortLines(fresh)
		for _, line := range fresh {
			if !line.Time.After(newest) && cmp.Compare(line.Time.UnixNano(), newest.UnixNano()) <= 0 {
				continue // was in the tail
			}
			if err := fn(line); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-w.Events:
			if !open {
				return nil
			}
		case <-w.Errors:
		}
	}
}

// follower reads on in a file, also when another takes its place.
type follower struct {
	file
	h    *os.File
	part []byte
}

// open begins at the end of what is there.
func (f *follower) open() {
	h, err := os.Open(f.path)
	if err != nil {
		return
	}
	if _, err := h.Seek(0, io.SeekEnd); err != nil {
		_ = h.Close()
		return
	}
	f.h = h
}

// more returns the lines that have been completed since the last call.
func (f *follower) more() []wire.LogLine {
	var lines []wire.LogLine
	for {
		if f.h != nil {
			text, err := io.ReadAll(f.h)
			if err == nil {
				f.part = append(f.part, text...)
			}
		}
		if cut := bytes.LastIndexByte(f.part, '\n') + 1; cut > 0 {
			lines = append(lines, f.parse(f.part[:cut])...)
			f.part = slices.Clone(f.part[cut:])
		}
		now, err := os.Stat(f.path)
		if err != nil {
			return lines
		}
		if f.h != nil {
			if mine, err := f.h.Stat(); err == nil && os.SameFile(mine, now) {
				return lines
			}
			_ = f.h.Close()
		}
		if f.h, err = os.Open(f.path); err != nil {
			f.h = nil
			return lines
		}
	}
}

var _ rest.LogReader = logFiles{}
