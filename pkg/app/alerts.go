package app

import (
	"context"
	"errors"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/alert"
	"github.com/philiporange/supervisor/pkg/metrics"
)

// observed turns every change of a status into an observation, until ctx ends.
func (m *measuring) observe(ctx context.Context) {
	for ctx.Err() == nil {
		seq, objects := m.app.store.Snapshot()
		changes, err := m.app.store.Subscribe(ctx, seq)
		if errors.Is(err, v1.ErrGap) {
			continue // more has changed between the two calls than is kept
		}
		if err != nil {
			return
		}
		for _, o := range objects {
			m.look(o.Key, o.Status)
		}
		for c := range changes { // closed when ctx ends, or when we were too slow
			switch {
			case c.Kind == v1.ChangeObject && c.Deleted:
				m.notifier.Forget(c.Key.String())
				if err := m.history.Forget(ctx, c.Key.String()); err != nil && ctx.Err() == nil {
					m.app.log.Warn("the metrics of a deleted object stay", "object", c.Key.String(), "err", err)
				}
				if c.Key.Kind == v1.KindService {
					m.app.logs.forget(c.Key.Name)
				}
			case c.Kind == v1.ChangeStatus:
				m.look(c.Key, c.Status)
			}
		}
	}
}

// look tells the notifier what is so of one service.
func (m *measuring) look(key v1.Key, st *v1.ServiceStatus) {
	object, _, _, ok := m.app.desired.Get(key)
	svc, isService := object.(*v1.Service)
	if !ok || !isService || st == nil {
		return
	}
	o := alert.Observation{
		Object: key.String(), Spec: rules(svc.Spec.Alerts), Restarts: st.Attempts, GaveUp: st.Phase == v1.PhaseFailed,
		Wanted: st.Phase != v1.PhaseStopped && st.Phase != v1.PhaseStopping && st.Phase != v1.PhaseComplete,
	}
	if c := v1.FindCondition(st.Conditions, v1.ConditionReady); c != nil {
		ready := c.Status == v1.ConditionTrue
		o.Ready, o.Detail = &ready, c.Message
		if !ready {
			o.UnreadySince = c.LastTransitionTime
		}
	}
	if ro := st.Rollout; ro == nil || ro.Phase != v1.RolloutProgressing {
		failed := ro != nil && ro.Phase == v1.RolloutFailed
		o.UpdateFailed = &failed
		if failed {
			o.UpdateError = ro.Message
		}
	}
	if snap := m.sampler.Latest(); snap != nil {
		amounts(&o, snap)
	}
	m.notifier.Observe(o)
}

func amounts(o *alert.Observation, snap *metrics.Snapshot) {
	u, ok := snap.Owners[o.Object]
	if !ok {
		return
	}
	o.MemoryBytes = &u.MemoryBytes
	if u.Disk != nil {
		o.DiskBytes = &u.Disk.Bytes
	}
}

// sampled looks at everything that has a bound, once an interval.
func (m *measuring) sampled(*metrics.Snapshot) {
	_, objects := m.app.store.Snapshot()
	for _, o := range objects {
		m.look(o.Key, o.Status)
	}
}

// rules are those of a manifest; without any, people are told of what nobody wants to learn from their users.
func rules(a *v1.Alerts) alert.Spec {
	if a == nil {
		a = &v1.Alerts{}
	}
	if a.Enabled != nil && !*a.Enabled {
		return alert.Spec{}
	}
	on := func(b *bool) bool { return b == nil || *b }
	return alert.Spec{
		Channels: a.Channels, CrashLoop: on(a.CrashLoop), UpdateFailed: on(a.UpdateFailed), NotReadyFor: a.NotReadyFor.Or(v1.DefaultNotReadyFor),
		CronFailure: on(a.CronFailure), MissedRun: on(a.MissedRun), MemoryOver: int64(a.MemoryOver), DiskOver: int64(a.DiskOver),
	}
}

// alerted puts on record what people are told.
func (m *measuring) alerted(a alert.Alert) {
	e := v1.Event{Type: v1.EventWarning, Reason: "Alert" + string(a.Rule), Message: a.Summary, Actor: "supervisor"}
	if a.Status == alert.Resolved {
		e.Type = v1.EventNormal
		e.Reason += "Resolved"
	}
	if key, ok := parseKey(a.Object); ok {
		e.Key = key
	}
	m.app.store.RecordEvent(e)
}

// ServiceStates implements metrics.ObjectSource.
func (m *measuring) ServiceStates() []metrics.ServiceState {
	_, objects := m.app.store.Snapshot()
	skipped := m.app.logs.store.Stats().Services
	out := make([]metrics.ServiceState, 0, len(objects))
	for _, o := range objects {
		object, _, _, ok := m.app.desired.Get(o.Key)
		svc, isService := object.(*v1.Service)
		if !ok || !isService || o.Status == nil {
			continue
		}
		s := metrics.ServiceState{Name: o.Key.Name, Desired: svc.ReplicaCount(), Restarts: uint64(max(0, o.Status.Restarts)), SkippedLogLines: uint64(skipped[o.Key.Name])}
		if o.Status.Phase == v1.PhaseStopped {
			s.Desired = 0
		}
		for i := range o.Status.Replicas {
			r := &o.Status.Replicas[i]
			if r.PID != 0 {
				s.Up++
			}
			if r.Ready {
				s.Ready++
			}
			if r.PID != 0 && (s.StartedAt.IsZero() || r.StartedAt.Before(s.StartedAt)) {
				s.StartedAt = r.StartedAt
			}
		}
		if o.Status.LastExit != nil {
			s.LastExitCode = &o.Status.LastExit.Code
		}
		out = append(out, s)
	}
	return out
}

// reconciled counts a reconcile.
func (m *measuring) reconciled(kind string, waits bool, err error, took time.Duration) {
	result := "done"
	switch {
	case err != nil:
		result = "error"
	case waits:
		result = "waiting"
	}
	m.instruments.ObserveReconcile(kind, result, took)
}
