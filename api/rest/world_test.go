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
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"sigs.k8s.io/yaml"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testToken = "a-token-that-is-long-enough"
	patience  = 20 * time.Second
)

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fate is what becomes of a service's process.
type fate int

const (
	lives    fate = iota
	crashes       // exits at once; is in backoff
	relapses      // runs for a moment, then exits
	waits         // pending: its dependency is not there
)

// world stands for all that the API has hands for: a desired set in memory, and a reconciler that acts at once. What is
// observed is kept by the real store.
type world struct {
	store *status.Store
	slow  chan struct{} // when it is not nil, the reconciler waits for it

	mu       sync.Mutex
	objects  map[v1.Key]v1.Object
	fates    map[string]fate
	pid      int
	pending  []v1.Key
	problems []v1.Problem
	unready  []string
	intents  []v1.Intent
	changes  []rest.Change
	written  []rest.Document
	busy     sync.WaitGroup
}

func (w *world) Get(key v1.Key) (v1.Object, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o, ok := w.objects[key]
	return o, ok
}

func (w *world) List(kind string) []v1.Object {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []v1.Object
	for key, o := range w.objects {
		if key.Kind == kind {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b v1.Object) int { return strings.Compare(a.Key().Name, b.Key().Name) })
	return out
}

func (w *world) File(key v1.Key) string { return "services/" + key.Name + ".yaml" }

func (w *world) Problems() []v1.Problem { return w.problems }

func (w *world) Pending() []v1.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.pending)
}

func (w *world) Prune(context.Context, string) ([]v1.Key, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.pending
	w.pending = nil
	return gone, nil
}

// Decode is strict, as the real one is, and knows no line numbers.
func (w *world) Decode(text []byte) (docs []rest.Document, problems []v1.Problem) {
	for part := range bytes.SplitSeq(text, []byte("\n---\n")) {
		if len(bytes.TrimSpace(part)) == 0 {
			continue
		}
		var head v1.TypeMeta
		if err := yaml.Unmarshal(part, &head); err != nil {
			problems = append(problems, v1.Problem{Line: 1, Detail: err.Error()})
			continue
		}
		var o v1.Object = &v1.Service{}
		if head.Kind == v1.KindCronJob {
			o = &v1.CronJob{}
		}
		if err := yaml.UnmarshalStrict(part, o); err != nil {
			problems = append(problems, v1.Problem{Line: 1, Detail: err.Error()})
			continue
		}
		o.Default()
		for _, e := range o.Validate() {
			problems = append(problems, v1.Problem{Line: 1, Field: e.Field, Detail: e.Detail, Key: o.Key()})
		}
		docs = append(docs, rest.Document{Object: o, Text: part})
	}
	return docs, problems
}

func (w *world) Create(_ context.Context, d rest.Document, _ string) (string, error) {
	return w.put(d)
}

func (w *world) Replace(_ context.Context, d rest.Document, _, _ string) (string, error) {
	return w.put(d)
}

func (w *world) put(d rest.Document) (string, error) {
	data, err := json.Marshal(d.Object)
	if err != nil {
		return "", err
	}
	o, err := decodeLike(d.Object.Key().Kind, data)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	w.written = append(w.written, d)
	w.objects[o.Key()] = o
	w.mu.Unlock()
	w.store.PutObject(o.Key(), o.Revision())
	w.reconcile(o.Key(), "")
	return o.Revision(), nil
}

func decodeLike(kind string, data []byte) (v1.Object, error) {
	var o v1.Object = &v1.Service{}
	if kind == v1.KindCronJob {
		o = &v1.CronJob{}
	}
	err := yaml.UnmarshalStrict(data, o)
	o.Default()
	return o, err
}

// Change edits the JSON of the object by path.
func (w *world) Change(_ context.Context, key v1.Key, changes []rest.Change, _, _ string) (string, error) {
	o, _ := w.Get(key)
	data, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return "", err
	}
	for _, c := range changes {
		at := tree
		for _, name := range c.Path[:len(c.Path)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		if last := c.Path[len(c.Path)-1]; c.Value == nil {
			delete(at, last)
		} else {
			at[last] = c.Value
		}
	}
	w.mu.Lock()
	w.changes = append(w.changes, changes...)
	w.mu.Unlock()
	if data, err = json.Marshal(tree); err != nil {
		return "", err
	}
	edited, err := decodeLike(key.Kind, data)
	if err != nil {
		return "", err
	}
	return w.put(rest.Document{Object: edited})
}

func (w *world) Delete(_ context.Context, key v1.Key, _, _ string) error {
	w.mu.Lock()
	delete(w.objects, key)
	w.mu.Unlock()
	w.busy.Go(func() { w.store.DeleteObject(key) })
	return nil
}

func (w *world) Intend(ctx context.Context, key v1.Key, verb v1.IntentVerb, actor string) (string, error) {
	w.mu.Lock()
	in := v1.Intent{Key: key, Verb: verb, ID: fmt.Sprint("intent-", len(w.intents)), Actor: actor}
	w.intents = append(w.intents, in)
	w.mu.Unlock()
	if err := w.store.PutIntent(ctx, in); err != nil {
		return "", err
	}
	w.reconcile(key, in.ID)
	return in.ID, nil
}

func (w *world) Shutdown(context.Context, string) (wire.Shutdown, error) {
	return wire.Shutdown{Status: "stopped", Stopped: 2}, nil
}

// reconcile makes the status of a service what its manifest, its intent and its fate say.
func (w *world) reconcile(key v1.Key, intentID string) {
	w.busy.Go(func() {
		if w.slow != nil {
			<-w.slow
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		s, ok := w.objects[key].(*v1.Service)
		if !ok {
			return
		}
		st := v1.ServiceStatus{}
		if old := w.store.Status(key); old != nil {
			st = *old
		}
		in, _ := w.store.Intent(key)
		run := s.Spec.Enabled == nil || *s.Spec.Enabled
		if in.ID != "" {
			run = in.Verb != v1.IntentStop
		}
		fresh := st.PID == 0 || in.Verb == v1.IntentRestart && st.ObservedIntent != in.ID
		st.ObservedRevision, st.ObservedIntent = s.Revision(), in.ID
		if !run {
			st.Phase, st.PID, st.StartedAt = v1.PhaseStopped, 0, nil
			w.store.SetStatus(key, &st)
			return
		}
		switch f := w.fates[key.Name]; {
		case f == waits:
			st.Phase = v1.PhasePending
			v1.SetCondition(&st.Conditions, v1.Condition{Type: v1.ConditionReady, Status: v1.ConditionFalse, Reason: "Waiting", Message: "waits for db to be ready"})
		case f == crashes:
			st.Phase, st.PID, st.Attempts = v1.PhaseBackoff, 0, st.Attempts+1
			st.LastExit = &v1.ExitInfo{Code: 1, Reason: "exited with code 1", LastLines: []string{"ImportError: no module named app"}}
		case fresh:
			w.pid++
			now := time.Now()
			st.Phase, st.PID, st.StartedAt = v1.PhaseRunning, w.pid, &now
			if f == relapses {
				w.store.SetStatus(key, &st)
				st.Phase, st.PID = v1.PhaseBackoff, 0
				st.LastExit = &v1.ExitInfo{Code: 2, Reason: "exited with code 2"}
			}
		}
		if s.Spec.Port.Auto {
			st.Port = 40001
		}
		w.store.SetStatus(key, &st)
	})
}

// lines is a LogReader over a fixed set of lines.
type lines []wire.LogLine

func (l lines) Rows(_ context.Context, q rest.LogQuery) ([]wire.LogRow, error) {
	var out []wire.LogRow
	for i, line := range slices.Backward(l) {
		if line.Service == q.Key.Name && (q.Level == "" || q.Level == "error") && len(out) < q.Limit {
			out = append(out, wire.LogRow{ID: uint64(i), Level: "error", Message: line.Text, Timestamp: line.Time})
		}
	}
	return out, nil
}

func (l lines) Lines(ctx context.Context, services []string, o wire.LogOptions, fn func(wire.LogLine) error) error {
	seen := o.Resume == ""
	for _, line := range l {
		if seen && slices.Contains(services, line.Service) && (o.Stream == "" || o.Stream == line.Stream) {
			if err := fn(line); err != nil {
				return err
			}
		}
		seen = seen || line.Cursor == o.Resume
	}
	if o.Follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

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
	ctx, cancel := context.WithCancel(context.Background())
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
