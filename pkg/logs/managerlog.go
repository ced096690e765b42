package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/natefinch/lumberjack.v2"
)

// The manager's own log is rotated at managerMB, and managerBackups older files are kept.
const (
	managerMB      = 10
	managerBackups = 5
)

// ManagerLogOptions say how the manager's own log is written.
type ManagerLogOptions struct {
	JSON  bool
	Level slog.Leveler // nil means info
	// Also gets everything as well, such as the terminal; may be nil.
	Also io.Writer
	// Replace changes attributes before they are written, to mask secrets for example; may be nil.
	Replace func(groups []string, a slog.Attr) slog.Attr
}

// ManagerLog is the log of the supervisor itself: supervisor.log, 10 MB, and five older ones.
type ManagerLog struct {
	file *lumberjack.Logger
	log  *slog.Logger
}

// NewManagerLog opens the log at path with the first line that is written.
func NewManagerLog(path string, o ManagerLogOptions) *ManagerLog {
	m := &ManagerLog{file: &lumberjack.Logger{Filename: path, MaxSize: managerMB, MaxBackups: managerBackups}}
	// A disk that is full must not silence the terminal.
	var to io.Writer = m.file
	if o.Also != nil {
		to = both{m.file, o.Also}
	}
	options := &slog.HandlerOptions{Level: o.Level, ReplaceAttr: o.Replace}
	if o.JSON {
		m.log = slog.New(slog.NewJSONHandler(to, options))
	} else {
		m.log = slog.New(slog.NewTextHandler(to, options))
	}
	return m
}

// both writes to two writers, each even when the other fails.
type both struct{ a, b io.Writer }

// Write implements io.Writer.
func (w both) Write(p []byte) (int, error) {
	_, errA := w.a.Write(p)
	_, errB := w.b.Write(p)
	if errA != nil && errB != nil {
		return 0, errors.Join(errA, errB)
	}
	return len(p), nil
}

// Logger writes into the log.
func (m *ManagerLog) Logger() *slog.Logger { return m.log }

// Close closes the file.
func (m *ManagerLog) Close() error { return m.file.Close() }

// Lines returns the last n lines, oldest first, and how many lines the current file has at least.
func (m *ManagerLog) Lines(n int) (lines []string, total int, err error) {
	return ManagerLines(m.file.Filename, n)
}

// ManagerLines is ManagerLog.Lines for a log that this process does not write.
func ManagerLines(path string, n int) (lines []string, total int, err error) {
	files, err := managerFiles(path)
	if err != nil {
		return nil, 0, err
	}
	lines = []string{}
	for i, name := range files {
		text, err := os.ReadFile(name) // at most managerMB
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("read the supervisor's log: %w", err)
		}
		count := bytes.Count(text, []byte{'\n'})
		if i == 0 {
			total = count
		}
		own := lastOf(text, n-len(lines))
		lines = append(own, lines...)
		if len(lines) >= n {
			break
		}
	}
	return lines, max(total, len(lines)), nil
}

// lastOf returns the last n lines of a text.
func lastOf(text []byte, n int) []string {
	text = bytes.TrimRight(text, "\n")
	if n <= 0 || len(text) == 0 {
		return nil
	}
	from := len(text)
	for range n {
		if from = bytes.LastIndexByte(text[:from], '\n'); from < 0 {
			break
		}
	}
	return strings.Split(string(text[from+1:]), "\n")
}

// managerFiles are the log and its older files, newest first. Their names carry times that sort as text.
func managerFiles(path string) ([]string, error) {
	ext := filepath.Ext(path)
	older, err := filepath.Glob(strings.TrimSuffix(path, ext) + "-*" + ext)
	if err != nil {
		return nil, fmt.Errorf("list the supervisor's logs: %w", err)
	}
	slices.Sort(older)
	slices.Reverse(older)
	return append([]string{path}, older...), nil
}
