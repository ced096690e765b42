package logs

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// deleteStep is how many rows are deleted at once, where a service's rows go before their segment.
	deleteStep = 2000
	// vacuumStep is how many pages are given back to the disk at once.
	vacuumStep = 512
	// retentionPause is the time between two looks at what has become too old.
	retentionPause = time.Hour
)

// drop removes the oldest segment, tables and all.
func (w *writer) drop() error {
	s := w.segments[0]
	if s == w.newest() {
		if err := w.close(); err != nil {
			return err
		}
		w.insertFor = 0
	}
	err := w.db.transaction(func() error {
		for _, q := range []struct {
			query string
			args  []driver.Value
		}{
			{query: fmt.Sprintf("DROP TABLE IF EXISTS rows_%d", s.ID)},
			{query: fmt.Sprintf("DROP TABLE IF EXISTS fts_%d", s.ID)},
			{"DELETE FROM zones WHERE segment_id = ?", []driver.Value{s.ID}},
			{"DELETE FROM segments WHERE id = ?", []driver.Value{s.ID}},
			{"UPDATE meta SET dropped_id = ?, last_id = max(last_id, ?) WHERE id = 1", []driver.Value{s.LastID, w.lastID}},
		} {
			if err := w.db.exec(q.query, q.args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop old log rows: %w", err)
	}
	if s == w.newest() {
		w.zone = zone{}
	}
	w.segments = w.segments[1:]
	return nil
}

// usage tells how many bytes of the database's files are in use, the log that is written ahead included, and how many are
// free in them.
func (w *writer) usage() (used, free int64, err error) {
	var pages, unused int64
	if err := w.db.one("PRAGMA page_count", &pages); err != nil {
		return 0, 0, err
	}
	if err := w.db.one("PRAGMA freelist_count", &unused); err != nil {
		return 0, 0, err
	}
	wal := int64(0)
	info, err := os.Stat(w.db.path + "-wal")
	switch {
	case err == nil:
		wal = info.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return 0, 0, err
	}
	return (pages-unused)*pageSize + wal, unused * pageSize, nil
}

// room is how large the database may be: no larger than limit, and no larger than half of what it and the free space of
// its disk make together. An index gives way to what it is an index of.
func (w *writer) room(limit int64) (int64, error) {
	used, _, err := w.usage()
	if err != nil {
		return 0, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(w.db.path), &fs); err != nil {
		return 0, fmt.Errorf("look at the disk of the log index: %w", err)
	}
	limit = min(limit, (used+int64(fs.Bavail)*fs.Bsize)/2)
	w.segBytes = segmentSize(limit)
	return limit, nil
}

// segmentSize is how large segments are, so that there are enough of them.
func segmentSize(limit int64) int64 { return max(256<<10, min(maxSegment, limit/segments)) }

// bound drops the oldest segment when the database is larger than its limit less room for a new segment. It tells whether it
// has dropped one, so that there may be more to do.
func (w *writer) bound(limit int64) (bool, error) {
	limit, err := w.room(limit)
	if err != nil {
		return false, err
	}
	used, _, err := w.usage()
	if err != nil || used+2*w.segBytes <= limit || len(w.segments) < 2 {
		return false, err
	}
	return true, w.drop()
}

// expire drops the oldest segment when all in it is older than before (Unix nanoseconds).
func (w *writer) expire(before int64) (bool, error) {
	if len(w.segments) == 0 {
		return false, nil
	}
	s := w.segments[0]
	newest := int64(0)
	if err := w.db.one("SELECT coalesce(max(max_at), 0) FROM zones WHERE segment_id = ?", &newest, s.ID); err != nil {
		return false, err
	}
	if newest >= before {
		return false, nil
	}
	return true, w.drop()
}

// expireService deletes some rows of a service that are older than before, and tells whether there may be more.
func (w *writer) expireService(service, before int64) (bool, error) {
	for _, s := range w.segments {
		last := int64(0)
		if err := w.db.one("SELECT coalesce(max(last_id), 0) FROM zones WHERE segment_id = ? AND min_at < ?", &last, s.ID, before); err != nil {
			return false, err
		}
		if last == 0 {
			continue
		}
		n := int64(0)
		err := w.db.transaction(func() error {
			err := w.db.exec(fmt.Sprintf("DELETE FROM rows_%d WHERE id IN (SELECT id FROM rows_%[1]d WHERE service = ? AND id <= ? AND at < ? ORDER BY id LIMIT %d)",
				s.ID, deleteStep), service, last, before)
			if err != nil {
				return err
			}
			return w.db.one("SELECT changes()", &n)
		})
		if err != nil {
			return false, fmt.Errorf("delete old log rows: %w", err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}

// shrink gives some free pages back to the disk when there are many, and tells whether there are more.
func (w *writer) shrink() (bool, error) {
	_, free, err := w.usage()
	if err != nil {
		return false, err
	}
	kept := int64(0)
	if err := w.db.one("PRAGMA page_count", &kept); err != nil {
		return false, err
	}
	if free < max(kept*pageSize/8, 2*vacuumStep*pageSize) {
		if !w.shrunk {
			return false, nil
		}
		w.shrunk = false
		return false, w.db.rows("PRAGMA wal_checkpoint(TRUNCATE)", nil, ignore) // only now the file becomes shorter
	}
	w.shrunk = true
	// Each row of the answer is one page moved.
	return true, w.db.rows(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", vacuumStep), nil, ignore)
}

func ignore([]driver.Value) error { return nil }
