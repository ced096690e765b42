package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options tune a Store. The zero value is good.
type Options struct {
	// Cap bounds the database's files, in bytes; 0 means 1 GiB. On a small disk they stay smaller: no more than half of what
	// they and the free space make together.
	Cap int64
	// Retention is how long rows are kept; 0 means 7 days. They go in portions of a sixteenth of it.
	Retention time.Duration
	// Budget is that of services that have none of their own; zero means 5,000 lines a second after a burst of 100,000.
	Budget Budget
	Log    *slog.Logger
	// OnSkipped is told of lines of a service that are in its files only, as soon as a marker stands for them. It may not
	// call the Store.
	OnSkipped func(service string, lines int64)
	// OnSetAside is told of a damaged database that was renamed, after a new one was begun. It may not call the Store.
	OnSetAside func(aside string, cause error)
	// OnDegraded is told when rows cannot be written, and with nil when they can again. It may not call the Store.
	OnDegraded func(cause error)
}

func (o Options) withDefaults() Options {
	if o.Cap == 0 {
		o.Cap = 1 << 30
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.Budget == (Budget{}) {
		o.Budget = Budget{Rate: 5000, Burst: 100_000}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is the index of all log files. Its methods may be called by any goroutine.
type Store struct {
	path string
	o    Options
	log  *slog.Logger

	// Orders for Run.
	waiting struct {
		sync.Mutex
		orders []func(*follower)
	}
	poke    chan struct{} // there are some
	running atomic.Bool
	done    chan struct{} // closed when Run has returned

	f *follower // Run's own

	dbMu   sync.RWMutex // held for reading while a query is under way
	db     *database    // nil while none can be opened
	closed bool

	names struct {
		sync.RWMutex
		byID   map[int64]string
		byName map[string]int64
	}
	news  news
	stats stats
}

// Open opens the index at path, making it when there is none. A damaged one is set aside.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{path: path, o: o, log: o.Log, poke: make(chan struct{}, 1), done: make(chan struct{})}
	s.f = newFollower(s)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log index: %w", err)
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// connect opens the database, and replaces it when it is damaged.
func (s *Store) connect(ctx context.Context) error {
	db, w, err := s.openAll(ctx)
	var cause error
	if errors.Is(err, errDamaged) {
		cause = err
		var aside string
		if aside, err = setAside(s.path, time.Now()); err != nil {
			return errors.Join(cause, err)
		}
		if db, w, err = s.openAll(ctx); err == nil {
			s.log.Error("the log index was damaged; it was set aside, and a new one is made from the log files", "cause", cause, "aside", aside)
			if s.o.OnSetAside != nil {
				s.o.OnSetAside(aside, cause)
			}
		}
	}
	if err != nil {
		return err
	}
	w.segAge = s.o.Retention / 16
	s.dbMu.Lock()
	s.db, s.f.w = db, w
	s.dbMu.Unlock()
	return s.loadNames()
}

func (s *Store) openAll(ctx context.Context) (*database, *writer, error) {
	db, err := openDatabase(ctx, s.path, s.o.Cap)
	if err != nil {
		return nil, nil, err
	}
	w, err := newWriter(db, s.o.Cap)
	if err != nil {
		return nil, nil, errors.Join(classify(err), db.close())
	}
	if _, err := w.room(s.o.Cap); err != nil {
		return nil, nil, errors.Join(err, db.close())
	}
	return db, w, nil
}

// disconnect closes the database, which is opened again when there is something to write.
func (s *Store) disconnect() error {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if s.db == nil {
		return nil
	}
	err := errors.Join(s.f.w.close(), s.db.close())
	s.db, s.f.w = nil, nil
	return err
}

func (s *Store) loadNames() error {
	s.names.Lock()
	defer s.names.Unlock()
	s.names.byID, s.names.byName = map[int64]string{}, map[string]int64{}
	rows, err := s.db.reader.Query("SELECT id, name FROM services") //nolint:noctx // a handful of rows
	if err != nil {
		return fmt.Errorf("read log index: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return fmt.Errorf("read log index: %w", err)
		}
		s.names.byID[id], s.names.byName[name] = name, id
	}
	return rows.Err()
}

// Attach follows the output of a replica from where it was left. Attaching it again changes its settings. What is attached
// before Run is read together, so that rows of different services are in the order of their times.
func (s *Store) Attach(src Source) { s.order(func(f *follower) { f.attach(src) }) }

// Detach takes what is there and then ends to follow a replica. Its rows stay.
func (s *Store) Detach(serviceName string, replica int) {
	s.order(func(f *follower) { f.detach(serviceName, replica) })
}

// SetRetention sets how long rows are kept that are of no service with a retention of its own.
func (s *Store) SetRetention(keep time.Duration) {
	s.order(func(f *follower) { f.setRetention(keep) })
}

// Sync returns when all complete lines that are in the files at present are in the index.
func (s *Store) Sync(ctx context.Context) error {
	reply := make(chan error, 1)
	s.order(func(f *follower) { f.syncers = append(f.syncers, reply) })
	select {
	case err := <-reply:
		return err
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// order has Run do something, when it comes to it.
func (s *Store) order(fn func(*follower)) {
	s.waiting.Lock()
	s.waiting.orders = append(s.waiting.orders, fn)
	s.waiting.Unlock()
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

func (s *Store) takeOrders() []func(*follower) {
	s.waiting.Lock()
	defer s.waiting.Unlock()
	orders := s.waiting.orders
	s.waiting.orders = nil
	return orders
}

// Degraded is why rows cannot be written at present, nil when they can. The files are kept meanwhile, and read later.
func (s *Store) Degraded() error {
	if err := s.stats.degraded.Load(); err != nil {
		return *err
	}
	return nil
}

// Close closes the index. Run must have returned.
func (s *Store) Close() error {
	if err := s.disconnect(); err != nil {
		return fmt.Errorf("close log index: %w", err)
	}
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	s.closed = true
	return nil
}
