package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// Reconciler brings services from what is observed to what is desired.
type Reconciler struct {
	c      Config
	prober *probe.Prober
	seq    atomic.Uint64 // makes run IDs of one instant differ

	mu       sync.Mutex
	memories map[string]*memory
	closing  bool // Shutdown has taken over
}

// New returns a reconciler. Call Close when its loop has ended.
func New(c Config) *Reconciler {
	r := &Reconciler{c: c, memories: map[string]*memory{}}
	r.prober = probe.New(func(id string) {
		if name, ok := ownerOf(process.RunID(id)); ok {
			c.Enqueue(v1.Key{Kind: v1.KindService, Name: name})
		}
	})
	return r
}

// Close ends all probes.
func (r *Reconciler) Close() { r.prober.Close() }

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, key v1.Key) (reconcile.Result, error) {
	m, closing := r.recall(key)
	if closing {
		return reconcile.Result{}, nil
	}
	in, err := r.observe(ctx, key, m)
	if err != nil || in.svc == nil && in.whyNot == "" {
		return reconcile.Result{}, err
	}
	r.take(in, m)
	exits := r.settleExits(key, in, m)
	p := decide(in, m)
	err = r.apply(ctx, key, &in, m, &p)
	defer r.c.Forgetter.Forget(exits...)
	if gone := r.report(key, in, m, p); gone {
		return reconcile.Result{}, err
	}
	if p.next.IsZero() {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: max(time.Until(p.next), time.Millisecond)}, err
}

// recall returns what is remembered of a service.
func (r *Reconciler) recall(key v1.Key) (m *memory, closing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m = r.memories[key.Name]
	if m == nil {
		m = recall(r.c.Store.Status(key))
		r.memories[key.Name] = m
	}
	return m, r.closing
}

// observe gathers all that the decision depends on.
func (r *Reconciler) observe(ctx context.Context, key v1.Key, m *memory) (input, error) {
	in := input{
		now: time.Now(), runs: r.c.Keeper.Runs(key.String()), programs: map[int]resolved{},
		portBusy: portHolder,
		verdict:  func(id process.RunID) (probe.Verdict, bool) { return r.prober.Verdict(string(id)) },
	}
	svc, revision, ok := r.c.Desired.Service(key.Name)
	switch {
	case ok:
		in.svc = svc
	case !r.c.Desired.Complete():
		// It may still come: what runs is left alone. The listing that completes the set puts every run's owner on the queue.
		return in, nil
	default:
		in.whyNot = "its manifest is gone"
		return in, nil
	}
	in.delay, in.maxDelay = svc.Spec.Restart.Delay.Or(r.c.RestartDelay), svc.Spec.Restart.MaxDelay.Or(v1.DefaultMaxDelay)
	in.maxDelay = max(in.maxDelay, in.delay)
	in.resetAfter = svc.Spec.Restart.ResetAfter.Or(v1.DefaultResetAfter)
	in.maxAttempts = r.c.MaxRestartAttempts
	if a := svc.Spec.Restart.MaxAttempts; a != nil {
		in.maxAttempts = *a
	}
	in.want, in.whyNot = svc.IsEnabled(), "it is not enabled"
	session, err := r.c.Session(ctx)
	if err != nil {
		return in, fmt.Errorf("observe %s: %w", key, err)
	}
	if i, ok := r.c.Store.Intent(key); ok && i.Session == session {
		in.intent = &i
		switch i.Verb {
		case v1.IntentStop:
			in.want, in.whyNot = false, "it was stopped by "+i.Actor
		case v1.IntentStart:
			in.want = true
		case v1.IntentRestart:
			in.want, in.restart = true, true
		}
	}
	if m.revision != revision {
		if m.revision != "" {
			r.event(key, v1.EventNormal, "ManifestChanged", "a new version of the manifest is in force", "manifest")
		}
		m.revision = revision
		m.fresh()
	}
	if in.want {
		r.resolve(key, &in)
		in.waitsFor = r.waitsFor(svc)
	}
	return in, nil
}

// take takes up an intent that is new.
func (r *Reconciler) take(in input, m *memory) {
	if in.intent != nil && in.intent.ID != m.intent {
		m.intent = in.intent.ID
		m.fresh()
	}
}

// resolve finds out what each wanted slot is to run.
func (r *Reconciler) resolve(key v1.Key, in *input) {
	var files []string
	for i := range in.svc.ReplicaCount() {
		var w resolved
		if w.port, w.err = r.port(key, in, i); w.err == nil {
			w.program, w.err = r.c.Program(in.svc, i, w.port)
		}
		for _, f := range w.program.EnvFiles {
			if !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
		in.programs[i] = w
	}
	r.c.Track(key, files)
}

// waitsFor says which dependency is not there yet, or nothing.
func (r *Reconciler) waitsFor(svc *v1.Service) string {
	for _, d := range svc.Spec.DependsOn {
		key := v1.Key{Kind: v1.KindService, Name: d.Name}
		dep, _, ok := r.c.Desired.Service(d.Name)
		if !ok {
			// The name may be written in another case.
			for _, other := range r.c.Desired.Services() {
				if strings.EqualFold(other.Metadata.Name, d.Name) {
					dep, ok = other, true
				}
			}
		}
		if !ok {
			return fmt.Sprintf("waits for service %q, which does not exist", d.Name)
		}
		key.Name = dep.Metadata.Name
		st := r.c.Store.Status(key)
		if st == nil || !met(d.Condition, dep, st) {
			state := "unknown"
			if st != nil {
				state = string(st.Phase)
			}
			return fmt.Sprintf("waits for service %s to be %s (it is %s)", d.Name, d.Condition, state)
		}
	}
	return ""
}

// met reports whether a dependency has come as far as its dependant wants.
func met(c v1.DependencyCondition, dep *v1.Service, st *v1.ServiceStatus) bool {
	if st.ObservedRevision != dep.Revision() {
		return false // what is known is of another version
	}
	switch c {
	case v1.DependStarted:
		return st.PID != 0 || st.Phase == v1.PhaseComplete
	case v1.DependCompleted:
		return st.Phase == v1.PhaseComplete
	}
	return st.Phase == v1.PhaseRunning || st.Phase == v1.PhaseComplete
}

// settleExits accounts for runs that have ended, and returns those that the keeper may forget once the status is durable.
func (r *Reconciler) settleExits(key v1.Key, in input, m *memory) []process.RunID {
	var done []process.RunID
	for _, run := range in.runs {
		if run.Live() {
			continue
		}
		done = append(done, run.ID)
		r.prober.Forget(string(run.ID))
		s := m.slot(slotIndex(run.Slot))
		if run.Exit == nil || s.lastRun >= run.ID {
			continue
		}
		info := exitInfo(run)
		told, bad := account(in, m, run, info, run.Exit.At.Sub(run.StartedAt))
		if bad {
			info.LastLines = r.c.LastLines(run, lastLines)
		}
		kind, reason := v1.EventNormal, "Exited"
		if bad {
			kind = v1.EventWarning
			if s.failed {
				reason = "GaveUp"
			}
		}
		r.event(key, kind, reason, withReplica(in.svc, slotIndex(run.Slot), told), "")
	}
	return done
}

// lastLines is how many lines of output an exit is explained with.
const lastLines = 20

func withReplica(svc *v1.Service, i int, text string) string {
	if svc != nil && svc.ReplicaCount() > 1 {
		return fmt.Sprintf("replica %d %s", i, text)
	}
	return text
}

// port is a slot's port: the manifest's, the remembered one, or a new one.
func (r *Reconciler) port(key v1.Key, in *input, i int) (int, error) {
	if !in.svc.Spec.Port.Auto {
		return in.svc.Spec.Port.Number, nil
	}
	slot := slotName(key, i)
	for _, run := range in.runs {
		if run.Live() && run.Slot == slot {
			if port := portOf(run); port != 0 {
				// Also when the database that remembered it is lost.
				r.c.Store.SetPort(slot, port)
				return port, nil
			}
		}
	}
	if port, ok := r.c.Store.Port(slot); ok {
		return port, nil
	}
	taken := map[int]bool{}
	for _, p := range r.c.ReservedPorts {
		taken[p] = true
	}
	for _, p := range r.c.Store.Ports() {
		taken[p] = true
	}
	for _, svc := range r.c.Desired.Services() {
		taken[svc.Spec.Port.Number] = true
	}
	port, err := freePort(taken)
	if err != nil {
		return 0, &process.StartError{Reason: process.ReasonNoResources, Detail: err.Error()}
	}
	r.c.Store.SetPort(slot, port)
	return port, nil
}

// Identity of slots and runs.

func slotName(key v1.Key, i int) string { return key.String() + "/" + strconv.Itoa(i) }

func slotIndex(slot string) int {
	i, err := strconv.Atoi(slot[strings.LastIndexByte(slot, '/')+1:])
	if err != nil {
		return 0
	}
	return i
}

// newRunID is the slot with a time that sorts: a later run of a slot has a greater ID.
func (r *Reconciler) newRunID(slot string, now time.Time) process.RunID {
	return process.RunID(fmt.Sprintf("%s/%013x%03x", slot, now.UnixMicro(), r.seq.Add(1)&0xfff))
}

// ownerOf is the name of the service that a run belongs to.
func ownerOf(id process.RunID) (string, bool) {
	parts := strings.Split(string(id), "/")
	if len(parts) != 4 || parts[0] != v1.KindService {
		return "", false
	}
	return parts[1], true
}

func portOf(run process.Run) int {
	port, _ := strconv.Atoi(run.Labels[labelPort])
	return port
}

func signalName(n int) string { return v1.SignalName(syscall.Signal(n)) }

var _ reconcile.Reconciler = (*Reconciler)(nil)

// startDetail is what a person is told of a start that failed.
func startDetail(err error) string {
	var s *process.StartError
	if errors.As(err, &s) {
		return s.Detail
	}
	return err.Error()
}
