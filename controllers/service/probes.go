package service

import (
	"errors"
	"fmt"
	"reflect"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

// watchProbes makes the prober ask every run that is to be asked, and no other, and returns what is known of them.
func (r *Reconciler) watchProbes(t *turn) map[process.RunID]probe.Verdict {
	asked := t.record.asked
	if len(asked) == 0 && (t.in.svc == nil || t.in.svc.Spec.Probes == v1.Probes{}) {
		return nil
	}
	verdicts := make(map[process.RunID]probe.Verdict, len(t.in.runs))
	for _, run := range t.in.runs {
		if run.State != process.Running || t.in.svc == nil || t.in.svc.Spec.Probes == (v1.Probes{}) {
			continue
		}
		if _, drains := t.record.state.drains[run.ID]; drains {
			continue // it is on its way out
		}
		if err := r.ask(t, run); err != nil {
			verdicts[run.ID] = probe.Verdict{Message: "the probe cannot be set up: " + err.Error()}
		} else {
			verdicts[run.ID], _ = r.prober.Verdict(string(run.ID))
		}
	}
	for id := range asked {
		if _, there := verdicts[id]; !there {
			r.prober.Forget(string(id))
			delete(asked, id)
		}
	}
	return verdicts
}

// ask has a run's probes asked. Probes change in place: what was known of the run holds until the new ones know better.
func (r *Reconciler) ask(t *turn, run process.Run) error {
	is := t.in.svc.Spec.Probes
	was, asked := t.record.asked[run.ID]
	if asked && (was == is || reflect.DeepEqual(was, is)) {
		return nil
	}
	r.prober.Forget(string(run.ID))
	delete(t.record.asked, run.ID)
	at := placeOf(run.Slot)
	set, err := probeSet(is, run, t.in.programs[at])
	if err != nil {
		return err
	}
	if s := t.record.state.slots[at.replica]; s.run == run.ID && s.started {
		set.Startup, set.WasReady = nil, !s.readySince.IsZero()
		if set.Readiness == nil {
			set.WasReady = true
		}
	}
	r.prober.Watch(string(run.ID), set)
	t.record.asked[run.ID] = is
	return nil
}

// probeSet makes what the manifest says into what the prober asks.
func probeSet(probes v1.Probes, run process.Run, want resolved) (set probe.Set, err error) {
	var errs [3]error
	set.Started = run.StartedAt
	set.Startup, errs[0] = probeSpec(probes.Startup, portOf(run), want)
	set.Readiness, errs[1] = probeSpec(probes.Readiness, portOf(run), want)
	set.Liveness, errs[2] = probeSpec(probes.Liveness, portOf(run), want)
	return set, errors.Join(errs[:]...)
}

func probeSpec(p *v1.Probe, port int, want resolved) (*probe.Spec, error) {
	if p == nil {
		return nil, nil //nolint:nilnil // No probe is no error.
	}
	s := &probe.Spec{
		InitialDelay: p.InitialDelay.Or(0), Period: p.Period.Or(v1.DefaultProbePeriod), Timeout: p.Timeout.Or(v1.DefaultProbeTimeout),
		SuccessThreshold: max(1, p.SuccessThreshold), FailureThreshold: max(1, p.FailureThreshold),
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
		if want.err != nil {
			return nil, want.err
		}
		if want.program.Exec == nil {
			return nil, errors.New("exec probe: the service is not to run")
		}
		check, err := want.program.Exec(p.Exec.Command)
		if err != nil {
			return nil, fmt.Errorf("exec probe: %w", err)
		}
		s.Check = check
	default:
		return nil, errors.New("it has no check")
	}
	return s, nil
}
