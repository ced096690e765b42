package status

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Errors of a Store.
var (
	// ErrDegraded says that the database cannot be written at the moment. What was asked is in force in memory.
	ErrDegraded = errors.New("the database cannot be written")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the status store is closed")
)

// Options of a Store; the zero value takes the defaults.
type Options struct {
	Log *slog.Logger
	// Events bounds the history.
	Events Retention
}

// Retention bounds the history of events. Zero takes the default.
type Retention struct {
	Rows      int           // in all; default 10,000
	PerObject int           // newest of each object; default 500
	Age       time.Duration // default 30 days
}

// Store keeps what was observed. It is safe for concurrent use.
type Store struct {
	path   string
	log    *slog.Logger
	events Retention

	mu         sync.Mutex
	objects    map[v1.Key]objectRow
	nextObject uint64
	statuses   map[v1.Key]*v1.ServiceStatus
	intents    map[v1.Key]v1.Intent
	ports      map[string]int
	lastGood   map[v1.Key]LastGood
	rollouts   map[v1.Key][]v1.Rollout // oldest first; a slice is replaced, not changed
	waiters    map[v1.Key]map[chan struct{}]struct{}
	feed       feed

	pending  batch
	writing  []v1.Event    // being committed: neither pending nor in the database yet
	queued   uint64        // writes asked for
	durable  uint64        // writes committed
	settled  chan struct{} // closed and replaced after each attempt to commit
	degraded error         // of the last attempt to commit
	closed   bool

	kick   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	dbMu   sync.Mutex // guards db against its replacement while history is read
	db     *database
	loaded bool // what the database held is in memory
	pruned int  // events written since the history was last cut
}

// Open opens or makes the database at path and loads what it holds. Trouble with the disk is no error: the store is then
// Degraded, works from memory and tries again. A damaged database is set aside and replaced.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open status store: %w", err)
	}
	s := &Store{
		path: path, log: o.Log, events: o.Events,
		objects: map[v1.Key]objectRow{}, statuses: map[v1.Key]*v1.ServiceStatus{}, intents: map[v1.Key]v1.Intent{},
		ports: map[string]int{}, lastGood: map[v1.Key]LastGood{}, rollouts: map[v1.Key][]v1.Rollout{}, waiters: map[v1.Key]map[chan struct{}]struct{}{},
		pending: newBatch(), settled: make(chan struct{}),
		kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.events.Rows = orDefault(s.events.Rows, 10_000)
	s.events.PerObject = orDefault(s.events.PerObject, 500)
	s.events.Age = orDefault(s.events.Age, 30*24*time.Hour)
	// Beginning at the clock keeps the numbers growing even when the database that held the last one is lost.
	s.feed = newFeed(uint64(time.Now().UnixMicro()))
	if err := s.connect(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("open status store: %w", ctx.Err())
		}
		s.setDegraded(err)
	}
	go s.run()
	return s, nil
}

func orDefault[T ~int | ~int64](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Close writes what is pending and closes the database. Subscriptions end.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.done
		return nil
	}
	s.closed = true
	s.feed.closeAll()
	s.mu.Unlock()
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.durable < s.queued {
		return fmt.Errorf("close status store: %w: %w", ErrDegraded, s.degraded)
	}
	return nil
}

// Degraded returns why the database cannot be written, or nil when it can.
func (s *Store) Degraded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.degraded
}

// Durable returns when everything that was asked before the call is in the database. It fails with ErrDegraded when the
// database cannot be written.
func (s *Store) Durable(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for want := s.queued; s.durable < want; {
		if s.degraded != nil {
			return fmt.Errorf("%w: %w", ErrDegraded, s.degraded)
		}
		settled := s.settled
		s.mu.Unlock()
		var err error
		select {
		case <-settled:
		case <-ctx.Done():
			err = ctx.Err()
		case <-s.done:
			err = ErrClosed
		}
		s.mu.Lock()
		if err != nil && s.durable < want {
			return err
		}
	}
	return nil
}

// PutObject notes that an object is desired in this revision. A new object gets a number, which it keeps until it is
// deleted; another revision moves its time of change.
func (s *Store) PutObject(key v1.Key, revision string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, known := s.objects[key]
	if known && row.Revision == revision {
		return
	}
	row.Updated, row.Revision = time.Now().UnixMicro(), revision
	if !known {
		s.nextObject++
		row.ID, row.Kind, row.Name, row.Created = s.nextObject, key.Kind, key.Name, row.Updated
	}
	s.objects[key] = row
	s.enqueueLocked(rowKey{tableObjects, key.Kind, key.Name}, row)
	s.feed.publish(v1.Change{Kind: v1.ChangeObject, Key: key, Revision: revision})
}

// ObjectInfo returns an object's number, and when it was first seen and last changed. ok is false for an unknown object.
func (s *Store) ObjectInfo(key v1.Key) (id uint64, created, updated time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.objects[key]
	if !ok {
		return 0, time.Time{}, time.Time{}, false
	}
	return row.ID, time.UnixMicro(row.Created), time.UnixMicro(row.Updated), true
}

// Keys returns every object that is known, sorted.
func (s *Store) Keys() []v1.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]v1.Key, 0, len(s.objects))
	for key := range s.objects {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b v1.Key) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

// DeleteObject forgets an object: number, status, intent, ports and rollouts. Its last good manifest goes by DeleteLastGood, its
// events stay within their bounds.
func (s *Store) DeleteObject(key v1.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if row, ok := s.objects[key]; ok {
		delete(s.objects, key)
		s.enqueueLocked(rowKey{tableObjects, key.Kind, key.Name}, gone{row})
		s.feed.publish(v1.Change{Kind: v1.ChangeObject, Key: key, Deleted: true})
	}
	if _, ok := s.statuses[key]; ok {
		delete(s.statuses, key)
		s.enqueueLocked(rowKey{tableStatuses, key.Kind, key.Name}, gone{statusRow{Kind: key.Kind, Name: key.Name}})
	}
	if _, ok := s.intents[key]; ok {
		s.dropIntentLocked(key)
	}
	for _, r := range s.rollouts[key] {
		s.dropRolloutLocked(key, r)
	}
	delete(s.rollouts, key)
	prefix := key.String() + "/"
	for slot := range s.ports {
		if slot == key.String() || strings.HasPrefix(slot, prefix) {
			s.setPortLocked(slot, 0)
		}
	}
	s.wakeLocked(key)
}
