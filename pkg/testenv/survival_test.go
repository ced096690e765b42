package testenv_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// counter prints 0, 1, 2 … every 10 ms, in sh without a fork for each line where the shell allows it.
const counter = `command: [python3, -uc, "import time\ni=0\nwhile True:\n  print(i)\n  i+=1\n  time.sleep(0.01)"]`

// checkCounted fails unless text is the numbers from 0 on, each once and in order, for every run in it.
func checkCounted(t *testing.T, name, text string) int {
	t.Helper()
	next, n := 0, 0
	for line := range strings.Lines(text) {
		got, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: line %d is %q, want a number", name, n, line)
		}
		if got == 0 && n > 0 {
			next = 0 // a new run
		}
		if got != next {
			t.Fatalf("%s: line %d is %d, want %d: a line was lost or doubled", name, n, got, next)
		}
		next++
		n++
	}
	return n
}

// kill -9 of the manager under 50 printing services: same processes, every line, and exits in its absence are known.
func TestServicesOutliveTheManager(t *testing.T) {
	t.Parallel()
	const count = 50
	e := testenv.New(t)
	for i := range count {
		e.Service(fmt.Sprintf("printer%02d", i), counter)
	}
	e.Service("mortal", "command: [sh, -c, 'trap \"exit 7\" USR1; echo up; while :; do sleep 0.05; done']\nrestart: {delay: 0s, maxAttempts: 5}")
	e.StartManager()
	pids := map[string]int{}
	for i := range count {
		name := fmt.Sprintf("printer%02d", i)
		pids[name] = e.PID(name)
	}
	mortal := e.PID("mortal")
	e.Wait("the mortal's trap", func() bool { return strings.Contains(e.LogText("mortal", "stdout"), "up") })
	keeper := e.KeeperPID()

	e.KillManager()
	lines := func(name string) int { return strings.Count(e.LogText(name, "stdout"), "\n") }
	before := lines("printer00")
	e.Wait("output to go on without a manager", func() bool { return lines("printer00") > before+20 })
	if err := syscall.Kill(mortal, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	e.Wait("the mortal's end", func() bool { return !testenv.Alive(mortal) })

	e.StartManager()
	st := &v1.ServiceStatus{}
	e.Wait("the mortal to be restarted", func() bool {
		st = e.Status("mortal")
		return st != nil && st.PID != 0 && st.PID != mortal
	})
	if st.LastExit == nil || st.LastExit.Code != 7 || st.Restarts != 1 {
		t.Errorf("after an exit with code 7 in the manager's absence: lastExit %+v, restarts %d", st.LastExit, st.Restarts)
	}
	for name, pid := range pids {
		if got := e.PID(name); got != pid {
			t.Errorf("%s: process %d became %d", name, pid, got)
		}
	}
	if got := e.KeeperPID(); got != keeper {
		t.Errorf("keeper %d became %d", keeper, got)
	}
	for name := range pids {
		if n := checkCounted(t, name, e.LogText(name, "stdout")); n < 20 {
			t.Errorf("%s: %d lines", name, n)
		}
	}
}

// Random kill -9 of the manager while manifests come, change and go: nothing doubled, nothing lost.
func TestHundredRoundsOfKillingTheManager(t *testing.T) {
	t.Parallel()
	rounds := 100
	if testing.Short() {
		rounds = 10
	}
	const seed = 20260101
	rng := rand.New(rand.NewPCG(seed, seed))
	t.Logf("seed %d", seed)
	e := testenv.Start(t)
	e.Service("steady", counter)
	steady := e.PID("steady")
	spec := func(version int) string {
		return fmt.Sprintf("command: sleep 1000\nenv: {VERSION: 'v%d', MARK: '%s'}", version, e.Dir)
	}
	want := map[string]int{}
	for round := range rounds {
		for range 3 {
			name := fmt.Sprintf("s%d", rng.IntN(6))
			switch _, known := want[name]; {
			case known && rng.IntN(4) == 0:
				e.Remove("services/" + name + ".yaml")
				delete(want, name)
			default:
				want[name] = round
				e.Service(name, spec(round))
			}
		}
		// Somewhere between before it saw the files and after it acted on them.
		spins := rng.IntN(4)
		testenv.Poll(patience(spins), func() bool { return false })
		e.KillManager()
		e.LaunchManager(filepath.Join(e.Bin, "supervisor"))
	}
	e.Wait("the manager to be ready", func() bool { return e.Client.Ready(t.Context()) == nil })
	e.Wait("the services to match the manifests", func() bool {
		running := map[string]int{}
		for _, pid := range testenv.WithEnv("MARK=" + e.Dir) {
			env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if err != nil {
				return false
			}
			name := regexp.MustCompile(`SUPERVISOR_SERVICE=([^\x00]+)`).FindSubmatch(env)
			version := regexp.MustCompile(`VERSION=v(\d+)`).FindSubmatch(env)
			if name == nil || version == nil {
				return false
			}
			if _, doubled := running[string(name[1])]; doubled {
				return false
			}
			running[string(name[1])], _ = strconv.Atoi(string(version[1]))
		}
		if len(running) != len(want) {
			return false
		}
		for name, version := range want {
			if running[name] != version {
				return false
			}
		}
		return true
	})
	if got := e.PID("steady"); got != steady {
		t.Errorf("steady: process %d became %d", steady, got)
	}
	if n := checkCounted(t, "steady", e.LogText("steady", "stdout")); n < rounds {
		t.Errorf("steady: only %d lines", n)
	}
}

// SIGTERM means leave: services run on. SIGINT means stop everything.
func TestSigtermLeavesSigintStops(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Service("web", counter)
	pid := e.PID("web")
	keeper := e.KeeperPID()
	e.SignalManager(syscall.SIGTERM)
	if !testenv.Alive(pid) || !testenv.Alive(keeper) {
		t.Fatal("SIGTERM to the manager ended a service or the keeper")
	}
	e.StartManager()
	if got := e.PID("web"); got != pid {
		t.Fatalf("process %d became %d", pid, got)
	}
	e.SignalManager(syscall.SIGINT)
	if testenv.Alive(pid) {
		t.Error("SIGINT left the service running")
	}
	e.Wait("the keeper to go", func() bool { return !testenv.Alive(keeper) })
}

// A stop survives the manager's crash, but not a shutdown.
func TestIntentsLastForASession(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	e.Service("web", "command: sleep 1000")
	e.Service("off", "command: sleep 1000\nenabled: false")
	e.StartManager()
	e.PID("web")
	if st := e.WaitPhase("off", v1.PhaseStopped); st.PID != 0 {
		t.Errorf("a service that is not enabled runs: %+v", st)
	}
	for _, args := range [][]string{{"stop", "web"}, {"start", "off"}} {
		if out, code := e.CLI(args...); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, out)
		}
	}
	e.WaitPhase("web", v1.PhaseStopped)
	off := e.PID("off")
	e.KillManager()
	e.StartManager()
	e.WaitPhase("web", v1.PhaseStopped)
	if got := e.PID("off"); got != off {
		t.Errorf("started by hand, process %d became %d", off, got)
	}
	if out, code := e.CLI("shutdown"); code != 0 {
		t.Fatalf("shutdown: exit %d: %s", code, out)
	}
	e.WaitManager()
	e.StartManager()
	e.PID("web")
	e.WaitPhase("off", v1.PhaseStopped)
}

// The keeper is killed: services live, lines go on, a new keeper adopts them, and stop still works.
func TestKeeperCrash(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Service("web", counter)
	pid := e.PID("web")
	keeper := e.KeeperPID()
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	lines := func() int { return strings.Count(e.LogText("web", "stdout"), "\n") }
	e.Wait("the next keeper", func() bool { return !testenv.Alive(keeper) && e.Status("web") != nil })
	before := lines()
	e.Wait("output to go on", func() bool { return lines() > before+50 })
	if got := e.PID("web"); got != pid {
		t.Fatalf("process %d became %d", pid, got)
	}
	checkCounted(t, "web", e.LogText("web", "stdout"))
	if out, code := e.CLI("stop", "web"); code != 0 {
		t.Fatalf("stop: exit %d: %s", code, out)
	}
	if testenv.Alive(pid) {
		t.Error("the adopted process survived its stop")
	}
}

// The database is deleted, then replaced by rubbish: services run on, and a loud event says so.
func TestDatabaseLost(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Service("web", counter)
	pid := e.PID("web")
	for _, rubbish := range []bool{false, true} {
		e.KillManager()
		files, err := filepath.Glob(filepath.Join(e.Dir, "supervisor.db*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no database found: %v", err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}
		if rubbish {
			if err := os.WriteFile(filepath.Join(e.Dir, "supervisor.db"), []byte(strings.Repeat("this is no database. ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e.StartManager()
		if got := e.PID("web"); got != pid {
			t.Fatalf("rubbish %v: process %d became %d", rubbish, pid, got)
		}
	}
	out, code := e.CLI("events")
	if code != 0 || !strings.Contains(out, "corrupt") {
		t.Errorf("no event tells of the corrupt database: exit %d\n%s", code, out)
	}
}
