package status

import (
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// maxPendingEvents bounds what waits for a database that cannot be written.
const maxPendingEvents = 2000

type table int

const (
	tableObjects table = iota
	tableStatuses
	tableIntents
	tablePorts
	tableLastGood
	tableRollouts
)

// rowKey names one row. Of several writes to a row in a batch, the last one counts.
type rowKey struct {
	table table
	a, b  string
}

// gone is the write that deletes a row.
type gone struct{ row any }

// batch is what one transaction writes. The values of rows are rows, gone, or the value that a row is made of.
type batch struct {
	rows   map[rowKey]any
	events []v1.Event
}

func newBatch() batch { return batch{rows: map[rowKey]any{}} }

func (b *batch) empty() bool { return len(b.rows) == 0 && len(b.events) == 0 }

// under puts an older batch, which could not be written, below this one.
func (b *batch) under(older batch) {
	for k, v := range b.rows {
		older.rows[k] = v
	}
	b.rows = older.rows
	b.events = append(older.events, b.events...)
	if extra := len(b.events) - maxPendingEvents; extra > 0 {
		b.events = b.events[extra:]
	}
}

// write puts the batch into the database.
func (b *batch) write(tx *gorm.DB) error {
	var (
		objects  []objectRow
		statuses []statusRow
		intents  []intentRow
		ports    []portRow
		lastGood []lastGoodRow
		rollouts []rolloutRow
		events   []eventRow
	)
	// Deletions first: a name that was deleted and made again has another number, and names are unique.
	for key, value := range b.rows {
		var err error
		switch v := value.(type) {
		case gone:
			if o, ok := v.row.(objectRow); ok {
				// By name: the row in the database may be that of a namesake before it.
				err = tx.Where("kind = ? AND name = ?", o.Kind, o.Name).Delete(&objectRow{}).Error
				break
			}
			err = tx.Delete(v.row).Error
		case objectRow:
			err = tx.Where("kind = ? AND name = ? AND id <> ?", v.Kind, v.Name, v.ID).Delete(&objectRow{}).Error
			objects = append(objects, v)
		case *v1.ServiceStatus:
			row := statusRow{Kind: key.a, Name: key.b}
			row.Data, err = encode("status", v)
			statuses = append(statuses, row)
		case v1.Intent:
			row := intentRow{Kind: key.a, Name: key.b}
			row.Data, err = encode("intent", v)
			intents = append(intents, row)
		case portRow:
			ports = append(ports, v)
		case LastGood:
			lastGood = append(lastGood, lastGoodRow{Kind: key.a, Name: key.b, File: v.File, Revision: v.Revision, Data: v.Text})
		case keyedRollout:
			row := rolloutRow{Kind: v.key.Kind, Name: v.key.Name, Number: v.Number}
			row.Data, err = encode("rollout", v.Rollout)
			rollouts = append(rollouts, row)
		}
		if err != nil {
			return fmt.Errorf("write %s/%s: %w", key.a, key.b, err)
		}
	}
	for i := range b.events {
		events = append(events, newEventRow(&b.events[i]))
	}
	upsert := tx.Clauses(clause.OnConflict{UpdateAll: true}).Session(&gorm.Session{})
	for _, err := range []error{
		create(upsert, objects), create(upsert, statuses), create(upsert, intents), create(upsert, ports),
		create(upsert, lastGood), create(upsert, rollouts), create(upsert, events),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func create[T any](tx *gorm.DB, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	if err := tx.Create(&rows).Error; err != nil {
		return fmt.Errorf("write %d rows of %T: %w", len(rows), rows[0], err)
	}
	return nil
}
