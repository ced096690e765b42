package logs

import (
	"context"
	"database/sql/driver"
	"math"
	"path/filepath"
	"time"
)

// orderedBacklog is how much may be waiting in all files while entries are still put in the order of their times across
// files, in bytes. With more, new lines would wait for old ones.
const orderedBacklog = 16 << 20

// round reads something of every dirty stream and commits it. It tells whether there is more.
func (f *follower) round(ctx context.Context) (bool, error) {
	f.buffers()
	now := time.Now()
	if err := f.readAll(ctx, now); err != nil {
		f.settle(false)
		return false, err
	}
	f.busy = f.bytes >= busyRound
	f.order()
	f.rows = f.rows[:0]
	f.merge()
	f.mark(now.UnixNano())
	err := f.save(ctx, now)
	f.settle(err == nil)
	clear(f.rows) // they refer to the buffers
	f.more = len(f.dirty) > 0
	return f.more, err
}

// buffers makes what a round needs, and lets go of what a backlog has needed.
func (f *follower) buffers() {
	size := smallBuffer
	if f.more {
		size = largeBuffer
	}
	if len(f.buf) != size {
		f.buf = make([]byte, size)
		f.entries, f.pieces, f.rows, f.scanner.joined = nil, nil, nil, nil
	}
}

// readAll fills pieces and entries. Streams for which the buffer has no room stay dirty.
func (f *follower) readAll(ctx context.Context, now time.Time) error {
	t := turn{now: now.UnixNano(), close: len(f.syncers) > 0, scanner: &f.scanner, entries: f.entries[:0]}
	f.scanner.joined = f.scanner.joined[:0]
	f.pieces = f.pieces[:0]
	left := f.buf
	if f.retryIn != 0 {
		left = left[:minChunk] // a small step is more likely to find room
	}
	f.bytes = 0
	for len(f.dirty) > 0 && len(left) >= minChunk {
		st := f.dirty[0]
		if err := f.load(ctx, st); err != nil {
			return err
		}
		f.dirty = f.dirty[1:]
		st.dirty, st.wake = false, 0
		delete(f.waiting, st)
		if st.refresh(f.log) {
			f.unwatch(f.byDir[filepath.Dir(st.path)])
		}
		t.buf = left
		p, used, err := st.read(&t, max(minChunk, len(left)/(len(f.dirty)+1)))
		if err != nil {
			t.entries = t.entries[:p.lo]
			f.log.Warn("a log file cannot be read; trying again at its next change", "path", st.path, "err", err)
			continue
		}
		if p.file != nil {
			left = left[used:]
			f.bytes += used
			st.service.saved = st.service.bucket
			f.pieces = append(f.pieces, p)
		}
	}
	f.entries = t.entries
	return nil
}

// order leaves for the next round what is newer than something that is not read yet, so that rows are in the order of time.
func (f *follower) order() {
	horizon, backlog := int64(math.MaxInt64), int64(0)
	for i := range f.pieces {
		p := &f.pieces[i]
		backlog += p.left
		if p.more && p.hi > p.lo {
			horizon = min(horizon, p.lastKey)
		}
	}
	if horizon == math.MaxInt64 || backlog > orderedBacklog {
		return
	}
	for i := range f.pieces {
		p := &f.pieces[i]
		keep := p.lo
		for keep < p.hi && f.entries[keep].key <= horizon {
			keep++
		}
		if keep < p.hi {
			p.file.next = f.entries[keep].from
			p.hi, p.more, p.finished, p.wait = keep, true, false, 0
			p.moved = p.file.next != p.file.off || p.file.unsaved()
		}
	}
}

// merge makes rows of the entries of all pieces, in the order of their times.
func (f *follower) merge() {
	for {
		best, second := -1, int64(math.MaxInt64)
		for i := range f.pieces {
			p := &f.pieces[i]
			if p.lo == p.hi {
				continue
			}
			switch key := f.entries[p.lo].key; {
			case best < 0:
				best = i
			case key < f.entries[f.pieces[best].lo].key:
				second = f.entries[f.pieces[best].lo].key
				best = i
			default:
				second = min(second, key)
			}
		}
		if best < 0 {
			return
		}
		for p := &f.pieces[best]; p.lo < p.hi && f.entries[p.lo].key <= second; p.lo++ {
			f.judge(p, &f.entries[p.lo])
		}
	}
}

// judge makes a row of an entry, or counts it when the budget of its service is used up.
func (f *follower) judge(p *piece, e *entry) {
	st := e.stream
	if e.word {
		f.tell(st, e.at)
		f.rows = append(f.rows, row{service: st.service.id, level: Warning, kind: st.kind() | kindMarker, at: e.at, text: e.text, skipped: droppedLines(e.text), word: true})
		st.lastAt = e.at
		return
	}
	if !st.service.bucket.take(e.lines, e.at) {
		st.count(p.file, e.from, e.end-e.from, int64(e.lines), overBudget)
		return
	}
	f.tell(st, e.at)
	r := row{service: st.service.id, level: e.level, kind: st.kind(), at: e.at, text: e.text}
	if e.cont {
		r.kind |= kindContinued
	}
	if plain := stripANSI(e.text); len(plain) != len(e.text) {
		r.plain = plain
	}
	st.lastAt = e.at
	f.rows = append(f.rows, r)
	f.lines += int64(e.lines)
}

// tell adds the markers for what is missing before the next row of a stream.
func (f *follower) tell(st *stream, at int64) {
	if st.gap {
		f.rows = append(f.rows, row{service: st.service.id, level: Warning, kind: st.kind() | kindMarker, at: at, text: []byte(gapText)})
		st.gap = false
	}
	if k := &st.nextSkipped; *k != (skip{}) {
		f.rows = append(f.rows, row{
			service: st.service.id, level: Warning, kind: st.kind() | kindMarker, at: at, skipped: k.lines,
			text: []byte(k.text(st.base(), st.service.bucket.budget.Rate)),
		})
		*k = skip{}
	}
}

func (st *stream) kind() int64 {
	kind := int64(st.replica) * kindReplica
	if st.name == Stderr {
		kind |= kindStderr
	}
	return kind
}

func (p *piece) service() *service { return p.st.service }

// mark adds markers for what nobody will add to: at the end of a file, and when the pause is over.
func (f *follower) mark(now int64) {
	for i := range f.pieces {
		p := &f.pieces[i]
		if p.st.nextSkipped == (skip{}) || p.more {
			continue
		}
		b := &p.service().bucket
		over := b.until + groupWait
		if p.finished || now >= over || b.until > now+2*pause {
			f.tell(p.st, max(p.st.lastAt, min(now, b.until)))
		} else if p.wait == 0 || over < p.wait {
			p.wait = over
		}
	}
}

// save commits rows and places together.
func (f *follower) save(ctx context.Context, now time.Time) error {
	dirty := len(f.rows) > 0
	for i := range f.pieces {
		p := &f.pieces[i]
		dirty = dirty || p.moved || p.st.nextSkipped != p.st.storedSkip || len(p.st.stale) > 0
	}
	if !dirty {
		return nil
	}
	return f.w.write(context.WithoutCancel(ctx), now, f.rows, func() error {
		for i := range f.pieces {
			if err := f.savePiece(&f.pieces[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *follower) savePiece(p *piece) error {
	st, l, db := p.st, p.file, f.w.db
	for _, id := range st.stale {
		if err := db.exec("DELETE FROM files WHERE id = ?", id); err != nil {
			return err
		}
	}
	p.row = l.row
	if p.moved {
		args := []driver.Value{st.id, int64(l.dev), int64(l.ino), l.head, l.next}
		if l.row == 0 {
			if err := db.exec("INSERT INTO files (stream_id, dev, inode, head, offset) VALUES (?, ?, ?, ?, ?)", args...); err != nil {
				return err
			}
			if err := db.one("SELECT last_insert_rowid()", &p.row); err != nil {
				return err
			}
		} else if err := db.exec("UPDATE files SET stream_id = ?, dev = ?, inode = ?, head = ?, offset = ? WHERE id = ?", append(args, l.row)...); err != nil {
			return err
		}
	}
	if k := st.nextSkipped; k != st.storedSkip {
		return db.exec(`UPDATE streams SET skipped_lines = ?, skipped_bytes = ?, skipped_from = ?, skipped_to = ?, skipped_inode = ?, skipped_why = ?
			WHERE id = ?`, k.lines, k.bytes, k.from, k.to, int64(k.ino), int64(k.why), st.id)
	}
	return nil
}

// settle makes what was committed so, or takes it back.
func (f *follower) settle(committed bool) {
	for i := range f.pieces {
		p := &f.pieces[i]
		st, l := p.st, p.file
		if !committed {
			l.next, st.nextSkipped = l.off, st.skipped
			st.service.bucket = st.service.saved
			f.touch(st)
			continue
		}
		if p.moved {
			l.row, l.off, l.saved = p.row, l.next, true
			st.know(l)
		}
		st.skipped, st.storedSkip, st.stale = st.nextSkipped, st.nextSkipped, st.stale[:0]
		f.s.stats.place(st, l)
		switch {
		case p.finished:
			st.drop()
			f.touch(st)
		case p.more:
			f.touch(st)
		case p.wait != 0:
			st.wake = p.wait
			f.waiting[st] = struct{}{}
		}
	}
	if committed {
		f.publish()
	}
	f.lines = 0
}

// know remembers the place in a file.
func (st *stream) know(l *logFile) {
	for i := range st.known {
		if st.known[i].row == l.row {
			st.known[i] = l.knownFile
			return
		}
	}
	st.known = append(st.known, l.knownFile)
}

// publish counts what was committed and tells those who follow.
func (f *follower) publish() {
	if len(f.rows) == 0 {
		return
	}
	bytes := int64(0)
	for i := range f.rows {
		r := &f.rows[i]
		bytes += int64(len(r.text))
		if r.skipped > 0 && !r.word {
			name := f.s.name(r.service)
			f.s.stats.skip(name, r.skipped)
			if f.s.o.OnSkipped != nil {
				f.s.o.OnSkipped(name, r.skipped)
			}
		}
	}
	f.s.stats.rows.Add(int64(len(f.rows)))
	f.s.stats.lines.Add(f.lines)
	f.s.stats.bytes.Add(bytes)
	f.s.news.tell()
}
