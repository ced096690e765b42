package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// maxPage bounds the events of one answer.
const maxPage = 10_000

func now() time.Time { return time.Now().Round(0) }

// Events returns the newest events that the filter selects, oldest first. It sees every event that was recorded before
// the call, also while the database cannot be written.
func (s *Store) Events(ctx context.Context, f v1.EventFilter) ([]v1.Event, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, maxPage)
	if err := s.Durable(ctx); err != nil && !errors.Is(err, ErrDegraded) {
		return nil, fmt.Errorf("read events: %w", err)
	}
	s.mu.Lock()
	pending := slices.Concat(s.writing, s.pending.events)
	s.mu.Unlock()
	events, err := s.readEvents(ctx, f, limit)
	if err != nil {
		if s.Degraded() == nil {
			return nil, err
		}
		s.log.Warn("events are read from memory only", "err", err)
	}
	newest := f.SinceID
	if len(events) > 0 {
		newest = events[len(events)-1].ID
	}
	for i := range pending {
		if e := &pending[i]; e.ID > newest && f.Matches(e) {
			events = append(events, *e)
		}
	}
	return events[max(0, len(events)-limit):], nil
}

// readEvents reads the history in the database.
func (s *Store) readEvents(ctx context.Context, f v1.EventFilter, limit int) ([]v1.Event, error) {
	s.dbMu.Lock()
	defer s.dbMu.Unlock()
	if s.db == nil {
		return nil, fmt.Errorf("read events: %w", ErrDegraded)
	}
	db, err := s.db.read()
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	q := db.WithContext(ctx).Where("id > ?", f.SinceID).Order("id DESC").Limit(limit)
	if f.Key.Kind != "" {
		q = q.Where("kind = ?", f.Key.Kind)
	}
	if f.Key.Name != "" {
		q = q.Where("name = ?", f.Key.Name)
	}
	if len(f.Types) > 0 {
		q = q.Where("type IN ?", f.Types)
	}
	var rows []eventRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	events := make([]v1.Event, len(rows))
	for i := range rows {
		events[len(rows)-1-i] = rows[i].event()
	}
	return events, nil
}

// cut drops the events that are beyond the bounds.
func (r Retention) cut(tx *gorm.DB, at time.Time) error {
	if err := tx.Exec("DELETE FROM events WHERE time < ? OR id <= (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)",
		at.Add(-r.Age).UnixMicro(), r.Rows).Error; err != nil {
		return fmt.Errorf("cut events: %w", err)
	}
	var crowded []struct{ Kind, Name string }
	if err := tx.Raw("SELECT kind, name FROM events GROUP BY kind, name HAVING count(*) > ?", r.PerObject).Scan(&crowded).Error; err != nil {
		return fmt.Errorf("cut events: %w", err)
	}
	for _, o := range crowded {
		if err := tx.Exec(`DELETE FROM events WHERE kind = @kind AND name = @name AND id <=
			(SELECT id FROM events WHERE kind = @kind AND name = @name ORDER BY id DESC LIMIT 1 OFFSET @keep)`,
			map[string]any{"kind": o.Kind, "name": o.Name, "keep": r.PerObject}).Error; err != nil {
			return fmt.Errorf("cut events of %s/%s: %w", o.Kind, o.Name, err)
		}
	}
	return nil
}
