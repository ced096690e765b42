package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/settings"
)

// patience bounds every wait. It is long because machines are slow; no test is faster for a shorter one.
const patience = 60 * time.Second

// Env is one supervisor in a folder of its own.
type Env struct {
	t testing.TB
	// Dir is the data folder, Manifests the folder to drop files into.
	Dir, Manifests string
	// Bin is where supervisor and supervisor-keeper were built.
	Bin string
	// Client speaks to the supervisor over its unix socket.
	Client *client.Client
	// URL is where the HTTP API listens.
	URL string

	env     []string
	manager *exec.Cmd
	exited  chan struct{}
	out     *os.File
}

// New makes a data folder; nothing runs yet. Variables are NAME=value settings for the manager.
func New(t testing.TB, variables ...string) *Env {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: its long name would not fit into a unix socket's address.
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	port := FreePort(t)
	e := &Env{
		t: t, Dir: dir, Manifests: filepath.Join(dir, "manifests"), Bin: bin,
		URL: "http://127.0.0.1:" + strconv.Itoa(port),
	}
	e.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "SUPERVISOR_DIR=" + dir,
		"CADDY_UPSTREAMS_DIR=" + filepath.Join(dir, "upstreams"),
		"SUPERVISOR_HOST=127.0.0.1", "SUPERVISOR_PORT=" + strconv.Itoa(port), "SUPERVISOR_LOG_LEVEL=debug",
		"CADDY_MODE=off", // the Caddy of this machine is nothing to play with
	}, variables...)
	if err := os.MkdirAll(e.Manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	if e.Client, err = client.New(client.Options{Socket: filepath.Join(dir, "supervisor.sock"), UserAgent: "testenv"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// Start makes an environment and runs the manager in it.
func Start(t testing.TB, variables ...string) *Env {
	t.Helper()
	e := New(t, variables...)
	e.StartManager()
	return e
}

// StartManager launches the manager and waits until it is ready.
func (e *Env) StartManager() {
	e.t.Helper()
	e.LaunchManager(filepath.Join(e.Bin, "supervisor"))
	e.WaitReady()
}

// WaitReady waits until the manager is ready.
func (e *Env) WaitReady() {
	e.t.Helper()
	e.Wait("the manager to be ready", func() bool {
		ctx, cancel := context.WithTimeout(e.t.Context(), time.Second)
		defer cancel()
		select {
		case <-e.exited:
			e.t.Fatalf("the manager exited: %s\n%s", e.manager.ProcessState, e.Output())
		default:
		}
		return e.Client.Ready(ctx) == nil
	})
}

// LaunchManager starts the manager and does not wait for it.
func (e *Env) LaunchManager(bin string) {
	e.t.Helper()
	if e.out == nil {
		out, err := os.OpenFile(filepath.Join(e.Dir, "manager.out"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
		if err != nil {
			e.t.Fatal(err)
		}
		e.out = out
	}
	e.manager = exec.Command(bin, "run") //nolint:noctx // It is ended by close, not by a context.
	e.manager.Env, e.manager.Dir = e.env, e.Dir
	e.manager.Stdout, e.manager.Stderr = e.out, e.out
	if err := e.manager.Start(); err != nil {
		e.t.Fatal(err)
	}
	exited, cmd := make(chan struct{}), e.manager
	e.exited = exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
}

// SignalManager sends a signal to the manager and waits for its end.
func (e *Env) SignalManager(sig syscall.Signal) {
	e.t.Helper()
	if err := e.manager.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		e.t.Fatal(err)
	}
	e.WaitManager()
}

// WaitManager waits for the end of the manager.
func (e *Env) WaitManager() {
	e.t.Helper()
	select {
	case <-e.exited:
	case <-time.After(patience):
		e.t.Fatalf("the manager did not exit\n%s", e.Output())
	}
}

// KillManager is kill -9.
func (e *Env) KillManager() { e.t.Helper(); e.SignalManager(syscall.SIGKILL) }

// ManagerPID is the manager's process ID.
func (e *Env) ManagerPID() int { return e.manager.Process.Pid }

// KeeperPID is the keeper's process ID.
func (e *Env) KeeperPID() int {
	e.t.Helper()
	pids := withArgs("supervisor-keeper", filepath.Join(e.Dir, "keeper"))
	if len(pids) != 1 {
		e.t.Fatalf("%d keepers run for %s, want one: %v", len(pids), e.Dir, pids)
	}
	return pids[0]
}

// Output is what the manager has printed, for messages of failed tests.
func (e *Env) Output() string {
	text, _ := os.ReadFile(filepath.Join(e.Dir, "manager.out"))
	const most = 16 << 10
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(text)
}

// Write writes a file below the manifest folder in one rename, as most editors do.
func (e *Env) Write(name, text string) {
	e.t.Helper()
	path := filepath.Join(e.Manifests, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		e.t.Fatal(err)
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(name)+".tmp")
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		e.t.Fatal(err)
	}
}

// Service drops services/NAME.yaml with the given lines below spec.
func (e *Env) Service(name, spec string) {
	e.t.Helper()
	e.Write("services/"+name+".yaml", Manifest(name, spec))
}

// Manifest is the YAML of a service with the given lines below spec.
func Manifest(name, spec string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: supervisor.dev/v1\nkind: Service\nmetadata:\n  name: %s\nspec:\n", name)
	for line := range strings.Lines(strings.TrimRight(spec, "\n") + "\n") {
		b.WriteString("  " + line)
	}
	return b.String()
}

// Remove removes a file below the manifest folder.
func (e *Env) Remove(name string) {
	e.t.Helper()
	if err := os.Remove(filepath.Join(e.Manifests, name)); err != nil {
		e.t.Fatal(err)
	}
}

// Wait polls until ok holds, and fails the test when it never does.
func (e *Env) Wait(what string, ok func() bool) {
	e.t.Helper()
	if !Poll(patience, ok) {
		e.t.Fatalf("waited %s in vain for %s\n%s", patience, what, e.Output())
	}
}

// Poll calls ok until it holds or the limit has passed.
func Poll(limit time.Duration, ok func() bool) bool {
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			return ok()
		}
	}
	return true
}

// Status is the status of a service, nil when the supervisor does not know it.
func (e *Env) Status(name string) *v1.ServiceStatus {
	ctx, cancel := context.WithTimeout(e.t.Context(), 5*time.Second)
	defer cancel()
	obj, err := e.Client.Object(ctx, v1.KindService, name)
	if err != nil {
		return nil
	}
	svc, ok := obj.(*v1.Service)
	if !ok {
		return nil
	}
	return svc.Status
}

// WaitPhase waits until a service is in a phase and returns its status.
func (e *Env) WaitPhase(name string, phase v1.Phase) *v1.ServiceStatus {
	e.t.Helper()
	var st *v1.ServiceStatus
	if !Poll(patience, func() bool {
		st = e.Status(name)
		return st != nil && st.Phase == phase
	}) {
		e.t.Fatalf("service %s is not %s but %+v\n%s", name, phase, st, e.Output())
	}
	return st
}

// PID waits until a service runs and returns its process ID.
func (e *Env) PID(name string) int {
	e.t.Helper()
	return e.WaitPhase(name, v1.PhaseRunning).PID
}

// LogText is what a stream of a service's log files says, rotated ones first, without the times.
func (e *Env) LogText(name, stream string) string {
	var b strings.Builder
	base := filepath.Join(e.Dir, "logs", name, stream+".log")
	for i := 100; i >= 0; i-- {
		path := base
		if i > 0 {
			path = base + "." + strconv.Itoa(i)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(text) {
			if end := bytes.Index(line, []byte("] ")); len(line) > 0 && line[0] == '[' && end > 0 {
				line = line[end+2:]
			}
			b.Write(line)
		}
	}
	return b.String()
}

// CLI runs the supervisor's command line against this environment.
func (e *Env) CLI(args ...string) (stdout string, code int) {
	e.t.Helper()
	cmd := exec.CommandContext(e.t.Context(), filepath.Join(e.Bin, "supervisor"), args...)
	cmd.Env, cmd.Dir = e.env, e.Dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return out.String() + errs.String(), exit.ExitCode()
	case err != nil:
		e.t.Fatalf("supervisor %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), 0
}

// close stops everything that belongs to the environment, whatever state the test left it in.
func (e *Env) close() {
	if e.t.Failed() {
		e.t.Logf("the manager said:\n%s", e.Output())
	}
	if e.manager != nil {
		_ = e.manager.Process.Kill()
		<-e.exited
	}
	// The keeper first: it would report, and its children are found by the folder in their environment's marker.
	e.Client.Close()
	keepers := withArgs("supervisor-keeper", filepath.Join(e.Dir, "keeper"))
	children := e.children()
	for _, pid := range keepers {
		pipes := filepath.Dir(openFile(pid, "/slate"))
		kill(pid)
		if pipes != "." {
			_ = os.RemoveAll(pipes) // in memory, and nobody else's
		}
	}
	for _, pid := range append(children, e.children()...) {
		kill(pid)
	}
	if e.out != nil {
		_ = e.out.Close()
	}
	if err := os.RemoveAll(e.Dir); err != nil {
		e.t.Logf("remove %s: %v", e.Dir, err)
	}
}

// children returns the live processes of this environment: the keeper marks all that it starts, and HOME is our folder in what
// does not come from it.
func (e *Env) children() []int {
	var pids []int
	for _, pid := range append(WithEnv("HOME="+e.Dir), WithEnv("SUPERVISOR_KEEPER="+filepath.Join(e.Dir, "keeper"))...) {
		if pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// FreePort returns a TCP port of loopback on which nothing listens.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Closed two lines below.
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// HTTP is a client of the API over its unix socket, whatever the host in the URL.
func (e *Env) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", settings.SocketIn(e.Dir))
		},
	}}
}
