package keeper_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

func TestExitIsRecorded(t *testing.T) {
	h := newHouse(t)
	s := h.sh("echo out; echo err >&2; printf tail; exit 7")
	r := h.start(s)
	if r.PID == 0 || r.State != process.Running {
		t.Errorf("started as %+v", r)
	}
	e := h.ended(s.ID)
	if e.Code != 7 || e.Signal != 0 || e.Lost || e.Stopped {
		t.Errorf("exit %+v", e)
	}
	if e.Usage.MaxRSS == 0 {
		t.Errorf("no usage in %+v", e)
	}
	// Everything is in the files by the time of the exit.
	if got := h.text(s, "stdout"); !slices.Equal(got, []string{"out", "tail"}) {
		t.Errorf("stdout %q", got)
	}
	if got := h.text(s, "stderr"); !slices.Equal(got, []string{"err"}) {
		t.Errorf("stderr %q", got)
	}
	if err := h.Forget(h.ctx(), s.ID); err != nil {
		t.Fatal(err)
	}
	if h.run(s.ID) != nil {
		t.Error("the run is there after Forget")
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"obedient":             "exec sleep 1000",
		"shell with a child":   "sleep 1000; true",
		"child ignores TERM":   "trap '' TERM; sleep 1000 & sleep 1000",
		"setsid grandchild":    "setsid sleep 1000 & sleep 1000",
		"double-forked daemon": "(setsid sh -c 'sleep 1000 & exec sleep 1000' </dev/null >/dev/null 2>&1 &) ; sleep 1000",
		"stubborn daemon":      "(setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' </dev/null >/dev/null 2>&1 &) ; sleep 1000",
		"stopped":              "kill -STOP $$; sleep 1000",
	} {
		for _, cgroups := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, cgroups %v", name, cgroups), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, fmt.Sprintf("--cgroups=%v", cgroups))
				s := h.sh(script)
				h.start(s)
				h.until("its processes", func() bool {
					want := 1
					if strings.ContainsAny(script, "&") {
						want = 2
					}
					return len(h.marked()) >= want
				})
				if err := h.Stop(h.ctx(), s.ID, syscall.SIGTERM, 300*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				e := h.ended(s.ID)
				if !e.Stopped {
					t.Errorf("exit %+v is not marked as stopped", e)
				}
				if left := h.marked(); len(left) > 0 {
					t.Errorf("processes %v are left; exit %+v", left, e)
				}
			})
		}
	}
}

func TestLeaderLeavesTree(t *testing.T) {
	for _, cgroups := range []string{"--cgroups=true", "--cgroups=false"} {
		t.Run(cgroups, func(t *testing.T) { leaderLeavesTree(t, newHouse(t, cgroups)) })
	}
}

func leaderLeavesTree(t *testing.T, h *house) {
	s := h.sh("sleep 1000 & exit 3")
	s.StopGrace = 200 * time.Millisecond
	h.start(s)
	e := h.ended(s.ID)
	if e.Code != 3 || e.Stopped {
		t.Errorf("exit %+v", e)
	}
	if left := h.marked(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func TestStartErrors(t *testing.T) {
	h := newHouse(t)
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(h.dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	noShebang := file("noshebang", "echo hi\n", 0o755)
	badInterpreter := file("badinterp", "#!/no/such/interp -x\n", 0o755)
	crlf := file("crlf", "#!/bin/sh\r\necho\r\n", 0o755)
	plain := file("plain", "data", 0o644)
	core := int64(0)
	for _, tt := range []struct {
		name   string
		change func(*process.Spec)
		reason process.StartReason
		says   string
	}{
		{"not in PATH", func(s *process.Spec) { s.Argv = []string{"no-such-program"} }, process.ReasonNotFound, "no-such-program"},
		{"no such file", func(s *process.Spec) { s.Argv = []string{"/no/such/file"} }, process.ReasonNotFound, "/no/such/file"},
		{"no x", func(s *process.Spec) { s.Argv = []string{plain} }, process.ReasonNotExecutable, "chmod +x"},
		{"folder", func(s *process.Spec) { s.Argv = []string{h.dir} }, process.ReasonNotExecutable, "is a folder"},
		{"no shebang", func(s *process.Spec) { s.Argv = []string{noShebang} }, process.ReasonNotExecutable, "#!/bin/sh"},
		{"interpreter", func(s *process.Spec) { s.Argv = []string{badInterpreter} }, process.ReasonNotFound, "/no/such/interp"},
		{"windows lines", func(s *process.Spec) { s.Argv = []string{crlf} }, process.ReasonNotFound, "Windows"},
		{"cwd missing", func(s *process.Spec) { s.Dir = h.dir + "/a/b" }, process.ReasonBadFolder, "there is no " + h.dir + "/a;"},
		{"cwd file", func(s *process.Spec) { s.Dir = plain }, process.ReasonBadFolder, "not a folder"},
		{"cwd missing with shim", func(s *process.Spec) { s.Dir = h.dir + "/a"; s.Limits.CoreSize = &core }, process.ReasonBadFolder, h.dir + "/a"},
		{"no such file with shim", func(s *process.Spec) { s.Argv = []string{"/no/such/file"}; s.Limits.OpenFiles = 64 }, process.ReasonNotFound, "/no/such/file"},
		{"user", func(s *process.Spec) { s.User = "no-such-user" }, process.ReasonBadUser, "no-such-user"},
		{"group", func(s *process.Spec) { s.Group = "no-such-group" }, process.ReasonBadUser, "no-such-group"},
		{"log folder", func(s *process.Spec) { s.Logs.Dir = plain + "/x" }, process.ReasonBadLog, plain},
		{"no command", func(s *process.Spec) { s.Argv = nil }, process.ReasonBadSpec, "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := h.sh("true")
			tt.change(&s)
			_, err := h.Start(h.ctx(), s)
			var start *process.StartError
			if !errors.As(err, &start) {
				t.Fatalf("error is %v", err)
			}
			if start.Reason != tt.reason || !strings.Contains(start.Detail, tt.says) {
				t.Errorf("error is %v, want %s and %q", start, tt.reason, tt.says)
			}
			if h.run(s.ID) != nil {
				t.Error("a refused run is listed")
			}
			// The slot is free again.
			s = h.sh("true")
			s.Slot = "Service/run-x/0"
			h.start(s)
			h.ended(s.ID)
		})
	}
}

func TestSlotAndRepeat(t *testing.T) {
	h := newHouse(t)
	s := h.sh("exec sleep 1000")
	first := h.start(s)
	if again := h.start(s); again.PID != first.PID {
		t.Errorf("a repeated Start gave process %d beside %d", again.PID, first.PID)
	}
	other := h.sh("exec sleep 1000")
	other.Slot = s.Slot
	if _, err := h.Start(h.ctx(), other); !errors.Is(err, process.ErrSlotTaken) {
		t.Errorf("a second run in the slot: %v", err)
	}
	if err := h.Forget(h.ctx(), s.ID); !errors.Is(err, process.ErrBusy) {
		t.Errorf("forget of a live run: %v", err)
	}
	if err := h.Shutdown(h.ctx()); !errors.Is(err, process.ErrBusy) {
		t.Errorf("shutdown with a live run: %v", err)
	}
}

func TestWhatAProgramFinds(t *testing.T) {
	h := newHouse(t)
	mask := 0o077
	core := int64(1 << 20)
	s := h.sh(`umask; ulimit -n; ulimit -c; pwd; echo $SUPERVISOR_RUN_ID; cat /proc/$$/oom_score_adj
		grep -E 'SigIgn|SigBlk' /proc/self/status; echo to-stdout > /dev/stdout; read x; echo $?; echo $(ls /proc/self/fd); env | wc -l`)
	s.Umask, s.Dir = &mask, h.dir
	s.Limits = process.Limits{OpenFiles: 77, CoreSize: &core}
	s.Env = append(s.Env, "A=b")
	h.start(s)
	h.ended(s.ID)
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	got := h.text(s, "stdout")
	want := []string{
		"0077", "77", "2048", h.dir, string(s.ID), strings.TrimSpace(string(own)),
		"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "to-stdout", "1", "0 1 2 3", "6",
	}
	if len(got) > 2 {
		got[2] = "2048" // the unit of ulimit -c differs between shells
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestUserAndGroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a program is started as another user")
	}
	h := newHouse(t)
	if err := os.Chmod(h.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, limits := range []process.Limits{{}, {OpenFiles: 100}} {
		s := h.sh("id -u; id -g; echo x > /dev/stderr")
		s.User, s.Limits = "nobody", limits
		h.start(s)
		if e := h.ended(s.ID); e.Code != 0 {
			t.Errorf("exit %+v: %q", e, h.text(s, "stderr"))
		}
		if got := h.text(s, "stdout"); len(got) != 2 || got[0] == "0" || got[1] == "0" {
			t.Errorf("ids %q", got)
		}
		if got := h.text(s, "stderr"); !slices.Equal(got, []string{"x"}) {
			t.Errorf("stderr %q", got)
		}
	}
}

func TestSecondStopShortensTheGrace(t *testing.T) {
	h := newHouse(t)
	s := h.sh("trap '' TERM; while :; do sleep 0.05; done")
	h.start(s)
	h.until("the trap", func() bool { return len(h.marked()) > 1 })
	for _, grace := range []time.Duration{time.Hour, 50 * time.Millisecond, time.Hour} {
		if err := h.Stop(h.ctx(), s.ID, syscall.SIGTERM, grace); err != nil {
			t.Fatal(err)
		}
	}
	if e := h.ended(s.ID); !e.Killed || e.Signal != int(syscall.SIGKILL) || !e.Stopped {
		t.Errorf("exit %+v", e)
	}
}

func TestNoTraceIsLeft(t *testing.T) {
	h := newHouse(t)
	for range 5 {
		s := h.sh("true")
		h.start(s)
		h.ended(s.ID)
	}
	r := h.start(h.sh("exec sleep 1000"))
	cg := r.Cgroup
	if err := h.Stop(h.ctx(), r.ID, syscall.SIGTERM, time.Second); err != nil {
		t.Fatal(err)
	}
	h.ended(r.ID)
	fifos := func() []string {
		var found []string
		for _, pattern := range []string{"/run/supervisor-*", "/run/user/*/supervisor-*", "/dev/shm/supervisor-*", h.dir + "/fifo"} {
			matches, err := filepath.Glob(pattern + "/" + strconv.FormatInt(int64(h.pid()), 36) + "-*")
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, matches...)
		}
		return found
	}
	h.until("the FIFOs to go", func() bool { return len(fifos()) == 0 })
	if cg == "" {
		return
	}
	h.until("the cgroup to go", func() bool {
		_, err := os.Stat(cg)
		return os.IsNotExist(err)
	})
	if err := h.Shutdown(h.ctx()); err != nil {
		t.Fatal(err)
	}
	h.down = true
	h.until("the keeper's cgroup to go", func() bool {
		_, err := os.Stat(filepath.Dir(cg))
		return os.IsNotExist(err)
	})
}

func TestKeeperKilled(t *testing.T) {
	for _, cgroups := range []string{"--cgroups=true", "--cgroups=false"} {
		t.Run(cgroups, func(t *testing.T) { keeperKilled(t, newHouse(t, cgroups)) })
	}
}

func keeperKilled(t *testing.T, h *house) {
	counter := h.sh("i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo line $i; [ $((i%20)) = 0 ] && sleep 0.005; done")
	h.start(counter)
	quick := h.sh("sleep 0.3; exit 9")
	h.start(quick)
	stubborn := h.sh("trap '' TERM; sleep 1000 & sleep 1000")
	before := h.start(stubborn)
	h.until("some lines", func() bool { _, err := os.Stat(filepath.Join(counter.Logs.Dir, "stdout.log")); return err == nil })
	hello, err := h.Hello(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	pids := h.marked()
	if err := syscall.Kill(hello.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.until("the keeper's death", func() bool { return !alive(hello.PID) })
	for _, pid := range pids {
		if pid != hello.PID && !alive(pid) && pid == before.PID {
			t.Errorf("process %d died with the keeper", pid)
		}
	}
	h.until("an exit while nobody is there", func() bool { return !alive(h.run(quick.ID).PID) })
	h.launch()
	h.until("another keeper", func() bool { now, err := h.Hello(h.ctx()); return err == nil && now.PID != hello.PID })
	now, err := h.Hello(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if now.Session != hello.Session {
		t.Errorf("session %s became %s", hello.Session, now.Session)
	}
	// Its new parent may not have waited for it yet; then the code is still to be had.
	if e := h.ended(quick.ID); e.Lost == (e.Code == 9) || (e.Lost && e.Code != -1) {
		t.Errorf("an exit that nobody saw is %+v", e)
	}
	h.until("adoption", func() bool { r := h.run(stubborn.ID); return r.Adopted })
	if r := h.run(stubborn.ID); r.PID != before.PID || r.State != process.Running {
		t.Errorf("adopted as %+v", r)
	}
	if e := h.ended(counter.ID); e.Code != 0 {
		t.Errorf("the exit of an adopted run is %+v", e)
	}
	last, missing := 0, 0
	for _, line := range h.text(counter, "stdout") {
		var n int
		if _, err := fmt.Sscanf(line, "line %d", &n); err != nil || n <= last {
			t.Fatalf("%q after line %d", line, last)
		}
		missing += n - last - 1
		last = n
	}
	// At most what was between the pipe and the file in that moment.
	if missing > 20 || last != 4000 {
		t.Errorf("%d lines are missing, the last is %d", missing, last)
	}
	if err := h.Stop(h.ctx(), stubborn.ID, syscall.SIGTERM, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	h.ended(stubborn.ID)
	if left := h.marked(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

func TestUpgradeLosesNothing(t *testing.T) {
	h := newHouse(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var specs []process.Spec
	for range 8 {
		s := h.sh("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; [ $((i%30)) = 0 ] && sleep 0.005; done; exit 4")
		h.start(s)
		specs = append(specs, s)
	}
	pid := h.pid()
	if _, err := h.Upgrade(h.ctx(), "/bin/true"); err == nil {
		t.Error("became /bin/true")
	}
	if _, err := h.Upgrade(h.ctx(), h.dir+"/none"); err == nil {
		t.Error("became what is not there")
	}
	short := make([]process.Spec, 200) // each ends at once: no exit falls between two programs
	for i := range short {
		short[i] = h.sh("exit 6")
	}
	ctx := h.ctx()
	var starter sync.WaitGroup
	starter.Go(func() {
		for _, s := range short {
			if _, err := h.Start(ctx, s); err != nil {
				t.Error(err)
			}
		}
	})
	for range 5 {
		if _, err := h.Upgrade(h.ctx(), self); err != nil {
			t.Fatal(err)
		}
		quick := h.sh("exit 5")
		h.start(quick)
		if e := h.ended(quick.ID); e.Code != 5 {
			t.Errorf("exit %+v", e)
		}
	}
	if h.pid() != pid {
		t.Errorf("keeper %d became %d", pid, h.pid())
	}
	starter.Wait()
	for _, s := range short {
		if e := h.ended(s.ID); e.Code != 6 || e.Lost {
			t.Errorf("exit of %s: %+v", s.ID, e)
		}
	}
	for _, s := range specs {
		if e := h.ended(s.ID); e.Code != 4 || e.Lost {
			t.Errorf("exit %+v", e)
		}
		got := h.text(s, "stdout")
		for i, line := range got {
			if line != fmt.Sprintf("line %d", i+1) {
				t.Fatalf("%s: line %d is %q", s.ID, i+1, line)
			}
		}
		if len(got) != 3000 {
			t.Errorf("%s: %d lines", s.ID, len(got))
		}
	}
}

// Limits hold for the tree, and an end for want of memory is told from others.
func TestLimits(t *testing.T) {
	h := newHouse(t)
	s := h.sh("tail /dev/zero & wait $!; exit $?")
	s.Limits = process.Limits{MemoryMax: 32 << 20, PidsMax: 20, CPUMilli: 500}
	if r := h.start(s); len(r.Warnings) > 0 {
		if err := h.Stop(h.ctx(), s.ID, syscall.SIGKILL, 0); err != nil {
			t.Fatal(err)
		}
		t.Skipf("limits cannot be had here: %q", r.Warnings)
	}
	e := h.ended(s.ID)
	if e.OOM == nil || !*e.OOM || e.Code != 128+int(syscall.SIGKILL) {
		t.Errorf("exit %+v, OOM %v", e, e.OOM)
	}
	bomb := h.sh("i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done; wait")
	bomb.Limits = process.Limits{PidsMax: 20}
	bomb.StopGrace = 100 * time.Millisecond
	h.start(bomb)
	if e := h.ended(bomb.ID); e.Code == 0 {
		t.Errorf("40 processes ran where 20 may; exit %+v", e)
	}
}

// Signals that our launcher ignores or blocks (nohup, a shell's &, a careless parent) are not so for what we start.
func TestSignalsOfTheLauncher(t *testing.T) {
	h := newHouse(t)
	if err := h.Shutdown(h.ctx()); err != nil {
		t.Fatal(err)
	}
	signals := []string{"/usr/bin/env", "--block-signal=TERM,USR1", "--ignore-signal=INT,QUIT,HUP,PIPE"}
	if err := exec.Command(signals[0], append(signals[1:], "true")...).Run(); err != nil {
		t.Skipf("needs an env that can block signals: %v", err)
	}
	argv := append(signals, self(t), "--dir", h.dir)
	h.until("a keeper that is not the old one", func() bool {
		if err := process.LaunchCommand(t.Context(), argv, []string{keeperMode + "=one", "GORACE=atexit_sleep_ms=0"}, h.dir); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(filepath.Join(h.dir, process.SocketName))
		return err == nil
	})
	s := h.sh("grep -E 'SigIgn|SigBlk' /proc/self/status")
	h.start(s)
	h.ended(s.ID)
	if got, want := h.text(s, "stdout"), []string{"SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
