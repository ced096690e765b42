package logs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestRetentionBySize(t *testing.T) {
	const limit = 8 << 20
	w := newWorld(t, Options{Cap: limit, Budget: Budget{Rate: -1}})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	most := int64(0)
	n := 0
	for range 60 {
		lines := make([]string, 2000)
		for i := range lines {
			lines[i] = fmt.Sprintf("line %d "+benchLine, n, n, n%7, n%11)
			n++
		}
		k.block(lines...)
		w.sync()
		most = max(most, w.Stats().DiskBytes)
		k.rotate()
	}
	if most > limit {
		t.Errorf("%d bytes on the disk, want at most %d", most, limit)
	}
	rows := w.all(Filter{})
	if len(rows) < 5000 || !rows[0].Marker && !strings.HasPrefix(rows[len(rows)-1].Text, fmt.Sprintf("line %d ", n-1)) {
		t.Fatalf("%d rows", len(rows))
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].ID != rows[i-1].ID+1 {
			t.Fatalf("row %d after %d", rows[i].ID, rows[i-1].ID)
		}
	}
	// Whoever was far behind is told.
	for r, err := range w.Read(t.Context(), Filter{}, Cursor{Epoch: w.db.epoch, ID: 1, At: 1}) {
		if err != nil || !r.Marker || r.Text != droppedText {
			t.Errorf("%+v, %v", r, err)
		}
		break
	}
	p, err := w.Query(t.Context(), Query{Filter: Filter{Text: fmt.Sprintf(`"line %d"`, n-1)}})
	if err != nil || len(p.Rows) != 1 {
		t.Errorf("search after dropping: %v, %v", p, err)
	}
}

func TestRetentionByAge(t *testing.T) {
	w := newWorld(t, Options{Retention: 30 * 24 * time.Hour, Budget: Budget{Rate: -1}})
	now := time.Now()
	var sources []Source
	for _, c := range []struct {
		name string
		keep time.Duration
	}{{"short", 2 * time.Hour}, {"long", 0}, {"longest", 60 * 24 * time.Hour}} {
		dir := t.TempDir()
		k := newKeeper(t, dir, Stdout)
		k.at, k.step = now.Add(-24*time.Hour), 10*time.Second
		for i := range 5000 { // 13.9 hours, and the last within 11
			k.line("%d", i)
		}
		k.at = now.Add(-time.Hour)
		k.line("new")
		sources = append(sources, Source{Service: c.name, Dir: dir, Retention: c.keep})
	}
	w.stop()
	w.start(sources...)
	w.sync()
	count := func(name string) int { return len(w.all(Filter{Services: []string{name}})) }
	w.SetRetention(29 * 24 * time.Hour)
	eventually(t, "short rows go", func() bool { return count("short") == 1 })
	if count("long") != 5001 || count("longest") != 5001 {
		t.Errorf("%d, %d rows left", count("long"), count("longest"))
	}
	for i := range sources {
		sources[i].Retention = 0
		w.Attach(sources[i])
	}
	w.SetRetention(time.Minute)
	eventually(t, "all goes, with its tables", func() bool { return len(w.all(Filter{})) == 0 })
	used, _ := w.usageNow(t)
	if used > 2<<20 {
		t.Errorf("%d bytes are used by nothing", used)
	}
}

func (w *world) usageNow(t *testing.T) (used, free int64) {
	t.Helper()
	done := make(chan error, 1)
	w.order(func(f *follower) {
		var err error
		used, free, err = f.w.usage()
		done <- err
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return used, free
}

func TestFileShrinks(t *testing.T) {
	w := newWorld(t, Options{Budget: Budget{Rate: -1}})
	dir := t.TempDir()
	benchFile(t, dir, 200_000, benchText)
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	before := w.Stats().DiskBytes
	w.SetRetention(time.Minute)
	eventually(t, "the file shrinks", func() bool { return w.Stats().DiskBytes < before/2 })
}
