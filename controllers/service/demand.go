package service

import (
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// sample is how often it is looked who is connected to a service that runs on demand. The kernel does not tell.
const sample = time.Second

// demand is what is remembered of who asks for a service that runs only while somebody does.
type demand struct {
	held   bool      // an address is open for it
	active time.Time // when somebody last asked for it, or was connected
	// peers are who was connected at the last look.
	peers  map[string]bool
	looked time.Time
}

// demand finds out whether anybody asks for a service that runs on demand.
func (r *Reconciler) demand(key v1.Key, in *input, rec *record) {
	d := &rec.demand
	if !in.svc.OnDemand() {
		if d.held {
			r.c.Demand.Forget(key.Name)
			*d = demand{}
		}
		return
	}
	address, err := r.c.Demand.Address(key.Name)
	if err != nil {
		r.c.Log.Error("a service that should run on demand runs always", "service", key.Name, "err", err)
		return
	}
	in.activator, d.held = address, true
	if !in.want {
		return
	}
	now, lives := time.Now(), false
	for _, run := range r.c.Keeper.Runs(key.String()) {
		lives = lives || run.Live()
	}
	fresh := in.intent != nil && in.intent.ID != rec.state.intent
	asked := r.c.Demand.Asked(key.Name)
	if asked || fresh || lives && (d.active.IsZero() || r.connected(key, d, now)) {
		d.active = now
	}
	idleAt := d.active.Add(in.svc.Spec.Expose.Idle.Or(v1.DefaultIdle))
	switch {
	case asked || fresh:
	case !now.Before(idleAt), !lives && rec.state.gaveUp():
		if !lives {
			d.active = time.Time{} // what was given up is tried anew at the next request, and not before
		}
		in.want, in.idle, in.whyNot = false, true, "nobody asks for it; the next request starts it"
		return
	}
	in.demandAt = now.Add(sample)
}

// connected reports whether somebody was connected to a service at this look and at the one before: what comes and goes in
// between is a probe.
func (r *Reconciler) connected(key v1.Key, d *demand, now time.Time) bool {
	if now.Sub(d.looked) < sample-sample/10 {
		return false
	}
	var ports []int
	for _, run := range r.c.Keeper.Runs(key.String()) {
		if run.Live() {
			ports = append(ports, portOf(run))
		}
	}
	connections, err := r.c.Connections(ports...)
	if err != nil {
		r.c.Log.Warn("connections cannot be counted; the service runs on", "service", key.Name, "err", err)
		return true
	}
	stays, peers := false, map[string]bool{}
	for _, of := range connections {
		for _, peer := range of {
			peers[peer] = true
			stays = stays || d.peers[peer]
		}
	}
	d.peers, d.looked = peers, now
	return stays
}

// gaveUp reports whether a replica was given up.
func (s state) gaveUp() bool {
	for _, sl := range s.slots {
		if sl.failed {
			return true
		}
	}
	return false
}

// idle reports whether a service is there for whoever asks for it.
func idle(st *v1.ServiceStatus) bool {
	c := v1.FindCondition(st.Conditions, v1.ConditionReady)
	return st.Phase == v1.PhaseStopped && c != nil && c.Reason == v1.ReasonIdle
}
