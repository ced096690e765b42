package testenv_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// Stop leaves no descendant: a child that ignores TERM, a grandchild in its own session, a double-forked daemon.
func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	script := filepath.Join(e.Dir, "tree.sh")
	if err := os.WriteFile(script, []byte(`#!/bin/sh
sh -c 'trap "" TERM; while :; do sleep 1; done' &
setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' &
( setsid sh -c 'while :; do sleep 1; done' & ) 
echo grown
wait
`), 0o755); err != nil { //nolint:gosec // A script has to be executable.
		t.Fatal(err)
	}
	e.Service("tree", fmt.Sprintf("command: %s\nenv: {MARK: '%s'}\nstop: {timeout: 500ms}", script, e.Dir))
	e.PID("tree")
	e.Wait("the tree to grow", func() bool {
		return strings.Contains(e.LogText("tree", "stdout"), "grown") && len(testenv.WithEnv("MARK="+e.Dir)) >= 7
	})
	if out, code := e.CLI("stop", "tree"); code != 0 {
		t.Fatalf("stop: exit %d: %s", code, out)
	}
	if left := testenv.WithEnv("MARK=" + e.Dir); len(left) != 0 {
		t.Errorf("%d processes are left after the stop", len(left))
	}
	if st := e.WaitPhase("tree", v1.PhaseStopped); st.PID != 0 {
		t.Errorf("status after the stop: %+v", st)
	}
}

// A crash loop backs off and gives up as set; mending the manifest starts it at once.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Service("web", "command: [sh, -c, 'echo broken pipe dream >&2; exit 3']\nrestart: {delay: 10ms, maxAttempts: 3}")
	st := e.WaitPhase("web", v1.PhaseFailed)
	if st.Restarts != 3 || st.LastExit == nil || st.LastExit.Code != 3 {
		t.Errorf("restarts %d, last exit %+v", st.Restarts, st.LastExit)
	}
	if c := v1.FindCondition(st.Conditions, v1.ConditionProgressing); c == nil || c.Status != v1.ConditionFalse || !strings.Contains(c.Message, "3") {
		t.Errorf("no condition says that it was given up, and after what: %+v", st.Conditions)
	}
	out, code := e.CLI("describe", "web")
	if code != 0 || !strings.Contains(out, "broken pipe dream") || !strings.Contains(out, "GaveUp") {
		t.Errorf("describe does not explain the failure: exit %d\n%s", code, out)
	}
	if n := strings.Count(e.LogText("web", "stderr"), "broken"); n != 4 {
		t.Errorf("%d starts, want 4", n)
	}
	e.Service("web", "command: sleep 1000\nrestart: {delay: 10ms, maxAttempts: 3}")
	if st := e.WaitPhase("web", v1.PhaseRunning); st.Attempts != 0 {
		t.Errorf("the edit did not reset the count: %+v", st)
	}
}

// What cannot be started says why, by name.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	plain := filepath.Join(e.Dir, "plain.txt")
	if err := os.WriteFile(plain, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ spec, want string }{
		"missing":  {"command: no-such-program-here --flag", "no-such-program-here"},
		"noexec":   {"command: " + plain, plain},
		"nofolder": {"command: sleep 1000\nworkingDir: /no/such/folder", "/no"},
		"nouser":   {"command: sleep 1000\nuser: nobody-by-this-name", "nobody-by-this-name"},
		"noenv":    {"command: sleep 1000\nenvFile: /no/such/.env", "/no/such/.env"},
	} {
		e.Service(name, c.spec+"\nrestart: {delay: 10ms, maxAttempts: 1}")
		e.WaitPhase(name, v1.PhaseFailed)
		if out, _ := e.CLI("describe", name); !strings.Contains(out, c.want) {
			t.Errorf("%s: describe does not name %s:\n%s", name, c.want, out)
		}
	}
}

// A port that is taken names its holder; when it is free the service starts by itself.
func TestPortConflict(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Closed below.
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	e.Service("web", fmt.Sprintf("command: python3 -m http.server --bind 127.0.0.1 $(PORT)\nport: %d\nrestart: {delay: 100ms, maxDelay: 200ms, maxAttempts: -1}", port))
	e.Wait("the holder to be named", func() bool {
		out, _ := e.CLI("describe", "web")
		return strings.Contains(out, fmt.Sprintf("pid %d", os.Getpid()))
	})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	e.PID("web")
}

// port: auto is chosen once, handed over in $PORT, and remembered.
func TestAutoPort(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Service("web", "command: python3 -m http.server --bind 127.0.0.1 $(PORT)\nport: auto\nprobes: {readiness: {tcpSocket: {}}}")
	st := e.WaitPhase("web", v1.PhaseRunning)
	if st.Port == 0 {
		t.Fatalf("no port: %+v", st)
	}
	if out, code := e.CLI("restart", "web"); code != 0 {
		t.Fatalf("restart: exit %d: %s", code, out)
	}
	if again := e.WaitPhase("web", v1.PhaseRunning); again.Port != st.Port || again.PID == st.PID {
		t.Errorf("port %d, process %d became port %d, process %d", st.Port, st.PID, again.Port, again.PID)
	}
}

// B waits until A is ready; a pending B that is stopped never starts.
func TestDependencies(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	gate := filepath.Join(e.Dir, "gate")
	e.Service("b", "command: sleep 1000\ndependsOn: [{name: a}]")
	e.Service("c", "command: sleep 1000\ndependsOn: [{name: a}]")
	e.Service("a", fmt.Sprintf("command: sleep 1000\nprobes: {readiness: {exec: {command: test -e %s}, period: 100ms}}", gate))
	e.WaitPhase("a", v1.PhaseStarting)
	st := e.WaitPhase("b", v1.PhasePending)
	if c := v1.FindCondition(st.Conditions, v1.ConditionProgressing); c == nil || !strings.Contains(c.Message, "a") {
		t.Errorf("b does not say what it waits for: %+v", st.Conditions)
	}
	if out, code := e.CLI("stop", "c"); code != 0 {
		t.Fatalf("stop: exit %d: %s", code, out)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a := e.WaitPhase("a", v1.PhaseRunning)
	b := e.WaitPhase("b", v1.PhaseRunning)
	if b.StartedAt.Before(*a.StartedAt) {
		t.Errorf("b started at %s, a at %s", b.StartedAt, a.StartedAt)
	}
	if st := e.WaitPhase("c", v1.PhaseStopped); len(st.Replicas) != 0 {
		t.Errorf("the stopped dependant started: %+v", st)
	}
}

// A failing liveness probe restarts; readiness only marks.
func TestProbes(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	sick, busy := filepath.Join(e.Dir, "sick"), filepath.Join(e.Dir, "busy")
	e.Service("web", fmt.Sprintf(`command: sleep 1000
restart: {delay: 10ms}
probes:
  liveness: {exec: {command: "test ! -e %s"}, period: 50ms, failureThreshold: 2}
  readiness: {exec: {command: "test ! -e %s"}, period: 50ms, failureThreshold: 2}`, sick, busy))
	pid := e.PID("web")
	if err := os.WriteFile(busy, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if st := e.WaitPhase("web", v1.PhaseUnready); st.PID != pid {
		t.Errorf("an unready service was restarted: process %d became %d", pid, st.PID)
	}
	if err := os.Remove(busy); err != nil {
		t.Fatal(err)
	}
	if got := e.PID("web"); got != pid {
		t.Errorf("process %d became %d", pid, got)
	}
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	e.Wait("the restart", func() bool { return !testenv.Alive(pid) })
	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	e.Wait("another process", func() bool {
		st := e.Status("web")
		return st != nil && st.Phase == v1.PhaseRunning && st.PID != pid && st.Restarts > 0
	})
}

// Replicas come and go at the end, the others stay.
func TestReplicas(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	spec := func(n int) string { return fmt.Sprintf("command: sleep 1000\nreplicas: %d", n) }
	e.Service("web", spec(2))
	e.Wait("two replicas", func() bool {
		st := e.Status("web")
		return st != nil && len(st.Replicas) == 2 && st.Phase == v1.PhaseRunning
	})
	first := e.Status("web").Replicas[0].PID
	e.Service("web", spec(4))
	e.Wait("four replicas", func() bool {
		st := e.Status("web")
		return st != nil && len(st.Replicas) == 4 && st.Phase == v1.PhaseRunning
	})
	e.Service("web", spec(1))
	e.Wait("one replica", func() bool {
		st := e.Status("web")
		return st != nil && len(st.Replicas) == 1 && st.Phase == v1.PhaseRunning
	})
	if got := e.Status("web").Replicas[0].PID; got != first {
		t.Errorf("replica 0: process %d became %d", first, got)
	}
}

// A removed variable is gone from the next process, and an edited env file restarts what reads it.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	file := filepath.Join(e.Dir, "app.env")
	writeEnv := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeEnv("FROM_FILE=one\nSECRET_KEY='quoted value'\n")
	e.Service("web", fmt.Sprintf("command: sleep 1000\nenvFile: %s\nenv: {KEEP: yes, DROP: yes}", file))
	environ := func(pid int) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		return "\x00" + string(text)
	}
	pid := e.PID("web")
	for _, want := range []string{"\x00FROM_FILE=one\x00", "\x00SECRET_KEY=quoted value\x00", "\x00KEEP=yes\x00"} {
		if !strings.Contains(environ(pid), want) {
			t.Errorf("the environment lacks %q", want)
		}
	}
	for _, never := range []string{"SUPERVISOR_PORT=", "SUPERVISOR_LOG_LEVEL="} {
		if strings.Contains(environ(pid), never) {
			t.Errorf("the supervisor's own %s leaked", never)
		}
	}
	writeEnv("FROM_FILE=two\n")
	e.Wait("the edited env file to be applied", func() bool {
		st := e.Status("web")
		return st != nil && st.Phase == v1.PhaseRunning && st.PID != pid
	})
	pid = e.PID("web")
	if !strings.Contains(environ(pid), "\x00FROM_FILE=two\x00") || strings.Contains(environ(pid), "SECRET_KEY") {
		t.Error("the environment is not that of the edited file")
	}
	e.Service("web", fmt.Sprintf("command: sleep 1000\nenvFile: %s\nenv: {KEEP: yes}", file))
	e.Wait("the restart", func() bool { st := e.Status("web"); return st != nil && st.Phase == v1.PhaseRunning && st.PID != pid })
	if strings.Contains(environ(e.PID("web")), "\x00DROP=") {
		t.Error("a removed variable is still there")
	}
}

// A full disk and a deleted log file hurt no service.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small tmpfs needs root")
	}
	e := testenv.New(t)
	logs := filepath.Join(e.Dir, "logs")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", logs, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(logs, syscall.MNT_DETACH) })
	e.Service("loud", "command: [python3, -uc, \"import time\\nwhile True:\\n  print('x'*1000)\\n  time.sleep(0.0005)\"]")
	e.StartManager()
	pid := e.PID("loud")
	e.Wait("the loss to be said", func() bool {
		out, _ := e.CLI("describe", "loud")
		return strings.Contains(out, "no space left")
	})
	if got := e.PID("loud"); got != pid {
		t.Errorf("process %d became %d", pid, got)
	}
	if out, code := e.CLI("stop", "loud"); code != 0 {
		t.Errorf("stop on a full disk: exit %d: %s", code, out)
	}
}

// The real thing: FastAPI under uvicorn, after a plain cp of the example.
func TestFastAPIExample(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	port := testenv.FreePort(t)
	src := "../../examples/fastapi"
	if out, err := exec.CommandContext(t.Context(), "cp", "-r", src, e.Manifests).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	// The example's own port may be taken on this machine.
	path := filepath.Join(e.Manifests, "fastapi", "fastapi.yaml")
	if out, err := exec.CommandContext(t.Context(), "sed", "-i", fmt.Sprintf("s/port: 9902/port: %d/", port), path).CombinedOutput(); err != nil {
		t.Fatalf("sed: %v\n%s", err, out)
	}
	e.Wait("FastAPI to answer on its port", func() bool {
		st := e.Status("fastapi")
		return st != nil && st.Phase == v1.PhaseRunning && st.Port == port
	})
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	answer := make([]byte, 4096)
	n, _ := c.Read(answer)
	if !strings.Contains(string(answer[:n]), "200 OK") {
		t.Errorf("FastAPI answered %q", answer[:n])
	}
	e.Wait("the request to be in the log", func() bool {
		return strings.Contains(e.LogText("fastapi", "stdout")+e.LogText("fastapi", "stderr"), "GET / HTTP")
	})
}
