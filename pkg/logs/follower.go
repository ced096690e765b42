package logs

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// roundPause is the least time between two rounds while lines come singly: each round has its price. busyPause is that
	// while there is much: files must not be rotated away meanwhile.
	roundPause = 100 * time.Millisecond
	busyPause  = 20 * time.Millisecond
	// busyRound is how much makes a round a busy one, in bytes.
	busyRound = 64 << 10
	// pollPause is how often folders are looked at that cannot be watched.
	pollPause = time.Second
	// maxRetry is the longest time between two attempts to write to a disk that is full.
	maxRetry = 10 * time.Second
	// smallBuffer is the size of what all streams share in a round, in bytes, and largeBuffer that while there is a backlog.
	smallBuffer = 256 << 10
	largeBuffer = 1 << 20
)

// replicaKey names what is attached.
type replicaKey struct {
	service string
	replica int
}

// replica is an attached Source.
type replica struct {
	Source
	streams [2]*stream
	leaving bool
}

// follower is the state of Run. Its goroutine owns it.
type follower struct {
	s   *Store
	log *slog.Logger
	w   *writer // nil while the database is not open

	watcher   *fsnotify.Watcher
	replicas  map[replicaKey]*replica
	services  map[string]*service
	byPath    map[string]*stream
	byDir     map[string]*replica
	unwatched map[string]*replica // by folder
	dirty     []*stream
	waiting   map[*stream]struct{} // those with a wake time
	syncers   []chan<- error
	// forgetting are the services to be forgotten.
	forgetting map[string]struct{}

	keep      time.Duration
	scanner   scanner
	buf       []byte
	entries   []entry
	pieces    []piece
	rows      []row
	lines     int64 // in rows
	bytes     int   // read in the round
	lastRound time.Time
	hot, busy bool // the last round had something, or much
	more      bool // the last round has left something

	retention time.Time // the next look at what is too old
	polled    time.Time // the next look at what cannot be watched
	checked   time.Time // when the database file was last seen
	tidy      bool      // there may be something to index, drop or shrink
	retryAt   time.Time // while the database cannot be written
	retryIn   time.Duration
	limit     int64 // what the database may take at present: less than the cap on a full disk
}

func newFollower(s *Store) *follower {
	return &follower{
		s: s, log: s.log, replicas: map[replicaKey]*replica{}, services: map[string]*service{}, byPath: map[string]*stream{},
		byDir: map[string]*replica{}, unwatched: map[string]*replica{}, forgetting: map[string]struct{}{}, waiting: map[*stream]struct{}{}, keep: s.o.Retention, limit: s.o.Cap,
	}
}

// Run follows the files until ctx ends. It is called once.
func (s *Store) Run(ctx context.Context) error {
	if s.running.Swap(true) {
		return errors.New("follow logs: this is done already")
	}
	defer close(s.done)
	f := s.f
	defer f.release()
	var err error
	if f.watcher, err = fsnotify.NewWatcher(); err != nil {
		f.log.Warn("log folders cannot be watched and are looked at every second; raise fs.inotify.max_user_instances", "err", err)
	} else {
		defer f.watcher.Close()
	}
	f.retention = time.Now()
	f.tidy = true
	for ctx.Err() == nil {
		f.wait(ctx)
		f.obey()
		if ctx.Err() == nil {
			f.work(ctx)
		}
	}
	for _, reply := range f.syncers {
		reply <- ErrClosed
	}
	return ctx.Err()
}

func (f *follower) release() {
	for _, r := range f.replicas {
		for _, st := range r.streams {
			closeAll(st.files)
			st.files = nil
		}
	}
}

// wait returns when there is something to do.
func (f *follower) wait(ctx context.Context) {
	now := time.Now()
	pause := roundPause
	if f.busy {
		pause = busyPause
	}
	if rest := f.lastRound.Add(pause).Sub(now); f.hot && rest > 0 && len(f.syncers) == 0 {
		// Events are left where they are: the kernel merges equal ones, and a hundred lines make one round.
		f.sleep(ctx, rest)
	} else {
		f.listen(ctx, f.wakeTime(now).Sub(now))
	}
	f.hot = false
	f.collect()
}

// sleep does not listen to the watcher.
func (f *follower) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-f.s.poke:
	case <-t.C:
	}
}

// listen waits for an event, or for d when it is not for ever.
func (f *follower) listen(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	var timer <-chan time.Time
	if d < forEver {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	events, troubles := f.channels()
	select {
	case <-ctx.Done():
	case <-f.s.poke:
	case <-timer:
	case ev, ok := <-events:
		f.event(ev, ok)
	case err, ok := <-troubles:
		f.trouble(err, ok)
	}
}

func (f *follower) channels() (<-chan fsnotify.Event, <-chan error) {
	if f.watcher == nil {
		return nil, nil
	}
	return f.watcher.Events, f.watcher.Errors
}

// collect takes the events that are there, without waiting.
func (f *follower) collect() {
	events, troubles := f.channels()
	for idle := 0; idle < 3 && events != nil; {
		select {
		case ev, ok := <-events:
			idle = 0
			f.event(ev, ok)
			if !ok {
				return
			}
		case err, ok := <-troubles:
			f.trouble(err, ok)
			if !ok {
				return
			}
		default:
			idle++
			runtime.Gosched() // the watcher hands over one event at a time
		}
	}
}

// forEver is longer than anybody waits.
const forEver = 100 * 365 * 24 * time.Hour

// wakeTime is when there is something to do even if nothing happens.
func (f *follower) wakeTime(now time.Time) time.Time {
	wake := f.retention
	sooner := func(t time.Time) {
		if t.Before(wake) {
			wake = t
		}
	}
	if len(f.unwatched) > 0 {
		sooner(f.polled)
	}
	if !f.retryAt.IsZero() {
		sooner(f.retryAt)
		return wake // nothing else can be done until then
	}
	if f.tidy || len(f.dirty) > 0 || len(f.syncers) > 0 {
		return now
	}
	for st := range f.waiting {
		sooner(time.Unix(0, st.wake))
	}
	return wake
}

func (f *follower) touch(st *stream) {
	if !st.dirty {
		st.dirty = true
		f.dirty = append(f.dirty, st)
	}
}

func (f *follower) touchAll() {
	for _, st := range f.byPath {
		f.touch(st)
	}
}

// event notes what may have changed.
func (f *follower) event(ev fsnotify.Event, ok bool) {
	if !ok {
		f.watcher = nil
		return
	}
	if st := f.byPath[ev.Name]; st != nil {
		f.touch(st)
		// Rotation renames; only people remove. The folder may have gone with the file, and the kernel does not tell of that for
		// as long as the writer has the file open.
		if r := f.byDir[filepath.Dir(ev.Name)]; r != nil && ev.Has(fsnotify.Remove) {
			f.unwatch(r)
		}
		return
	}
	if r := f.byDir[ev.Name]; r != nil && ev.Has(fsnotify.Remove|fsnotify.Rename) {
		f.unwatch(r)
	}
}

// trouble means that events are missing.
func (f *follower) trouble(err error, ok bool) {
	if !ok {
		f.watcher = nil
		return
	}
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		f.log.Warn("the watch of log folders has trouble; looking at all of them", "err", err)
	}
	f.touchAll()
}

// unwatch has a folder looked at every second.
func (f *follower) unwatch(r *replica) {
	if len(f.unwatched) == 0 {
		f.polled = time.Now().Add(pollPause)
	}
	if f.watcher != nil {
		_ = f.watcher.Remove(r.Dir) // the kernel may have done it
	}
	f.unwatched[r.Dir] = r
	f.s.stats.polled.Store(int64(len(f.unwatched)))
}

// watch makes the folder and watches it. The keeper would make it too, with the same mode.
func (f *follower) watch(r *replica) bool {
	if err := os.MkdirAll(r.Dir, 0o750); err != nil {
		return false
	}
	if f.watcher == nil {
		return false
	}
	return f.watcher.Add(r.Dir) == nil
}

// poll looks at the folders that are not watched, and tries to watch them again.
func (f *follower) poll(now time.Time) {
	if len(f.unwatched) == 0 || now.Before(f.polled) {
		return
	}
	f.polled = now.Add(pollPause)
	for dir, r := range f.unwatched {
		if f.watch(r) {
			delete(f.unwatched, dir)
		}
		for _, st := range r.streams {
			f.touch(st)
		}
	}
	f.s.stats.polled.Store(int64(len(f.unwatched)))
}
