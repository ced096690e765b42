package keeper_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/philiporange/supervisor/pkg/keeper"
	"github.com/philiporange/supervisor/pkg/process"
)

// keeperMode makes the test program play the keeper: a keeper takes its process over and reaps every child, so it is never
// in the process of a test.
const keeperMode = "KEEPER_TEST_PLAYS_KEEPER"

func TestMain(m *testing.M) {
	if os.Getenv(keeperMode) != "" || keeper.ShimRequested() {
		os.Exit(keeper.Main(os.Args[1:], os.Getenv(keeperMode)))
	}
	goleak.VerifyTestMain(m)
}

// house is a keeper in a temporary folder, and a client of it.
type house struct {
	*process.Client
	t     testing.TB
	dir   string
	logs  string
	flags []string
	runs  int
	down  bool // the test has shut the keeper down
}

// newHouse launches a keeper. At the end of the test everything in it is killed.
func newHouse(t testing.TB, flags ...string) *house {
	t.Helper()
	// Not t.TempDir: the name of the test would make the socket's path too long.
	dir, err := os.MkdirTemp("", "keep")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, dir: dir, logs: filepath.Join(dir, "logs"), flags: flags}
	h.launch()
	h.Client = h.connect()
	t.Cleanup(h.clean)
	return h
}

func (h *house) launch() {
	h.t.Helper()
	if err := launch(h.t.Context(), h.dir, h.flags...); err != nil {
		h.t.Fatal(err)
	}
}

func launch(ctx context.Context, dir string, flags ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return process.LaunchCommand(ctx, append([]string{self, "--dir", dir}, flags...), []string{keeperMode + "=one", "GORACE=atexit_sleep_ms=0"}, dir)
}

func (h *house) connect() *process.Client {
	c := process.NewClient(process.ClientOptions{Dir: h.dir, Version: "test"})
	run(h.t, c)
	return c
}

// run keeps a client connected until the end of the test.
func run(t testing.TB, c *process.Client) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx) // ends with the context
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// clean kills the keeper and every process of its runs.
func (h *house) clean() {
	if h.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(h.dir, process.LogName)); err == nil {
			h.t.Logf("keeper's log:\n%s", log)
		}
	}
	if h.down {
		_ = os.RemoveAll(h.dir)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), 10*time.Second)
	defer cancel()
	for _, r := range h.All() {
		if r.Live() {
			_ = h.Stop(ctx, r.ID, syscall.SIGKILL, 0)
		}
	}
	hello, err := h.Hello(ctx)
	if err != nil {
		h.t.Errorf("the keeper is gone at the end: %v", err)
	}
	deadline := time.Now().Add(8 * time.Second)
	for time.Now().Before(deadline) && h.Shutdown(ctx) != nil {
		<-time.After(5 * time.Millisecond)
	}
	for time.Now().Before(deadline) && hello.PID > 0 && alive(hello.PID) {
		<-time.After(time.Millisecond)
	}
	for _, pid := range h.marked() {
		h.t.Errorf("process %d of the test is left", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err := os.RemoveAll(h.dir); err != nil {
		h.t.Error(err)
	}
}

// marked lists the living processes with our folder in their environment.
func (h *house) marked() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		raw, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if strings.Contains(string(raw), "HOUSE="+h.dir+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (h *house) pid() int {
	h.t.Helper()
	hello, err := h.Hello(h.ctx())
	if err != nil {
		h.t.Fatal(err)
	}
	return hello.PID
}

func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	h.t.Cleanup(cancel)
	return ctx
}

// spec is a program of this house with its own slot.
func (h *house) spec(argv ...string) process.Spec {
	h.runs++
	id := fmt.Sprintf("run-%d", h.runs)
	return process.Spec{
		ID: process.RunID(id), Owner: "Service/" + id, Slot: "Service/" + id + "/0", Argv: argv, Dir: "/",
		Env:  []string{"PATH=" + os.Getenv("PATH"), "HOUSE=" + h.dir},
		Logs: process.LogSpec{Dir: filepath.Join(h.logs, id), Backups: 3},
	}
}

func (h *house) sh(script string) process.Spec { return h.spec("/bin/sh", "-c", script) }

func (h *house) start(spec process.Spec) process.Run {
	h.t.Helper()
	r, err := h.Start(h.ctx(), spec)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// run finds a run in the mirror.
func (h *house) run(id process.RunID) *process.Run {
	for _, r := range h.All() {
		if r.ID == id {
			return &r
		}
	}
	return nil
}

// ended waits for the end of a run.
func (h *house) ended(id process.RunID) *process.Exit {
	h.t.Helper()
	h.until(fmt.Sprintf("the end of %s", id), func() bool {
		r := h.run(id)
		return r != nil && r.State == process.Exited
	})
	return h.run(id).Exit
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited 20s for %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// text returns the lines of a log, rotated files first, without their prefixes; continued lines are joined.
func (h *house) text(s process.Spec, name string) []string {
	h.t.Helper()
	var raw []byte
	base := filepath.Join(s.Logs.Dir, name+".log")
	for i := s.Logs.Backups; i >= 0; i-- {
		path := base
		if i > 0 {
			path += "." + strconv.Itoa(i)
		}
		part, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			h.t.Fatal(err)
		}
		raw = append(raw, part...)
	}
	var lines []string
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) < 33 {
			h.t.Fatalf("%s: line without prefix: %q", base, line)
		}
		if _, err := time.Parse(time.RFC3339Nano, line[1:31]); err != nil || line[0] != '[' || line[31] != ']' {
			h.t.Fatalf("%s: line without prefix: %q", base, line)
		}
		if line[32] == '+' && len(lines) > 0 {
			lines[len(lines)-1] += line[33:]
			continue
		}
		lines = append(lines, line[33:])
	}
	return lines
}

func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func splitLines(raw []byte) func(func(string) bool) { return strings.Lines(string(raw)) }

// splitFields returns the fields of a stat line after the name.
func splitFields(raw []byte) []string {
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.Fields(rest)
}
