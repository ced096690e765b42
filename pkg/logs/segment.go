package logs

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/mattn/go-sqlite3"
)

const (
	// maxSegment is about how large a segment becomes, in bytes, when the cap allows it; there are 32 of them at least.
	maxSegment = 32 << 20
	segments   = 32
	// zoneSize is how many rows share one pair of bounds of their times.
	zoneSize = 4096
	// rowOverhead is what a row takes beside its text, indexes included, in bytes, about.
	rowOverhead = 64
)

// segment is a pair of tables, rows_ID and fts_ID, and the state of their filling. The last one is written to.
type segment struct {
	segmentRow
}

// zone is the newest zone, which still grows. first is 0 while there is none.
type zone struct{ first, last, min, max int64 }

// The columns of rows_N. kind holds what the small numbers below say; plain is the text without terminal sequences where
// that differs; skipped is set in markers only.
const (
	kindStderr = 1 << iota
	kindContinued
	kindMarker
	kindReplica // and above: the replica
)

// row is what is inserted.
type row struct {
	service int64
	level   Level
	kind    int64
	at      int64
	text    []byte
	plain   []byte // nil where it is the same as text
	skipped int64
	word    bool // it is the keeper's: what it stands for is in no file either
}

func (r *row) size() int64 { return int64(len(r.text)+len(r.plain)) + rowOverhead }

// segmentSchema is what a segment is made of.
func segmentSchema(id int64, fts bool) []string {
	schema := []string{
		fmt.Sprintf(`CREATE TABLE rows_%d (id INTEGER PRIMARY KEY, service INTEGER NOT NULL, level INTEGER NOT NULL, kind INTEGER NOT NULL,
			at INTEGER NOT NULL, text TEXT NOT NULL, plain TEXT, skipped INTEGER)`, id),
		fmt.Sprintf("CREATE INDEX rows_%d_service ON rows_%[1]d (service)", id),
		// What is serious is rare, and looked for.
		fmt.Sprintf("CREATE INDEX rows_%d_level ON rows_%[1]d (level, service) WHERE level >= %d", id, Warning),
	}
	if fts {
		// It holds no text (rows_N does) and no positions: words are found here, the rest is seen to in the rows. Nothing
		// is ever deleted from it: it goes with its segment.
		schema = append(schema, fmt.Sprintf(
			"CREATE VIRTUAL TABLE fts_%d USING fts5(text, content='', columnsize=0, detail=none, tokenize='unicode61 remove_diacritics 0')", id,
		),
			// It is filled in a dozen large portions, which are left as they are: merging them costs more than it saves.
			fmt.Sprintf("INSERT INTO fts_%d (fts_%[1]d, rank) VALUES ('automerge', 0)", id),
			fmt.Sprintf("INSERT INTO fts_%d (fts_%[1]d, rank) VALUES ('hashsize', %d)", id, indexMemory))
	}
	return schema
}

// writer puts rows into the newest segment. Store.Run's goroutine owns it.
type writer struct {
	db       *database
	segments []*segment
	zone     zone
	lastID   int64 // the newest row
	segBytes int64 // when a segment is full
	segAge   time.Duration
	shrunk   bool // pages were given back that the file still has

	insert    *sqlite3.SQLiteStmt // into the newest segment
	insertFor int64
	args      [8]driver.NamedValue
}

// newWriter reads where the database ends.
func newWriter(db *database, limit int64) (*writer, error) {
	w := &writer{db: db, segBytes: segmentSize(limit)}
	for i := range w.args {
		w.args[i].Ordinal = i + 1
	}
	if err := db.one("SELECT last_id FROM meta WHERE id = 1", &w.lastID); err != nil {
		return nil, fmt.Errorf("read log index: %w", err)
	}
	err := db.rows("SELECT id, first_id, last_id, bytes, indexed, fts, created FROM segments ORDER BY id", nil, func(v []driver.Value) error {
		s := &segment{}
		fts := false
		for i, to := range []*int64{&s.ID, &s.FirstID, &s.LastID, &s.Bytes, &s.Indexed, nil, &s.Created} {
			switch x := v[i].(type) {
			case int64:
				if to != nil {
					*to = x
				} else {
					fts = x != 0
				}
			case bool:
				fts = x
			}
		}
		s.FTS = fts
		w.segments = append(w.segments, s)
		w.lastID = max(w.lastID, s.LastID)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read log index: %w", err)
	}
	return w, nil
}

func (w *writer) close() error {
	if w.insert == nil {
		return nil
	}
	err := w.insert.Close()
	w.insert = nil
	return err
}

// newest is the segment that is written to, nil before the first.
func (w *writer) newest() *segment {
	if len(w.segments) == 0 {
		return nil
	}
	return w.segments[len(w.segments)-1]
}

// full reports whether the next rows go into a new segment.
func (w *writer) full(now time.Time) bool {
	s := w.newest()
	return s == nil || s.Bytes >= w.segBytes || s.LastID >= s.FirstID && w.segAge > 0 && now.Sub(time.Unix(s.Created, 0)) > w.segAge
}

// write inserts rows and more, all or nothing. What it does not return an error for is committed.
func (w *writer) write(ctx context.Context, now time.Time, rows []row, more func() error) error {
	var made *segment
	seg := w.newest()
	state, z, id := segmentRow{}, w.zone, w.lastID
	err := w.db.transaction(func() error {
		if len(rows) > 0 {
			if w.full(now) {
				var err error
				if made, err = w.makeSegment(now); err != nil {
					return fmt.Errorf("make a segment: %w", err)
				}
				seg, z = made, zone{}
			}
			state = seg.segmentRow
			if err := w.insertRows(ctx, seg, &state, &z, &id, rows); err != nil {
				return fmt.Errorf("insert: %w", err)
			}
			if err := w.db.exec("UPDATE segments SET last_id = ?, bytes = ? WHERE id = ?", state.LastID, state.Bytes, state.ID); err != nil {
				return err
			}
		}
		return more()
	})
	if err != nil {
		return fmt.Errorf("write log index: %w", err)
	}
	if len(rows) > 0 {
		if made != nil {
			w.segments = append(w.segments, made)
		}
		seg.segmentRow, w.zone, w.lastID = state, z, id
	}
	return nil
}

func (w *writer) makeSegment(now time.Time) (*segment, error) {
	s := &segment{segmentRow{ID: 1, FirstID: w.lastID + 1, LastID: w.lastID, Indexed: w.lastID, FTS: w.db.fts, Created: now.Unix()}}
	if last := w.newest(); last != nil {
		s.ID = last.ID + 1
	}
	for _, q := range segmentSchema(s.ID, s.FTS) {
		if err := w.db.exec(q); err != nil {
			return nil, err
		}
	}
	return s, w.db.exec("INSERT INTO segments (id, first_id, last_id, bytes, indexed, fts, created) VALUES (?, ?, ?, 0, ?, ?, ?)",
		s.ID, s.FirstID, s.LastID, s.Indexed, s.FTS, s.Created)
}

// insertRows adds rows to a segment, and brings its state and zones along.
func (w *writer) insertRows(ctx context.Context, seg *segment, state *segmentRow, z *zone, id *int64, rows []row) error {
	if w.insert == nil || w.insertFor != seg.ID {
		if err := w.close(); err != nil {
			return err
		}
		var err error
		if w.insert, err = w.db.prepare(fmt.Sprintf("INSERT INTO rows_%d VALUES (?, ?, ?, ?, ?, ?, ?, ?)", seg.ID)); err != nil {
			return err
		}
		w.insertFor = seg.ID
	}
	for i := range rows {
		r := &rows[i]
		*id++
		a := &w.args
		a[0].Value, a[1].Value, a[2].Value, a[3].Value, a[4].Value, a[5].Value = *id, r.service, int64(r.level), r.kind, r.at, string(r.text)
		a[6].Value, a[7].Value = nil, nil
		if r.plain != nil {
			a[6].Value = string(r.plain)
		}
		if r.skipped != 0 {
			a[7].Value = r.skipped
		}
		if _, err := w.insert.ExecContext(ctx, a[:]); err != nil {
			return err
		}
		state.Bytes += r.size()
		switch {
		case z.first == 0 || z.last-z.first+1 >= zoneSize:
			if err := w.saveZone(seg.ID, z); err != nil {
				return err
			}
			*z = zone{first: *id, last: *id, min: r.at, max: r.at}
		default:
			z.last, z.min, z.max = *id, min(z.min, r.at), max(z.max, r.at)
		}
	}
	state.LastID = *id
	return w.saveZone(seg.ID, z)
}

func (w *writer) saveZone(segment int64, z *zone) error {
	if z.first == 0 {
		return nil
	}
	return w.db.exec(`INSERT INTO zones (first_id, segment_id, last_id, min_at, max_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (first_id) DO UPDATE SET last_id = excluded.last_id, min_at = excluded.min_at, max_at = excluded.max_at`,
		z.first, segment, z.last, z.min, z.max)
}

// indexChunk is how many rows enter the full-text index at once, and how many may be missing in it while nothing else is to
// be done; indexLag is how many may be missing while there is.
const (
	indexChunk = 16384
	indexLag   = 1 << 18
	// indexMemory is what the words of a portion may take in memory, in bytes.
	indexMemory = 4 << 20
)

// unindexed is how many rows are not in the full-text index.
func (w *writer) unindexed() (n int64) {
	for _, s := range w.segments {
		if s.FTS {
			n += s.LastID - s.Indexed
		}
	}
	return n
}

// index takes the next rows into the full-text index. A row is found there by its words, by its service and, when it is
// serious, by its level: these two are words of a character that nothing prints.
func (w *writer) index() error {
	for _, s := range w.segments {
		if !s.FTS || s.Indexed >= s.LastID {
			continue
		}
		upTo := min(s.LastID, s.Indexed+indexChunk)
		err := w.db.transaction(func() error {
			err := w.db.exec(fmt.Sprintf(`INSERT INTO fts_%d (rowid, text)
				SELECT id, char(%d) || service || CASE WHEN level >= %d THEN char(32, %d) || level ELSE '' END || ' ' || coalesce(plain, text)
				FROM rows_%[1]d WHERE id > ? AND id <= ?`, s.ID, serviceMark, Warning, levelMark), s.Indexed, upTo)
			if err != nil {
				return err
			}
			return w.db.exec("UPDATE segments SET indexed = ? WHERE id = ?", upTo, s.ID)
		})
		if err != nil {
			return fmt.Errorf("index words: %w", err)
		}
		s.Indexed = upTo
		return nil
	}
	return nil
}

// The characters, for private use and taken for letters by the tokenizer, that make words of services and levels.
const (
	serviceMark = 0xe000
	levelMark   = 0xe001
)
