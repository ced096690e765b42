package metrics

import (
	"context"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Rolling up is crash-safe because a row of a tier is a pure function of the rows below it, written (again, if need be) in
// the transaction that moves the tier's mark; readers take a tier up to its mark and the finer one from there on; and rows
// are dropped only once the mark of the tier above has passed them.

// deleteChunk is how many rows one transaction drops.
const deleteChunk = 5000

// maintain rolls up and drops what is due. Nothing is due most of the time.
func (h *History) maintain(ctx context.Context, db *gorm.DB, now int64) error {
	all := tiers()
	if slot := now / minutes5; slot != h.rolledAt {
		for i := 1; i < len(all); i++ {
			if err := rollUp(db, all[i-1], all[i], now); err != nil {
				return err
			}
		}
		for i, t := range all {
			if err := drop(ctx, db, t, all[min(i+1, len(all)-1)], now); err != nil {
				return err
			}
		}
		h.rolledAt = slot
	}
	if slot := now / day; slot != h.sweptAt {
		if err := h.sweep(db); err != nil {
			return err
		}
		h.sweptAt = slot
	}
	return nil
}

// rewindMarks sees to it that a sample at the given time will be rolled up: it makes the marks when there are none, and
// moves them back when the clock was.
func rewindMarks(tx *gorm.DB, at int64) error {
	for _, t := range tiers() {
		if t.step == 0 {
			continue
		}
		start := at - at%t.step
		err := tx.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "tier"}},
			DoUpdates: clause.Assignments(map[string]any{"until": start}),
			Where:     clause.Where{Exprs: []clause.Expression{gorm.Expr("rollup_marks.until > ?", start)}},
		}).Create(&mark{Tier: t.table, Until: start}).Error
		if err != nil {
			return fmt.Errorf("mark %s: %w", t.table, err)
		}
	}
	return nil
}

func markOf(db *gorm.DB, t tier) (int64, error) {
	var m mark
	if err := db.Where("tier = ?", t.table).Limit(1).Find(&m).Error; err != nil {
		return 0, fmt.Errorf("read mark of %s: %w", t.table, err)
	}
	return m.Until, nil
}

// rollUp brings a tier up to date, a chunk at a time. A chunk without rows (the machine was off) doubles the next.
func rollUp(db *gorm.DB, from, to tier, now int64) error {
	end := now
	if from.step > 0 {
		var err error
		if end, err = markOf(db, from); err != nil {
			return err
		}
	}
	end -= end % to.step
	for chunk := to.chunk; ; {
		var done bool
		err := db.Transaction(func(tx *gorm.DB) error {
			begin, err := markOf(tx, to)
			if err != nil {
				return err
			}
			if done = begin >= end; done {
				return nil
			}
			until := min(end, begin+chunk)
			// CROSS JOIN fixes the order: one seek for each series, instead of a scan of the whole table.
			res := tx.Exec(fmt.Sprintf(`INSERT OR REPLACE INTO %[1]s
				(series_id, at, n, cpu, cpu_max, memory, mem_max, disk, files, threads, procs, read, wrote, received, sent)
				SELECT p.series_id, p.at / %[3]d * %[3]d, SUM(p.n),
					CAST(ROUND(1.0 * SUM(p.cpu * p.n) / SUM(p.n)) AS INTEGER), MAX(p.cpu_max),
					CAST(ROUND(1.0 * SUM(p.memory * p.n) / SUM(p.n)) AS INTEGER), MAX(p.mem_max),
					CAST(ROUND(AVG(p.disk)) AS INTEGER), CAST(ROUND(AVG(p.files)) AS INTEGER),
					CAST(ROUND(1.0 * SUM(p.threads * p.n) / SUM(p.n)) AS INTEGER),
					CAST(ROUND(1.0 * SUM(p.procs * p.n) / SUM(p.n)) AS INTEGER),
					SUM(p.read), SUM(p.wrote), SUM(p.received), SUM(p.sent)
				FROM series s CROSS JOIN %[2]s p ON p.series_id = s.id AND p.at >= ? AND p.at < ?
				GROUP BY 1, 2`, to.table, from.table, to.step), begin, until)
			if res.Error != nil {
				return res.Error
			}
			if chunk *= 2; res.RowsAffected > 0 {
				chunk = to.chunk
			}
			return tx.Model(&mark{}).Where("tier = ?", to.table).Update("until", until).Error
		})
		if err != nil {
			return fmt.Errorf("roll up %s: %w", to.table, err)
		}
		if done {
			return nil
		}
	}
}

// drop deletes rows of a tier that are past their time and, unless it is the coarsest, are in the tier above.
func drop(ctx context.Context, db *gorm.DB, t, above tier, now int64) error {
	before := now - t.keep
	if above.table != t.table {
		until, err := markOf(db, above)
		if err != nil {
			return err
		}
		before = min(before, until)
	}
	for ctx.Err() == nil {
		res := db.Exec(fmt.Sprintf(`DELETE FROM %[1]s WHERE (series_id, at) IN (
			SELECT p.series_id, p.at FROM series s CROSS JOIN %[1]s p ON p.series_id = s.id AND p.at < ? LIMIT ?)`, t.table),
			before, deleteChunk)
		if res.Error != nil {
			return fmt.Errorf("drop old rows of %s: %w", t.table, res.Error)
		}
		if res.RowsAffected < deleteChunk {
			return nil
		}
	}
	return ctx.Err()
}

// sweep drops the names of series that have no row left, and gives free pages back to the filesystem.
func (h *History) sweep(db *gorm.DB) error {
	q := db.Where("1 = 1")
	for _, t := range tiers() {
		q = q.Where(fmt.Sprintf("NOT EXISTS (SELECT 1 FROM %[1]s p WHERE p.series_id = series.id)", t.table))
	}
	if err := q.Delete(&series{}).Error; err != nil {
		return fmt.Errorf("drop names of series: %w", err)
	}
	clear(h.ids)
	return shrink(db)
}

// shrink gives up to 4 MB of free pages back. The pragma frees a page for each row that is asked of it.
func shrink(db *gorm.DB) error {
	rows, err := db.Raw("PRAGMA incremental_vacuum(1000)").Rows()
	if err != nil {
		return fmt.Errorf("shrink the metrics database: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	for rows.Next() {  //nolint:revive // the asking is the work
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("shrink the metrics database: %w", err)
	}
	return nil
}
