package app

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/philiporange/supervisor/pkg/logs"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/settings"
)

// openLog makes the supervisor's own log: supervisor.log and the terminal.
func openLog(s *settings.Settings) (*slog.Logger, io.Closer) {
	log := logs.NewManagerLog(s.Log(), logs.ManagerLogOptions{JSON: s.LogFormat == settings.LogJSON, Level: s.LogLevel, Also: os.Stderr})
	return log.Logger(), log
}

// tailBytes is how much of a log file is looked at for its last lines.
const tailBytes = 32 << 10

// lastLines returns the last lines that a run has written to stderr, or to stdout when it said nothing there.
func lastLines(run process.Run, n int) []string {
	for _, stream := range []string{"stderr.log", "stdout.log"} {
		if lines := tail(filepath.Join(run.LogDir, stream), run.StartedAt, n); len(lines) > 0 {
			return lines
		}
	}
	return nil
}

// tail reads the last lines of a file that were written since a time, without their times.
func tail(path string, since time.Time, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	text := make([]byte, min(info.Size(), tailBytes))
	read, _ := f.ReadAt(text, info.Size()-int64(len(text)))
	text = text[:read]
	if int64(read) < info.Size() {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	var lines []string
	for line := range bytes.Lines(text) {
		stamp, rest, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte("] "))
		if !ok || len(stamp) == 0 || stamp[0] != '[' {
			continue
		}
		if at, err := time.Parse(time.RFC3339Nano, string(stamp[1:])); err != nil || at.Before(since) {
			continue
		}
		lines = append(lines, printable(rest))
	}
	return lines[max(0, len(lines)-n):]
}

// printable makes bytes that are no text visible.
func printable(line []byte) string {
	const most = 2000
	if len(line) > most {
		line = line[:most]
	}
	if bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0xfffd }) < 0 {
		return string(line)
	}
	quoted := strconv.Quote(string(line))
	return quoted[1 : len(quoted)-1]
}
