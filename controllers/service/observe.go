package service

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// observe gathers what the decision depends on, but for the runs. known is false while it may still come out that the
// service is desired: then what runs is left alone.
func (r *Reconciler) observe(ctx context.Context, key v1.Key, rec *record) (in input, known bool, err error) {
	svc, revision, ok := r.c.Desired.Service(key.Name)
	if !ok {
		in.whyNot = "its manifest is gone"
		return in, r.c.Desired.Complete(), nil
	}
	in.svc, in.revision = svc, revision
	if in.session, err = r.c.Session(ctx); err != nil {
		return in, false, fmt.Errorf("observe %s: %w", key, err)
	}
	r.wish(key, &in)
	r.demand(key, &in, rec)
	in.limits, in.policy = r.limits(svc), policyHash(svc)
	in.rolling, in.drain, in.deadline = svc.Rolls(), svc.Spec.Update.Drain.Or(v1.DefaultDrain), svc.Spec.Update.ProgressDeadline.Or(v1.DefaultProgressDeadline)
	if in.want {
		in.waitsFor = r.waitsFor(svc)
		r.resolve(key, &in, &rec.state)
	}
	return in, true, nil
}

// wish finds out whether the service should run: by its manifest, by what an operator asked for, or not any more.
func (r *Reconciler) wish(key v1.Key, in *input) {
	if in.want = in.svc.IsEnabled(); !in.want {
		in.whyNot = "it is not enabled"
	} else if in.svc.ReplicaCount() == 0 {
		in.whyNot = "it asks for 0 replicas"
	}
	if i, ok := r.c.Store.Intent(key); ok && i.Session == in.session {
		in.intent = &i
		in.want = i.Verb != v1.IntentStop
		if !in.want {
			in.whyNot = "it was stopped by " + i.Actor
		}
	}
	r.starting.RLock()
	defer r.starting.RUnlock()
	if r.closing {
		in.hold, in.want, in.whyNot = true, false, "the supervisor is being shut down"
	}
}

func (r *Reconciler) limits(svc *v1.Service) limits {
	p := svc.Spec.Restart
	l := limits{
		delay: p.Delay.Or(r.c.RestartDelay), maxDelay: p.MaxDelay.Or(v1.DefaultMaxDelay),
		resetAfter: p.ResetAfter.Or(v1.DefaultResetAfter), maxAttempts: r.c.MaxRestartAttempts,
	}
	if p.MaxAttempts != nil {
		l.maxAttempts = *p.MaxAttempts
	}
	return l
}

// policyHash names how failures are dealt with and found. Who edits that wants another try.
func policyHash(svc *v1.Service) string {
	h := fnv.New64a()
	// Nothing in these types fails to marshal, and a hash takes all that it is given.
	_ = json.NewEncoder(h).Encode(svc.Spec.Restart)
	_ = json.NewEncoder(h).Encode(svc.Spec.Probes)
	return strconv.FormatUint(h.Sum64(), 16)
}

// resolve finds out what each wanted place is to run.
func (r *Reconciler) resolve(key v1.Key, in *input, s *state) {
	runs := r.c.Keeper.Runs(key.String())
	n := in.svc.ReplicaCount()
	in.programs = make(map[place]resolved, n)
	var files []string
	for i := range n {
		for lane := range 2 {
			at := place{i, lane}
			live := liveIn(runs, at.in(key))
			if at != s.front(i) && live == nil && !in.rolling {
				continue
			}
			w := r.resolved(key, in, in.svc, at, live)
			w.blocked = r.blocked(in, w, live)
			for _, f := range w.program.EnvFiles {
				if !slices.Contains(files, f) {
					files = append(files, f)
				}
			}
			in.programs[at] = w
		}
	}
	r.c.Track(key, files)
	if in.rolling {
		r.resolveVersions(key, in, s, runs)
	}
}

// resolved is what a place is to run by a manifest.
func (r *Reconciler) resolved(key v1.Key, in *input, svc *v1.Service, at place, live *process.Run) (w resolved) {
	if w.port, w.err = r.port(key, in.svc, at, live); w.err == nil {
		w.program, w.err = r.c.Program(svc, at.replica, w.port)
	}
	return w
}

// resolveVersions names the version that is asked for, and finds the one to go back to.
func (r *Reconciler) resolveVersions(key v1.Key, in *input, s *state, runs []process.Run) {
	program, err := r.c.Program(in.svc, 0, 0)
	if err != nil {
		return
	}
	in.version = mark(program.Hash, in.policy)
	if in.intent != nil && in.intent.Verb == v1.IntentRestart {
		in.version += "/" + in.intent.ID
	}
	if s.stable == "" || s.stable == in.revision {
		return
	}
	good := r.c.Store.Revision(key, s.stable)
	if good == nil || !good.Spec.Port.Auto {
		return // forgotten, or of a time when there was one port
	}
	in.stable = make(map[place]resolved, in.svc.ReplicaCount())
	for i := range in.svc.ReplicaCount() {
		for lane := range 2 {
			at := place{i, lane}
			in.stable[at] = r.resolved(key, in, good, at, liveIn(runs, at.in(key)))
		}
	}
}

func liveIn(runs []process.Run, slot string) *process.Run {
	for i := range runs {
		if runs[i].Live() && runs[i].Slot == slot {
			return &runs[i]
		}
	}
	return nil
}

// blocked says why a program cannot take over from a live run that is another one.
func (r *Reconciler) blocked(in *input, w resolved, live *process.Run) string {
	switch {
	case w.err != nil:
		return startDetail(w.err)
	case live == nil || live.Labels[labelHash] == w.program.Hash:
		return ""
	case in.waitsFor != "":
		return in.waitsFor
	case w.port != 0 && w.port != portOf(*live):
		if holder := r.portBusy(w.port); holder != "" {
			return fmt.Sprintf("port %d is held by %s", w.port, holder)
		}
	}
	return ""
}

// waitsFor says which dependency is not there yet, or nothing.
func (r *Reconciler) waitsFor(svc *v1.Service) string {
	for _, d := range svc.Spec.DependsOn {
		dep, revision, ok := r.dependency(d.Name)
		if !ok {
			return fmt.Sprintf("waits for service %q, which does not exist", d.Name)
		}
		st := r.c.Store.Status(dep.Key())
		switch {
		case st == nil || st.ObservedRevision != revision:
			return fmt.Sprintf("waits for service %s to be %s (it was not looked at yet)", d.Name, d.Condition)
		case !met(d.Condition, st):
			return fmt.Sprintf("waits for service %s to be %s (it is %s)", d.Name, d.Condition, st.Phase)
		}
	}
	return ""
}

// dependency finds a service by a name that may be written in another case.
func (r *Reconciler) dependency(name string) (svc *v1.Service, revision string, ok bool) {
	if svc, revision, ok = r.c.Desired.Service(name); ok {
		return svc, revision, true
	}
	for _, other := range r.c.Desired.Services() {
		if strings.EqualFold(other.Metadata.Name, name) {
			return r.c.Desired.Service(other.Metadata.Name)
		}
	}
	return nil, "", false
}

// met reports whether a dependency has come as far as its dependant wants.
func met(c v1.DependencyCondition, st *v1.ServiceStatus) bool {
	switch c {
	case v1.DependStarted:
		return st.PID != 0 || st.Phase == v1.PhaseComplete
	case v1.DependCompleted:
		return st.Phase == v1.PhaseComplete
	case v1.DependReady:
	}
	return st.Phase == v1.PhaseRunning || st.Phase == v1.PhaseComplete || idle(st)
}

// port is a slot's port: the manifest's, the one that it has, the remembered one, or a new one.
func (r *Reconciler) port(key v1.Key, svc *v1.Service, at place, live *process.Run) (int, error) {
	if !svc.Spec.Port.Auto {
		return svc.Spec.Port.Number, nil
	}
	slot := at.in(key)
	if live != nil {
		if port := portOf(*live); port != 0 {
			r.c.Store.SetPort(slot, port) // also when the database that remembered it is lost
			return port, nil
		}
	}
	if port, ok := r.c.Store.Port(slot); ok && (live != nil || r.portBusy(port) == "") {
		return port, nil
	}
	// None yet, or somebody else took it while the service was away.
	return r.choosePort(slot)
}

func (r *Reconciler) choosePort(slot string) (int, error) {
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
