package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/agent/agenttest"
)

func TestMain(m *testing.M) {
	agenttest.Main()
	goleak.VerifyTestMain(m)
}

// house has a runner of a data folder, and can be opened anew.
type house struct {
	*agent.Runner
	t      *testing.T
	config agent.Config
}

func newHouse(t *testing.T, change func(*agent.Config), specs ...agent.Spec) *house {
	t.Helper()
	h := &house{t: t, config: agent.Config{Specs: specs, Dir: filepath.Join(t.TempDir(), "agents"), AllowRoot: true}}
	agent.Hurry(&h.config)
	if change != nil {
		change(&h.config)
	}
	h.open()
	t.Cleanup(func() { h.Close() })
	return h
}

func (h *house) open() {
	h.t.Helper()
	r, err := agent.NewRunner(h.t.Context(), h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Runner = r
}

// journal collects events.
type journal struct {
	mu     sync.Mutex
	events []agent.Event
	on     func(agent.Event)
}

func (j *journal) emit(e agent.Event) {
	j.mu.Lock()
	j.events = append(j.events, e)
	j.mu.Unlock()
	if j.on != nil {
		j.on(e)
	}
}

// kinds are the kinds of the events, each once in a row.
func (j *journal) kinds() string {
	var out []string
	for _, e := range j.events {
		if k := string(e.Kind); len(out) == 0 || out[len(out)-1] != k {
			out = append(out, k)
		}
	}
	return strings.Join(out, " ")
}

// find is the last event of a kind.
func (j *journal) find(k agent.Kind) *agent.Event {
	for i := len(j.events) - 1; i >= 0; i-- {
		if j.events[i].Kind == k {
			return &j.events[i]
		}
	}
	return &agent.Event{}
}

// project is a folder with a broken file, and a neighbour that is none of the agent's business.
func project(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "app")
	for path, text := range map[string]string{"app/calc.py": "broken", "app/.git/config": "[core]", "neighbour.txt": "mine"} {
		path = filepath.Join(base, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(base, filepath.Join(dir, "up")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// pidIn is the number in a file.
func pidIn(t *testing.T, path string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(content(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// lives tells whether a process is there, and not as a zombie that its parent has yet to reap.
func lives(t *testing.T, pid int) bool {
	t.Helper()
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat := content(t, filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, state, _ := strings.Cut(stat, ") ")
	return state != "" && state[0] != 'Z'
}

// withHome are the processes whose home is below a folder.
func withHome(t *testing.T, dir string) (pids []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if env, err := os.ReadFile(f); err == nil && strings.Contains("\x00"+string(env), "\x00HOME="+dir) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}
