package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
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
	// Ten days, a sample a minute; the CPU figure is the minute of the hour.
	for m := range 10 * 24 * 60 {
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
	if want := [3]int64{24 * 60, 7 * 24 * 12, 10 * 24}; !near(counts, want, 12) {
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
		for level := range tiers() {
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

func TestDamagedDatabaseIsSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"not a database": func(t *testing.T, path string) { write(t, path, strings.Repeat("no database ", 1000)) },
		"cut off": func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"garbage in the schema": func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 3000)), 100); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "metrics.db")
			now := epoch
			h := openTest(t, path, &now)
			record(t, h, snapshotOf(now, "Service/web", 1, 1))
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, path)
			var aside string
			h, err := OpenHistory(path, HistoryOptions{Log: quiet, OnSetAside: func(p string, _ error) { aside = p }})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.Close() }()
			record(t, h, snapshotOf(time.Now(), "Service/web", 1, 1))
			if _, err := os.Stat(aside); err != nil {
				t.Errorf("set aside at %q: %v", aside, err)
			}
			if rows, err := h.Rows(t.Context(), "Service/web", 24); err != nil || len(rows) != 1 {
				t.Errorf("after it: %d rows, %v", len(rows), err)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageWhileOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metrics.db")
	now := epoch
	h := openTest(t, path, &now)
	for i := range 2000 {
		now = epoch.Add(time.Duration(i) * time.Second)
		record(t, h, snapshotOf(now, "Service/web", 1, 1))
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openTest(t, path, &now)
	asides := 0
	h.onSetAside = func(string, error) { asides++ }
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(4096 * 3); off < st.Size(); off += 4096 { // the schema stays whole, the rows do not
		if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 4096)), off); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.Close()
	var firstErr error
	for range 5 {
		now = now.Add(time.Minute)
		if err := h.Record(t.Context(), snapshotOf(now, "Service/web", 1, 1)); err != nil && firstErr == nil {
			firstErr = err
		}
	}
	if firstErr == nil || asides != 1 {
		t.Errorf("error %v, set aside %d times; want an error and once", firstErr, asides)
	}
	if rows, err := h.Rows(t.Context(), "Service/web", 1); err != nil || len(rows) < 4 {
		t.Errorf("after it: %d rows, %v; want those since", len(rows), err)
	}
}

func TestClosedHistory(t *testing.T) {
	t.Parallel()
	now := epoch
	h := openTest(t, filepath.Join(t.TempDir(), "metrics.db"), &now)
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.Rows(t.Context(), "x", 1)
	for _, err := range []error{err, h.Record(t.Context(), &Snapshot{}), h.Forget(t.Context(), "x")} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%v, want %v", err, errClosed)
		}
	}
}

// recordForEver is the other process of TestHistorySurvivesKill: it goes on where the database ends, a minute a sample.
func recordForEver(path string) {
	h, err := OpenHistory(path, HistoryOptions{Log: quiet})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var last int64
	if err := h.db.Table("samples_raw").Select("COALESCE(MAX(at), ?)", epoch.Unix()).Scan(&last).Error; err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		last += 60
		if err := h.Record(context.Background(), snapshotOf(time.Unix(last, 0), "Service/web", 1, 1)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(last)
	}
}

func TestHistorySurvivesKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "metrics.db")
	acknowledged := epoch.Unix()
	for round := range 8 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "METRICS_TEST_RECORD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for i := range 150 + 37*round {
			line, err := lines.ReadString('\n')
			var at int64
			if _, scanErr := fmt.Sscan(line, &at); err != nil || scanErr != nil {
				t.Fatalf("round %d, line %d: %q, %v", round, i, line, errors.Join(err, scanErr))
			}
			acknowledged = at
		}
		_ = cmd.Process.Kill()
		rest, _ := io.ReadAll(lines)
		for line := range strings.Lines(string(rest)) {
			var at int64
			if _, err := fmt.Sscan(line, &at); err == nil && strings.HasSuffix(line, "\n") {
				acknowledged = at
			}
		}
		_ = cmd.Wait()
	}
	now := time.Unix(acknowledged, 0)
	h := openTest(t, path, &now)
	checkUnbroken(t, h, acknowledged)
}

// checkUnbroken reads all tiers together: a sample a minute from the first to the last, whatever was killed when.
func checkUnbroken(t *testing.T, h *History, last int64) {
	t.Helper()
	var got []sample
	err := h.read(t.Context(), func(tx *gorm.DB) (err error) {
		got, err = stitch(tx, 1, 2, epoch.Unix(), last)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for i, s := range got {
		n += s.N
		if i > 0 && s.At <= got[i-1].At {
			t.Errorf("row %d at %d is not after %d", i, s.At, got[i-1].At)
		}
	}
	if want := (last - epoch.Unix()) / 60; n != want {
		t.Errorf("%d samples, want %d: each acknowledged one once", n, want)
	}
}
