package testenv

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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
		out = append(out, page.Rows...)
		if cursor = page.Next; cursor == "" {
			slices.Reverse(out)
			return out
		}
	}
}

// Manager and keeper are killed at random, alone and together, while services number their lines and files are rotated: what
// is in the index is each line once, in order, and where some are missing a marker stands for exactly so many.
func TestEachLineIsKeptOnce(t *testing.T) {
	t.Parallel()
	const lines, kills = 30_000, 14
	e := Start(t, "LOG_LINES_PER_SECOND=1000000")
	// A few megabytes in files of 64 KiB, in portions that leave time to kill.
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do echo line $i of the many; i=$((i+1)); [ $((i %% 500)) = 0 ] && sleep 0.1; done; exec sleep 100000`, lines)
	spec := fmt.Sprintf("command: [sh, -c, %q]\nlogs: {maxBytes: 64Ki, backups: 200", script)
	e.Service("count", spec+"}")
	e.Service("bounded", spec+", linesPerSecond: 100}")
	e.WaitPhase("count", v1.PhaseRunning)
	e.WaitPhase("bounded", v1.PhaseRunning)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(e.Dir, "logs", "count", "stdout.log"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	ended := func() bool {
		return strings.HasSuffix(e.LogText("count", "stdout"), fmt.Sprintf("line %d of the many\n", lines-1))
	}
	killed := 0
	for ; killed < kills && !ended(); killed++ {
		before := size()
		e.Wait("the service says more", func() bool { return size() != before || ended() })
		victim := rand.IntN(3)
		if victim != 0 {
			pids := withArgs("supervisor-keeper", filepath.Join(e.Dir, "keeper"))
			for _, pid := range pids {
				kill(pid)
			}
			e.Wait("the keeper's end", func() bool { return !slices.ContainsFunc(pids, Alive) })
		}
		if victim != 1 {
			e.KillManager()
			e.StartManager()
		}
		e.Wait("a keeper", func() bool { return len(withArgs("supervisor-keeper", filepath.Join(e.Dir, "keeper"))) == 1 })
	}
	for _, name := range []string{"count", "bounded"} {
		e.Wait("the last line of "+name+" has its row or its marker", func() bool {
			var stats wire.LogStats
			return strings.HasSuffix(e.LogText(name, "stdout"), fmt.Sprintf("line %d of the many\n", lines-1)) &&
				e.get("/api/v1/services/"+name+"/logs/stats", &stats) == http.StatusOK && stats.LagBytes == 0
		})
		next, skipped := 0, 0
		e.Wait("nothing of "+name+" is missing at the end", func() bool {
			next, skipped = 0, 0
			for i, row := range e.entries(name, "&stream=stdout") {
				if row.Marker {
					next += int(row.Skipped)
					skipped += int(row.Skipped)
					continue
				}
				if want := fmt.Sprintf("line %d of the many", next); row.Text != want {
					t.Fatalf("%s, after %d kills: row %d is %q, want %q", name, killed, i, row.Text, want)
				}
				next++
			}
			return next >= lines
		})
		if next != lines || (skipped > 0) != (name == "bounded") {
			t.Errorf("%s, after %d kills: rows and markers make %d lines of %d, %d of them skipped", name, killed, next, lines, skipped)
		}
	}
	if killed < 3 {
		t.Errorf("only %d kills", killed)
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
	// The contract knows three levels: what is debug is info there.
	e.Service("chatty", "command: [sh, -c, \"echo DEBUG: detail; echo INFO: news; exec sleep 1000\"]")
	e.WaitPhase("chatty", v1.PhaseRunning)
	e.Wait("debug is found as info", func() bool {
		rows = nil
		e.get("/api/services/chatty/logs?level=info", &rows)
		return len(rows) == 2 && rows[0].Level == "info" && rows[1].Level == "info"
	})
	if found := e.entries("chatty", "&level=debug"); len(found) != 1 || found[0].Level != "debug" {
		t.Errorf("debug: %+v", found)
	}
	// A deleted service takes its rows along; one made again under its name begins with its own.
	e.Remove("services/chatty.yaml")
	e.Wait("the service is gone", func() bool { return e.get("/api/services/chatty", new(any)) == http.StatusNotFound })
	e.Wait("nobody finds what it said", func() bool {
		var page wire.LogPage
		return e.get("/api/v1/logs?q=detail", &page) == http.StatusOK && len(page.Rows) == 0
	})
	e.Service("chatty", "command: [sh, -c, \"echo second life; exec sleep 1000\"]")
	e.Wait("the new one is heard", func() bool {
		var s wire.Service
		return e.get("/api/services/chatty", &s) == http.StatusOK && len(e.entries("chatty", "")) > 0
	})
	if found := e.entries("chatty", ""); len(found) != 1 || found[0].Text != "second life" {
		t.Errorf("the new one's rows: %+v", found)
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
