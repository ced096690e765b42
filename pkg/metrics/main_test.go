package metrics

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("METRICS_TEST_RECORD"); path != "" {
		recordForEver(context.Background(), path) //nolint:forbidigo // TestHistorySurvivesKill runs this binary anew
	}
	goleak.VerifyTestMain(m)
}

// lister is a Lister whose runs a test sets.
type lister struct {
	mu    sync.Mutex
	runs  []Run
	calls int
}

func (l *lister) LiveRuns() []Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	return slices.Clone(l.runs)
}

func (l *lister) set(runs ...Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = runs
}

func (l *lister) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// eventually polls a condition, as tests may not sleep for a guess.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		wait := time.NewTimer(5 * time.Millisecond)
		<-wait.C
	}
}

// start starts a shell script as a run, in a session of its own, and ends all that carries its id when the test ends.
func start(t testing.TB, script string, attr *syscall.SysProcAttr) Run {
	t.Helper()
	id := fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), time.Now().UnixNano())
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = append(os.Environ(), RunIDEnv+"="+id, "DIR="+t.TempDir())
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setsid = true
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		killTree(id)
		_ = cmd.Wait()
	})
	return Run{ID: id, Owner: "Service/web", PID: cmd.Process.Pid, StartedAt: time.Now()}
}

// killTree ends the processes that carry a run's id, until there are none.
func killTree(id string) {
	for range 100 {
		found := false
		dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, f := range dirs {
			b, err := os.ReadFile(f)
			if err != nil || !strings.Contains(string(b), RunIDEnv+"="+id+"\x00") {
				continue
			}
			var pid int
			if _, err := fmt.Sscanf(f, "/proc/%d/environ", &pid); err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				found = true
			}
		}
		if !found {
			return
		}
	}
}

// elapse lets the clock of a synctest bubble go on.
func elapse(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // In a bubble it costs no time.

func newTestScanner(t testing.TB) *scanner {
	t.Helper()
	s, err := newScanner()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func scanOne(t testing.TB, s *scanner, run Run) RunUsage {
	t.Helper()
	snap, err := s.scan(time.Now(), []Run{run})
	if err != nil {
		t.Fatal(err)
	}
	return snap.Runs[0]
}
