package metrics

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var quiet = slog.New(slog.DiscardHandler)

// epoch is a full hour; tests count from it.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// openTest opens a history whose clock is *now.
func openTest(t testing.TB, path string, now *time.Time) *History {
	t.Helper()
	h, err := OpenHistory(path, HistoryOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	h.now = func() time.Time { return *now }
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// snapshotOf is a pass in which one owner uses what is told.
func snapshotOf(at time.Time, owner string, cpu float64, mib int64) *Snapshot {
	u := Usage{CPUPercent: cpu, Window: time.Minute, MemoryBytes: mib << 20, MemoryKind: MemoryPSS, Threads: 1, Processes: 1}
	return &Snapshot{
		At: at, Owners: map[string]Usage{owner: u},
		Runs: []RunUsage{{ID: owner, Owner: owner, Usage: u}},
	}
}

func record(t testing.TB, h *History, snap *Snapshot) {
	t.Helper()
	if err := h.Record(t.Context(), snap); err != nil {
		t.Fatal(err)
	}
}

func TestRowsAreOldestFirstInTheRightTier(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	// Eight days, a sample a minute; the CPU figure is the minute of the hour.
	for m := range 8 * 24 * 60 {
		now = epoch.Add(time.Duration(m) * time.Minute)
		record(t, h, snapshotOf(now, "Service/web", float64(m%60), 64))
	}
	for _, tt := range []struct {
		hours    int
		step     time.Duration // of the oldest rows
		rows     int
		firstCPU float64
	}{
		{1, time.Minute, 61, 59},
		{24, time.Minute, 24*60 + 1, 59},
		{25, 5 * time.Minute, 25*12 + 4 + 1, 57}, // from 22:59 a day before: the step of 22:55, minutes 55 to 59
		{168, 5 * time.Minute, 168*12 + 4 + 1, 57},
		{169, time.Hour, 169 + 11 + 4 + 1, 29.5},
	} {
		rows, err := h.Rows(t.Context(), "Service/web", tt.hours)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != tt.rows {
			t.Errorf("%d hours: %d rows, want %d", tt.hours, len(rows), tt.rows)
		}
		if rows[0].CPUPercent != tt.firstCPU || rows[1].Timestamp.Sub(rows[0].Timestamp) != tt.step {
			t.Errorf("%d hours: first %+v, second %+v; want %v %% and a step of %v", tt.hours, rows[0], rows[1], tt.firstCPU, tt.step)
		}
		if last := rows[len(rows)-1]; !last.Timestamp.Equal(now) || last.MemoryMB != 64 || last.DiskMB != nil {
			t.Errorf("%d hours: last %+v, want that of %v", tt.hours, last, now)
		}
		seen := map[int64]bool{}
		for i, r := range rows {
			if i > 0 && !r.Timestamp.After(rows[i-1].Timestamp) {
				t.Fatalf("%d hours: row %d at %v is not after %v", tt.hours, i, r.Timestamp, rows[i-1].Timestamp)
			}
			if seen[r.ID] || r.ID <= 0 || r.ID >= 1<<53 {
				t.Fatalf("%d hours: id %d twice or out of range", tt.hours, r.ID)
			}
			seen[r.ID] = true
		}
	}
	counts := tableSizes(t, h)
	if want := [3]int64{24 * 60, 7 * 24 * 12, 8 * 24}; !near(counts, want, 12) {
		t.Errorf("tables hold %v rows, want about %v", counts, want)
	}
}

func tableSizes(t testing.TB, h *History) (n [3]int64) {
	t.Helper()
	for i, tier := range tiers() {
		if err := h.db.Table(tier.table).Count(&n[i]).Error; err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func near(a, b [3]int64, by int64) bool {
	for i := range a {
		if a[i]-b[i] > by || b[i]-a[i] > by {
			return false
		}
	}
	return true
}

// TestRollupNeitherLosesNorDoubles feeds samples with gaps, restarts and a clock that is set back, and compares what the
// tiers hold, taken together, with what was fed.
func TestRollupNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := 0
	rapid.Check(t, func(rt *rapid.T) {
		files++
		path := filepath.Join(dir, fmt.Sprintf("%d.db", files))
		now := epoch
		h := openTest(t, path, &now)
		defer func() { _ = h.Close() }()
		fed := map[int64]int64{} // second -> KiB
		for i := range rapid.IntRange(1, 60).Draw(rt, "samples") {
			switch rapid.IntRange(0, 19).Draw(rt, "event") {
			case 0:
				if err := h.Close(); err != nil {
					rt.Fatal(err)
				}
				h = openTest(t, path, &now)
			case 1:
				now = now.Add(time.Duration(rapid.IntRange(1, 5*hour).Draw(rt, "gap")) * time.Second)
			case 2:
				now = now.Add(-time.Duration(rapid.IntRange(1, hour).Draw(rt, "back")) * time.Second)
			default:
				now = now.Add(time.Duration(rapid.IntRange(1, 120).Draw(rt, "step")) * time.Second)
			}
			record(t, h, snapshotOf(now, "Service/web", 1, int64(i)))
			fed[now.Unix()] = int64(i) << 10
		}
		// Every reading must hold each sample that it reaches exactly once: as many, and the same sum.
		for level := range tiers() { //nolint:staticcheck // only how many there are matters
			id, _, err := lookUp(h.db, seriesName{"Service/web", wholeOwner})
			if err != nil {
				rt.Fatal(err)
			}
			got, err := stitch(h.db, id, level, epoch.Unix()-2*day, now.Unix())
			if err != nil {
				rt.Fatal(err)
			}
			var n, peak, wantN, wantPeak int64
			for _, s := range got {
				n, peak = n+s.N, max(peak, s.MemMax)
			}
			for at, kib := range fed {
				if at <= now.Unix() && (level > 0 || at >= epoch.Unix()-2*day) {
					wantN, wantPeak = wantN+1, max(wantPeak, kib)
				}
			}
			if level == 0 && now.Sub(epoch) > day {
				continue // what is over a day old has left the raw tier
			}
			if n != wantN || peak != wantPeak {
				rt.Fatalf("tier %d: %d samples with a peak of %d, want %d and %d", level, n, peak, wantN, wantPeak)
			}
		}
	})
}

func TestAveragesArePerSample(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	files, disk := 10, &Disk{Bytes: 8 << 20}
	for i, cpu := range []float64{10, 20, 60} {
		now = epoch.Add(time.Duration(i) * time.Minute)
		snap := snapshotOf(now, "Service/web", cpu, 10*int64(i+1))
		u := snap.Owners["Service/web"]
		u.OpenFiles, u.Disk, u.IOKnown, u.ReadBytes, u.WriteBytes = files*(i+1), disk, true, uint64(1000*i), uint64(1<<20*i*i)
		snap.Owners["Service/web"] = u
		record(t, h, snap)
	}
	now = epoch.Add(6 * time.Minute)
	record(t, h, &Snapshot{At: now})
	lines, err := h.Series(t.Context(), "Service/web", SeriesQuery{From: now.Add(-30 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	want := []Line{{Replica: wholeOwner, Points: []Point{{
		At: epoch, Step: 5 * time.Minute, Samples: 3, CPUPercent: 30, CPUMax: 60, MemoryBytes: 20 << 20, MemoryMax: 30 << 20,
		Threads: 1, Processes: 1, OpenFiles: new(20.0), DiskBytes: new(int64(8 << 20)),
		ReadBytes: new(int64(2000)), WriteBytes: new(int64(4 << 20)),
	}}}}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

func TestSeriesOfReplicas(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	for i := range 100 {
		now = epoch.Add(time.Duration(i) * time.Minute)
		one := Usage{CPUPercent: 10, Window: time.Minute, MemoryBytes: 1 << 20, Processes: 1}
		two := Usage{CPUPercent: float64(i), Window: time.Minute, MemoryBytes: 2 << 20, Processes: 1}
		// Replica 1 is handed over: its old and its new run live side by side.
		record(t, h, &Snapshot{
			At: now, Owners: map[string]Usage{"Service/web": {CPUPercent: 20 + float64(i), Window: time.Minute, Processes: 3}},
			Runs: []RunUsage{
				{ID: "a", Owner: "Service/web", Replica: 0, Usage: one},
				{ID: "b", Owner: "Service/web", Replica: 1, Usage: one},
				{ID: "c", Owner: "Service/web", Replica: 1, Usage: two},
			},
		})
	}
	lines, err := h.Series(t.Context(), "Service/web", SeriesQuery{Replicas: true, MaxPoints: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, l := range lines {
		got = append(got, l.Replica)
		if len(l.Points) > 10 {
			t.Errorf("replica %d: %d points, want at most 10", l.Replica, len(l.Points))
		}
		var n int64
		peak := 0.0
		for _, p := range l.Points {
			n, peak = n+p.Samples, max(peak, p.CPUMax)
		}
		if want := map[int]float64{-1: 119, 0: 10, 1: 109}[l.Replica]; n != 100 || peak != want {
			t.Errorf("replica %d: %d samples, peak %v; want 100 and %v", l.Replica, n, peak, want)
		}
	}
	if !cmp.Equal(got, []int{-1, 0, 1}) {
		t.Errorf("lines of replicas %v, want -1, 0, 1", got)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	for _, owner := range []string{"Service/a", "Service/b"} {
		record(t, h, snapshotOf(now, owner, 1, 1))
	}
	if err := h.Forget(t.Context(), "Service/a"); err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[string]int{"Service/a": 0, "Service/b": 1, "Service/never": 0} {
		if rows, err := h.Rows(t.Context(), owner, 24); err != nil || len(rows) != want {
			t.Errorf("%s: %d rows, %v; want %d", owner, len(rows), err, want)
		}
	}
	now = now.Add(time.Minute)
	record(t, h, snapshotOf(now, "Service/a", 1, 1)) // a new object of the same name begins anew
	if rows, err := h.Rows(t.Context(), "Service/a", 24); err != nil || len(rows) != 1 {
		t.Errorf("made anew: %d rows, %v", len(rows), err)
	}
}

func TestSweepDropsEmptySeriesAndShrinks(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	for i := range 300 {
		record(t, h, snapshotOf(now, fmt.Sprintf("Service/s%d", i), 1, 1))
	}
	for range 3 { // raw rows go, then those of 5 minutes, then those of an hour
		now = now.Add(366 * 24 * time.Hour)
		record(t, h, &Snapshot{At: now})
	}
	var left int64
	if err := h.db.Model(&series{}).Count(&left).Error; err != nil || left != 0 {
		t.Errorf("%d series left, %v", left, err)
	}
	var free, mode int64
	if err := errors.Join(h.db.Raw("PRAGMA freelist_count").Scan(&free).Error, h.db.Raw("PRAGMA auto_vacuum").Scan(&mode).Error); err != nil {
		t.Fatal(err)
	}
	if free != 0 || mode != 2 {
		t.Errorf("%d free pages in mode %d, want none in mode 2 (incremental)", free, mode)
	}
}

func TestHistoryIsOursAlone(t *testing.T) {
	t.Parallel()
	path, now := filepath.Join(t.TempDir(), "metrics.db"), epoch
	record(t, openTest(t, path, &now), snapshotOf(now, "Service/web", 1, 1))
	for _, end := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(path + end); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s%s: %v, %v", path, end, info, err)
		}
	}
}
