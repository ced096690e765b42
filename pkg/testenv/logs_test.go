package testenv

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// entries reads all entries of a service that match a query, oldest first.
func (e *Env) entries(service, query string) (out []wire.LogEntry) {
	e.t.Helper()
	for cursor := ""; ; {
		var page wire.LogPage
		path := "/api/v1/logs?limit=1000&service=" + service + query
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		if code := e.get(path, &page); code != http.StatusOK {
			e.t.Fatalf("GET %s: %d", path, code)
		}
		for _, row := range page.Rows {
			out = append([]wire.LogEntry{row}, out...)
		}
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

// Each line is a row, once and in order, however often the manager is killed while it is written.
func TestEachLineIsIndexedOnce(t *testing.T) {
	const lines = 6000
	e := Start(t, "LOG_LINES_PER_SECOND=1000000")
	// Half a megabyte in files of 64 KiB, in portions that leave time to kill.
	e.Service("count", fmt.Sprintf("command: [sh, -c, \"i=0; while [ $i -lt %d ]; do echo line $i of the many that are here; i=$((i+1)); [ $((i %% 500)) = 0 ] && sleep 0.1; done; exec sleep 100000\"]\nlogs: {maxBytes: 64Ki, backups: 100}", lines))
	e.WaitPhase("count", v1.PhaseRunning)
	for range 3 {
		before := len(e.LogText("count", "stdout"))
		e.Wait("the service says more", func() bool { return len(e.LogText("count", "stdout")) != before })
		e.KillManager()
		e.WaitManager()
		e.StartManager()
	}
	e.Wait("the last line is indexed", func() bool {
		var page wire.LogPage
		e.get("/api/v1/logs?service=count&limit=1&q="+strconv.Itoa(lines-1), &page)
		return len(page.Rows) == 1
	})
	rows := e.entries("count", "&stream=stdout")
	for i, row := range rows {
		if want := fmt.Sprintf("line %d of the many that are here", i); row.Text != want || row.Marker {
			t.Fatalf("row %d is %+v, want %q", i, row, want)
		}
	}
	if len(rows) != lines {
		t.Errorf("there are %d rows, want %d", len(rows), lines)
	}
}

func TestLogsAreFound(t *testing.T) {
	e := Start(t)
	e.Service("app", "command: [python3, -u, "+e.Dir+"/app.py]\nrestart: {policy: Never}")
	e.Write("../app.py", `import sys
print("INFO:     started on port 8000")
print("\x1b[33mWARNING\x1b[0m: the disk is nearly full")
def f():
    raise ValueError("the planted bug")
f()
`)
	e.Service("app", "command: [python3, -u, "+e.Dir+"/app.py]\nrestart: {policy: Never}\nenv: {TRY: again}")
	e.Wait("the service is known", func() bool {
		var s wire.Service
		return e.get("/api/services/app", &s) == http.StatusOK
	})
	e.Wait("the traceback is one entry", func() bool {
		found := e.entries("app", "&level=error&q=planted")
		return len(found) >= 1 && strings.HasPrefix(found[0].Text, "Traceback") && strings.Contains(found[0].Text, "in f\n")
	})
	if found := e.entries("app", "&level=warning"); len(found) < 1 || !strings.Contains(found[0].Text, "nearly full") {
		t.Errorf("warnings: %+v", found)
	}
	if found := e.entries("app", "&regexp=%5EINFO.*%5Cd%2B%24"); len(found) < 1 {
		t.Error("no row matches the regular expression")
	}
	var rows []wire.LogRow
	if e.get("/api/services/app/logs?level=error&q=planted", &rows); len(rows) < 1 || rows[0].Level != "error" || rows[0].ServiceID == 0 {
		t.Errorf("the rows are %+v", rows)
	}
	var text string
	if e.get("/api/v1/services/app/logs/raw", &text); !strings.Contains(text, "\x1b[33mWARNING") || !strings.Contains(text, "ValueError: the planted bug") {
		t.Errorf("the raw log is %q", text)
	}
	if out, code := e.CLI("logs", "app", "--grep", "nearly"); code != 0 || !strings.Contains(out, "disk is nearly full") || strings.Contains(out, "started") {
		t.Errorf("logs --grep: %d\n%s", code, out)
	}
	var stats wire.LogStats
	if e.get("/api/v1/services/app/logs/stats", &stats); stats.IndexBytes == 0 || stats.SkippedLines != 0 {
		t.Errorf("stats: %+v", stats)
	}
	// What comes faster than the budget is counted, and stays in the file.
	e.Service("flood", "command: [sh, -c, \"seq 1 5000; exec sleep 1000\"]\nlogs: {linesPerSecond: 10}")
	e.WaitPhase("flood", v1.PhaseRunning)
	e.Wait("skipped lines are counted", func() bool {
		e.get("/api/v1/services/flood/logs/stats", &stats)
		return stats.SkippedLines > 0 && stats.LagBytes == 0
	})
	kept, skipped := 0, int64(0)
	e.Wait("markers stand for what was skipped", func() bool {
		kept, skipped = 0, 0
		for _, row := range e.entries("flood", "") {
			if skipped += row.Skipped; !row.Marker {
				kept++
			}
		}
		return int64(kept)+skipped == 5000
	})
	if skipped == 0 {
		t.Error("nothing was skipped")
	}
	if e.get("/api/v1/services/flood/logs/raw?stream=stdout", &text); strings.Count(text, "\n") != 5000 {
		t.Errorf("the file has %d lines", strings.Count(text, "\n"))
	}
}
