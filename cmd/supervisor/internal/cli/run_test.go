package cli_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/cmd/supervisor/internal/cli"
	"github.com/philiporange/supervisor/pkg/settings"
)

// daemon plays the supervisor.
type daemon struct {
	settings *settings.Settings
	started  chan struct{}
	// stopping is closed when Shutdown was called; Shutdown returns when finish is closed or its context ends.
	stopping, finish chan struct{}
	actor            string
	report           wire.Shutdown
	err              error
	// end makes Run return by itself.
	end chan error
}

func (d *daemon) Run(ctx context.Context) error {
	close(d.started)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-d.end:
		return err
	}
}

func (d *daemon) Shutdown(ctx context.Context, actor string) (wire.Shutdown, error) {
	d.actor = actor
	close(d.stopping)
	select {
	case <-d.finish:
		return d.report, d.err
	case <-ctx.Done():
		return wire.Shutdown{}, ctx.Err()
	}
}

// launchDaemon runs `supervisor run` and waits until the daemon runs.
func launchDaemon(t *testing.T, args ...string) (*daemon, *running) {
	t.Helper()
	d := &daemon{started: make(chan struct{}), stopping: make(chan struct{}), finish: make(chan struct{}), end: make(chan error, 1)}
	w := newWorld(t)
	w.program.Daemon = func(s *settings.Settings) (cli.Daemon, error) {
		d.settings = s
		return d, nil
	}
	r := w.launch(append([]string{"run"}, args...)...)
	select {
	case <-d.started:
	case code := <-r.code:
		t.Fatalf("exit %d: %s", code, r.errs.String())
	}
	return d, r
}

// signal sends a real one: what is tested is who takes it.
func signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

// SIGTERM and SIGHUP leave: nothing is stopped.
func TestRunLeaves(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		d, r := launchDaemon(t)
		signal(t, sig)
		if code := <-r.code; code != 0 || !strings.Contains(r.errs.String(), "services run on") {
			t.Errorf("%v: exit %d: %s", sig, code, r.errs.String())
		}
		select {
		case <-d.stopping:
			t.Errorf("%v stops services", sig)
		default:
		}
	}
}

// Ctrl-C stops everything and says how that went.
func TestRunStopsEverything(t *testing.T) {
	d, r := launchDaemon(t)
	d.report = wire.Shutdown{Stopped: 3, Killed: []v1.Key{{Kind: v1.KindService, Name: "db"}}}
	signal(t, syscall.SIGINT)
	<-d.stopping
	close(d.finish)
	if code := <-r.code; code != 0 {
		t.Errorf("exit %d", code)
	}
	if d.actor != "user:1000 (console)" || r.out.String() != "3 services stopped\n" || !strings.Contains(r.errs.String(), "service/db did not stop in its time") {
		t.Errorf("by %s: %s%s", d.actor, r.out.String(), r.errs.String())
	}
}

func TestRunStopsNotEverything(t *testing.T) {
	d, r := launchDaemon(t)
	d.report = wire.Shutdown{Left: []v1.Key{{Kind: v1.KindService, Name: "db"}}}
	signal(t, syscall.SIGINT)
	<-d.stopping
	close(d.finish)
	if code := <-r.code; code != 1 || !strings.Contains(r.errs.String(), "service/db could not be stopped") {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
	d, r = launchDaemon(t)
	d.err = errors.New("the keeper is gone")
	signal(t, syscall.SIGINT)
	<-d.stopping
	close(d.finish)
	if code := <-r.code; code != 1 || !strings.Contains(r.errs.String(), "the keeper is gone") {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
}

// A second Ctrl-C does not wait for the end of the stop.
func TestRunSecondInterrupt(t *testing.T) {
	d, r := launchDaemon(t)
	signal(t, syscall.SIGINT)
	<-d.stopping
	signal(t, syscall.SIGINT)
	if code := <-r.code; code != 130 || !strings.Contains(r.errs.String(), "Leaving") {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
}

// A daemon that ends by itself, asked by the API or by a failure.
func TestRunEnds(t *testing.T) {
	d, r := launchDaemon(t)
	d.end <- nil
	if code := <-r.code; code != 0 {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
	d, r = launchDaemon(t)
	d.end <- errors.New("another supervisor holds the folder")
	if code := <-r.code; code != 1 || !strings.Contains(r.errs.String(), "error: run the supervisor: another supervisor holds") {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
}

func TestRunSettings(t *testing.T) {
	d, r := launchDaemon(t, "--supervisor-port=8123", "--restart-delay", "0", "--supervisor-dir", "/srv/x")
	d.end <- nil
	<-r.code
	if d.settings.Port != 8123 || d.settings.RestartDelay != 0 || d.settings.Dir != "/srv/x" || d.settings.CaddyPort != 60443 {
		t.Errorf("%+v", d.settings)
	}
	w := newWorld(t)
	w.program.Daemon = func(*settings.Settings) (cli.Daemon, error) { return nil, errors.New("no daemon today") }
	w.env.Sources.Environ = append(w.env.Sources.Environ, "RESTART_DELAY=soon")
	_, stderr, code := w.run("run", "--supervisor-port=x")
	for _, want := range []string{`SUPERVISOR_PORT: "x" (flag --supervisor-port)`, `RESTART_DELAY: "soon" (environment)`} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, not said: %s\n%s", code, want, stderr)
		}
	}
	w.env.Sources.Environ = w.env.Sources.Environ[:1]
	if _, stderr, code := w.run("run"); code != 1 || stderr != "error: no daemon today\n" {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
