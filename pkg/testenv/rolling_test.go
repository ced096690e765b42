package testenv_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// echoApp is a FastAPI app that says which version it is, and sends back what it is sent.
const echoApp = `
import os, sys, time
if os.environ.get("CRASH"):
    sys.exit("ImportError: this version is broken")
from fastapi import FastAPI, Request, Response
app = FastAPI()
VERSION = os.environ["VERSION"]

@app.get("/health")
def health():
    return "ok"

@app.api_route("/", methods=["GET", "POST"])
async def echo(request: Request):
    return Response(await request.body() or b"ok", headers={"Version": VERSION})
`

// front is a supervisor with a real Caddy in front of it, and a FastAPI app to be updated.
type front struct {
	*testenv.Env
	t     testing.TB
	caddy *caddytest.Caddy
	app   string
}

func newFront(t testing.TB) *front {
	t.Helper()
	c := caddytest.Start(t, "")
	e := testenv.New(t, "CADDY_MODE=api", "CADDY_ADMIN_URL="+c.Admin, "CADDY_BIND=127.0.0.1",
		"CADDY_HTTP_PORT="+strconv.Itoa(c.HTTP), "CADDY_PORT="+strconv.Itoa(c.HTTPS), "CADDY_DOMAIN=apps.test:"+strconv.Itoa(c.HTTPS), "CADDY_BASE_DOMAIN=apps.test")
	f := &front{Env: e, t: t, caddy: c, app: filepath.Join(e.Dir, "app")}
	if err := os.Mkdir(f.app, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.app, "app.py"), []byte(echoApp), 0o644); err != nil {
		t.Fatal(err)
	}
	e.StartManager()
	return f
}

// version drops a version of the app, with more lines below spec.
func (f *front) version(version string, more ...string) {
	f.t.Helper()
	f.Service("web", fmt.Sprintf(`command: /usr/bin/python3 -m uvicorn app:app --host 127.0.0.1 --port $(PORT) --no-access-log
workingDir: %s
port: auto
env: {VERSION: %q}
update: {strategy: Rolling, drain: 20s, progressDeadline: 50s}
restart: {delay: 0s, maxAttempts: 2}
probes: {readiness: {httpGet: {path: /health}, period: 1s, timeout: 5s}}
expose: {host: web.apps.test, tls: off}
%s`, f.app, version, strings.Join(more, "\n")))
}

// rolled waits until a version has taken over everywhere and the one before it is gone.
func (f *front) rolled(version string) *v1.ServiceStatus {
	f.t.Helper()
	var st *v1.ServiceStatus
	f.Wait("version "+version+" to be rolled out", func() bool {
		st = f.Status("web")
		if st == nil || st.Phase != v1.PhaseRunning || st.StableRevision != st.ObservedRevision {
			return false
		}
		for _, r := range st.Replicas {
			if !strings.Contains(strings.Join(environ(r.PID), " "), "VERSION="+version+" ") || r.Beside != nil && r.Beside.PID != 0 {
				return false
			}
		}
		return true
	})
	return st
}

func environ(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return strings.Split(string(text)+"\x00", "\x00")
}

// load asks the app through Caddy, and fails the test at its end when a request did.
func (f *front) load() *testenv.Load {
	l := &testenv.Load{URL: fmt.Sprintf("http://127.0.0.1:%d/", f.caddy.HTTP), Host: "web.apps.test", Clients: 4}
	f.t.Cleanup(func() {
		l.Stop()
		for i, failure := range l.Failures() {
			if i < 10 {
				f.t.Error(failure)
			}
		}
		if p50, p99, longest, n := l.Percentiles(); n == 0 {
			f.t.Error("nothing was asked")
		} else {
			f.t.Logf("%d requests, %d failed; half took %s, 99 of 100 %s, the longest %s", n, len(l.Failures()), p50, p99, longest)
		}
	})
	l.Start(context.WithoutCancel(f.t.Context()))
	return l
}

// served waits until the app answers through Caddy.
func (f *front) served() {
	f.t.Helper()
	f.Wait("the route to answer", func() bool {
		l := &testenv.Load{URL: fmt.Sprintf("http://127.0.0.1:%d/", f.caddy.HTTP), Host: "web.apps.test"}
		l.Start(f.t.Context())
		defer l.Stop()
		return testenv.Poll(time.Second, func() bool { _, _, _, n := l.Percentiles(); return n > 0 || len(l.Failures()) > 0 }) && len(l.Failures()) == 0
	})
}

// Updates under load, with kept connections and POSTs: every request is answered, by the old version or the new one. The same
// holds for a version that cannot start, for a manager that is killed in the middle, and for a restart.
func TestRollingUpdatesDropNothing(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.version("v0")
	f.rolled("v0")
	f.served()
	load := f.load()
	for i := 1; i <= 3; i++ {
		v := "v" + strconv.Itoa(i)
		f.version(v)
		f.rolled(v)
		f.Wait("version "+v+" to answer", func() bool { return load.Answers(v) > 0 })
	}

	pid := f.PID("web")
	f.version("broken", "envFile: [crash.env]")
	if err := os.WriteFile(filepath.Join(f.app, "crash.env"), []byte("CRASH=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.Wait("the broken version to be given up", func() bool {
		st := f.Status("web")
		return st != nil && st.Rollout != nil && st.Rollout.Phase == v1.RolloutFailed
	})
	st := f.Status("web")
	progressing := v1.FindCondition(st.Conditions, v1.ConditionProgressing)
	if st.Phase != v1.PhaseRunning || st.PID != pid || progressing.Status != v1.ConditionFalse || !strings.Contains(progressing.Message, "this version is broken") {
		t.Errorf("after a version that cannot start: %s, process %d (was %d), %+v", st.Phase, st.PID, pid, progressing)
	}
	if out, code := f.CLI("rollout", "status", "web"); code == 0 || !strings.Contains(out, "given up") {
		t.Errorf("rollout status: %d %s", code, out)
	}
	if out, code := f.CLI("rollout", "undo", "web"); code != 0 {
		t.Errorf("rollout undo: %d %s", code, out)
	}
	if out, code := f.CLI("rollout", "status", "web"); code != 0 {
		t.Errorf("rollout status after undo: %d %s", code, out)
	}
	if got := f.PID("web"); got != pid {
		t.Errorf("going back to what runs has replaced process %d by %d", pid, got)
	}

	// Killed at some moment of an update, and once more while it comes back.
	f.version("v4")
	f.Wait("the new process", func() bool {
		st := f.Status("web")
		return st != nil && len(st.Replicas) == 1 && st.Replicas[0].Beside != nil && st.Replicas[0].Beside.PID != 0
	})
	f.KillManager()
	f.StartManager()
	f.KillManager()
	f.StartManager()
	f.rolled("v4")

	pid = f.PID("web")
	if out, code := f.CLI("restart", "web"); code != 0 {
		t.Errorf("restart: %d %s", code, out)
	}
	if got := f.PID("web"); got == pid {
		t.Errorf("process %d was not restarted", pid)
	}
	if out, code := f.CLI("rollout", "history", "web"); code != 0 || !strings.Contains(out, "Failed") || strings.Count(out, "Complete") < 4 {
		t.Errorf("rollout history: %d\n%s", code, out)
	}
	if got := load.Answers("broken"); got != 0 {
		t.Errorf("the broken version has answered %d requests", got)
	}
}

// What an update costs, under load: go test -run - -bench RollingUpdates -benchtime 50x ./pkg/testenv
func BenchmarkRollingUpdates(b *testing.B) {
	for _, replicas := range []int{1, 2} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			more := fmt.Sprintf("replicas: %d", replicas)
			f := newFront(b)
			f.version("v0", more)
			f.rolled("v0")
			f.served()
			load := f.load()
			b.ResetTimer()
			for i := range b.N {
				v := fmt.Sprintf("v%d", i+1)
				f.version(v, more)
				f.rolled(v)
			}
			b.StopTimer()
			load.Stop()
			p50, p99, longest, n := load.Percentiles()
			ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
			b.ReportMetric(float64(len(load.Failures())), "failed")
			b.ReportMetric(float64(n), "requests")
			b.ReportMetric(ms(p50), "p50-ms")
			b.ReportMetric(ms(p99), "p99-ms")
			b.ReportMetric(ms(longest), "max-ms")
		})
	}
}

// A service that runs on demand is started by the first request, which waits for it, and stopped when nobody is there. A manager
// that is killed meanwhile changes nothing.
func TestOnDemand(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.Service("web", fmt.Sprintf(`command: /usr/bin/python3 -m uvicorn app:app --host 127.0.0.1 --port $(PORT) --no-access-log
workingDir: %s
port: auto
env: {VERSION: v1}
probes: {readiness: {httpGet: {path: /health}, period: 1s, timeout: 5s}}
expose: {host: web.apps.test, tls: off, onDemand: true, idle: 1s}
`, f.app))
	idle := func() {
		t.Helper()
		f.Wait("the service to be idle", func() bool {
			st := f.Status("web")
			ready := &v1.Condition{}
			if st != nil {
				ready = v1.FindCondition(st.Conditions, v1.ConditionReady)
			}
			return st != nil && st.PID == 0 && ready != nil && ready.Reason == v1.ReasonIdle
		})
	}
	idle()
	f.Wait("the route", func() bool { return strings.Contains(f.caddy.Config(), "web.apps.test") })
	for round := range 2 {
		load := f.load()
		f.Wait("the first answers", func() bool { return load.Answers("v1") > 20 })
		if f.PID("web") == 0 {
			t.Error("it answers, and does not run")
		}
		load.Stop()
		if round == 0 {
			f.KillManager()
			f.StartManager()
		}
		idle()
	}
}
