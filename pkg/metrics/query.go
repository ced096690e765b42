package metrics

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// Row is one line of an owner's history, as GET …/metrics shows it. MB are 1,048,576 bytes.
type Row struct {
	// ID is unique and stays the same for as long as the row is kept.
	ID         int64
	Owner      string
	CPUPercent float64
	MemoryMB   float64
	DiskMB     *float64 // nil when no folder is watched, or none was walked yet
	Timestamp  time.Time
}

// Point is one point of a chart: averages over Step, with the peaks within it.
type Point struct {
	At   time.Time
	Step time.Duration // 0 for a raw sample
	// Samples is how many raw samples are in it.
	Samples                  int64
	CPUPercent, CPUMax       float64
	MemoryBytes, MemoryMax   int64
	Threads, Processes       float64
	OpenFiles                *float64
	DiskBytes                *int64
	ReadBytes, WriteBytes    *int64 // within Step; for a raw sample since the one before
	ReceivedBytes, SentBytes *int64
}

// Line is the points of one replica, or of the whole owner.
type Line struct {
	// Replica is -1 for all replicas together.
	Replica int
	// Points are oldest first, with gaps where nothing ran.
	Points []Point
}

// SeriesQuery says what a chart wants.
type SeriesQuery struct {
	From, To time.Time // To zero: now. From zero: a day before To.
	// MaxPoints is how many points a line may have; neighbours are joined until it does. 0 means 1000.
	MaxPoints int
	// Replicas adds a line for each replica, where there were several.
	Replicas bool
}

// Rows returns the last hours of an owner, oldest first: up to 24 hours in raw samples, up to 168 in steps of five minutes,
// beyond in steps of an hour; the newest, not yet rolled up, are finer.
func (h *History) Rows(ctx context.Context, owner string, hours int) ([]Row, error) {
	now := h.now().Unix()
	var rows []Row
	err := h.read(ctx, func(tx *gorm.DB) error {
		id, ok, err := lookUp(tx, seriesName{owner, wholeOwner})
		if err != nil || !ok {
			return err
		}
		from := now - int64(hours)*hour
		samples, err := stitch(tx, id, tierFor(from, now), from, now, "series_id", "at", "cpu", "memory", "disk")
		if err != nil {
			return err
		}
		rows = make([]Row, len(samples))
		for i := range samples {
			s := &samples[i]
			rows[i] = Row{
				ID: rowID(s), Owner: owner, CPUPercent: float64(s.CPU) / 100, MemoryMB: float64(s.Memory) / 1024,
				Timestamp: time.Unix(s.At, 0).UTC(),
			}
			if s.Disk != nil {
				rows[i].DiskMB = new(float64(*s.Disk) / 1024)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", owner, err)
	}
	return rows, nil
}

// rowID is made of time and series, and stays below 2^53, where JavaScript counts exactly.
func rowID(s *sample) int64 { return s.At<<20 | s.SeriesID&(1<<20-1) }

// Series returns what a chart of an owner shows: the line of the whole first.
func (h *History) Series(ctx context.Context, owner string, q SeriesQuery) ([]Line, error) {
	to := h.now()
	if !q.To.IsZero() {
		to = q.To
	}
	from := to.Add(-24 * time.Hour)
	if !q.From.IsZero() {
		from = q.From
	}
	limit := q.MaxPoints
	if limit <= 0 {
		limit = 1000
	}
	var lines []Line
	err := h.read(ctx, func(tx *gorm.DB) error {
		var all []series
		find := tx.Where("owner = ?", owner).Order("replica")
		if !q.Replicas {
			find = find.Where("replica = ?", wholeOwner)
		}
		if err := find.Find(&all).Error; err != nil {
			return err
		}
		level := tierFor(from.Unix(), h.now().Unix())
		for _, s := range all {
			samples, err := stitch(tx, s.ID, level, from.Unix(), to.Unix())
			if err != nil {
				return err
			}
			if len(samples) > 0 {
				lines = append(lines, Line{Replica: s.Replica, Points: points(samples, from.Unix(), to.Unix(), limit)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", owner, err)
	}
	return lines, nil
}

// read runs f on one state of the database. Damage that it meets is dealt with as in Record.
func (h *History) read(ctx context.Context, f func(tx *gorm.DB) error) error {
	db, release, err := h.hold()
	if err != nil {
		return err
	}
	err = db.WithContext(ctx).Transaction(f, &sql.TxOptions{ReadOnly: true})
	release()
	if damaged(err) {
		h.writing.Lock()
		defer h.writing.Unlock()
		return h.replace(db, err)
	}
	return err
}

func lookUp(tx *gorm.DB, name seriesName) (id int64, ok bool, err error) {
	var found []series
	err = tx.Where("owner = ? AND replica = ?", name.owner, name.replica).Limit(1).Find(&found).Error
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	return found[0].ID, true, nil
}

// tierFor is the finest tier that reaches back to from.
func tierFor(from, now int64) int {
	all := tiers()
	for i, t := range all {
		if from >= now-t.keep {
			return i
		}
	}
	return len(all) - 1
}

// stitch reads a tier up to its mark, then the finer one up to its mark, and so on to the raw samples: no gap, no double.
// No columns means all.
func stitch(tx *gorm.DB, id int64, level int, from, to int64, columns ...string) ([]sample, error) {
	var out []sample
	all := tiers()
	for ; level >= 0; level-- {
		t := all[level]
		end := to + 1
		if t.step > 0 {
			until, err := markOf(tx, t)
			if err != nil {
				return nil, err
			}
			end = min(end, until)
			from -= from % t.step
		}
		if from >= end {
			continue
		}
		var part []sample
		find := tx.Table(t.table).Where("series_id = ? AND at >= ? AND at < ?", id, from, end).Order("at")
		if len(columns) > 0 {
			find = find.Select(columns)
		}
		if err := find.Find(&part).Error; err != nil {
			return nil, err
		}
		for i := range part {
			part[i].step = t.step
		}
		out = append(out, part...)
		from = end
	}
	return out, nil
}
