package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy"
)

// fakeWay is a Caddy that takes everything but some names, is sometimes away, and counts.
type fakeWay struct {
	mu      sync.Mutex
	has     []caddy.Route
	poison  map[string]bool
	away    error
	puts    int // calls
	changes int
	// gaps are the names that were served before a change, are wanted, and were missing after it.
	gaps []string
	want []string
}

func (w *fakeWay) Put(_ context.Context, last, want []caddy.Route, force bool) (caddy.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.puts++
	out := caddy.Outcome{LeftOut: map[int]string{}}
	if w.away != nil {
		return out, &caddy.UnreachableError{Admin: "unix//x", Remedy: "start it", Err: w.away}
	}
	for _, r := range want {
		if w.poison[r.Name] {
			return out, &caddy.RejectedError{Status: 400, Detail: "cannot take " + poisoned(want, w.poison)}
		}
	}
	if last != nil {
		for _, name := range namesOf(last) {
			if !reflect.DeepEqual(only(last, name), only(w.has, name)) {
				out.Drift = append(out.Drift, name+" was changed")
			}
		}
	}
	if !force && reflect.DeepEqual(w.has, want) {
		return out, nil
	}
	for _, name := range namesOf(w.has) {
		if slices.Contains(w.want, name) && len(only(want, name)) == 0 {
			w.gaps = append(w.gaps, name)
		}
	}
	w.has, out.Changed = slices.Clone(want), true
	w.changes++
	return out, nil
}

func poisoned(routes []caddy.Route, poison map[string]bool) string {
	var names []string
	for _, r := range routes {
		if poison[r.Name] {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, ",")
}

func (w *fakeWay) Text(want []caddy.Route) string { return caddy.Caddyfile(want, caddy.Layout{}) }

// world is a reconciler with a fake Caddy.
type world struct {
	*Reconciler
	way      *fakeWay
	services []Service
	exposed  map[string]*v1.Condition
	urls     map[string]string
	events   []v1.Event
	saved    []caddy.Route
	enqueued atomic.Int32
}

func newWorld(services ...Service) *world {
	w := &world{way: &fakeWay{poison: map[string]bool{}}, services: services, exposed: map[string]*v1.Condition{}, urls: map[string]string{}}
	w.renew()
	return w
}

// observed are the services with what they were told.
func (w *world) observed() []Service {
	out := slices.Clone(w.services)
	for i := range out {
		c := w.exposed[out[i].Metadata.Name]
		if c == nil {
			continue
		}
		st := v1.ServiceStatus{}
		if out[i].Observed != nil {
			st = *out[i].Observed
		}
		st.URL, st.Conditions = w.urls[out[i].Metadata.Name], []v1.Condition{*c}
		out[i].Observed = &st
	}
	return out
}

// renew is another life of the supervisor.
func (w *world) renew() {
	ready := make(chan struct{})
	close(ready)
	w.Reconciler = New(Config{
		Services: w.observed, Ready: ready, Sites: sites, Upstream: upstreamFile, Port: noPort, Way: w.way,
		Load: func() []caddy.Route { return w.saved }, Save: func(r []caddy.Route) error { w.saved = slices.Clone(r); return nil },
		Exposed: func(service, url string, c *v1.Condition) bool {
			was := w.exposed[service]
			w.exposed[service], w.urls[service] = c, url
			return was == nil != (c == nil) || was != nil && (was.Status != c.Status || was.Reason != c.Reason || was.Message != c.Message)
		},
		Record: func(e v1.Event) { w.events = append(w.events, e) }, Enqueue: func() { w.enqueued.Add(1) }, Log: slog.New(slog.DiscardHandler),
	})
}

// served is what Caddy has, as "name=host …".
func (w *world) served() string {
	var out []string
	for _, r := range w.way.has {
		out = append(out, r.Name+"="+r.Host)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// reasons are the conditions, as "name=reason …".
func (w *world) reasons() string {
	var out []string
	for name, c := range w.exposed {
		if c != nil {
			out = append(out, fmt.Sprintf("%s=%s", name, c.Reason))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

var errAway = errors.New("connection refused")
