package status

import (
	"context"
	"slices"

	v1 "github.com/philiporange/supervisor/api/v1"
)

const (
	// ringSize is how many changes are kept for subscribers that resume.
	ringSize = 512
	// subscriberBuffer is how many changes a subscriber may lag behind before it is dropped.
	subscriberBuffer = 256
)

// feed numbers changes and hands them to subscribers. The store's lock guards it.
type feed struct {
	seq  uint64      // of the last change; each change takes the next number
	ring []v1.Change // the newest changes; that of seq n lives at n % ringSize
	kept uint64      // how many changes the ring holds
	subs map[chan v1.Change]struct{}
}

func newFeed(seq uint64) feed {
	return feed{seq: seq, ring: make([]v1.Change, ringSize), subs: map[chan v1.Change]struct{}{}}
}

// publish numbers a change and hands it out. A subscriber that lags is dropped: its channel is closed.
func (f *feed) publish(c v1.Change) uint64 {
	f.seq++
	c.Seq = f.seq
	if c.Event != nil {
		c.Event.ID = c.Seq
	}
	f.ring[c.Seq%ringSize] = c
	f.kept = min(f.kept+1, ringSize)
	for sub := range f.subs {
		select {
		case sub <- c:
		default:
			f.drop(sub)
		}
	}
	return c.Seq
}

func (f *feed) subscribe(from uint64) (chan v1.Change, error) {
	if from > f.seq || f.seq-from > f.kept {
		return nil, v1.ErrGap
	}
	missed := f.seq - from
	sub := make(chan v1.Change, missed+subscriberBuffer)
	for n := from + 1; n <= f.seq; n++ {
		sub <- f.ring[n%ringSize]
	}
	f.subs[sub] = struct{}{}
	return sub, nil
}

func (f *feed) drop(sub chan v1.Change) {
	if _, ok := f.subs[sub]; ok {
		delete(f.subs, sub)
		close(sub)
	}
}

func (f *feed) closeAll() {
	for sub := range f.subs {
		f.drop(sub)
	}
}

// Subscribe returns the changes after sequence number from, in order. The channel is closed when ctx ends, when the store is
// closed, and when the subscriber lags too far behind: it may then resume after the last change that it got. It fails
// with v1.ErrGap when changes since from are not kept any more; begin again at Snapshot then.
func (s *Store) Subscribe(ctx context.Context, from uint64) (<-chan v1.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	sub, err := s.feed.subscribe(from)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.feed.drop(sub)
	})
	return sub, nil
}

// Snapshot returns every known object with its revision and status, as it is at sequence number seq, in no order.
func (s *Store) Snapshot() (seq uint64, objects []v1.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects = make([]v1.Change, 0, len(s.objects))
	for key, row := range s.objects {
		objects = append(objects, v1.Change{
			Seq: s.feed.seq, Kind: v1.ChangeObject, Key: key, Revision: row.Revision, Status: s.statuses[key],
		})
	}
	return s.feed.seq, objects
}

// RecordEvent adds e to the history and returns its ID, which is greater than every earlier one. A zero Time is now.
func (s *Store) RecordEvent(e v1.Event) uint64 {
	if e.Time.IsZero() {
		e.Time = now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// publish gives e its ID; from then on subscribers read e, and it is never written again.
	id := s.feed.publish(v1.Change{Kind: v1.ChangeEvent, Key: e.Key, Event: &e})
	s.pending.events = append(s.pending.events, e)
	if extra := len(s.pending.events) - maxPendingEvents; extra > 0 {
		s.pending.events = slices.Delete(s.pending.events, 0, extra)
	}
	s.queued++
	s.wakeWriter()
	return id
}
