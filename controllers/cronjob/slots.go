package cronjob

import (
	"slices"
	"strings"
	"sync"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// slots bounds how many runs of all jobs there are at one time. Jobs that find none free wait in a line; those at its head are
// invited, that is, put on the queue, as slots become free.
type slots struct {
	most, mostCatchUp int
	enqueue           func(v1.Key)

	mu      sync.Mutex
	runs    map[process.RunID]bool // true for one that catches up
	catchUp int                    // how many of them do
	line    []waiter
	invited map[v1.Key]bool // who was invited and has not looked yet
}

type waiter struct {
	key     v1.Key
	catchUp bool
}

func newSlots(most, mostCatchUp int, enqueue func(v1.Key)) *slots {
	return &slots{most: most, mostCatchUp: mostCatchUp, enqueue: enqueue, runs: map[process.RunID]bool{}, invited: map[v1.Key]bool{}}
}

// hold takes a slot for a run that is there anyway.
func (s *slots) hold(id process.RunID, catchUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holdLocked(id, catchUp)
}

func (s *slots) holdLocked(id process.RunID, catchUp bool) {
	if _, ok := s.runs[id]; ok {
		return
	}
	s.runs[id] = catchUp
	if catchUp {
		s.catchUp++
	}
}

// take takes a slot for a run that is to start. When none is free, key joins the line.
func (s *slots) take(id process.RunID, key v1.Key, catchUp bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.runs[id]; ok {
		return true
	}
	if s.freeLocked(catchUp) {
		s.holdLocked(id, catchUp)
		return true
	}
	if w := (waiter{key, catchUp}); !slices.Contains(s.line, w) {
		s.line = append(s.line, w)
	}
	return false
}

func (s *slots) freeLocked(catchUp bool) bool {
	return len(s.runs) < s.most && (!catchUp || s.catchUp < s.mostCatchUp)
}

// release gives a run's slot back.
func (s *slots) release(id process.RunID) {
	s.mu.Lock()
	catchUp, ok := s.runs[id]
	if ok {
		delete(s.runs, id)
		if catchUp {
			s.catchUp--
		}
	}
	s.mu.Unlock()
	if ok {
		s.invite()
	}
}

// looked tells that a look at a job has ended: if it was invited, it has taken its slot or does not want it any more.
func (s *slots) looked(key v1.Key) {
	s.mu.Lock()
	was := s.invited[key]
	delete(s.invited, key)
	s.mu.Unlock()
	if was {
		s.invite()
	}
}

// invite puts those at the head of the line on the queue, as many as there are slots that nobody was invited to yet.
func (s *slots) invite() {
	s.mu.Lock()
	free := s.most - len(s.runs) - len(s.invited)
	freeCatchUp := s.mostCatchUp - s.catchUp - len(s.invited)
	var next []v1.Key
	s.line = slices.DeleteFunc(s.line, func(w waiter) bool {
		if free <= 0 || w.catchUp && freeCatchUp <= 0 || s.invited[w.key] {
			return false
		}
		s.invited[w.key] = true
		next = append(next, w.key)
		free--
		if w.catchUp {
			freeCatchUp--
		}
		return true
	})
	s.mu.Unlock()
	for _, key := range next {
		s.enqueue(key)
	}
}

// ownerOf is the job that a run belongs to; false when it belongs to none.
func ownerOf(run *process.Run) (v1.Key, bool) {
	name, ok := strings.CutPrefix(run.Owner, v1.KindCronJob+"/")
	return v1.Key{Kind: v1.KindCronJob, Name: name}, ok && name != ""
}
