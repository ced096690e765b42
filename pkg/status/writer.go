package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gorm.io/gorm"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/sqlite"
)

const (
	// commitEvery is the least time between two commits. A lone write is committed at once.
	commitEvery = 10 * time.Millisecond
	// retryMin and retryMax bound the wait before a disk that refused is tried again.
	retryMin = 500 * time.Millisecond
	retryMax = 30 * time.Second
	// cutEvery is how many events are written between two cuts of the history.
	cutEvery = 100
)

// enqueueLocked adds a write to the next batch.
func (s *Store) enqueueLocked(key rowKey, value any) {
	s.pending.rows[key] = value
	s.queued++
	s.wakeWriter()
}

func (s *Store) wakeWriter() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// run is the one writer: it commits what is pending, paced, until the store is closed.
func (s *Store) run() {
	defer close(s.done)
	var last time.Time
	retry := retryMin
	for open := true; open; {
		select {
		case <-s.kick:
		case <-s.stop:
			open = false
		}
		// Under load, writes gather while the last commit's pause runs out.
		open = open && s.pause(commitEvery-time.Since(last))
		err := s.commit()
		last = time.Now()
		if err == nil {
			retry = retryMin
			continue
		}
		if open {
			open = s.pause(retry)
			retry = min(2*retry, retryMax)
			s.wakeWriter()
		}
	}
	// A store that was told to stop during a pause has pending writes still.
	if err := s.commit(); err != nil {
		s.log.Error("what was observed last could not be saved", "err", err)
	}
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if s.db != nil {
		if err := s.db.close(); err != nil {
			s.log.Warn("the database could not be closed", "err", err)
		}
		s.db = nil
	}
}

// pause waits, and reports false when the store is closed meanwhile.
func (s *Store) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	}
}

// commit writes the pending batch. A damaged database is replaced and written from memory; after any other error the
// batch is pending again.
func (s *Store) commit() error {
	ctx := context.Background() //nolint:forbidigo // What is pending is written also when everybody has left.
	err := s.flush(ctx)
	if errors.Is(err, sqlite.ErrDamaged) {
		if err = s.replace(err); err == nil {
			err = s.flush(ctx)
		}
	}
	s.setDegraded(err)
	return err
}

func (s *Store) flush(ctx context.Context) error {
	if s.db == nil {
		if err := s.connect(ctx); err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		// SQLite would go on writing to the file that nobody can find any more.
		return fmt.Errorf("%w: the file was removed", sqlite.ErrDamaged)
	}
	s.mu.Lock()
	b, upTo := s.pending, s.queued
	s.pending = newBatch()
	s.writing = b.events
	s.mu.Unlock()
	if !b.empty() {
		s.pruned += len(b.events)
		cut := s.pruned >= cutEvery
		err := s.db.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if err := b.write(tx); err != nil || !cut {
				return err
			}
			return s.events.cut(tx, time.Now())
		})
		if err != nil {
			s.mu.Lock()
			s.pending.under(b)
			s.writing = nil
			s.mu.Unlock()
			return sqlite.Classify(fmt.Errorf("save what was observed: %w", err))
		}
		if cut {
			s.pruned = 0
		}
	}
	s.mu.Lock()
	s.durable = upTo
	s.writing = nil
	s.mu.Unlock()
	return nil
}

// setDegraded notes how the last attempt went and wakes those who wait for it.
func (s *Store) setDegraded(err error) {
	s.mu.Lock()
	was := s.degraded
	s.mu.Unlock()
	// The event comes first: who is woken finds it.
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.degraded = err
		close(s.settled)
		s.settled = make(chan struct{})
	}()
	switch {
	case err != nil && was == nil:
		s.log.Error("the database cannot be written; going on from memory", "path", s.path, "err", err)
		s.RecordEvent(v1.Event{
			Type: v1.EventWarning, Reason: "DatabaseDegraded", Actor: "supervisor",
			Message: fmt.Sprintf("%s cannot be written (%v); services are unharmed, and what is observed is kept in memory until it can", s.path, err),
		})
	case err == nil && was != nil:
		s.log.Info("the database can be written again", "path", s.path)
		s.RecordEvent(v1.Event{
			Type: v1.EventNormal, Reason: "DatabaseRecovered", Actor: "supervisor", Message: s.path + " can be written again",
		})
	}
}

// connect opens the database, replacing it when it is damaged, and loads what memory does not know yet.
func (s *Store) connect(ctx context.Context) error {
	db, err := openDatabase(ctx, s.path)
	if errors.Is(err, sqlite.ErrDamaged) {
		if err = s.replace(err); err == nil {
			return nil
		}
	}
	if err != nil {
		return err
	}
	if !s.loaded {
		if err := s.load(db.write.WithContext(ctx)); err != nil {
			if err = errors.Join(sqlite.Classify(err), db.close()); errors.Is(err, sqlite.ErrDamaged) {
				return s.replace(err)
			}
			return err
		}
	}
	s.adopt(db)
	return nil
}

func (s *Store) adopt(db *database) {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	s.db, s.loaded = db, true
}

// replace sets the damaged database aside, opens a new one and makes all that is in memory pending for it.
func (s *Store) replace(cause error) error {
	s.dbMu.Lock()
	if s.db != nil {
		if err := s.db.close(); err != nil {
			s.log.Warn("the damaged database could not be closed", "err", err)
		}
		s.db = nil
	}
	s.dbMu.Unlock()
	aside, err := sqlite.SetAside(s.path, time.Now())
	if err != nil {
		return err
	}
	db, err := openDatabase(context.Background(), s.path) //nolint:forbidigo // As in commit.
	if err != nil {
		return err
	}
	s.adopt(db)
	s.mu.Lock()
	s.pending.under(s.everythingLocked())
	s.queued++
	s.mu.Unlock()
	s.log.Error("the database was damaged; it was set aside and a new one was made", "cause", cause, "aside", aside)
	s.RecordEvent(v1.Event{
		Type: v1.EventWarning, Reason: "DatabaseReplaced", Actor: "supervisor",
		Message: fmt.Sprintf("%s was damaged (%v) and is now %s; a new one was made. Services are unharmed, the history of events begins anew",
			filepath.Base(s.path), cause, filepath.Base(aside)),
	})
	return nil
}

// everythingLocked is memory as a batch.
func (s *Store) everythingLocked() batch {
	b := newBatch()
	for key, row := range s.objects {
		b.rows[rowKey{tableObjects, key.Kind, key.Name}] = row
	}
	for key, st := range s.statuses {
		b.rows[rowKey{tableStatuses, key.Kind, key.Name}] = st
	}
	for key, in := range s.intents {
		b.rows[rowKey{tableIntents, key.Kind, key.Name}] = in
	}
	for slot, port := range s.ports {
		b.rows[rowKey{tablePorts, slot, ""}] = portRow{Slot: slot, Port: port}
	}
	for key, g := range s.lastGood {
		b.rows[rowKey{tableLastGood, key.Kind, key.Name}] = g
	}
	for key, rows := range s.rollouts {
		for _, r := range rows {
			b.rows[rolloutKey(key, r.Number)] = keyedRollout{key, r}
		}
	}
	return b
}

// load reads the database into memory. What memory has or has deleted already is newer: that happens when the database
// could not be opened at first.
func (s *Store) load(db *gorm.DB) error {
	var (
		objects  []objectRow
		statuses []statusRow
		intents  []intentRow
		ports    []portRow
		lastGood []lastGoodRow
		rollouts []rolloutRow
		newest   uint64
	)
	for _, rows := range []any{&objects, &statuses, &intents, &ports, &lastGood, &rollouts} {
		if err := db.Find(rows).Error; err != nil {
			return fmt.Errorf("load what was observed: %w", err)
		}
	}
	if err := db.Raw("SELECT coalesce(max(id), 0) FROM events").Scan(&newest).Error; err != nil {
		return fmt.Errorf("load what was observed: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.feed.seq = max(s.feed.seq, newest)
	known := func(t table, a, b string) bool { _, ok := s.pending.rows[rowKey{t, a, b}]; return ok }
	s.loadObjectsLocked(objects)
	for _, r := range statuses {
		var st v1.ServiceStatus
		if !known(tableStatuses, r.Kind, r.Name) && s.decode(r.Kind, r.Name, r.Data, &st) {
			s.statuses[v1.Key{Kind: r.Kind, Name: r.Name}] = &st
		}
	}
	for _, r := range intents {
		var in v1.Intent
		if !known(tableIntents, r.Kind, r.Name) && s.decode(r.Kind, r.Name, r.Data, &in) {
			s.intents[v1.Key{Kind: r.Kind, Name: r.Name}] = in
		}
	}
	for _, r := range ports {
		if !known(tablePorts, r.Slot, "") {
			s.ports[r.Slot] = r.Port
		}
	}
	s.loadRolloutsLocked(rollouts)
	for _, r := range lastGood {
		if !known(tableLastGood, r.Kind, r.Name) {
			key := v1.Key{Kind: r.Kind, Name: r.Name}
			s.lastGood[key] = LastGood{Key: key, File: r.File, Text: r.Data, Revision: r.Revision}
		}
	}
	return nil
}

// loadObjectsLocked takes the numbers of the database; objects that memory numbered without it get numbers behind those.
func (s *Store) loadObjectsLocked(rows []objectRow) {
	var highest uint64
	stored := map[v1.Key]objectRow{}
	for _, r := range rows {
		highest = max(highest, r.ID)
		stored[v1.Key{Kind: r.Kind, Name: r.Name}] = r
	}
	s.nextObject += highest
	for key, row := range s.objects {
		old, ok := stored[key]
		if ok {
			row.ID, row.Created = old.ID, old.Created
			if row.Revision == old.Revision {
				row.Updated = old.Updated
			}
		} else {
			row.ID += highest
		}
		s.objects[key] = row
		s.pending.rows[rowKey{tableObjects, key.Kind, key.Name}] = row
	}
	for key, row := range stored {
		if _, ok := s.pending.rows[rowKey{tableObjects, key.Kind, key.Name}]; !ok {
			s.objects[key] = row
		}
	}
}

// loadRolloutsLocked takes the history of the database, unless memory has begun one of its own without it.
func (s *Store) loadRolloutsLocked(rows []rolloutRow) {
	slices.SortFunc(rows, func(a, b rolloutRow) int { return a.Number - b.Number })
	begun := map[v1.Key]bool{}
	for key := range s.rollouts {
		begun[key] = true
	}
	for _, row := range rows {
		var r v1.Rollout
		key := v1.Key{Kind: row.Kind, Name: row.Name}
		if _, changed := s.pending.rows[rolloutKey(key, row.Number)]; changed || begun[key] || !s.decode(row.Kind, row.Name, row.Data, &r) {
			continue
		}
		s.rollouts[key] = append(s.rollouts[key], r)
	}
}

// decode reads a row's JSON. One row that cannot be read does not spoil the others: it is observed anew.
func (s *Store) decode(kind, name string, data []byte, v any) bool {
	if err := json.Unmarshal(data, v); err != nil {
		s.log.Warn("a row of the database cannot be read and is left out", "object", kind+"/"+name, "err", err)
		return false
	}
	return true
}
