package service

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(name string) v1.Key { return v1.Key{Kind: v1.KindService, Name: name} }

// service returns a defaulted service with a command of its own.
func service(name string, edit ...func(*v1.ServiceSpec)) *v1.Service {
	s := &v1.Service{
		TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService},
		Metadata: v1.ObjectMeta{Name: name}, Spec: v1.ServiceSpec{Command: v1.Command{Line: "run " + name}},
	}
	for _, e := range edit {
		e(&s.Spec)
	}
	s.Default()
	return s
}

// store is a Store in memory. It outlives a manager.
type store struct {
	mu       sync.Mutex
	statuses map[v1.Key]*v1.ServiceStatus
	writes   int
	intents  map[v1.Key]v1.Intent
	ports    map[string]int
	events   []v1.Event
	rollouts map[v1.Key][]v1.Rollout
}

func newStore() *store {
	return &store{statuses: map[v1.Key]*v1.ServiceStatus{}, intents: map[v1.Key]v1.Intent{}, ports: map[string]int{}, rollouts: map[v1.Key][]v1.Rollout{}}
}

func (s *store) Status(k v1.Key) *v1.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses[k]
}

func (s *store) SetStatus(k v1.Key, st *v1.ServiceStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	c := *st
	s.statuses[k] = &c
}

func (s *store) DeleteObject(k v1.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.statuses, k)
	delete(s.intents, k)
	delete(s.rollouts, k)
	for slot := range s.ports {
		if strings.HasPrefix(slot, k.String()+"/") {
			delete(s.ports, slot)
		}
	}
}

func (s *store) Intent(k v1.Key) (v1.Intent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.intents[k]
	return i, ok
}

func (s *store) Revision(k v1.Key, revision string) *v1.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.rollouts[k]) {
		if r.Revision == revision && r.Service != nil {
			return r.Service
		}
	}
	return nil
}

func (s *store) RecordRollout(k v1.Key, r v1.Rollout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rollouts[k] = append(s.rollouts[k], r)
}

func (s *store) Port(slot string) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.ports[slot]
	return p, ok
}

func (s *store) SetPort(slot string, port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports[slot] = port
}

func (s *store) Ports() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for k, v := range s.ports {
		out[k] = v
	}
	return out
}

func (s *store) RecordEvent(e v1.Event) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.ID, e.Time = uint64(len(s.events)+1), time.Now()
	s.events = append(s.events, e)
	return e.ID
}

// told returns the reasons of a service's events, in order.
func (s *store) told(name string) (reasons []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Key.Name == name {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}

func (s *store) message(name, reason string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range slices.Backward(s.events) {
		if e.Key.Name == name && e.Reason == reason {
			return e.Message
		}
	}
	return ""
}

// desired is a Desired that a test edits.
type desired struct {
	mu       sync.Mutex
	services map[string]*v1.Service
	partial  bool
	problems map[string][]v1.Problem
}

func (d *desired) Service(name string) (*v1.Service, string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.services[name]
	if s == nil {
		return nil, "", false
	}
	return s, s.Revision(), true
}

func (d *desired) Services() (all []*v1.Service) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.services {
		all = append(all, s)
	}
	return all
}

func (d *desired) Complete() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.partial
}

func (d *desired) Problems(name string) []v1.Problem {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problems[name]
}

// world is everything that a reconciler has to do with: a keeper, a database, manifests, and what the machine is like.
type world struct {
	t       *testing.T
	keeper  *processtest.Fake
	store   *store
	desired *desired
	changed chan struct{}

	mu      sync.Mutex
	manager *manager
	env     map[string]string // content of each service's env file
	broken  map[string]error  // services that cannot be resolved
	holders map[int]string    // ports that others hold
	sick    map[string]bool   // "web readiness": the probe fails
	pointed map[string]string // "web 0": where its requests go
	busy    map[int]int       // open connections of ports
	onSet   func(name string, replica int, address string)
	onStop  func(id process.RunID)
	lines   []string // what every run has last written
	intents int
	waiting *waiting
}

// manager is one life of the manager.
type manager struct {
	r      *Reconciler
	loop   *reconcile.Loop
	cancel context.CancelFunc
	done   chan struct{}
}

// inWorld runs a story in a bubble: time is free, and everything that is due has happened when pass returns.
func inWorld(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		story(w)
		w.kill()
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, keeper: processtest.NewFake(), store: newStore(), changed: make(chan struct{}, 1),
		desired: &desired{services: map[string]*v1.Service{}, problems: map[string][]v1.Problem{}},
		env:     map[string]string{}, broken: map[string]error{}, holders: map[int]string{}, sick: map[string]bool{},
		waiting: &waiting{held: map[string]bool{}, asked: map[string]bool{}, ready: map[string][]string{}, why: map[string]string{}},
		pointed: map[string]string{}, busy: map[int]int{},
	}
	w.keeper.OnChange(func(owner string) {
		w.mu.Lock()
		m := w.manager
		w.mu.Unlock()
		kind, name, _ := strings.Cut(owner, "/")
		if m != nil {
			m.loop.Add(v1.Key{Kind: kind, Name: name})
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	})
	return w
}

// boot starts a manager, which looks at everything as pkg/app does.
func (w *world) boot() {
	m := &manager{done: make(chan struct{})}
	m.r = New(Config{
		Desired: w.desired, Keeper: watched{w.keeper, w}, Store: w.store, Forgetter: forgetter{w}, Program: w.program,
		Track: func(v1.Key, []string) {}, LastLines: func(process.Run, int) []string { return w.lines },
		Enqueue: func(k v1.Key) { m.loop.Add(k) }, Upstreams: w, Connections: w.connections, Demand: w.waiting,
		Session: func(ctx context.Context) (string, error) {
			h, err := w.keeper.Hello(ctx)
			return h.Session, err
		},
		RestartDelay: 5 * time.Second, MaxRestartAttempts: 3, Log: slog.New(slog.DiscardHandler),
	})
	m.r.portBusy = func(port int) string {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.holders[port]
	}
	m.loop = reconcile.New(m.r, 4, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(w.t.Context())
	m.cancel = cancel
	w.mu.Lock()
	w.manager = m
	w.mu.Unlock()
	for _, svc := range w.desired.Services() {
		m.loop.Add(svc.Key())
	}
	for _, run := range w.keeper.All() {
		w.poke(strings.Split(run.Owner, "/")[1])
	}
	w.store.mu.Lock()
	known := slices.Collect(maps.Keys(w.store.statuses))
	w.store.mu.Unlock()
	for _, k := range known {
		w.poke(k.Name)
	}
	go func() {
		defer close(m.done)
		m.loop.Run(ctx)
	}()
	w.pass(0)
}

// kill ends the manager as kill -9 does, as far as anybody else can tell.
func (w *world) kill() {
	w.mu.Lock()
	m := w.manager
	w.manager = nil
	w.mu.Unlock()
	if m == nil {
		return
	}
	m.cancel()
	<-m.done
	m.r.Close()
	synctest.Wait()
}

// pass lets time pass, and everything happen that is due.
func (w *world) pass(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
	synctest.Wait()
}

func (w *world) poke(name string) {
	w.mu.Lock()
	m := w.manager
	w.mu.Unlock()
	if m != nil {
		m.loop.Add(key(name))
	}
}

// apply drops manifests.
func (w *world) apply(services ...*v1.Service) {
	w.desired.mu.Lock()
	for _, s := range services {
		w.desired.services[s.Metadata.Name] = s
	}
	w.desired.mu.Unlock()
	for _, s := range services {
		w.poke(s.Metadata.Name)
	}
	w.pass(0)
}

// remove deletes a manifest.
func (w *world) remove(name string) {
	w.desired.mu.Lock()
	delete(w.desired.services, name)
	w.desired.mu.Unlock()
	w.poke(name)
	w.pass(0)
}

// order puts an intent in force, a moment after what was before.
func (w *world) order(name string, verb v1.IntentVerb) {
	w.pass(time.Microsecond)
	h, err := w.keeper.Hello(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.intents++
	w.store.mu.Lock()
	w.store.intents[key(name)] = v1.Intent{
		Key: key(name), Verb: verb, ID: fmt.Sprintf("i%d", w.intents), Time: time.Now(), Actor: "user:1000", Session: h.Session,
	}
	w.store.mu.Unlock()
	w.poke(name)
	w.pass(0)
}

// with changes what the machine is like.
func (w *world) with(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) program(svc *v1.Service, _, port int) (Program, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := svc.Metadata.Name
	if err := w.broken[name]; err != nil {
		return Program{EnvFiles: []string{"/env/" + name}}, err
	}
	return Program{
		Spec: process.Spec{Argv: []string{name, svc.Spec.Command.Line}}, Hash: svc.RunHash() + w.env[name] + fmt.Sprint(port), EnvFiles: []string{"/env/" + name},
		Exec: func(c v1.Command) (probe.Check, error) {
			if c.Line == "unreadable" {
				return nil, fmt.Errorf("%q cannot be parsed", c.Line)
			}
			return sickness{w, name + " " + c.Line, port}, nil
		},
	}, nil
}

// sickness is a check that fails while the world says so: of a service, or of a version of it.
type sickness struct {
	w    *world
	what string
	port int
}

func (s sickness) Check(context.Context) error {
	version := s.w.version(s.port)
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.w.sick[s.what] || version != "" && s.w.sick[version] {
		return fmt.Errorf("%s is sick", s.what)
	}
	return nil
}

// version is the command line of the process that listens on a port.
func (w *world) version(port int) string {
	if port == 0 {
		return ""
	}
	for _, run := range w.keeper.All() {
		if run.Live() && portOf(run) == port {
			return w.line(run.ID)
		}
	}
	return ""
}

// line is the command line of a run.
func (w *world) line(id process.RunID) string {
	// The newest first: where no time passes, the ID of a forgotten run comes again.
	for _, spec := range slices.Backward(w.keeper.Started()) {
		if spec.ID == id {
			return spec.Argv[1]
		}
	}
	return ""
}

// The world is its own folder of upstreams.

func (w *world) Replicas(name string) (replicas []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range 64 {
		if w.pointed[fmt.Sprint(name, " ", i)] != "" {
			replicas = append(replicas, i)
		}
	}
	return replicas
}

func (w *world) Get(name string, replica int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pointed[fmt.Sprint(name, " ", replica)]
}

func (w *world) Set(name string, replica int, address string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := fmt.Sprint(name, " ", replica)
	changed := w.pointed[k] != address
	w.pointed[k] = address
	if w.onSet != nil {
		w.mu.Unlock()
		defer w.mu.Lock()
		w.onSet(name, replica, address)
	}
	return changed, nil
}

// watched is the keeper, with the world looking on.
type watched struct {
	*processtest.Fake
	w *world
}

func (k watched) Stop(ctx context.Context, id process.RunID, sig syscall.Signal, grace time.Duration) error {
	if k.w.onStop != nil {
		k.w.onStop(id)
	}
	return k.Fake.Stop(ctx, id, sig, grace)
}

func (w *world) Remove(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.pointed, func(k, _ string) bool { return strings.HasPrefix(k, name+" ") })
	return nil
}

func (w *world) connections(ports ...int) (map[int][]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	peers := map[int][]string{}
	for _, p := range ports {
		for i := range w.busy[p] {
			peers[p] = append(peers[p], fmt.Sprint("client ", i))
		}
	}
	return peers, nil
}

// waiting is a Demand whose requests a test makes.
type waiting struct {
	mu    sync.Mutex
	held  map[string]bool
	asked map[string]bool
	ready map[string][]string
	why   map[string]string
}

func (d *waiting) Address(name string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[name] = true
	return "activator", nil
}

func (d *waiting) Asked(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[name]
}

func (d *waiting) Tell(name string, ready []string, failed string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready[name], d.why[name] = ready, failed
}

func (d *waiting) Forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, name)
}

type forgetter struct{ w *world }

func (f forgetter) Forget(ids ...process.RunID) {
	go func() {
		for _, id := range ids {
			_ = f.w.keeper.Forget(f.w.t.Context(), id)
		}
	}()
}

func (w *world) status(name string) *v1.ServiceStatus {
	w.t.Helper()
	st := w.store.Status(key(name))
	if st == nil {
		w.t.Fatalf("%s has no status", name)
	}
	return st
}

// live is the only live run of a service; "" when there is none.
func (w *world) live(name string) process.RunID {
	w.t.Helper()
	ids := w.keeper.Live(key(name).String())
	if len(ids) > 1 {
		w.t.Fatalf("%s runs %d times: %v", name, len(ids), ids)
	}
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// is checks a service's phase.
func (w *world) is(name string, phase v1.Phase) {
	w.t.Helper()
	if st := w.status(name); st.Phase != phase {
		w.t.Fatalf("%s is %s, want %s: %+v", name, st.Phase, phase, st.Conditions)
	}
}

// starts is how often a service was started.
func (w *world) starts(name string) (n int) {
	for _, s := range w.keeper.Started() {
		if s.Owner == key(name).String() {
			n++
		}
	}
	return n
}

// condition is "Status Reason: message" of a condition.
func (w *world) condition(name, kind string) string {
	w.t.Helper()
	c := v1.FindCondition(w.status(name).Conditions, kind)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

func (w *world) says(text string, parts ...string) {
	w.t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			w.t.Errorf("%q does not say %q", text, p)
		}
	}
}

func execProbe(line string, period time.Duration) *v1.Probe {
	return &v1.Probe{Exec: &v1.ExecProbe{Command: v1.Command{Line: line}}, Period: v1.D(period)}
}
