package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"
)

const (
	// maxLimit is how many rows a page has at most.
	maxLimit = 1000
	// maxPage is about how large the texts of a page become, in bytes.
	maxPage = 16 << 20
	// maxScan is how many rows are looked at for one page, where no index leads to them.
	maxScan = 2_000_000
	// maxScanTime bounds that too.
	maxScanTime = 3 * time.Second
)

// Filter selects rows. The zero Filter selects all.
type Filter struct {
	// Services are names; none means all.
	Services []string
	// Stream is empty for both.
	Stream Stream
	// Level selects rows of exactly that level, MinLevel those that are at least as serious.
	Level, MinLevel Level
	// MaxLevel leaves out rows that are more serious.
	MaxLevel Level
	// Since and Until bound the time; Since is in, Until is out.
	Since, Until time.Time
	// Text holds words, "phrases" and prefix*, all of which must be in the text; case does not count.
	Text string
	// Regexp must match the text without colours.
	Regexp *regexp.Regexp
}

// Query is one page of rows.
type Query struct {
	Filter
	// Limit is 1 to 1000; 0 means 100.
	Limit int
	// Offset leaves out rows. A cursor does not shift while rows arrive; an offset does.
	Offset int
	// Before is the cursor behind the last row of the page before. After bounds the other side: rows that are not newer are left out.
	Before, After Cursor
}

// Page is the answer to a Query.
type Page struct {
	// Rows, newest first.
	Rows []Row
	// Next continues with older rows, as Query.Before. It is zero when there are none.
	Next Cursor
	// Partial is true when the search was ended because it took too long; Next goes on with it.
	Partial bool
}

// ErrQuery marks a query that cannot be answered because of what it asks for.
var ErrQuery = errors.New("log query")

// Query returns a page of rows, newest first.
func (s *Store) Query(ctx context.Context, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = 100
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return Page{}, fmt.Errorf("%w: limit %d is not within 1 and %d", ErrQuery, q.Limit, maxLimit)
	}
	if q.Offset < 0 {
		return Page{}, fmt.Errorf("%w: offset %d is negative", ErrQuery, q.Offset)
	}
	p := Page{Rows: []Row{}}
	err := s.view(ctx, func(v *view) error {
		sel, ok, err := v.selection(q.Filter)
		if err != nil || !ok {
			return err
		}
		sel.below, sel.above = math.MaxInt64, 0
		if !q.Before.IsZero() {
			if sel.below, err = v.resolve(ctx, q.Before); err != nil {
				return err
			}
		}
		if !q.After.IsZero() {
			if sel.above, err = v.resolve(ctx, q.After); err != nil {
				return err
			}
		}
		skip, size := q.Offset, 0
		full := false
		last, err := v.walk(ctx, sel, true, q.Limit+q.Offset+1, func(r Row) bool {
			switch {
			case skip > 0:
				skip--
			case len(p.Rows) == q.Limit || size > maxPage:
				full = true
				return false
			default:
				p.Rows = append(p.Rows, r)
				size += len(r.Text)
			}
			return true
		})
		switch {
		case errors.Is(err, errScanned):
			p.Partial = true
			p.Next = Cursor{Epoch: v.epoch, ID: last.id, At: last.at}
			return nil
		case full:
			p.Next = v.cursor(p.Rows[len(p.Rows)-1])
		}
		return err
	})
	if err != nil {
		return Page{}, err
	}
	return p, nil
}

// Cursor is the place behind a row.
func (s *Store) Cursor(r Row) Cursor {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	if s.db == nil {
		return Cursor{}
	}
	return Cursor{Epoch: s.db.epoch, ID: r.ID, At: r.Time.UnixNano()}
}

// view is a consistent state of the database.
type view struct {
	s     *Store
	tx    *sql.Tx
	epoch uint32
	fts   bool
}

// view runs fn on one state of the database.
func (s *Store) view(ctx context.Context, fn func(v *view) error) error {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.db == nil:
		return fmt.Errorf("read log index: it is not open: %w", s.Degraded())
	}
	tx, err := s.db.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("read log index: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if err := fn(&view{s: s, tx: tx, epoch: s.db.epoch, fts: s.db.fts}); err != nil {
		if errors.Is(err, ErrQuery) || ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("read log index: %w", err)
	}
	return nil
}

func (v *view) cursor(r Row) Cursor { return Cursor{Epoch: v.epoch, ID: r.ID, At: r.Time.UnixNano()} }

// resolve is the row ID that a cursor stands for. A cursor of another database is found again by its time.
func (v *view) resolve(ctx context.Context, c Cursor) (int64, error) {
	if c.Epoch == v.epoch {
		return c.ID, nil
	}
	var id sql.NullInt64
	err := v.tx.QueryRowContext(ctx, "SELECT max(last_id) FROM zones WHERE max_at <= ?", c.At).Scan(&id)
	return id.Int64, err
}

// selection is a Filter, prepared.
type selection struct {
	services     []int64
	without      []int64 // services that are not looked at
	stream       Stream
	level, least Level
	most         Level
	since, until int64 // Unix nanoseconds
	matcher      matcher
	regexp       *regexp.Regexp
	below, above int64 // row IDs, both out
}

// selection prepares a filter. It is not ok when no row can match.
func (v *view) selection(f Filter) (*selection, bool, error) {
	sel := &selection{stream: f.Stream, level: f.Level, least: f.MinLevel, most: f.MaxLevel, since: math.MinInt64, until: math.MaxInt64, regexp: f.Regexp}
	if f.Stream != "" && f.Stream != Stdout && f.Stream != Stderr {
		return nil, false, fmt.Errorf("%w: %q is no stream; use stdout or stderr", ErrQuery, f.Stream)
	}
	if !f.Since.IsZero() {
		sel.since = f.Since.UnixNano()
	}
	if !f.Until.IsZero() {
		sel.until = f.Until.UnixNano()
	}
	var err error
	if sel.matcher, err = newMatcher(f.Text); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrQuery, err)
	}
	if len(f.Services) == 0 {
		sel.without = v.s.buried()
	}
	v.s.names.RLock()
	defer v.s.names.RUnlock()
	for _, name := range f.Services {
		if id, ok := v.s.names.byName[name]; ok {
			sel.services = append(sel.services, id)
		}
	}
	return sel, len(f.Services) == 0 || len(sel.services) > 0, nil
}

// segments are those that may have rows of a selection, oldest first.
func (v *view) segments(ctx context.Context, sel *selection) ([]segmentRow, error) {
	query, args := "SELECT id, first_id, last_id, indexed, fts FROM segments WHERE last_id > ? AND first_id < ?", []any{sel.above, sel.below}
	if sel.timed() {
		query = `SELECT s.id, max(s.first_id, min(z.first_id)), min(s.last_id, max(z.last_id)), s.indexed, s.fts FROM segments s
			JOIN zones z ON z.segment_id = s.id WHERE s.last_id > ? AND s.first_id < ? AND z.max_at >= ? AND z.min_at < ? GROUP BY s.id`
		args = append(args, sel.since, sel.until)
	}
	rows, err := v.tx.QueryContext(ctx, query+" ORDER BY 1", args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	var out []segmentRow
	for rows.Next() {
		var r segmentRow
		if err := rows.Scan(&r.ID, &r.FirstID, &r.LastID, &r.Indexed, &r.FTS); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func (sel *selection) timed() bool { return sel.since != math.MinInt64 || sel.until != math.MaxInt64 }

// errScanned ends a search that has looked at enough.
var errScanned = errors.New("enough rows were looked at")

// spot is how far a search has come.
type spot struct{ id, at int64 }

// walk calls fn with the rows of a selection until it returns false. limit is how many rows are wanted at most. With
// errScanned it returns the last row that was looked at.
func (v *view) walk(ctx context.Context, sel *selection, newestFirst bool, limit int, fn func(Row) bool) (spot, error) {
	list, err := v.segments(ctx, sel)
	if err != nil {
		return spot{}, err
	}
	if newestFirst {
		slices.Reverse(list)
	}
	w := &walker{view: v, sel: sel, desc: newestFirst, limit: limit, fn: fn, deadline: time.Now().Add(maxScanTime)}
	for _, seg := range list {
		for _, part := range w.parts(seg) {
			if err := w.run(ctx, part); err != nil || w.done {
				return w.spot, err
			}
		}
	}
	return w.spot, nil
}
