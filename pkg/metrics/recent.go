package metrics

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// Brief is the recent past of one owner on a grid of equal steps, oldest first; nil where nothing was measured.
type Brief struct {
	CPUPercent  []*float64
	MemoryBytes []*int64
}

// Recent returns the last steps of every owner that was measured in them, for charts as small as a word. The grid is one of
// whole steps since 1970, so that the next answer lies on the same; start is that of its first step.
func (h *History) Recent(ctx context.Context, step time.Duration, steps int) (start time.Time, owners map[string]Brief, err error) {
	width := max(1, int64(step/time.Second))
	first := h.now().Unix()/width - int64(steps) + 1
	owners = map[string]Brief{}
	err = h.read(ctx, func(tx *gorm.DB) error {
		var rows []struct {
			Owner       string
			Step        int64
			CPU, Memory float64
		}
		// The table is clustered by series and time: this reads only the end of each series.
		found := tx.Raw("SELECT s.owner AS owner, r.at / ? AS step, avg(r.cpu) AS cpu, avg(r.memory) AS memory FROM series s CROSS JOIN samples_raw r "+
			"ON r.series_id = s.id AND r.at >= ? WHERE s.replica = ? GROUP BY s.id, step", width, first*width, wholeOwner).Scan(&rows)
		if found.Error != nil {
			return found.Error
		}
		for _, r := range rows {
			i := r.Step - first
			if i < 0 || i >= int64(steps) {
				continue // the clock was set back
			}
			b, ok := owners[r.Owner]
			if !ok {
				b = Brief{CPUPercent: make([]*float64, steps), MemoryBytes: make([]*int64, steps)}
				owners[r.Owner] = b
			}
			b.CPUPercent[i], b.MemoryBytes[i] = new(r.CPU/100), new(int64(r.Memory*1024))
		}
		return nil
	})
	if err != nil {
		return start, nil, fmt.Errorf("read recent metrics: %w", err)
	}
	return time.Unix(first*width, 0).UTC(), owners, nil
}
