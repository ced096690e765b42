package metrics

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestScanFindsTheWholeTree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		processes    int
	}{
		{"leader alone", `exec sleep 100`, 1},
		{"child and grandchild", `sh -c 'sleep 100 & wait' & wait`, 3},
		{"grandchild with a session of its own", `sh -c 'setsid sleep 100 & wait' & wait`, 3},
		{"orphan", `(sleep 100 &); exec sleep 100`, 2},
		{"daemon: orphan with a session of its own", `(setsid sh -c 'sleep 100 & wait' &); exec sleep 100`, 3},
		{"python with a child", `exec python3 -c 'import subprocess; subprocess.run(["sleep", "100"])'`, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := start(t, tt.script, nil)
			s := newTestScanner(t)
			var u RunUsage
			eventually(t, fmt.Sprintf("%d processes", tt.processes), func() bool {
				u = scanOne(t, s, run)
				return u.Processes == tt.processes
			})
			// A process that is at exec has next to no memory for a moment.
			eventually(t, "over 50 KiB by PSS, threads, open files and bytes", func() bool {
				u = scanOne(t, s, run)
				return u.MemoryBytes > 50<<10 && u.MemoryKind == MemoryPSS && u.Threads >= tt.processes && u.OpenFiles >= tt.processes && u.IOKnown
			})
			if u.Net != nil {
				t.Errorf("network %+v of a run that shares ours", u.Net)
			}
		})
	}
}

func TestScanKeepsOrphansWithoutEnvironment(t *testing.T) {
	t.Parallel()
	// A program that writes over its environment (setproctitle) is known from the time when it had a parent in the tree.
	run := start(t, `sh -c 'exec env -i /bin/sleep 100' & echo $! > $DIR/pid; while ! [ -e $DIR/go ]; do sleep 0.02; done; exit`, nil)
	dir := runDir(t, run)
	s := newTestScanner(t)
	var child int
	eventually(t, "leader and child", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "pid"))
		child, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		if child == 0 {
			return false
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
		u := scanOne(t, s, run)
		return string(comm) == "sleep\n" && u.Processes >= 2
	})
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "only the child left", func() bool {
		return scanOne(t, s, run).Processes == 1
	})
}

// runDir is $DIR of a script that was started.
func runDir(t *testing.T, run Run) string {
	t.Helper()
	var dir string
	eventually(t, "an environment", func() bool { // there is none while the program is at exec
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", run.PID))
		for e := range strings.SplitSeq(string(b), "\x00") {
			if d, ok := strings.CutPrefix(e, "DIR="); ok {
				dir = d
			}
		}
		return dir != ""
	})
	return dir
}

func TestScanCountsCPUOfTheDead(t *testing.T) {
	t.Parallel()
	// Three children burn CPU one after the other and are waited for; all that was used is in what is left.
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = in.Close(), out.Close() }()
	cmd := exec.Command("/bin/sh", "-c", `for i in 1 2 3; do sh -c 'n=0; while [ $n -lt 60000 ]; do n=$((n+1)); done'; done; echo done; read x; exit 0`)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.SysProcAttr = out, &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	run := Run{ID: "r", Owner: "Service/burn", PID: cmd.Process.Pid, StartedAt: time.Now()}
	s := newTestScanner(t)
	var lastCPU time.Duration
	finished := make(chan string, 1)
	go func() { line, _ := bufio.NewReader(in).ReadString('\n'); finished <- line }()
	for done := false; !done; {
		select {
		case <-finished:
			done = true
		default:
		}
		u := scanOne(t, s, run)
		if u.CPUTime < lastCPU {
			t.Errorf("CPU time fell from %v to %v", lastCPU, u.CPUTime)
		}
		lastCPU = u.CPUTime
	}
	if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	spent := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	// Ticks of four processes, two figures each, are rounded.
	if diff := (spent - lastCPU).Abs(); diff > 100*time.Millisecond || lastCPU == 0 {
		t.Errorf("CPU time %v, the kernel says %v", lastCPU, spent)
	}
}

func TestScanRejectsAReusedPID(t *testing.T) {
	t.Parallel()
	run := start(t, `exec sleep 100`, nil)
	s := newTestScanner(t)
	if u := scanOne(t, s, run); u.Processes != 1 {
		t.Fatalf("%d processes, want 1", u.Processes)
	}
	s.runs[run.ID].leaderStart-- // as if our leader had been another process with that pid
	for _, p := range s.procs {
		p.run = nil
	}
	if u := scanOne(t, s, run); u.Processes != 0 {
		t.Errorf("a stranger that reused the pid is counted: %+v", u.Usage)
	}
}

func TestScanOfAVanishedRunIsEmpty(t *testing.T) {
	t.Parallel()
	s := newTestScanner(t)
	u := scanOne(t, s, Run{ID: "gone", Owner: "Service/gone", PID: 1 << 22, StartedAt: time.Now(), Cgroup: "/sys/fs/cgroup/no/such"})
	if u.Processes != 0 || u.MemoryBytes != 0 || u.CPUTime != 0 || u.IOKnown {
		t.Errorf("usage of nothing: %+v", u.Usage)
	}
}

// cgroupDir makes a cgroup v2, or skips the test where that cannot be.
func cgroupDir(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "cgroup2" {
			continue
		}
		dir, err := os.MkdirTemp(f[1], "metrics-test-")
		if err != nil {
			t.Skipf("no cgroup can be made: %v", err)
		}
		t.Cleanup(func() {
			_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
			eventually(t, "empty cgroup", func() bool {
				entries, _ := os.ReadDir(dir)
				for _, e := range entries {
					if e.IsDir() {
						_ = os.Remove(filepath.Join(dir, e.Name()))
					}
				}
				err := os.Remove(dir)
				return err == nil || errors.Is(err, os.ErrNotExist)
			})
		})
		return dir
	}
	t.Skip("no cgroup v2 is mounted")
	return ""
}

func startInCgroup(t testing.TB, dir, script string) Run {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	run := start(t, script, &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())})
	run.Cgroup = dir
	return run
}

func TestScanByCgroup(t *testing.T) {
	t.Parallel()
	dir := cgroupDir(t)
	// The daemon has neither parent, session nor environment in common with the run, and burners end with nobody waiting.
	run := startInCgroup(t, dir, `(setsid env -i /bin/sleep 100 &); `+
		`(sh -c 'n=0; while [ $n -lt 60000 ]; do n=$((n+1)); done' &); exec sleep 100`)
	s := newTestScanner(t)
	var u RunUsage
	eventually(t, "leader and daemon", func() bool {
		u = scanOne(t, s, run)
		return u.Processes == 2 && u.CPUTime > 0
	})
	b, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		t.Fatal(err)
	}
	usec, ok := parseCPUStat(b)
	if want := time.Duration(usec) * time.Microsecond; !ok || (want-u.CPUTime).Abs() > 50*time.Millisecond {
		t.Errorf("CPU time %v, the cgroup says %v", u.CPUTime, want)
	}
	for pid, p := range s.procs {
		if p.run == nil {
			t.Errorf("process %d was read and is not of the cgroup", pid)
		}
	}
}

func TestScanOfNestedCgroups(t *testing.T) {
	t.Parallel()
	dir := cgroupDir(t)
	run := startInCgroup(t, dir, `mkdir `+dir+`/inner && sleep 100 & p=$!; sleep 100 & q=$!; `+
		`while ! echo $q > `+dir+`/inner/cgroup.procs; do sleep 0.02; done; wait`)
	s := newTestScanner(t)
	eventually(t, "all of both cgroups", func() bool {
		inner, _ := os.ReadFile(filepath.Join(dir, "inner", "cgroup.procs"))
		return len(inner) > 0 && scanOne(t, s, run).Processes >= 3
	})
}

func TestScanOfOwnNetwork(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root may make a network namespace")
	}
	run := start(t, `exec sleep 100`, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	u := scanOne(t, newTestScanner(t), run)
	if u.Net == nil || u.Net.ReceivedBytes != 0 {
		t.Errorf("network %+v, want the zeros of an empty namespace", u.Net)
	}
}

func TestOwnerTotalsOutliveRuns(t *testing.T) {
	t.Parallel()
	s := newTestScanner(t)
	burn := `n=0; while [ $n -lt 60000 ]; do n=$((n+1)); done; exec sleep 100`
	var before time.Duration
	for i := range 2 {
		run := start(t, burn, nil)
		eventually(t, "CPU used", func() bool {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", run.PID))
			return string(b) == "sleep\n"
		})
		snap, err := s.scan(time.Now(), []Run{run})
		if err != nil {
			t.Fatal(err)
		}
		own, all := snap.Runs[0].CPUTime, snap.Owners[run.Owner].CPUTime
		if own == 0 || all != before+own {
			t.Errorf("run %d: owner's CPU time %v, want %v of before and %v of this run", i, all, before, own)
		}
		before = all
	}
}
