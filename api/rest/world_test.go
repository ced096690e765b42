package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
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
	w.reconcile(o.Key())
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
	w.reconcile(key)
	return in.ID, nil
}

func (w *world) Shutdown(context.Context, string) (wire.Shutdown, error) {
	return wire.Shutdown{Status: "stopped", Stopped: 2}, nil
}

// reconcile makes the status of a service what its manifest, its intent and its fate say.
func (w *world) reconcile(key v1.Key) {
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

func (l lines) Rows(_ context.Context, q rest.LogQuery) (rest.LogPage, error) {
	var out rest.LogPage
	for i, line := range slices.Backward(l) {
		if slices.Contains(q.Services, line.Service) && (q.Level == "" || q.Level == "error") && len(out.Rows) < q.Limit {
			out.Rows = append(out.Rows, wire.LogEntry{ID: int64(i), Service: line.Service, Level: "error", Text: line.Text, Time: line.Time})
		}
	}
	return out, nil
}

func (l lines) Raw(service string, _ int, _ string, to io.Writer) error {
	for _, line := range l {
		if line.Service != service {
			continue
		}
		if _, err := io.WriteString(to, line.Text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (l lines) Stats(string) wire.LogStats { return wire.LogStats{IndexBytes: int64(len(l))} }

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
