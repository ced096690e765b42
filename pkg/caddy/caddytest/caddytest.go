// Package caddytest runs a real Caddy for tests: on loopback, with all its files in a temporary folder.
package caddytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait; no test is faster for a shorter one.
const patience = 30 * time.Second

// Program is the Caddy that `make caddy` builds, or the one that SUPERVISOR_TEST_CADDY names. Without one the test fails.
func Program(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SUPERVISOR_TEST_CADDY")
	if path == "" {
		_, file, _, _ := runtime.Caller(0)
		path = filepath.Join(filepath.Dir(file), "..", "..", "..", "bin", "caddy")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("these tests run a real Caddy: build it with `make caddy`, or name one in SUPERVISOR_TEST_CADDY (%v)", err)
	}
	return path
}

// Caddy is one Caddy.
type Caddy struct {
	t       testing.TB
	program string
	// Dir holds its files, File is its Caddyfile. Admin is its admin API, as CADDY_ADMIN_URL has it.
	Dir, File, Admin string
	// HTTP and HTTPS are ports that it may use.
	HTTP, HTTPS int

	cmd    *exec.Cmd
	exited chan struct{}
}

// New makes a folder with a Caddyfile of the given sites; nothing runs yet.
func New(t testing.TB, sites string) *Caddy {
	t.Helper()
	// Not t.TempDir: its long name would not fit into a unix socket's address.
	dir, err := os.MkdirTemp("", "cd")
	if err != nil {
		t.Fatal(err)
	}
	// Caddy may run as somebody else one day; what it reads of ours is for all.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &Caddy{t: t, program: Program(t), Dir: dir, File: filepath.Join(dir, "Caddyfile"), HTTP: FreePort(t), HTTPS: FreePort(t)}
	c.Admin = "unix/" + filepath.Join(dir, "admin.sock")
	c.Write(sites)
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			if log, err := os.ReadFile(filepath.Join(dir, "caddy.log")); err == nil {
				t.Logf("Caddy said:\n%s", log[max(0, len(log)-8<<10):])
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("remove %s: %v", dir, err)
		}
	})
	return c
}

// Start makes one and runs it.
func Start(t testing.TB, sites string) *Caddy {
	t.Helper()
	c := New(t, sites)
	c.Run()
	return c
}

// Write replaces the sites of its Caddyfile.
func (c *Caddy) Write(sites string) {
	c.t.Helper()
	text := fmt.Sprintf(`{
	admin %s
	http_port %d
	https_port %d
	default_bind 127.0.0.1
	auto_https disable_redirects
	skip_install_trust
	grace_period 1s
	log {
		level ERROR
	}
	storage file_system %s/storage
}
%s`, c.Admin, c.HTTP, c.HTTPS, c.Dir, sites)
	if err := os.WriteFile(c.File, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// Run starts it with its Caddyfile and waits until its admin API answers.
func (c *Caddy) Run() {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.Dir, "caddy.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(c.program, "run", "--config", c.File, "--adapter", "caddyfile") //nolint:noctx // It is ended by Kill.
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = c.Dir, log, log
	c.cmd.Env = []string{"HOME=" + c.Dir, "PATH=" + os.Getenv("PATH")}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	cmd, exited := c.cmd, make(chan struct{})
	c.exited = exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if body := c.Config(); body != "" {
			return
		}
		select {
		case <-exited:
			c.t.Fatal("Caddy exited")
		case <-deadline:
			c.t.Fatal("Caddy does not answer")
		case <-tick.C:
		}
	}
}

// Kill is kill -9. It does nothing when it does not run.
func (c *Caddy) Kill() {
	if c.cmd == nil {
		return
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Error(err)
	}
	<-c.exited
	c.cmd = nil
}

// Pause stops its process in its tracks, and Resume lets it go on.
func (c *Caddy) Pause()  { _ = c.cmd.Process.Signal(syscall.SIGSTOP) }
func (c *Caddy) Resume() { _ = c.cmd.Process.Signal(syscall.SIGCONT) } //nolint:revive // Told above.

// Config is the running configuration as JSON; empty when nobody answers.
func (c *Caddy) Config() string {
	resp, err := c.API(http.MethodGet, "/config/", "", nil)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// API calls the admin API, as somebody else than Supervisor.
func (c *Caddy) API(method, path, contentType string, body io.Reader) (*http.Response, error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(c.Dir, "admin.sock"))
		},
	}}
	r, err := http.NewRequestWithContext(c.t.Context(), method, "http://localhost"+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return client.Do(r)
}

// Transport reaches every host at the given port of loopback, and trusts every certificate.
func Transport() *http.Transport {
	t := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}}
	t.TLSClientConfig = insecure()
	return t
}

// FreePort is a port of loopback at which nobody listens.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Closed two lines below.
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
