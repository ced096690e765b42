package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Change is what one look at a job alters. It is written whole or not at all.
type Change struct {
	// Job replaces how far the job is accounted for; nil leaves it.
	Job *Job
	// Withdraw deletes the first attempts of Job after this instant that were skipped, missed, or wait for their time: the clock
	// was set back, and they are still to come. Zero withdraws nothing.
	Withdraw time.Time
	// Insert claims attempts. One that is there already is left as it is.
	Insert []*Row
	// Update replaces rows by ID, but for their output when it is empty.
	Update []*Row
}

// Empty reports whether there is nothing to write.
func (c *Change) Empty() bool {
	return c.Job == nil && len(c.Insert) == 0 && len(c.Update) == 0
}

// Apply writes a change. The inserted rows get their IDs; one that was there already keeps ID 0. Changes that are asked for while
// another is being written are written together.
func (s *Store) Apply(ctx context.Context, c Change) error {
	if c.Empty() {
		return nil
	}
	if err := s.group.do(ctx, s.write, c.write); err != nil {
		for _, r := range c.Insert {
			r.ID = 0
		}
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

func (c *Change) write(tx *gorm.DB) error {
	if c.Job != nil {
		if err := c.writeJob(tx); err != nil {
			return err
		}
	}
	for _, r := range c.Insert {
		if err := insert(tx, r); err != nil {
			return err
		}
	}
	for _, r := range c.Update {
		if err := update(tx, r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Change) writeJob(tx *gorm.DB) error {
	record := c.Job.record()
	if err := tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&record).Error; err != nil {
		return err
	}
	if c.Withdraw.IsZero() {
		return nil
	}
	return tx.Where(`job = ? AND instant > ? AND attempt = 1 AND "trigger" <> ? AND state IN ?`, c.Job.Name, micros(c.Withdraw), Manual,
		[]State{Skipped, Missed, Pending}).Delete(&rowRecord{}).Error
}

func insert(tx *gorm.DB, r *Row) error {
	record := toRecord(r)
	record.ID = 0
	result := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(&record)
	if result.Error != nil {
		return result.Error
	}
	r.ID = 0
	if result.RowsAffected == 1 {
		r.ID = record.ID
	}
	return nil
}

func update(tx *gorm.DB, r *Row) error {
	if r.ID == 0 {
		return errors.New("a row without ID cannot be updated")
	}
	record := toRecord(r)
	if err := tx.Select("*").Updates(&record).Error; err != nil {
		return err
	}
	if r.Stdout == "" && r.Stderr == "" {
		return nil
	}
	return tx.Clauses(clause.OnConflict{UpdateAll: true}).
		Create(&outputRecord{ID: r.ID, Stdout: r.Stdout, Stderr: r.Stderr}).Error
}

// Prune deletes what goes beyond the newest keep attempts that ended, and the newest keep instants that were skipped or missed,
// and returns the IDs of the former. Both are counted apart, so that a paused job does not push its runs out.
func (s *Store) Prune(ctx context.Context, job string, keep int) (ended []uint64, err error) {
	err = s.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		var gone []rowRecord
		for _, states := range [][]State{{Succeeded, Failed, TimedOut, Stopped}, {Skipped, Missed}} {
			var over []rowRecord
			if err := tx.Select("id", "instant", "state", "trigger", "started_at").Where("job = ? AND state IN ?", job, states).
				Order("id DESC").Limit(-1).Offset(keep).Find(&over).Error; err != nil {
				return err
			}
			gone = append(gone, over...)
		}
		if len(gone) == 0 {
			return nil
		}
		if err := settle(tx, job, gone); err != nil {
			return err
		}
		for _, r := range gone {
			if State(r.State).Ended() {
				ended = append(ended, r.ID)
			}
			if err := tx.Delete(&rowRecord{ID: r.ID}).Error; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("prune ledger of %s: %w", job, err)
	}
	return ended, nil
}

// settle remembers the span of the instants that are pruned. What was missed is not in it: it did not run, and should the clock
// have been wrong, it may yet.
func settle(tx *gorm.DB, job string, gone []rowRecord) error {
	var from, to int64
	for _, r := range gone {
		if Trigger(r.Trigger) == Manual || State(r.State) == Missed {
			continue
		}
		if from == 0 || r.Instant < from {
			from = r.Instant
		}
		to = max(to, r.Instant)
	}
	if to == 0 {
		return nil
	}
	var j jobRecord
	if err := tx.Where("name = ?", job).Take(&j).Error; err != nil {
		if errors.Is(err, gorm.ErrRecordNotFound) {
			return nil
		}
		return err
	}
	if j.SettledTo != 0 && to >= j.SettledFrom {
		from, to = min(from, j.SettledFrom), max(to, j.SettledTo)
	}
	return tx.Model(&jobRecord{}).Where("name = ?", job).Updates(map[string]any{"settled_from": from, "settled_to": to}).Error
}

// Delete removes all that is known of a job, and returns the IDs of its rows.
func (s *Store) Delete(ctx context.Context, job string) (ids []uint64, err error) {
	err = s.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&rowRecord{}).Where("job = ?", job).Pluck("id", &ids).Error; err != nil {
			return err
		}
		if err := tx.Where("job = ?", job).Delete(&rowRecord{}).Error; err != nil {
			return err
		}
		return tx.Where("name = ?", job).Delete(&jobRecord{}).Error
	})
	if err != nil {
		return nil, fmt.Errorf("delete ledger of %s: %w", job, err)
	}
	return ids, nil
}

// SetFix notes that a repair was tried after an execution, and whether it helped.
func (s *Store) SetFix(ctx context.Context, id uint64, success bool) error {
	err := s.write.WithContext(ctx).Model(&rowRecord{}).Where("id = ?", id).
		Updates(map[string]any{"fix_attempted": true, "fix_success": success}).Error
	if err != nil {
		return fmt.Errorf("note the fix of execution %d: %w", id, err)
	}
	return nil
}
