package logs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// walker reads the rows of a selection, segment by segment.
type walker struct {
	*view
	sel      *selection
	desc     bool
	limit    int
	fn       func(Row) bool
	deadline time.Time
	scanned  int
	spot     spot
	done     bool
}

// part is a range of the rows of a segment, and how it is searched.
type part struct {
	segment     int64
	first, last int64
	words       string // for the full-text index; empty to read the rows
}

// parts divides a segment into what the full-text index knows and what it does not know yet.
func (w *walker) parts(seg segmentRow) []part {
	first, last := max(seg.FirstID, w.sel.above+1), min(seg.LastID, w.sel.below-1)
	words := ""
	if seg.FTS && w.fts {
		words = w.sel.words()
	}
	if words == "" {
		return []part{{segment: seg.ID, first: first, last: last}}
	}
	known := part{segment: seg.ID, first: first, last: min(last, seg.Indexed), words: words}
	fresh := part{segment: seg.ID, first: max(first, seg.Indexed+1), last: last}
	if w.desc {
		return []part{fresh, known}
	}
	return []part{known, fresh}
}

// words is the selection as FTS5 writes it: the words of the text, and those that services and levels are indexed by.
func (sel *selection) words() string {
	words := sel.matcher.words()
	if words == "" {
		return ""
	}
	if n := len(sel.services); n > 0 && n <= maxWords {
		names := make([]string, n)
		for i, id := range sel.services {
			names[i] = `"` + string(rune(serviceMark)) + strconv.FormatInt(id, 10) + `"`
		}
		words += " AND (" + strings.Join(names, " OR ") + ")"
	}
	if sel.level >= Warning {
		words += ` AND "` + string(rune(levelMark)) + strconv.Itoa(int(sel.level)) + `"`
	}
	return words
}

// statement is the SQL of a part.
func (w *walker) statement(p part) (string, []any) {
	sel := w.sel
	var b strings.Builder
	args := make([]any, 0, 8)
	where := func(cond string, values ...any) {
		b.WriteString(" AND " + cond)
		args = append(args, values...)
	}
	serious := sel.level >= Warning || sel.least >= Warning
	fmt.Fprintf(&b, "SELECT r.id, r.service, r.level, r.kind, r.at, r.text, r.plain, r.skipped FROM ")
	id := "r.id"
	switch {
	case p.words != "":
		id = "f.rowid"
		fmt.Fprintf(&b, "fts_%d f CROSS JOIN rows_%[1]d r ON r.id = f.rowid WHERE fts_%[1]d MATCH ?", p.segment)
		args = append(args, p.words)
	case serious:
		fmt.Fprintf(&b, "rows_%d r INDEXED BY rows_%[1]d_level WHERE r.level >= %d", p.segment, Warning)
	default:
		fmt.Fprintf(&b, "rows_%d r WHERE 1", p.segment)
	}
	where(id+" >= ?", p.first)
	where(id+" <= ?", p.last)
	plus := "+" // reads the rows in their order, rather than many of an index and sorts them
	if p.words == "" && (len(sel.services) == 1 || serious) {
		plus = ""
	}
	if n := len(sel.services); n == 1 {
		where(plus+"r.service = ?", sel.services[0])
	} else if n > 1 {
		marks := strings.TrimSuffix(strings.Repeat("?,", n), ",")
		values := make([]any, n)
		for i, s := range sel.services {
			values[i] = s
		}
		where("+r.service IN ("+marks+")", values...)
	}
	for _, id := range sel.without {
		where("+r.service <> ?", id)
	}
	if sel.level != 0 {
		where("r.level = ?", int64(sel.level))
	}
	if sel.least > Debug {
		where("r.level >= ?", int64(sel.least))
	}
	if sel.most != 0 {
		where("r.level <= ?", int64(sel.most))
	}
	if sel.stream != "" {
		stderr := 0
		if sel.stream == Stderr {
			stderr = kindStderr
		}
		where("r.kind & "+strconv.Itoa(kindStderr)+" = ?", stderr)
	}
	if sel.timed() {
		where("r.at >= ? AND r.at < ?", sel.since, sel.until)
	}
	if p.words == "" {
		if like := sel.matcher.like(); like != "" {
			where(`coalesce(r.plain, r.text) LIKE ? ESCAPE '\'`, "%"+like+"%")
		}
		if sel.regexp != nil {
			if literal, _ := sel.regexp.LiteralPrefix(); literal != "" {
				where("instr(coalesce(r.plain, r.text), ?) > 0", literal)
			}
		}
	}
	b.WriteString(" ORDER BY " + id)
	if w.desc {
		b.WriteString(" DESC")
	}
	if sel.regexp == nil && len(sel.matcher.terms) == 0 {
		b.WriteString(" LIMIT ?")
		args = append(args, w.limit)
	}
	return b.String(), args
}

// sliceRows is how many rows are searched with one statement where no index helps, so that a search can be ended in time.
const sliceRows = 32768

// run reads a part.
func (w *walker) run(ctx context.Context, p part) error {
	if p.first > p.last {
		return nil
	}
	if p.words != "" || w.sel.regexp == nil && len(w.sel.matcher.terms) == 0 {
		return w.read(ctx, p)
	}
	// LIKE and instr skip rows without a word: the bound on the search is in the slices.
	for p.first <= p.last && !w.done {
		one := p
		if w.desc {
			one.first = max(p.first, p.last-sliceRows+1)
			p.last = one.first - 1
		} else {
			one.last = min(p.last, p.first+sliceRows-1)
			p.first = one.last + 1
		}
		if err := w.read(ctx, one); err != nil {
			return err
		}
		if w.done {
			return nil
		}
		w.scanned += int(one.last - one.first + 1)
		w.spot = spot{id: one.first, at: w.spot.at}
		if !w.desc {
			w.spot.id = one.last
		}
		if w.spent() {
			return errScanned
		}
	}
	return nil
}

func (w *walker) spent() bool { return w.scanned >= maxScan || time.Now().After(w.deadline) }

// read runs one statement.
func (w *walker) read(ctx context.Context, p part) (err error) {
	query, args := w.statement(p)
	rows, err := w.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells
	searching := len(w.sel.matcher.terms) > 0 || w.sel.regexp != nil
	for n := 1; rows.Next(); n++ {
		var r rawRow
		if err := rows.Scan(&r.id, &r.service, &r.level, &r.kind, &r.at, &r.text, &r.plain, &r.skipped); err != nil {
			return err
		}
		w.spot = spot{id: r.id, at: r.at}
		if searching {
			plain := r.text
			if r.plain != nil {
				plain = *r.plain
			}
			if !w.sel.matcher.match(plain) || w.sel.regexp != nil && !w.sel.regexp.MatchString(plain) {
				if w.scanned++; n%1024 == 0 && w.spent() {
					return errScanned
				}
				continue
			}
		}
		if !w.fn(w.view.row(&r)) {
			w.done = true
			return nil
		}
	}
	return rows.Err()
}

// rawRow is a row as it lies in the database.
type rawRow struct {
	id, service, level, kind, at int64
	text                         string
	plain                        *string
	skipped                      *int64
}

func (v *view) row(r *rawRow) Row {
	out := Row{
		ID: r.id, Service: v.s.name(r.service), Replica: int(r.kind / kindReplica), Stream: Stdout, Level: Level(r.level),
		Time: time.Unix(0, r.at).UTC(), Text: r.text, Continued: r.kind&kindContinued != 0, Marker: r.kind&kindMarker != 0,
	}
	if r.kind&kindStderr != 0 {
		out.Stream = Stderr
	}
	if r.skipped != nil {
		out.Skipped = *r.skipped
	}
	return out
}

// name is the name of a service.
func (s *Store) name(id int64) string {
	s.names.RLock()
	defer s.names.RUnlock()
	return s.names.byID[id]
}

func (s *Store) setName(id int64, name string) {
	s.names.Lock()
	defer s.names.Unlock()
	s.names.byID[id], s.names.byName[name] = name, id
}
