package status

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Status returns an object's status, or nil. It is shared: do not change it.
func (s *Store) Status(key v1.Key) *v1.ServiceStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses[key]
}

// SetStatus puts an object's status. Readers see it at once, the database within about 10 ms (see Durable). A status that
// differs in nothing but UpdatedAt is not written again. The store keeps a copy; st stays the caller's. What SetExposed says
// is not touched.
func (s *Store) SetStatus(key v1.Key, st *v1.ServiceStatus) {
	copied := clone(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.statuses[key]; old != nil {
		putExposed(copied, old.URL, v1.FindCondition(old.Conditions, v1.ConditionExposed))
	}
	s.setStatusLocked(key, copied)
}

// SetExposed puts how a service is reached through Caddy: its URL and the condition Exposed, or neither when exposed is nil.
// It reports whether anything but the time is another than before. A service that has no status yet is left alone.
func (s *Store) SetExposed(key v1.Key, url string, exposed *v1.Condition) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.statuses[key]
	if old == nil {
		return false
	}
	copied := clone(old)
	if !putExposed(copied, url, exposed) {
		return false
	}
	copied.UpdatedAt = time.Now()
	s.setStatusLocked(key, copied)
	return true
}

// putExposed puts the URL and the condition Exposed into a status.
func putExposed(st *v1.ServiceStatus, url string, exposed *v1.Condition) (changed bool) {
	changed = st.URL != url
	st.URL = url
	if exposed != nil {
		return v1.SetCondition(&st.Conditions, *exposed) || changed
	}
	kept := slices.DeleteFunc(st.Conditions, func(c v1.Condition) bool { return c.Type == v1.ConditionExposed })
	changed = changed || len(kept) != len(st.Conditions)
	st.Conditions = kept
	return changed
}

// setStatusLocked puts a status that nobody else holds.
func (s *Store) setStatusLocked(key v1.Key, copied *v1.ServiceStatus) {
	if old := s.statuses[key]; old != nil && sameStatus(old, copied) {
		return
	}
	s.statuses[key] = copied
	s.enqueueLocked(rowKey{tableStatuses, key.Kind, key.Name}, copied)
	s.feed.publish(v1.Change{Kind: v1.ChangeStatus, Key: key, Status: copied})
	s.wakeLocked(key)
}

// TellCronJob tells subscribers a cron job's status. It is not kept: the ledger of cron jobs is what it is made from. st
// must not be changed any more.
func (s *Store) TellCronJob(key v1.Key, st *v1.CronJobStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed.publish(v1.Change{Kind: v1.ChangeStatus, Key: key, CronJob: st})
}

// WaitStatus returns an object's status as soon as pred accepts it; pred gets nil while there is none. When ctx ends first,
// the last status comes with ctx's error.
func (s *Store) WaitStatus(ctx context.Context, key v1.Key, pred func(*v1.ServiceStatus) bool) (*v1.ServiceStatus, error) {
	wake := make(chan struct{}, 1)
	s.mu.Lock()
	if s.waiters[key] == nil {
		s.waiters[key] = map[chan struct{}]struct{}{}
	}
	s.waiters[key][wake] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiters[key], wake)
		if len(s.waiters[key]) == 0 {
			delete(s.waiters, key)
		}
	}()
	for {
		st := s.Status(key)
		if pred(st) {
			return st, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return st, fmt.Errorf("wait for %s: %w", key, ctx.Err())
		case <-s.stop:
			return st, fmt.Errorf("wait for %s: %w", key, ErrClosed)
		}
	}
}

func (s *Store) wakeLocked(key v1.Key) {
	for wake := range s.waiters[key] {
		select {
		case wake <- struct{}{}:
		default: // it has yet to look at the change before this one
		}
	}
}

func sameStatus(a, b *v1.ServiceStatus) bool {
	x, y := *a, *b
	x.UpdatedAt, y.UpdatedAt = time.Time{}, time.Time{}
	return reflect.DeepEqual(&x, &y)
}

func clone(st *v1.ServiceStatus) *v1.ServiceStatus {
	c := *st
	c.Conditions = slices.Clone(st.Conditions)
	c.Replicas = slices.Clone(st.Replicas)
	c.StartedAt = cloneValue(st.StartedAt)
	c.NextRestart = cloneValue(st.NextRestart)
	if c.LastExit = cloneValue(st.LastExit); c.LastExit != nil {
		c.LastExit.LastLines = slices.Clone(st.LastExit.LastLines)
	}
	for i := range c.Replicas {
		c.Replicas[i].Beside = cloneValue(c.Replicas[i].Beside)
	}
	if c.Rollout = cloneValue(st.Rollout); c.Rollout != nil {
		c.Rollout.EndedAt, c.Rollout.LastLines = cloneValue(st.Rollout.EndedAt), slices.Clone(st.Rollout.LastLines)
	}
	return &c
}

func cloneValue[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// Intent returns what an operator asked of an object; ok is false when there is nothing in force.
func (s *Store) Intent(key v1.Key) (in v1.Intent, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, ok = s.intents[key]
	return in, ok
}

// PutIntent puts an intent in force, in place of the one before. It returns when the intent is in the database; where the
// database cannot be written it holds in memory, and that is no error: a stop must work on a full disk too.
func (s *Store) PutIntent(ctx context.Context, in v1.Intent) error {
	s.mu.Lock()
	s.intents[in.Key] = in
	s.enqueueLocked(rowKey{tableIntents, in.Key.Kind, in.Key.Name}, in)
	s.mu.Unlock()
	if err := s.Durable(ctx); err != nil && !errors.Is(err, ErrDegraded) {
		return fmt.Errorf("record %s of %s: %w", in.Verb, in.Key, err)
	}
	return nil
}

// PurgeIntents drops the intents of every session but this one, and returns how many there were.
func (s *Store) PurgeIntents(session string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for key, in := range s.intents {
		if in.Session != session {
			s.dropIntentLocked(key)
			n++
		}
	}
	return n
}

func (s *Store) dropIntentLocked(key v1.Key) {
	delete(s.intents, key)
	s.enqueueLocked(rowKey{tableIntents, key.Kind, key.Name}, gone{intentRow{Kind: key.Kind, Name: key.Name}})
}

// Port returns the port that was chosen for a slot such as "Service/web/0"; ok is false when none was.
func (s *Store) Port(slot string) (port int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	port, ok = s.ports[slot]
	return port, ok
}

// Ports returns every slot's chosen port.
func (s *Store) Ports() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.ports))
	for slot, port := range s.ports {
		out[slot] = port
	}
	return out
}

// SetPort remembers the port that was chosen for a slot; 0 forgets it.
func (s *Store) SetPort(slot string, port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[slot] != port {
		s.setPortLocked(slot, port)
	}
}

func (s *Store) setPortLocked(slot string, port int) {
	row := portRow{Slot: slot, Port: port}
	if port == 0 {
		delete(s.ports, slot)
		s.enqueueLocked(rowKey{tablePorts, slot, ""}, gone{row})
		return
	}
	s.ports[slot] = port
	s.enqueueLocked(rowKey{tablePorts, slot, ""}, row)
}

// LastGood is the newest text of an object that could be read.
type LastGood struct {
	Key v1.Key
	// File is the manifest it came from, relative to the manifest directory.
	File string
	// Text is the document's YAML. It is shared: do not change it.
	Text     []byte
	Revision string
}

// LoadLastGood returns the last good text of every object, in no order. It fails with ErrDegraded, beside what memory has,
// when the database could not be read so far.
func (s *Store) LoadLastGood(context.Context) ([]LastGood, error) {
	s.dbMu.Lock()
	loaded := s.loaded
	s.dbMu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]LastGood, 0, len(s.lastGood))
	for _, g := range s.lastGood {
		out = append(out, g)
	}
	if !loaded {
		return out, fmt.Errorf("load the last good manifests: %w: %w", ErrDegraded, s.degraded)
	}
	return out, nil
}

// SaveLastGood puts an object's last good text. The store keeps g.Text itself: do not change it afterwards. It is written
// with the next batch (see Durable).
func (s *Store) SaveLastGood(_ context.Context, g LastGood) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.lastGood[g.Key]; ok && old.Revision == g.Revision && old.File == g.File && slices.Equal(old.Text, g.Text) {
		return nil
	}
	s.lastGood[g.Key] = g
	s.enqueueLocked(rowKey{tableLastGood, g.Key.Kind, g.Key.Name}, g)
	return nil
}

// DeleteLastGood forgets an object's last good text.
func (s *Store) DeleteLastGood(_ context.Context, key v1.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.lastGood[key]; ok {
		delete(s.lastGood, key)
		s.enqueueLocked(rowKey{tableLastGood, key.Kind, key.Name}, gone{lastGoodRow{Kind: key.Kind, Name: key.Name}})
	}
	return nil
}
