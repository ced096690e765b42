package testenv

import (
	"database/sql"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

var floodBytes = flag.Int64("flood", 192<<20, "how many bytes the flood into a small disk has")

// A service prints far more than the disk of the data folder holds: it runs to its end, the other service's log goes on, the
// disk is never more than full, the database is whole, and the status says what is missing.
func TestFloodIntoASmallDisk(t *testing.T) {
	const disk = 64 << 20
	e := New(t)
	if err := unix.Mount("tmpfs", e.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", disk)); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(e.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.MkdirAll(e.Manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	e.Service("quiet", `command: [python3, -uc, "import time\ni=0\nwhile True:\n  print(i)\n  i+=1\n  time.sleep(0.01)"]`)
	e.StartManager()
	e.WaitPhase("quiet", v1.PhaseRunning)
	begun := time.Now()
	e.Service("loud", fmt.Sprintf("command: [sh, -c, \"yes %0*d | head -c %d; exec sleep 100000\"]", 99, 7, *floodBytes/100*100))
	e.WaitPhase("loud", v1.PhaseRunning)
	full := uint64(0)
	e.Wait("the end of the flood", func() bool {
		var fs unix.Statfs_t
		if err := unix.Statfs(e.Dir, &fs); err == nil {
			full = max(full, (fs.Blocks-fs.Bfree)*uint64(fs.Bsize))
		}
		return len(WithArgs(e, "head", "-c")) == 0
	})
	took := time.Since(begun)
	after, lost := 0, 0
	for line := range strings.Lines(e.LogText("quiet", "stdout")) {
		// In a moment when the disk is full to the last page, its lines cannot be kept either; then exactly that is said.
		if _, word, ok := strings.Cut(line, "]!supervisor: dropped "); ok {
			n := 0
			if _, err := fmt.Sscanf(word, "%d lines", &n); err != nil {
				t.Fatal(err)
			}
			after, lost = after+n, lost+n
			continue
		}
		if line != fmt.Sprintln(after) {
			t.Fatalf("the other service's line %d is %q", after, line)
		}
		after++
	}
	e.Wait("the other service is heard after the flood", func() bool {
		return strings.Contains(e.LogText("quiet", "stdout"), fmt.Sprintf("\n%d\n", after+10))
	})
	var stats wire.LogStats
	e.Wait("the index has seen all there is", func() bool {
		return e.get("/api/v1/services/loud/logs/stats", &stats) == http.StatusOK && stats.LagBytes == 0
	})
	e.Wait("the status says what is missing", func() bool {
		st := e.Status("loud")
		c := (*v1.Condition)(nil)
		if st != nil {
			c = v1.FindCondition(st.Conditions, v1.ConditionLogsComplete)
		}
		return c != nil && c.Status == v1.ConditionFalse && strings.Contains(c.Message, " lines ")
	})
	t.Logf("%d MB in %v; at most %d MiB of %d MiB; %+v; the other service lost %d lines", *floodBytes/1_000_000, took, full>>20, disk>>20, stats, lost)
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(e.Dir, "logs.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA quick_check(1)").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the index is %q, %v", verdict, err)
	}
	if c := v1.FindCondition(e.Status("quiet").Conditions, v1.ConditionLogsComplete); c == nil || (c.Status == v1.ConditionTrue) != (lost == 0) {
		t.Errorf("the quiet service's condition is %+v", c)
	}
}

// WithArgs returns the processes of the environment whose command line has all words.
func WithArgs(e *Env, words ...string) (pids []int) {
	mine := e.children()
	for _, pid := range withArgs(words...) {
		for _, m := range mine {
			if m == pid {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
