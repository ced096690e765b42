package testenv_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/testenv"
)

// Manager and keeper are upgraded under printing services: same processes, every line, once and in order.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	const count = 10
	e := testenv.New(t)
	for i := range count {
		e.Service(fmt.Sprintf("printer%d", i), counter)
	}
	e.StartManager()
	pids := map[string]int{}
	for i := range count {
		name := fmt.Sprintf("printer%d", i)
		pids[name] = e.PID(name)
	}
	keeper := e.KeeperPID()
	e.SignalManager(syscall.SIGTERM)
	next := testenv.Build(t, "next")
	e.LaunchManager(filepath.Join(next, "supervisor"))
	e.WaitReady()
	e.Wait("the keeper to be upgraded", func() bool {
		v, err := e.Client.Version(t.Context())
		return err == nil && v.Version == "next" && v.Keeper == "next"
	})
	if got := e.KeeperPID(); got != keeper {
		t.Errorf("the keeper was not upgraded in place: process %d became %d", keeper, got)
	}
	lines := func() int { return strings.Count(e.LogText("printer0", "stdout"), "\n") }
	before := lines()
	e.Wait("output to go on", func() bool { return lines() > before+20 })
	for name, pid := range pids {
		if got := e.PID(name); got != pid {
			t.Errorf("%s: process %d became %d", name, pid, got)
		}
		checkCounted(t, name, e.LogText(name, "stdout"))
	}
	if out, code := e.CLI("stop", "printer0"); code != 0 || testenv.Alive(pids["printer0"]) {
		t.Errorf("stop after the upgrade: exit %d: %s", code, out)
	}
}

// `make run` on an empty folder: the quickstart answers on its port.
func TestMakeRun(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("the quickstart's service needs node")
	}
	if taken, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", "127.0.0.1:9901"); err == nil {
		_ = taken.Close()
		t.Skip("somebody else has port 9901, which the quickstart needs")
	}
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "make", "-C", "../..", "run", "SUPERVISOR_DIR="+dir)
	cmd.Env = append(os.Environ(), "SUPERVISOR_HOST=127.0.0.1", "SUPERVISOR_PORT="+strconv.Itoa(testenv.FreePort(t)), "MAKEFLAGS=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		var text strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			text.WriteString(lines.Text() + "\n")
		}
		said <- text.String()
	}()
	answer := ""
	testenv.Poll(4*time.Minute, func() bool {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:9901/", nil)
		if err != nil {
			return true
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer = string(body)
		return true
	})
	pid := 0
	if m := regexp.MustCompile(`I am process (\d+)`).FindStringSubmatch(answer); m != nil {
		pid, _ = strconv.Atoi(m[1])
	}
	// Ctrl-C reaches the whole group of the terminal: make and the supervisor.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	text := <-said
	_ = cmd.Wait() // make reports the interrupt as a failure
	if pid == 0 {
		t.Fatalf("the quickstart answered %q\n%s", answer, text)
	}
	if !testenv.Poll(10*time.Second, func() bool { return !testenv.Alive(pid) }) {
		t.Errorf("Ctrl-C left process %d running\n%s", pid, text)
	}
}
