package metrics

import (
	"path/filepath"
	"testing"
	"time"
)

func TestRecentIsOnAGrid(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	at := func(seconds int, owner string, cpu float64) {
		now = epoch.Add(time.Duration(seconds) * time.Second)
		record(t, h, snapshotOf(now, owner, cpu, 64))
	}
	at(0, "Service/web", 50) // before the grid
	at(600, "Service/web", 10)
	at(659, "Service/web", 20)
	at(660, "Service/db", 7)
	at(725, "Service/web", 40)

	start, owners, err := h.Recent(t.Context(), time.Minute, 3)
	if err != nil {
		t.Fatal(err)
	}
	if want := epoch.Add(10 * time.Minute); !start.Equal(want) {
		t.Errorf("it starts at %s, want %s", start, want)
	}
	show := func(points []*float64) (out [3]float64) {
		for i, p := range points {
			out[i] = -1
			if p != nil {
				out[i] = *p
			}
		}
		return out
	}
	if got, want := show(owners["Service/web"].CPUPercent), [3]float64{15, -1, 40}; got != want {
		t.Errorf("web is %v, want %v", got, want)
	}
	if got, want := show(owners["Service/db"].CPUPercent), [3]float64{-1, 7, -1}; got != want {
		t.Errorf("db is %v, want %v", got, want)
	}
	if m := owners["Service/web"].MemoryBytes[0]; m == nil || *m != 64<<20 {
		t.Errorf("memory is %v", m)
	}
	now = now.Add(time.Hour)
	if _, owners, err = h.Recent(t.Context(), time.Minute, 3); err != nil || len(owners) != 0 {
		t.Errorf("an hour later there is %v, %v", owners, err)
	}
}
