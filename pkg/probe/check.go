package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxBody is how much of an answer is read, in bytes: enough to be polite, and for a message.
const maxBody = 10 << 10

// Check is one way to ask. It returns nil when the answer is good.
type Check interface {
	Check(ctx context.Context) error
}

// HTTP passes on a status from 200 to 399.
type HTTP struct {
	Scheme, Host string // Host empty: 127.0.0.1
	Port         int
	Path         string
	Headers      map[string]string
}

// Check implements Check. A redirect is followed within the same server; one that leads elsewhere is a good answer and not
// followed.
func (h HTTP) Check(ctx context.Context) error {
	host := h.Host
	if host == "" {
		host = "127.0.0.1"
	}
	address := h.Scheme + "://" + net.JoinHostPort(host, strconv.Itoa(h.Port)) + h.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("probe %s: %w", address, err)
	}
	req.Header.Set("User-Agent", "supervisor-probe")
	for name, value := range h.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		// A program's own certificate is its own business; what is asked is whether it answers.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // See above.
	}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: sameServer}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s: %w", address, plain(ctx, err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s: status %d", address, resp.StatusCode)
	}
	return nil
}

// maxRedirects is Kubernetes' bound too.
const maxRedirects = 10

// sameServer lets redirects be followed that lead to where the first request went.
func sameServer(next *http.Request, before []*http.Request) error {
	first := before[0]
	if next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host && next.URL.Host != first.Host {
		return http.ErrUseLastResponse
	}
	if len(before) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	// A server that was asked by another name redirects to that name: it is still the one at our address.
	next.URL.Host, next.Host = first.URL.Host, first.Host
	return nil
}

// plain takes the method and address off an HTTP client's error, and names a timeout.
func plain(ctx context.Context, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}

// TCP passes when the port accepts a connection.
type TCP struct {
	Host string // empty: 127.0.0.1
	Port int
}

// Check implements Check.
func (t TCP) Check(ctx context.Context) error {
	host := t.Host
	if host == "" {
		host = "127.0.0.1"
	}
	address := net.JoinHostPort(host, strconv.Itoa(t.Port))
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect %s: %w", address, plain(ctx, err))
	}
	_ = conn.Close()
	return nil
}

// Exec passes when the command exits 0.
type Exec struct {
	Argv, Env  []string
	Dir        string
	Credential *syscall.Credential // nil: our own
}

// Check implements Check. A command that outlasts ctx is killed with its whole group.
func (e Exec) Check(ctx context.Context) error {
	if len(e.Argv) == 0 {
		return errors.New("probe: no command")
	}
	cmd := exec.CommandContext(ctx, e.Argv[0], e.Argv[1:]...)
	// The program is looked up in the service's PATH, not in ours.
	for _, v := range e.Env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok && !strings.Contains(e.Argv[0], "/") {
			for _, dir := range strings.Split(path, ":") {
				if found, err := exec.LookPath(dir + "/" + e.Argv[0]); err == nil {
					cmd.Path, cmd.Err = found, nil
					break
				}
			}
		}
	}
	cmd.Env, cmd.Dir = e.Env, e.Dir
	var out bytes.Buffer
	cmd.Stdout = &limited{b: &out}
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: e.Credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // a grandchild may hold the pipe
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: no end in time", e.Argv[0])
	case err != nil:
		text := strings.TrimSpace(out.String())
		if text != "" {
			text = ": " + text
		}
		return fmt.Errorf("%s: %w%s", e.Argv[0], err, text)
	}
	return nil
}

// limited keeps the begin of what is written to it.
type limited struct{ b *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	const most = 512
	if room := most - l.b.Len(); room > 0 {
		l.b.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

var (
	_ Check = HTTP{}
	_ Check = TCP{}
	_ Check = Exec{}
)
