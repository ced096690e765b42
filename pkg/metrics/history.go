package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// HistoryOptions tune a History. The zero value is good.
type HistoryOptions struct {
	// Log takes what goes wrong; nil means slog.Default().
	Log *slog.Logger
	// OnSetAside is called when a damaged database was moved out of the way to path; nil is fine.
	OnSetAside func(path string, cause error)
}

// History keeps samples in a SQLite file of its own: raw for a day, averages of five minutes for a week, of an hour for a
// year. What it loses in a crash is at most the sample that was being written. It is safe for concurrent use.
type History struct {
	path       string
	log        *slog.Logger
	onSetAside func(path string, cause error)
	now        func() time.Time

	// dbMu is held for writing only while the database is replaced or closed.
	dbMu sync.RWMutex
	db   *gorm.DB // nil once closed

	// writing makes this process's writers one.
	writing  sync.Mutex
	ids      map[seriesName]int64
	last     map[seriesName]totals
	asideAt  time.Time
	sweptAt  int64
	rolledAt int64
}

type seriesName struct {
	owner   string
	replica int
}

var _ Recorder = (*History)(nil)

// OpenHistory opens or makes the database. A damaged one is set aside, loudly, and a new one begun.
func OpenHistory(path string, o HistoryOptions) (*History, error) {
	h := &History{path: path, log: o.Log, onSetAside: o.OnSetAside, now: time.Now}
	if h.log == nil {
		h.log = slog.Default()
	}
	db, err := openDB(path)
	if damaged(err) {
		if err = h.moveAside(err); err == nil {
			db, err = openDB(path)
		}
	}
	if err != nil {
		return nil, err
	}
	h.use(db)
	return h, nil
}

// use begins with a database of which nothing is known.
func (h *History) use(db *gorm.DB) {
	h.db, h.ids, h.last, h.sweptAt, h.rolledAt = db, make(map[seriesName]int64), make(map[seriesName]totals), 0, 0
}

// Close closes the database. Calls after it fail.
func (h *History) Close() error {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.dbMu.Lock()
	defer h.dbMu.Unlock()
	db := h.db
	h.db = nil
	return closeDB(db)
}

// Record implements Recorder: one row for each owner, and one for each replica where there are several. It also rolls up
// and drops what is due, in further small transactions.
func (h *History) Record(ctx context.Context, snap *Snapshot) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	db, release, err := h.hold()
	if err != nil {
		return err
	}
	err = h.record(ctx, db.WithContext(ctx), snap)
	release()
	if damaged(err) {
		return h.replace(db, err)
	}
	return err
}

func (h *History) record(ctx context.Context, db *gorm.DB, snap *Snapshot) error {
	at := snap.At.Unix()
	next := make(map[seriesName]totals, len(snap.Owners))
	rows := make([]sample, 0, len(snap.Owners))
	names := make([]seriesName, 0, len(snap.Owners))
	put := func(name seriesName, u *Usage) {
		rows = append(rows, h.row(at, name, u))
		names = append(names, name)
		next[name] = totalsOf(u)
	}
	for owner, u := range snap.Owners {
		if u.Window == 0 {
			next[seriesName{owner, wholeOwner}] = totalsOf(&u)
			continue // nothing to compare with yet: its CPU would be a guess
		}
		put(seriesName{owner, wholeOwner}, &u)
		if replicas := byReplica(snap.RunsOf(owner)); len(replicas) > 1 {
			for replica, u := range replicas {
				put(seriesName{owner, replica}, &u)
			}
		}
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := rewindMarks(tx, at); err != nil {
			return err
		}
		for i := range rows {
			id, err := h.seriesID(tx, names[i])
			if err != nil {
				return err
			}
			rows[i].SeriesID = id
		}
		if len(rows) == 0 {
			return nil
		}
		return tx.Table(tiers()[0].table).Clauses(clause.OnConflict{UpdateAll: true}).CreateInBatches(rows, 100).Error
	})
	if err != nil {
		clear(h.ids) // ids that were made in it do not exist
		return fmt.Errorf("write %d metrics rows: %w", len(rows), err)
	}
	h.last = next
	return h.maintain(ctx, db, at)
}

// hold holds the database open until release is called.
func (h *History) hold() (db *gorm.DB, release func(), err error) {
	h.dbMu.RLock()
	if h.db == nil {
		h.dbMu.RUnlock()
		return nil, nil, errClosed
	}
	return h.db, h.dbMu.RUnlock, nil
}

// byReplica joins the runs that share a replica's number while one takes over from the other.
func byReplica(runs []RunUsage) map[int]Usage {
	out := make(map[int]Usage, len(runs))
	for i := range runs {
		u, again := out[runs[i].Replica]
		if !again {
			out[runs[i].Replica] = runs[i].Usage
			continue
		}
		r := &runs[i].Usage
		u.add(r)
		u.CPUTime, u.ReadBytes, u.WriteBytes = u.CPUTime+r.CPUTime, u.ReadBytes+r.ReadBytes, u.WriteBytes+r.WriteBytes
		u.IOKnown = u.IOKnown && r.IOKnown
		out[runs[i].Replica] = u
	}
	return out
}

func totalsOf(u *Usage) totals {
	t := totals{read: u.ReadBytes, wrote: u.WriteBytes}
	if u.Net != nil {
		t.net = *u.Net
	}
	return t
}

func (h *History) row(at int64, name seriesName, u *Usage) sample {
	s := sample{
		At: at, N: 1, CPU: int64(math.Round(u.CPUPercent * 100)), Memory: u.MemoryBytes >> 10,
		Threads: int64(u.Threads), Procs: int64(u.Processes),
	}
	s.CPUMax, s.MemMax = s.CPU, s.Memory
	if u.OpenFiles >= 0 {
		s.Files = new(int64(u.OpenFiles))
	}
	if u.Disk != nil {
		s.Disk = new(u.Disk.Bytes >> 10)
	}
	last, known := h.last[name]
	if !known {
		return s
	}
	now := totalsOf(u)
	if u.IOKnown {
		s.Read, s.Wrote = since(now.read, last.read), since(now.wrote, last.wrote)
	}
	if u.Net != nil {
		s.Received, s.Sent = since(now.net.ReceivedBytes, last.net.ReceivedBytes), since(now.net.SentBytes, last.net.SentBytes)
	}
	return s
}

// since is the growth of a counter that may have begun anew (another run in the same replica).
func since(now, last uint64) *int64 {
	if now < last {
		last = 0
	}
	return new(int64(min(now-last, math.MaxInt64)))
}

func (h *History) seriesID(tx *gorm.DB, name seriesName) (int64, error) {
	if id, ok := h.ids[name]; ok {
		return id, nil
	}
	s := series{Owner: name.owner, Replica: name.replica}
	if err := tx.Where("owner = ? AND replica = ?", name.owner, name.replica).FirstOrCreate(&s).Error; err != nil {
		return 0, fmt.Errorf("name series of %s: %w", name.owner, err)
	}
	h.ids[name] = s.ID
	return s.ID, nil
}

// Forget drops all that is kept of an owner, when the object was deleted.
func (h *History) Forget(ctx context.Context, owner string) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	db, release, err := h.hold()
	if err != nil {
		return err
	}
	defer release()
	err = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		ids := tx.Model(&series{}).Select("id").Where("owner = ?", owner)
		for _, t := range tiers() {
			if err := tx.Table(t.table).Where("series_id IN (?)", ids).Delete(&sample{}).Error; err != nil {
				return err
			}
		}
		return tx.Where("owner = ?", owner).Delete(&series{}).Error
	})
	if err != nil {
		return fmt.Errorf("forget metrics of %s: %w", owner, err)
	}
	for name := range h.ids {
		if name.owner == owner {
			delete(h.ids, name)
			delete(h.last, name)
		}
	}
	return nil
}
