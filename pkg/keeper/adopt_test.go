package keeper_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// kill ends the keeper the hard way and waits until it is gone.
func (h *house) kill() {
	h.t.Helper()
	h.killPID(h.pid())
}

func (h *house) killPID(pid int) {
	h.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		h.t.Fatal(err)
	}
	h.until("the keeper's death", func() bool { return !alive(pid) })
	// A process whose first thread is a zombie may have others that are on their way out, and hold its files.
	h.until("the folder's lock", func() bool {
		f, err := os.Open(filepath.Join(h.dir, "lock"))
		if err != nil {
			return true
		}
		defer f.Close()
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
}

// edit changes the journal of a dead keeper.
func (h *house) edit(pattern, replacement string) {
	h.t.Helper()
	path := filepath.Join(h.dir, "journal")
	raw, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	now := regexp.MustCompile(pattern).ReplaceAll(raw, []byte(replacement))
	if string(now) == string(raw) {
		h.t.Fatalf("%s is not in the journal:\n%s", pattern, raw)
	}
	if err := os.WriteFile(path, now, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// A process that has the pid of a run and another start time is a stranger: the run is lost, and the stranger is not touched.
func TestRecycledPidIsNotAdopted(t *testing.T) {
	for _, cgroups := range []string{"--cgroups=true", "--cgroups=false"} {
		t.Run(cgroups, func(t *testing.T) {
			stranger := exec.Command("sleep", "1000")
			stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := stranger.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if !alive(stranger.Process.Pid) {
					t.Error("the stranger is dead")
				}
				_ = stranger.Process.Kill()
				_ = stranger.Wait()
			}()
			h := newHouse(t, cgroups)
			r := h.start(h.sh("exec sleep 1000"))
			h.kill()
			if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			h.until("the death of the run", func() bool { return !alive(r.PID) })
			h.edit(`"op":"pid","id":"run-1","pid":\d+`, `"op":"pid","id":"run-1","pid":`+strconv.Itoa(stranger.Process.Pid))
			h.launch()
			if e := h.ended(r.ID); !e.Lost || e.Code != -1 {
				t.Errorf("exit %+v", e)
			}
		})
	}
}

func TestAnotherBootIsAnotherSession(t *testing.T) {
	h := newHouse(t)
	before, err := h.Hello(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	r := h.start(h.sh("exec sleep 1000"))
	h.kill()
	if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.edit(`"boot":"[^"]*"`, `"boot":"another"`)
	h.launch()
	if e := h.ended(r.ID); !e.Lost {
		t.Errorf("exit %+v", e)
	}
	h.until("the next keeper", func() bool {
		now, err := h.Hello(h.ctx())
		return err == nil && now.PID != before.PID
	})
	if now, err := h.Hello(h.ctx()); err != nil || now.Session == before.Session {
		t.Errorf("session %s after %s, %v", now.Session, before.Session, err)
	}
}

// The keeper died between the fork and its record: the run is found by its environment.
func TestUnrecordedForkIsFound(t *testing.T) {
	h := newHouse(t)
	r := h.start(h.sh("exec sleep 1000"))
	h.kill()
	h.edit(`\{"op":"pid"[^\n]*\n`, "")
	h.launch()
	h.until("adoption", func() bool { now := h.run(r.ID); return now != nil && now.Adopted })
	if now := h.run(r.ID); now.PID != r.PID || now.State != process.Running {
		t.Errorf("adopted as %+v", now)
	}
}

// A Stop under way is a promise: the next keeper keeps it.
func TestStopOutlivesTheKeeper(t *testing.T) {
	for _, cgroups := range []string{"--cgroups=true", "--cgroups=false"} {
		t.Run(cgroups, func(t *testing.T) {
			h := newHouse(t, cgroups)
			s := h.sh("trap '' TERM; echo ready; while :; do sleep 1; done")
			h.start(s)
			h.until("the trap", func() bool { return len(h.marked()) > 1 })
			if err := h.Stop(h.ctx(), s.ID, syscall.SIGTERM, 300*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			h.kill()
			h.launch()
			if e := h.ended(s.ID); !e.Killed || !e.Stopped {
				t.Errorf("exit %+v", e)
			}
			if left := h.marked(); len(left) > 0 {
				t.Errorf("processes %v are left", left)
			}
		})
	}
}

// Nobody listens: the client launches a keeper, and another one when that dies.
func TestClientLaunches(t *testing.T) {
	h := newHouse(t)
	launched := make(chan struct{}, 10)
	c := process.NewClient(process.ClientOptions{Dir: h.dir, Launch: func(ctx context.Context) error {
		launched <- struct{}{}
		return launch(ctx, h.dir)
	}})
	run(t, c)
	first, err := c.Hello(h.ctx())
	if err != nil {
		t.Fatal(err)
	}
	h.kill()
	<-launched
	h.until("another keeper", func() bool {
		now, err := c.Hello(h.ctx())
		return err == nil && now.PID != first.PID
	})
	if now, err := c.Hello(h.ctx()); err != nil || now.Session != first.Session {
		t.Errorf("session %s, was %s, %v", now.Session, first.Session, err)
	}
}

func TestTwoKeepersDoNotShareAFolder(t *testing.T) {
	h := newHouse(t)
	pid := h.pid()
	h.launch() // content with the one that is there
	h.until("an answer", func() bool { return h.pid() == pid })
	out, err := exec.Command("/bin/sh", "-c", keeperMode+`=two exec "$0" --dir "$1"`, self(t), h.dir).CombinedOutput()
	if err == nil || !regexp.MustCompile(`another keeper holds the folder.*process `+strconv.Itoa(pid)).Match(out) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestPathTooLong(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a-rather-long-name-for-a-folder-that-leaves-no-room-for-the-name-of-the-socket-within-the-limit-of-the-kernel")
	err := launch(t.Context(), dir)
	if err == nil || !regexp.MustCompile("choose a shorter folder").MatchString(err.Error()) {
		t.Errorf("%v", err)
	}
}

// SIGTERM to a keeper that keeps something does nothing; the signals of a terminal neither.
func TestSignalsToTheKeeper(t *testing.T) {
	h := newHouse(t)
	s := h.sh("exec sleep 1000")
	h.start(s)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGPIPE} {
		if err := syscall.Kill(h.pid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	quick := h.sh("exit 3")
	h.start(quick)
	if e := h.ended(quick.ID); e.Code != 3 {
		t.Errorf("exit %+v", e)
	}
	if r := h.run(s.ID); r.State != process.Running || !alive(r.PID) {
		t.Errorf("run %+v", r)
	}
}

// Random deaths of the keeper: nothing is doubled, nothing that lives is lost.
func TestManyDeaths(t *testing.T) {
	h := newHouse(t)
	var specs []process.Spec
	pids := map[process.RunID]int{}
	for range 10 {
		s := h.sh("while :; do echo x; sleep 0.01; done")
		pids[s.ID] = h.start(s).PID
		specs = append(specs, s)
	}
	for range 5 {
		h.kill()
		h.launch()
		for _, s := range specs {
			if again := h.start(s); again.PID != pids[s.ID] { // as a manager does that has lost its answer
				t.Fatalf("run %s: process %d became %d", s.ID, pids[s.ID], again.PID)
			}
		}
	}
	for _, s := range specs {
		if !alive(pids[s.ID]) {
			t.Errorf("process %d is dead", pids[s.ID])
		}
	}
}
