package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"syscall"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

// apply does what was decided, and brings the input up to what is so afterwards.
func (r *Reconciler) apply(ctx context.Context, key v1.Key, in *input, m *memory, p *plan) error {
	var errs []error
	for _, s := range p.stops {
		errs = append(errs, r.stop(ctx, key, in, m, s))
	}
	started := false
	for _, s := range p.starts {
		again, err := r.start(ctx, key, in, m, s.slot)
		errs = append(errs, err)
		started = started || again
	}
	in.runs = r.c.Keeper.Runs(key.String())
	r.watchProbes(in, m)
	if started || len(p.stops) > 0 {
		// What is told is what is so now, not what was so before the actions.
		next := p.next
		*p = decideAgain(*in, m)
		p.wake(next)
	}
	return errors.Join(errs...)
}

// decideAgain is the plan for the state after the actions; its own actions are left to the next look.
func decideAgain(in input, m *memory) plan {
	p := decide(in, m)
	if len(p.starts) > 0 || len(p.stops) > 0 {
		p.wake(in.now)
	}
	return p
}

// stop tells the keeper to stop a run. The exit comes as a change.
func (r *Reconciler) stop(ctx context.Context, key v1.Key, in *input, m *memory, s stop) error {
	sig, grace := syscall.SIGTERM, v1.DefaultStopTimeout
	if in.svc != nil {
		if parsed, err := v1.ParseSignal(in.svc.Spec.Stop.Signal); err == nil {
			sig = parsed
		}
		grace = in.svc.Spec.Stop.Timeout.Or(v1.DefaultStopTimeout)
	}
	m.stops[s.run.ID] = s.reason
	kind := v1.EventNormal
	if s.reason.failure() {
		kind = v1.EventWarning
	}
	r.event(key, kind, "Stopping", withReplica(in.svc, slotIndex(s.run.Slot), "is stopped: "+s.why), actor(in))
	err := r.c.Keeper.Stop(ctx, s.run.ID, sig, grace)
	if err != nil && !errors.Is(err, process.ErrUnknownRun) {
		return fmt.Errorf("stop %s: %w", s.run.ID, err)
	}
	return nil
}

// start starts a slot's program. again reports whether the state has changed.
func (r *Reconciler) start(ctx context.Context, key v1.Key, in *input, m *memory, i int) (again bool, err error) {
	want, s, slot := in.programs[i], m.slot(i), slotName(key, i)
	spec := want.program.Spec
	if err = want.err; err == nil {
		spec.ID, spec.Owner, spec.Slot = r.newRunID(slot, in.now), key.String(), slot
		spec.Labels = map[string]string{labelHash: want.program.Hash, labelRevision: m.revision}
		if in.intent != nil {
			spec.Labels[labelIntent] = in.intent.ID
		}
		if want.port != 0 {
			spec.Labels[labelPort] = strconv.Itoa(want.port)
		}
		var run process.Run
		if run, err = r.c.Keeper.Start(ctx, spec); err == nil {
			s.nextStart, s.message, s.readyAt, s.wasReady, s.failed, s.complete = time.Time{}, "", time.Time{}, false, false, false
			r.event(key, v1.EventNormal, "Started", withReplica(in.svc, i, fmt.Sprintf("runs as process %d", run.PID)), actor(in))
			for _, w := range run.Warnings {
				r.event(key, v1.EventWarning, "Degraded", w, "")
			}
			return true, nil
		}
	}
	switch {
	case errors.As(err, new(*process.StartError)):
		told := fail(*in, m, s, "cannot be started: "+startDetail(err), in.now)
		reason := "StartFailed"
		if s.failed {
			reason = "GaveUp"
		}
		r.event(key, v1.EventWarning, reason, withReplica(in.svc, i, told), "")
		return true, nil
	case errors.Is(err, process.ErrSlotTaken):
		return false, nil // its end puts the service on the queue again
	}
	return false, fmt.Errorf("start %s: %w", slot, err)
}

func actor(in *input) string {
	if in.intent != nil {
		return in.intent.Actor
	}
	return ""
}

// watchProbes makes the prober ask every run that is live, and no other.
func (r *Reconciler) watchProbes(in *input, m *memory) {
	for _, run := range in.runs {
		if run.State != process.Running || in.svc == nil {
			r.prober.Forget(string(run.ID))
			continue
		}
		pr := in.svc.Spec.Probes
		if pr.Startup == nil && pr.Readiness == nil && pr.Liveness == nil {
			r.prober.Forget(string(run.ID))
			continue
		}
		s := m.slot(slotIndex(run.Slot))
		id := string(run.ID)
		if mark := fmt.Sprintf("%s %s", id, probesMark(in.svc)); s.probes != mark {
			// Probes change in place, without a restart.
			v, _ := r.prober.Verdict(id)
			r.prober.Forget(id)
			s.probes = mark
			set, err := r.probeSet(in, run, slotIndex(run.Slot))
			if err != nil {
				r.c.Log.Warn("probes cannot be set up", "run", id, "err", err)
				continue
			}
			set.WasReady = s.wasReady || v.Ready
			if set.WasReady {
				set.Startup = nil
			}
			r.prober.Watch(id, set)
		}
		if v, ok := r.prober.Verdict(id); ok {
			s.wasReady = v.Ready
		}
	}
}

func probesMark(svc *v1.Service) string {
	text, err := marshal(svc.Spec.Probes)
	if err != nil {
		return ""
	}
	return text
}

func (r *Reconciler) probeSet(in *input, run process.Run, i int) (probe.Set, error) {
	set := probe.Set{Started: run.StartedAt}
	port := portOf(run)
	var err error
	var errs []error
	pr := in.svc.Spec.Probes
	for _, p := range []struct {
		from *v1.Probe
		to   **probe.Spec
	}{{pr.Startup, &set.Startup}, {pr.Readiness, &set.Readiness}, {pr.Liveness, &set.Liveness}} {
		if p.from == nil {
			continue
		}
		if *p.to, err = r.probeSpec(in, p.from, port, i); err != nil {
			errs = append(errs, err)
		}
	}
	return set, errors.Join(errs...)
}

func (r *Reconciler) probeSpec(in *input, p *v1.Probe, port, i int) (*probe.Spec, error) {
	s := &probe.Spec{
		InitialDelay: p.InitialDelay.Or(0), Period: p.Period.Or(v1.DefaultProbePeriod), Timeout: p.Timeout.Or(v1.DefaultProbeTimeout),
		SuccessThreshold: p.SuccessThreshold, FailureThreshold: p.FailureThreshold,
	}
	orPort := func(own int) int {
		if own != 0 {
			return own
		}
		return port
	}
	switch {
	case p.HTTPGet != nil:
		h := p.HTTPGet
		s.Check = probe.HTTP{Scheme: h.Scheme, Host: h.Host, Port: orPort(h.Port), Path: h.Path, Headers: h.Headers}
	case p.TCPSocket != nil:
		s.Check = probe.TCP{Host: p.TCPSocket.Host, Port: orPort(p.TCPSocket.Port)}
	case p.Exec != nil:
		want := in.programs[i]
		if want.err != nil {
			return nil, want.err
		}
		check, err := want.program.Exec(p.Exec.Command)
		if err != nil {
			return nil, fmt.Errorf("exec probe: %w", err)
		}
		s.Check = check
	}
	return s, nil
}

// event tells what happened; the same thing twice in a row is told once.
func (r *Reconciler) event(key v1.Key, kind v1.EventType, reason, message, by string) {
	if by == "" {
		by = "supervisor"
	}
	r.c.Store.RecordEvent(v1.Event{Key: key, Type: kind, Reason: reason, Message: message, Actor: by})
}

// dependants are the services that wait for a service.
func (r *Reconciler) dependants(name string) []v1.Key {
	var keys []v1.Key
	for _, svc := range r.c.Desired.Services() {
		if slices.ContainsFunc(svc.Spec.DependsOn, func(d v1.Dependency) bool { return equalFold(d.Name, name) }) {
			keys = append(keys, svc.Key())
		}
	}
	return keys
}
