package service

import (
	"maps"
	"slices"
	"strconv"

	"github.com/philiporange/supervisor/pkg/process"
)

// move is an action: send a replica's requests elsewhere.
type move struct {
	replica int
	address string
}

// nowhere is an address at which nobody listens.
const nowhere = "127.0.0.1:1"

// address is where a run listens.
func address(run process.Run) string { return "127.0.0.1:" + strconv.Itoa(portOf(run)) }

// readiness is whether a replica may be sent requests.
type readiness int

const (
	unready readiness = iota
	unknown           // nobody has asked it yet
	ready
)

// route says where the requests of each replica go: to its own process when that is ready, else to that of another replica,
// else to where they went before. What is not known yet changes nothing: a process that was served before is left in peace.
// When nothing is left of a service that was stopped, they go nowhere; those for one that runs on demand go where they wait.
func (d *decision) route(in input, live map[place]process.Run, replicas int) {
	if in.hold || in.svc == nil || !in.svc.RoutedByFile() && len(in.pointed) == 0 {
		return
	}
	elsewhere := nowhere // better than an address that another program may come to have
	if in.activator != "" && (in.want || in.idle) {
		elsewhere = in.activator
	}
	if elsewhere == nowhere && !in.want && len(live) == 0 {
		for i := range in.pointed {
			d.moveTo(in, i, nowhere)
		}
		return
	}
	states := make([]readiness, replicas)
	for i := range replicas {
		run := live[d.state.front(i)]
		if states[i] = d.readiness(in, run); states[i] == ready {
			d.serving = append(d.serving, address(run))
		}
	}
	last := replicas
	if elsewhere != nowhere {
		last = in.svc.ReplicaCount() // also while none runs
	}
	for i := range in.pointed {
		last = max(last, i+1) // replicas that are gone may be in the web server's configuration for a moment
	}
	for i := range last {
		_, there := in.pointed[i]
		if i >= replicas && !there && elsewhere == nowhere {
			continue
		}
		switch to, ok := target(i, states, there); {
		case ok:
			d.moveTo(in, i, address(live[d.state.front(to)]))
		case elsewhere != nowhere && (i >= replicas || states[i] != unknown || !there):
			d.moveTo(in, i, elsewhere) // where they wait
		case !there, replicas == 0, d.overdue(in, live, in.pointed[i]):
			d.moveTo(in, i, nowhere) // a web server that finds no file complains of it
		}
	}
}

// overdue reports whether the process at an address has had the time to finish what it began.
func (d *decision) overdue(in input, live map[place]process.Run, at string) bool {
	for _, run := range live {
		if since := d.state.drains[run.ID]; !since.IsZero() && address(run) == at {
			return !in.now.Before(since.Add(in.drain))
		}
	}
	return false
}

// pointsAt reports whether requests go to a run.
func (in input) pointsAt(run process.Run) bool {
	for _, at := range in.pointed {
		if at == address(run) {
			return true
		}
	}
	return false
}

func (d *decision) moveTo(in input, replica int, address string) {
	if in.pointed[replica] != address {
		d.moves = append(d.moves, move{replica, address})
	}
}

// target is the replica whose process answers for replica i; ok is false when nothing is to be changed. there is whether its
// requests go anywhere now.
func target(i int, states []readiness, there bool) (to int, ok bool) {
	if i < len(states) {
		switch {
		case states[i] == ready:
			return i, true
		case states[i] == unknown && there:
			return 0, false
		}
	}
	for n := range states {
		if to := (i + 1 + n) % len(states); states[to] == ready {
			return to, true
		}
	}
	return 0, false
}

// readiness of a run, which may be none.
func (d *decision) readiness(in input, run process.Run) readiness {
	v := in.verdicts[run.ID]
	switch {
	case run.ID == "" || run.State != process.Running || d.state.stops[run.ID] != "" || !d.state.drains[run.ID].IsZero():
		return unready
	case slices.ContainsFunc(d.stops, func(s stop) bool { return s.run.ID == run.ID }), v.Failed:
		return unready
	case !hasProbes(in.svc), v.Known && v.Ready:
		return ready
	case !v.Known:
		return unknown
	}
	return unready
}

// pointed is where the requests of each replica of a service go.
func (r *Reconciler) pointed(name string) map[int]string {
	pointed := map[int]string{}
	for _, i := range r.c.Upstreams.Replicas(name) {
		pointed[i] = r.c.Upstreams.Get(name, i)
	}
	return pointed
}

// connections counts the open connections of the runs that drain; nil when they cannot be counted.
func (r *Reconciler) connections(t *turn) map[process.RunID]int {
	drains := t.record.state.drains
	if len(drains) == 0 {
		return nil
	}
	ports := map[process.RunID]int{}
	for _, run := range t.in.runs {
		if _, ok := drains[run.ID]; ok && run.Live() {
			ports[run.ID] = portOf(run)
		}
	}
	counts, err := r.c.Connections(slices.Collect(maps.Values(ports))...)
	if err != nil {
		r.c.Log.Warn("connections cannot be counted; what drains is given its whole time", "service", t.key.Name, "err", err)
		return nil
	}
	open := make(map[process.RunID]int, len(ports))
	for id, port := range ports {
		open[id] = len(counts[port])
	}
	return open
}
