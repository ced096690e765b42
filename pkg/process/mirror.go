package process

import (
	"maps"
	"slices"
)

// mirror is the client's copy of all runs. Its owner holds the lock.
type mirror struct {
	runs  map[RunID]*mirrored
	order []RunID // oldest first
	epoch int     // the connection that we hear; sequence numbers of another one mean nothing
}

type mirrored struct {
	run   Run
	seq   uint64
	epoch int
}

// begin is called for each new connection, before anything is heard over it.
func (m *mirror) begin() { m.epoch++ }

// apply takes a change and tells whose run changed. An older state of a run never replaces a newer one.
func (m *mirror) apply(ch Change) (owner string, changed bool) {
	if ch.Run == nil {
		old := m.runs[ch.Forgotten]
		if old == nil {
			return "", false
		}
		m.remove(ch.Forgotten)
		return old.run.Owner, true
	}
	old := m.runs[ch.Run.ID]
	if old == nil {
		m.runs[ch.Run.ID] = &mirrored{run: *ch.Run, seq: ch.Seq, epoch: m.epoch}
		m.insert(ch.Run)
		return ch.Run.Owner, true
	}
	if old.epoch == m.epoch && old.seq >= ch.Seq {
		return "", false
	}
	old.run, old.seq, old.epoch = *ch.Run, ch.Seq, m.epoch
	return ch.Run.Owner, true
}

// insert keeps the order by start time; runs nearly always arrive in that order already.
func (m *mirror) insert(r *Run) {
	at := len(m.order)
	for at > 0 && m.runs[m.order[at-1]].run.StartedAt.After(r.StartedAt) {
		at--
	}
	m.order = slices.Insert(m.order, at, r.ID)
}

func (m *mirror) remove(id RunID) {
	delete(m.runs, id)
	if at := slices.Index(m.order, id); at >= 0 {
		m.order = slices.Delete(m.order, at, at+1)
	}
}

// settle drops the runs that the keeper did not speak of since begin, and names their owners.
func (m *mirror) settle() []string {
	var owners []string
	for _, id := range slices.Clone(m.order) {
		if r := m.runs[id]; r.epoch != m.epoch {
			owners = append(owners, r.run.Owner)
			m.remove(id)
		}
	}
	return owners
}

func (m *mirror) list(want func(*Run) bool) []Run {
	var runs []Run
	for _, id := range m.order {
		if r := &m.runs[id].run; want(r) {
			runs = append(runs, r.clone())
		}
	}
	return runs
}

// clone copies what a reader could change under the mirror.
func (r *Run) clone() Run {
	c := *r
	c.Labels = maps.Clone(r.Labels)
	c.Warnings = slices.Clone(r.Warnings)
	if r.Exit != nil {
		e := *r.Exit
		c.Exit = &e
	}
	return c
}
