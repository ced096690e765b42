package logs

import (
	"context"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"
)

// checkPause is how often it is seen to that the database is still at its path.
const checkPause = time.Second

// work does what is due.
func (f *follower) work(ctx context.Context) {
	now := time.Now()
	f.poll(now)
	for st := range f.waiting {
		if st.wake <= now.UnixNano() {
			f.touch(st)
		}
	}
	asked := len(f.syncers) // more may come meanwhile, who want more
	if asked > 0 {
		f.touchAll()
	}
	if now.Before(f.retryAt) {
		f.answer(asked, f.s.Degraded())
		return
	}
	err := f.present(ctx, now)
	if err == nil {
		err = f.rounds(ctx)
	}
	if err == nil {
		err = f.forget()
	}
	if err == nil {
		err = f.keepHouse(now)
	}
	f.judgeWrites(ctx, err)
	f.answer(asked, err)
	if err == nil {
		f.part()
	}
}

// answer tells the first n of those who wait for the index how it is.
func (f *follower) answer(n int, err error) {
	for _, reply := range f.syncers[:n] {
		reply <- err
	}
	f.syncers = slices.Delete(f.syncers, 0, n)
}

// rounds reads until there is nothing more.
func (f *follower) rounds(ctx context.Context) error {
	for len(f.dirty) > 0 && ctx.Err() == nil {
		segment := f.w.newest()
		more, err := f.round(ctx)
		f.lastRound = time.Now()
		if err != nil {
			return err
		}
		f.hot = f.hot || len(f.rows) > 0
		if f.w.newest() != segment {
			f.tidy = true
			if err := f.makeRoom(); err != nil {
				return err
			}
		}
		if f.w.unindexed() >= indexLag {
			if err := f.w.index(); err != nil {
				return err
			}
		}
		if !more {
			break
		}
		f.obey()
	}
	return nil
}

// makeRoom drops what is beyond the cap.
func (f *follower) makeRoom() error {
	for {
		if more, err := f.w.bound(f.limit); err != nil || !more {
			return err
		}
	}
}

// keepHouse does one step of what has time: words, retention, space. What is left is done in the next turn.
func (f *follower) keepHouse(now time.Time) error {
	if len(f.dirty) > 0 {
		return nil
	}
	if f.w.unindexed() >= indexChunk {
		f.tidy = true
		return f.w.index()
	}
	if !now.Before(f.retention) {
		f.limit = f.s.o.Cap
		more, err := f.expire(now)
		if err != nil || more {
			return err
		}
		f.retention = now.Add(retentionPause)
		return nil
	}
	if !f.tidy {
		return nil
	}
	more, err := f.w.bound(f.limit)
	if err == nil && !more {
		more, err = f.dig()
	}
	if err == nil && !more {
		more, err = f.w.shrink()
	}
	f.tidy = more
	return err
}

// expire removes a portion of what is too old.
func (f *follower) expire(now time.Time) (bool, error) {
	longest := f.keep
	for _, svc := range f.services {
		longest = max(longest, svc.keep)
	}
	f.tidy = true
	if more, err := f.w.expire(now.Add(-longest).UnixNano()); more || err != nil {
		return more, err
	}
	f.s.names.RLock()
	defer f.s.names.RUnlock()
	for name, id := range f.s.names.byName {
		keep := f.keep
		if svc := f.services[name]; svc != nil && svc.keep > 0 {
			keep = svc.keep
		}
		if keep >= longest {
			continue
		}
		if more, err := f.w.expireService(id, now.Add(-keep).UnixNano()); more || err != nil {
			return more, err
		}
	}
	return false, nil
}

// present sees to it that the database is open and at its path.
func (f *follower) present(ctx context.Context, now time.Time) error {
	if f.w != nil && now.Sub(f.checked) >= checkPause {
		f.checked = now
		if _, err := os.Stat(f.s.path); errors.Is(err, fs.ErrNotExist) {
			// SQLite would go on writing to a file that nobody can find any more.
			f.log.Error("the log index was removed; a new one is made from the log files", "path", f.s.path)
			f.begin()
			_ = f.s.disconnect() // there is nothing to save
			_, _ = setAside(f.s.path, now)
		}
	}
	if f.w != nil {
		return nil
	}
	if err := f.s.connect(ctx); err != nil {
		return err
	}
	f.w.segAge = f.keep / 16
	return nil
}

// begin forgets what the database knew, so that all files are read anew.
func (f *follower) begin() {
	for _, st := range f.byPath {
		closeAll(st.files)
		st.files, st.known, st.stale = nil, nil, nil
		st.id, st.loaded = 0, false
		st.storedSkip, st.skipped, st.nextSkipped = skip{}, skip{}, skip{}
		f.touch(st)
	}
	for _, svc := range f.services {
		svc.id = 0
		svc.bucket = bucket{budget: svc.bucket.budget}
	}
}

// judgeWrites decides when to try again after a failure.
func (f *follower) judgeWrites(ctx context.Context, err error) {
	if err == nil {
		if f.retryIn != 0 {
			f.retryAt, f.retryIn = time.Time{}, 0
			f.s.stats.degraded.Store(nil)
			f.log.Info("the log index can be written again")
			if f.s.o.OnDegraded != nil {
				f.s.o.OnDegraded(nil)
			}
		}
		return
	}
	if ctx.Err() != nil {
		return
	}
	if errors.Is(classify(err), errDamaged) && f.w != nil {
		f.begin()
		_ = f.s.disconnect() // it is given up
		aside, moveErr := setAside(f.s.path, time.Now())
		if moveErr == nil {
			f.log.Error("the log index is damaged; it was set aside, and a new one is made from the log files", "cause", err, "aside", aside)
			if f.s.o.OnSetAside != nil {
				f.s.o.OnSetAside(aside, err)
			}
			if f.s.connect(ctx) == nil {
				f.w.segAge = f.keep / 16
				f.tidy = true
				return
			}
		}
		err = errors.Join(err, moveErr)
	}
	first := f.retryIn == 0
	f.retryIn = min(max(2*f.retryIn, 250*time.Millisecond), maxRetry)
	if diskFull(err) && f.w != nil {
		f.retreat(first)
	}
	f.retryAt = time.Now().Add(f.retryIn)
	f.s.stats.degraded.Store(&err)
	if first {
		f.log.Error("the log index cannot be written; log files are kept, and read when it can", "path", f.s.path, "err", err)
		if f.s.o.OnDegraded != nil {
			f.s.o.OnDegraded(err)
		}
	}
}

// retreat makes room on a disk that is full: it lets go of deleted log files, and when that was not enough, of old rows, as
// the files have the newest lines. Freed pages take the next ones.
func (f *follower) retreat(first bool) {
	f.buffers()
	for _, st := range f.byPath {
		st.release(f.buf)
	}
	used, free, err := f.w.usage()
	if err != nil {
		return
	}
	// The log that is written ahead has to begin anew: there it has room for the change that frees pages.
	_ = f.w.db.rows("PRAGMA wal_checkpoint(RESTART)", nil, ignore)
	if first {
		return
	}
	f.limit = min(f.limit, max(4<<20, used*3/4))
	f.w.segBytes = segmentSize(f.limit)
	if free < 2*f.w.segBytes && len(f.w.segments) > 0 {
		if err := f.w.drop(); err != nil {
			f.log.Warn("old log rows cannot be dropped on the full disk", "err", err)
		}
	}
}

// load reads what the database knows of a stream.
func (f *follower) load(ctx context.Context, st *stream) error {
	if st.loaded {
		return nil
	}
	if err := f.w.write(context.WithoutCancel(ctx), time.Now(), nil, func() error { return f.register(st) }); err != nil {
		st.id = 0
		return err
	}
	st.known = st.known[:0]
	err := f.w.db.rows("SELECT id, dev, inode, head, offset FROM files WHERE stream_id = ? ORDER BY id", []driver.Value{st.id}, func(v []driver.Value) error {
		k := knownFile{}
		var dev, ino int64
		for i, to := range []*int64{&k.row, &dev, &ino, nil, &k.off} {
			switch x := v[i].(type) {
			case int64:
				*to = x
			case []byte:
				k.head = append([]byte(nil), x...)
			}
		}
		k.dev, k.ino = uint64(dev), uint64(ino)
		st.known = append(st.known, k)
		return nil
	})
	st.loaded = err == nil
	return err
}

// register gives a stream its number and reads what was counted.
func (f *follower) register(st *stream) error {
	db, svc := f.w.db, st.service
	if err := db.exec("INSERT INTO services (name) VALUES (?) ON CONFLICT DO NOTHING", svc.name); err != nil {
		return err
	}
	if err := db.one("SELECT id FROM services WHERE name = ?", &svc.id, svc.name); err != nil {
		return err
	}
	if err := db.exec("INSERT INTO streams (service_id, replica, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", svc.id, int64(st.replica), string(st.name)); err != nil {
		return err
	}
	f.s.setName(svc.id, svc.name)
	k := skip{}
	err := db.rows(`SELECT id, skipped_lines, skipped_bytes, skipped_from, skipped_to, skipped_inode, skipped_why FROM streams
		WHERE service_id = ? AND replica = ? AND name = ?`, []driver.Value{svc.id, int64(st.replica), string(st.name)}, func(v []driver.Value) error {
		var ino, why int64
		for i, to := range []*int64{&st.id, &k.lines, &k.bytes, &k.from, &k.to, &ino, &why} {
			*to, _ = v[i].(int64)
		}
		k.ino, k.why = uint64(ino), skipReason(why)
		return nil
	})
	st.storedSkip, st.skipped, st.nextSkipped = k, k, k
	return err
}
