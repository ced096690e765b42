package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/cmd/supervisor/internal/cli"
	"github.com/philiporange/supervisor/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time at which all tests take place.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return noon.Add(-d) }

// world is a supervisor's API on a unix socket, and a user in front of it.
type world struct {
	t   *testing.T
	dir string
	env cli.Environment
	// program is what is run; its Daemon is nil.
	program cli.Program

	mu       sync.Mutex
	objects  map[v1.Key]v1.Object
	flat     map[string]wire.Service
	problems []v1.Problem
	events   []v1.Event
	lines    []wire.LogLine
	pending  []v1.Key
	shutdown wire.Shutdown
	// changes are sent to whoever watches, then the stream stays open until it is hung up.
	changes   chan v1.Change
	unwatched chan struct{} // one for each event stream that has ended
	// calls are the requests that were made, without those that only read.
	calls []string
	// fail answers a "METHOD /path" with a problem.
	fail map[string]wire.Problem
	// applied answers apply.
	applied []wire.Applied
	// preview answers preview.
	preview wire.Preview
	// routes answers routes.
	routes wire.Routes
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli") // t.TempDir would be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{
		t: t, dir: dir, objects: map[v1.Key]v1.Object{}, flat: map[string]wire.Service{}, changes: make(chan v1.Change, 16), unwatched: make(chan struct{}, 16),
		fail: map[string]wire.Problem{},
	}
	w.env = cli.Environment{
		In: strings.NewReader(""), Now: func() time.Time { return noon }, UID: 1000,
		Sources: settings.Sources{
			Environ: []string{"SUPERVISOR_DIR=" + dir}, WorkingDir: dir, Home: dir,
			Executable: filepath.Join(dir, "supervisor"), DetectHost: func() string { return "localhost" },
		},
	}
	w.program = cli.Program{Version: "v1.2.3", Validate: func(path string) ([]v1.Key, []v1.Problem, error) {
		text, err := os.ReadFile(path)
		v := validation(string(text))
		for i := range v.Problems {
			v.Problems[i].File = path
		}
		return v.Keys, v.Problems, err
	}}
	return w
}

// serve opens the API.
func (w *world) serve() *world {
	w.t.Helper()
	l, err := net.Listen("unix", settings.SocketIn(w.dir))
	if err != nil {
		w.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(w.handler())
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	w.t.Cleanup(s.Close)
	return w
}

// run calls the command line.
func (w *world) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	return w.runIn(w.t.Context(), args...)
}

func (w *world) runIn(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, errs bytes.Buffer
	env := w.env
	env.Out, env.Err = &out, &errs
	code = cli.Run(ctx, w.program, env, args)
	clean := func(s string) string { return strings.NewReplacer(w.dir, "DIR", runtime.Version(), "GO").Replace(s) }
	return clean(out.String()), clean(errs.String()), code
}

func (w *world) add(objects ...v1.Object) *world {
	for _, o := range objects {
		o.Default()
		w.objects[o.Key()] = o
		if o.Key().Kind == v1.KindService {
			w.flat[o.Key().Name] = wire.Service{Name: o.Key().Name, File: "services/" + o.Key().Name + ".yaml"}
		}
	}
	return w
}

func (w *world) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(r *http.Request) (any, *wire.Problem)) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/validate") && !strings.HasSuffix(r.URL.Path, "/preview") {
				w.calls = append(w.calls, r.Method+" "+r.URL.Path)
			}
			if p, ok := w.fail[r.Method+" "+r.URL.Path]; ok {
				problem(rw, p)
				return
			}
			body, p := f(r)
			if p != nil {
				problem(rw, *p)
				return
			}
			_ = json.NewEncoder(rw).Encode(body)
		})
	}
	for folder, kind := range map[string]string{"services": v1.KindService, "cronjobs": v1.KindCronJob} {
		handle("GET /api/v1/"+folder, func(r *http.Request) (any, *wire.Problem) {
			return wire.List[v1.Object]{Items: w.list(kind, r.URL.Query().Get("labelSelector"))}, nil
		})
		handle("GET /api/v1/"+folder+"/{name}", func(r *http.Request) (any, *wire.Problem) {
			if o := w.objects[v1.Key{Kind: kind, Name: r.PathValue("name")}]; o != nil {
				return o, nil
			}
			return nil, missing(r)
		})
		handle("DELETE /api/v1/"+folder+"/{name}", func(r *http.Request) (any, *wire.Problem) {
			k := v1.Key{Kind: kind, Name: r.PathValue("name")}
			if w.objects[k] == nil {
				return nil, missing(r)
			}
			delete(w.objects, k)
			return wire.Deleted{Status: "deleted", Name: k.Name}, nil
		})
	}
	handle("GET /api/v1/routes", func(*http.Request) (any, *wire.Problem) { return w.routes, nil })
	handle("GET /api/caddy/config", func(*http.Request) (any, *wire.Problem) {
		return wire.CaddyConfig{Caddyfile: "https://web.test {\n}\n"}, nil
	})
	handle("GET /api/caddy/current", func(*http.Request) (any, *wire.Problem) { return map[string]any{"apps": map[string]any{}}, nil })
	handle("POST /api/caddy/reload", func(*http.Request) (any, *wire.Problem) {
		return wire.CaddyReloaded{Status: "reloaded", Message: "Caddy has loaded its configuration"}, nil
	})
	handle("GET /api/services/{name}", func(r *http.Request) (any, *wire.Problem) {
		if s, ok := w.flat[r.PathValue("name")]; ok {
			return s, nil
		}
		return nil, missing(r)
	})
	handle("POST /api/services/{name}/{verb}", func(r *http.Request) (any, *wire.Problem) {
		name := r.PathValue("name")
		if w.objects[v1.Key{Kind: v1.KindService, Name: name}] == nil {
			return nil, missing(r)
		}
		switch r.PathValue("verb") {
		case "start":
			return wire.Started{Status: "already_running", Name: name, PID: 7}, nil
		case "restart":
			return wire.Started{Status: "restarted", Name: name, PID: 8}, nil
		default:
			return wire.Stopped{Status: "stopped", Name: name}, nil
		}
	})
	handle("GET /api/v1/problems", func(*http.Request) (any, *wire.Problem) { return wire.Problems{Items: w.problems}, nil })
	handle("GET /api/v1/prune", func(*http.Request) (any, *wire.Problem) { return wire.Prune{Pending: w.pending}, nil })
	handle("POST /api/v1/prune", func(*http.Request) (any, *wire.Problem) {
		pruned := w.pending
		w.pending = nil
		return wire.Prune{Pruned: pruned}, nil
	})
	handle("POST /api/v1/shutdown", func(*http.Request) (any, *wire.Problem) { return w.shutdown, nil })
	handle("GET /api/v1/version", func(*http.Request) (any, *wire.Problem) {
		return wire.Version{Version: "v1.2.4", Go: "go1.26", Keeper: "v1.2.0", PID: 42, StartedAt: before(3 * time.Hour), DataDir: w.dir, Manifests: w.dir + "/manifests"}, nil
	})
	handle("GET /api/v1/events", func(r *http.Request) (any, *wire.Problem) {
		q := r.URL.Query()
		f := v1.EventFilter{Key: v1.Key{Kind: q.Get("kind"), Name: q.Get("name")}}
		for _, t := range q["type"] {
			f.Types = append(f.Types, v1.EventType(t))
		}
		var out []v1.Event
		for i := range w.events {
			if f.Matches(&w.events[i]) {
				out = append(out, w.events[i])
			}
		}
		return wire.Events{Items: out}, nil
	})
	handle("POST /api/v1/apply", func(*http.Request) (any, *wire.Problem) { return wire.ApplyResult{Items: w.applied}, nil })
	handle("POST /api/v1/validate", func(r *http.Request) (any, *wire.Problem) {
		text, _ := io.ReadAll(r.Body)
		return validation(string(text)), nil
	})
	handle("POST /api/v1/manifests/preview", func(r *http.Request) (any, *wire.Problem) {
		var req wire.PreviewRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Text == nil {
			return nil, &wire.Problem{Status: 422, Detail: "no text"}
		}
		return w.preview, nil
	})
	mux.HandleFunc("GET /api/v1/events/stream", w.eventStream)
	mux.HandleFunc("GET /api/v1/logs/stream", w.logStream)
	return mux
}

// list is the objects of a kind, by name; of a selector it understands one "key=value".
func (w *world) list(kind, selector string) []v1.Object {
	out := []v1.Object{}
	key, value, _ := strings.Cut(selector, "=")
	for k, o := range w.objects {
		if k.Kind == kind && (selector == "" || o.Meta().Labels[key] == value) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b v1.Object) int { return strings.Compare(a.Key().Name, b.Key().Name) })
	return out
}

// validation is the API's answer to a text: a line "bad" is a problem, a line "Kind/name" an object.
func validation(text string) wire.Validation {
	var v wire.Validation
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if kind, name, ok := strings.Cut(line, "/"); ok {
			v.Keys = append(v.Keys, v1.Key{Kind: kind, Name: name})
		} else if line == "bad" {
			v.Problems = append(v.Problems, v1.Problem{File: "request", Line: n, Field: "spec.bad", Detail: "unknown field"})
		}
	}
	v.Valid = len(v.Problems) == 0
	return v
}

func missing(r *http.Request) *wire.Problem {
	return &wire.Problem{Status: http.StatusNotFound, Code: wire.CodeNotFound, Title: "Not Found", Detail: "nothing at " + r.URL.Path}
}

func problem(rw http.ResponseWriter, p wire.Problem) {
	rw.Header().Set("Content-Type", wire.ProblemType)
	rw.WriteHeader(p.Status)
	_ = json.NewEncoder(rw).Encode(p)
}

func frame(rw http.ResponseWriter, id uint64, event string, v any) {
	text, _ := json.Marshal(v)
	_, _ = fmt.Fprintf(rw, "id: %d\nevent: %s\ndata: %s\n\n", id, event, text)
	if f, ok := rw.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *world) eventStream(rw http.ResponseWriter, r *http.Request) {
	defer func() { w.unwatched <- struct{}{} }()
	rw.Header().Set("Content-Type", "text/event-stream")
	if r.Header.Get("Last-Event-ID") == "" {
		frame(rw, 1, "snapshot", wire.Snapshot{Seq: 1})
	}
	for {
		select {
		case ch := <-w.changes:
			frame(rw, ch.Seq, "change", ch)
		case <-r.Context().Done():
			return
		}
	}
}

func (w *world) logStream(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "text/event-stream")
	q := r.URL.Query()
	w.mu.Lock()
	w.calls = append(w.calls, fmt.Sprintf("logs %s tail=%s follow=%s stream=%s since=%s", strings.Join(q["service"], ","), q.Get("tail"), q.Get("follow"), q.Get("stream"), q.Get("since")))
	since, _ := time.Parse(time.RFC3339Nano, q.Get("since"))
	for i, l := range w.lines {
		if slices.Contains(q["service"], l.Service) && !l.Time.Before(since) {
			frame(rw, uint64(i+1), "line", l)
		}
	}
	w.mu.Unlock()
	if q.Get("follow") != "" {
		<-r.Context().Done()
		return
	}
	frame(rw, 1000, "end", struct{}{})
}
