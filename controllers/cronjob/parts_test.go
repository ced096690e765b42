package cronjob

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

func TestOutcome(t *testing.T) {
	yes := true
	for _, tt := range []struct {
		name    string
		stop    string
		exit    process.Exit
		state   ledger.State
		reason  string
		message string
	}{
		{"good", "", process.Exit{}, ledger.Succeeded, reasonExit, "exited with code 0"},
		{"bad", "", process.Exit{Code: 2}, ledger.Failed, reasonExit, "exited with code 2"},
		{"signal", "", process.Exit{Code: -1, Signal: 11, Core: true}, ledger.Failed, reasonSignal, "was ended by SIGSEGV (core dumped)"},
		{"memory", "", process.Exit{Code: -1, Signal: 9, OOM: &yes}, ledger.Failed, reasonMemory, "was ended by SIGKILL (out of memory)"},
		{"lost", "stopped", process.Exit{Code: -1, Lost: true, Stopped: true}, ledger.Failed, reasonLost, "nobody saw how it ended"},
		{"timeout", "timeout", process.Exit{Code: -1, Signal: 15, Stopped: true}, ledger.TimedOut, reasonTimeout, "it took longer than its timeout of 5m, and was ended by SIGTERM"},
		{"timeout, and a clean exit", "timeout", process.Exit{Stopped: true}, ledger.TimedOut, reasonTimeout, "it took longer than its timeout of 5m, and exited with code 0"},
		{"timeout, but it was faster", "timeout", process.Exit{}, ledger.Succeeded, reasonExit, "exited with code 0"},
		{"stopped", "stopped", process.Exit{Signal: 15, Stopped: true}, ledger.Stopped, "stopped", "it was asked to stop, and was ended by SIGTERM"},
		{"replaced", "replaced", process.Exit{Signal: 15, Stopped: true}, ledger.Stopped, "replaced", "a newer run has taken its place, and it was ended by SIGTERM"},
		{"deleted", "deleted", process.Exit{Signal: 15, Stopped: true}, ledger.Stopped, "deleted", "its job was deleted, and it was ended by SIGTERM"},
		{"shutdown", "", process.Exit{Signal: 15, Stopped: true}, ledger.Stopped, reasonShutdown, "it was stopped with everything else, and was ended by SIGTERM"},
		{"something is left", "", process.Exit{Code: 1, Left: []string{"7 dd"}}, ledger.Failed, reasonExit, "exited with code 1; still there: 7 dd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state, reason, message := outcome(&ledger.Row{StopReason: tt.stop}, &tt.exit, 5*time.Minute)
			if state != tt.state || reason != tt.reason || message != tt.message {
				t.Errorf("%s %s %q", state, reason, message)
			}
		})
	}
}

func TestRetryOf(t *testing.T) {
	job := &v1.CronJob{Spec: v1.CronJobSpec{Retries: v1.Retries{Limit: 20, Delay: v1.D(time.Hour)}}}
	job.Default()
	row := ledger.Row{Instant: noon, Trigger: ledger.Scheduled, State: ledger.Failed, FinishedAt: noon}
	for attempt, want := range map[int]time.Duration{1: time.Hour, 2: 2 * time.Hour, 4: 8 * time.Hour, 6: maxBackoff, 20: maxBackoff} {
		row.Attempt = attempt
		if r := retryOf(job, &row); r == nil || r.Attempt != attempt+1 || r.NotBefore.Sub(noon) != want {
			t.Errorf("after attempt %d: %+v", attempt, r)
		}
	}
	row.Attempt = 21
	if retryOf(job, &row) != nil {
		t.Error("beyond the limit")
	}
	row.Attempt = 1
	for _, state := range []ledger.State{ledger.Succeeded, ledger.Stopped, ledger.Skipped} {
		row.State = state
		if retryOf(job, &row) != nil {
			t.Errorf("after %s", state)
		}
	}
	row.State, row.Trigger = ledger.Failed, ledger.Manual
	if retryOf(job, &row) != nil {
		t.Error("of a manual run")
	}
	row.Trigger = ledger.CatchUp
	off := false
	job.Spec.Enabled = &off
	if retryOf(job, &row) != nil || retryOf(nil, &row) != nil {
		t.Error("of a job that is paused or gone")
	}
}

func TestJitterIsSpreadAndStays(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 200 {
		instant := noon.Add(time.Duration(i) * time.Minute)
		d := jitter("job", instant, time.Minute)
		if d < 0 || d >= time.Minute || d != jitter("job", instant, time.Minute) {
			t.Fatalf("%v", d)
		}
		seen[d/(10*time.Second)] = true
	}
	if len(seen) != 6 {
		t.Errorf("it falls into %d of 6 parts", len(seen))
	}
	if jitter("job", noon, 0) != 0 {
		t.Error("none was asked for")
	}
}

func TestOutput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const stamp = "[2026-01-05T12:00:00.123456789Z]"
	write("stdout.log", stamp+" newest")
	write("stdout.log.1", stamp+" mid\n"+stamp+"+dle\n")
	write("stdout.log.2", stamp+" oldest\nwithout a stamp\n")
	write("stderr.log", stamp+" bad \xff and \x00\n")
	stdout, stderr := readOutput(dir, 100)
	if stdout != "oldest\nwithout a stamp\nmiddle\nnewest" || stderr != "bad \uFFFD and \uFFFD\n" {
		t.Errorf("%q %q", stdout, stderr)
	}
	// All of it is looked at, and too much.
	stdout, _ = readOutput(dir, 32)
	if !strings.HasPrefix(stdout, "oldest\nw\n[... the middle") || !strings.HasSuffix(stdout, "...]\nut a stamp\nmiddle\nnewest") {
		t.Errorf("%q", stdout)
	}
	// Only its ends are looked at.
	write("stdout.log.1", strings.Repeat(stamp+" line\n", 1000))
	stdout, _ = readOutput(dir, 64)
	if !strings.HasPrefix(stdout, "oldest\nwithout a\n[... the middle") || !strings.HasSuffix(stdout, "...]\ne\nline\nline\nline\nline\nline\nline\nline\nline\nnewest") {
		t.Errorf("%q", stdout)
	}
	if stdout, stderr := readOutput("", 10); stdout+stderr != "" {
		t.Error("something out of nowhere")
	}
	if stdout, stderr := readOutput(filepath.Join(dir, "none"), 10); stdout+stderr != "" {
		t.Error("something out of a folder that is not there")
	}
}

func TestOutputIsOnRecord(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) { s.History.Keep = 1 })
	w.config.Peak = func(process.RunID) (Peak, bool) { return Peak{CPUPercent: 80, MemoryBytes: 5 << 20}, true }
	w.restart()
	var dirs []string
	for range 2 {
		w.advance(time.Hour)
		run := w.keeper.Runs(key.String())[0]
		dirs = append(dirs, run.LogDir)
		if err := os.MkdirAll(run.LogDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(run.LogDir, "stdout.log"), []byte("hello\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.keeper.ExitWith(run.ID, process.Exit{At: w.now, Usage: process.Usage{UserTime: time.Second, MaxRSS: 9 << 20}})
		w.settle()
	}
	rows := w.rows(key)
	if len(rows) != 1 || rows[0].Stdout != "hello\n" || rows[0].MemoryBytes != 9<<20 || rows[0].CPUPercent < 80 || rows[0].UserTime != time.Second {
		t.Errorf("%+v", rows)
	}
	if _, err := os.Stat(dirs[0]); !os.IsNotExist(err) {
		t.Errorf("the output of what was pruned is still there: %v", err)
	}
	if _, err := os.Stat(dirs[1]); err != nil {
		t.Error(err)
	}
}

func TestSlots(t *testing.T) {
	var invited []string
	s := newSlots(3, 1, func(key v1.Key) { invited = append(invited, key.Name) })
	key := func(name string) v1.Key { return v1.Key{Kind: v1.KindCronJob, Name: name} }
	expect := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(invited, want) {
			t.Errorf("%s: invited %v, want %v", what, invited, want)
		}
		invited = nil
	}
	s.hold("old", true)
	if !s.take("old", key("x"), true) || s.take("c1", key("c1"), true) || !s.take("a", key("a"), false) || !s.take("b", key("b"), false) {
		t.Fatal("the first three")
	}
	if s.take("d", key("d"), false) || s.take("c1", key("c1"), true) || s.take("e", key("e"), false) {
		t.Fatal("more than there are")
	}
	s.release("a")
	expect("a slot, but not for catching up", "d")
	s.release("unknown")
	s.looked(key("d")) // it does not want it any more
	expect("the next in line", "e")
	if !s.take("e", key("e"), false) {
		t.Fatal("the slot is there")
	}
	s.looked(key("e"))
	expect("nobody else can")
	s.release("old")
	expect("now there is one for catching up", "c1")
	if !s.take("c1", key("c1"), true) {
		t.Fatal("the slot is there")
	}
	s.looked(key("c1"))
	expect("the line is empty")
}

func TestRowOfARun(t *testing.T) {
	row := ledger.Row{Job: "backup", Instant: noon, Attempt: 3, Trigger: ledger.CatchUp}
	run := process.Run{ID: runID(&row), Labels: labels(&row)}
	got, ok := rowOf("backup", &run)
	if !ok || !got.Instant.Equal(noon) || got.Attempt != 3 || got.Trigger != ledger.CatchUp || runID(&got) != run.ID {
		t.Errorf("%+v", got)
	}
	for i, labels := range []map[string]string{nil, {"instant": "x", "attempt": "1"}, {"instant": "1", "attempt": "0"}} {
		if _, ok := rowOf("backup", &process.Run{Labels: labels}); ok {
			t.Errorf("%d: labels that are not ours", i)
		}
	}
}

func TestZones(t *testing.T) {
	if _, err := parse("0 0 * * *", "Mars/Olympus", false); err == nil || !strings.Contains(fmt.Sprint(err), "IANA") {
		t.Errorf("%v", err)
	}
}
