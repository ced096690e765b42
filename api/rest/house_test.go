package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/status"
)

// house is a running server over a world.
type house struct {
	*world
	api    *rest.API
	auth   *rest.Authorizer
	addr   string // of the TCP listener
	socket string
	stop   func()
	log    *syncBuffer
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newHouse starts a server on a free port and on a unix socket; change may alter its hands first.
func newHouse(t testing.TB, change ...func(*rest.Deps, *world)) *house {
	t.Helper()
	dir := t.TempDir()
	logs := &syncBuffer{}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	store, err := status.Open(testContext(t), filepath.Join(dir, "supervisor.db"), status.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: store, objects: map[v1.Key]v1.Object{}, fates: map[string]fate{}, pid: 1000}
	auth := rest.NewAuthorizer(testToken, []string{"box.lan"}, log)
	d := rest.Deps{
		Desired: w, Editor: w, Observed: store, Operator: w, Auth: auth, Log: log,
		Version:     func() wire.Version { return wire.Version{Version: "v1.2.3", PID: 77} },
		Unready:     func() []string { return w.unready },
		Schemas:     fstest.MapFS{"service.json": {Data: []byte(`{"type":"object"}`)}},
		LogFile:     filepath.Join(dir, "supervisor.log"),
		ServiceHost: "box.lan", Patience: 5 * time.Second,
	}
	for _, f := range change {
		f(&d, w)
	}
	h := &house{world: w, api: rest.New(d), auth: auth, socket: filepath.Join(dir, "s.sock"), log: logs}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = tcp.Addr().String()
	unix, err := rest.Listen(testContext(t), h.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- rest.Serve(ctx, h.api, tcp, unix) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		w.busy.Wait()
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

// request is one call over TCP, by default one that a local program would make.
type request struct {
	method, path, body string
	header             map[string]string // Host sets the Host header
	socket             bool
}

type response struct {
	status int
	header http.Header
	body   string
}

func (h *house) call(t testing.TB, r request) response {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if r.socket {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", h.socket)
		}
	}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if r.method == "" {
		r.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(testContext(t), r.method, "http://"+h.addr+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if host, ok := r.header["Host"]; ok {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return response{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// add puts a service in place and waits until it has been acted on.
func (h *house) add(t testing.TB, manifest string) {
	t.Helper()
	r := h.call(t, request{method: "POST", path: "/api/v1/apply", body: manifest})
	if r.status != http.StatusOK || strings.Contains(r.body, wire.ResultFailed) {
		t.Fatalf("apply: %d %s", r.status, r.body)
	}
}

func manifest(name, spec string) string {
	return fmt.Sprintf("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

func decode[T any](t testing.TB, r response) (out T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return out
}
