package status

import (
	"slices"
	"strconv"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// keptRollouts is how many revisions of a service are kept.
const keptRollouts = 20

// Rollouts are the revisions of a service that were rolled out, oldest first. What they point at is shared: do not change it.
func (s *Store) Rollouts(key v1.Key) []v1.Rollout {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rollouts[key])
}

// Revision is a service's manifest in a revision that was rolled out, or nil. It is shared: do not change it.
func (s *Store) Revision(key v1.Key, revision string) *v1.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.rollouts[key], func(r v1.Rollout) bool { return r.Revision == revision }); i >= 0 {
		return s.rollouts[key][i].Service
	}
	return nil
}

// RecordRollout takes what became of a revision into the history. A revision is there once: one that is gone back to gets a new
// number. A revision that runs the same program as the one before it takes its place. What r leaves empty is kept as it was.
func (s *Store) RecordRollout(key v1.Key, r v1.Rollout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.rollouts[key]
	i := slices.IndexFunc(rows, func(old v1.Rollout) bool { return old.Revision == r.Revision })
	if i < 0 && r.Service == nil {
		return // of a revision that was forgotten
	}
	if i >= 0 && i == len(rows)-1 && rows[i].Phase == v1.RolloutComplete && r.Phase == v1.RolloutComplete {
		return // it was stopped meanwhile, and runs again
	}
	if last := len(rows) - 1; i < 0 && last >= 0 && r.Phase == v1.RolloutComplete && rows[last].Phase == r.Phase && sameProgram(rows[last].Service, r.Service) {
		rows = slices.Clone(rows)
		rows[last].Revision, rows[last].Service = r.Revision, r.Service
		s.rollouts[key] = rows
		s.enqueueRolloutLocked(key, rows[last])
		return
	}
	r.Number = 1
	if len(rows) > 0 {
		r.Number = rows[len(rows)-1].Number + 1
	}
	if i >= 0 {
		old := rows[i]
		if r.Service == nil {
			r.Service = old.Service
		}
		if r.Actor == "" {
			r.Actor = old.Actor
		}
		if i == len(rows)-1 {
			r.Number = old.Number
		} else {
			s.dropRolloutLocked(key, old)
		}
		rows = slices.Delete(slices.Clone(rows), i, i+1)
	}
	rows = append(slices.Clone(rows), r)
	s.enqueueRolloutLocked(key, r)
	for len(rows) > keptRollouts {
		oldest := 0
		if rows[0].Phase == v1.RolloutComplete && !slices.ContainsFunc(rows[1:], func(r v1.Rollout) bool { return r.Phase == v1.RolloutComplete }) {
			oldest = 1 // the only one that is known to work
		}
		s.dropRolloutLocked(key, rows[oldest])
		rows = slices.Delete(rows, oldest, oldest+1)
	}
	s.rollouts[key] = rows
}

func sameProgram(a, b *v1.Service) bool { return a != nil && b != nil && a.RunHash() == b.RunHash() }

func rolloutKey(key v1.Key, number int) rowKey {
	return rowKey{tableRollouts, key.String(), strconv.Itoa(number)}
}

func (s *Store) enqueueRolloutLocked(key v1.Key, r v1.Rollout) {
	s.enqueueLocked(rolloutKey(key, r.Number), keyedRollout{key, r})
}

func (s *Store) dropRolloutLocked(key v1.Key, r v1.Rollout) {
	s.enqueueLocked(rolloutKey(key, r.Number), gone{rolloutRow{Kind: key.Kind, Name: key.Name, Number: r.Number}})
}

// keyedRollout is a row of the history in memory.
type keyedRollout struct {
	key v1.Key
	v1.Rollout
}
