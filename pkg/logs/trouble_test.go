package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBudgetCountsExactly(t *testing.T) {
	w := newWorld(t, Options{})
	dir, quiet := t.TempDir(), t.TempDir()
	src := Source{Service: "loud", Dir: dir, Budget: Budget{Rate: 100, Burst: 500}}
	k, q := newKeeper(t, dir, Stdout), newKeeper(t, quiet, Stdout)
	k.step, k.backups = time.Millisecond, 10
	w.Attach(src)
	w.Attach(Source{Service: "quiet", Dir: quiet})
	n := int64(0)
	for range 30 {
		var b strings.Builder
		for range 700 {
			b.WriteString(k.stamp(" ") + fmt.Sprintf("line %d\n", n))
			n++
		}
		k.raw(b.String())
		q.line("still here")
		switch n % 2100 {
		case 0:
			w.sync()
		case 700:
			k.rotate()
		default:
			w.stop()
			w.start(src, Source{Service: "quiet", Dir: quiet})
		}
	}
	w.sync()
	eventually(t, "the last pause is over and marked", func() bool { return !w.pausedNow(t) })
	rows := w.all(Filter{Services: []string{"loud"}})
	checkNumbers(t, rows, n)
	if len(rows) > 11*500+21*100+100 {
		t.Errorf("%d rows within a budget of 500 at each of 11 beginnings, and 100 a second for 21 seconds", len(rows))
	}
	if got := len(w.all(Filter{Services: []string{"quiet"}})); got != 30 {
		t.Errorf("%d lines of the service that is not loud, want 30", got)
	}
	for _, r := range rows {
		if r.Marker && (!strings.Contains(r.Text, "stdout.log") || r.Level != Warning) {
			t.Errorf("marker %+v", r)
		}
	}
}

func TestDamagedIndexIsMadeAnew(t *testing.T) {
	var aside atomic.Value
	o := Options{OnSetAside: func(path string, cause error) {
		if !errors.Is(cause, errDamaged) {
			t.Errorf("cause %v", cause)
		}
		aside.Store(path)
	}}
	for _, harm := range []struct {
		name string
		do   func(path string) error
	}{
		{"no database", func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("no database", 999)), 0o600) }},
		{"of the future", func(path string) error {
			return harmSQL(t, path, "INSERT INTO migrations (id) VALUES ('9999_later')")
		}},
	} {
		t.Run(harm.name, func(t *testing.T) {
			w := newWorld(t, o)
			dir := t.TempDir()
			src := Source{Service: "web", Dir: dir}
			k := newKeeper(t, dir, Stdout)
			k.line("one")
			w.Attach(src)
			w.sync()
			w.stop()
			if err := harm.do(w.path); err != nil {
				t.Fatal(err)
			}
			k.line("two")
			w.start(src)
			w.sync()
			if diff := cmp.Diff([]string{"one", "two"}, texts(w.all(Filter{}))); diff != "" {
				t.Error(diff)
			}
			if path, _ := aside.Load().(string); path == "" {
				t.Error("nobody was told")
			} else if _, err := os.Stat(path); err != nil {
				t.Error(err)
			}
		})
	}
}

func harmSQL(t *testing.T, path, query string) error {
	t.Helper()
	db, err := openDatabase(t.Context(), path, 1<<30)
	if err != nil {
		return err
	}
	return errors.Join(db.exec(query), db.close())
}

func TestDamageWhileRunning(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	for i := range 3 {
		k.line("%d", i)
	}
	w.sync()
	// Its tables are gone under it: whatever the error, it has to come back.
	done := make(chan struct{})
	w.order(func(f *follower) {
		defer close(done)
		f.judgeWrites(t.Context(), fmt.Errorf("test: %w", errDamaged))
	})
	<-done
	k.line("3")
	eventually(t, "all lines are in the new index", func() bool { return len(w.all(Filter{})) == 4 })
}

func TestRemovedIndexIsMadeAnew(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	k.line("one")
	w.sync()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(w.path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	eventually(t, "the index is back", func() bool {
		w.sync()
		_, err := os.Stat(w.path)
		return err == nil && len(w.all(Filter{})) == 1
	})
}

// A disk that is full: the index gives up its oldest rows and goes on; the files have everything.
func TestDiskFull(t *testing.T) {
	var told atomic.Int32
	w := newWorld(t, Options{Budget: Budget{Rate: -1}, OnDegraded: func(cause error) {
		if cause != nil {
			told.Add(1)
		}
	}})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	k.backups = 100
	w.Attach(Source{Service: "web", Dir: dir})
	k.line("first")
	w.sync()
	done := make(chan error, 1)
	w.order(func(f *follower) { done <- f.w.db.exec("PRAGMA max_page_count = 2000") }) // 8 MB
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 40 {
		lines := make([]string, 2000)
		for i := range lines {
			lines[i] = fmt.Sprintf("line %d "+benchLine, n, n, n%7, n%11)
			n++
		}
		k.block(lines...)
		k.rotate()
	}
	eventually(t, "the newest line is in the index all the same", func() bool {
		p, err := w.Query(t.Context(), Query{Limit: 1})
		return err == nil && len(p.Rows) == 1 && strings.HasPrefix(p.Rows[0].Text, fmt.Sprintf("line %d ", n-1))
	})
	if told.Load() == 0 {
		t.Error("nobody was told")
	}
	eventually(t, "all is well again", func() bool { return w.Degraded() == nil })
	w.sync()
	var last int64
	for _, r := range w.all(Filter{}) {
		if !r.Marker && last != 0 && r.ID != last+1 {
			t.Fatalf("row %d after %d", r.ID, last)
		}
		last = r.ID
	}
}

func TestFolderIsRemovedAndComesBack(t *testing.T) {
	w := newWorld(t, Options{})
	dir := filepath.Join(t.TempDir(), "web")
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	k.line("one")
	w.sync()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its removal is seen", func() bool { return w.Stats().Unwatched == 1 })
	eventually(t, "it is watched again", func() bool { return w.Stats().Unwatched == 0 })
	k = newKeeper(t, dir, Stdout)
	k.line("two")
	eventually(t, "the new file is read", func() bool { return len(w.all(Filter{})) >= 2 })
	rows := w.all(Filter{})
	if got := rows[len(rows)-1].Text; got != "two" {
		t.Errorf("%q", texts(rows))
	}
}

// Without watches, folders are looked at every second.
func TestPolling(t *testing.T) {
	w := newWorld(t, Options{})
	done := make(chan struct{})
	w.order(func(f *follower) {
		defer close(done)
		_ = f.watcher.Close()
		f.watcher = nil
	})
	<-done
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	k.line("one")
	eventually(t, "one line", func() bool { return len(w.all(Filter{})) == 1 })
	k.line("two")
	eventually(t, "two lines", func() bool { return len(w.all(Filter{})) == 2 })
	if w.Stats().Unwatched != 1 {
		t.Errorf("%+v", w.Stats())
	}
}

// Logs that were restored from a backup have other inodes: their lines are known all the same.
func TestRestoredFiles(t *testing.T) {
	w := newWorld(t, Options{})
	dir := filepath.Join(t.TempDir(), "web")
	src := Source{Service: "web", Dir: dir}
	k := newKeeper(t, dir, Stdout)
	w.Attach(src)
	k.line("one")
	k.rotate()
	k.line("two")
	w.sync()
	w.stop()
	if err := os.CopyFS(dir+".copy", os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".copy", dir); err != nil {
		t.Fatal(err)
	}
	k = newKeeper(t, dir, Stdout)
	k.at = time.Now()
	k.line("three")
	w.start(src)
	w.sync()
	if diff := cmp.Diff([]string{"one", "two", "three"}, texts(w.all(Filter{}))); diff != "" {
		t.Error(diff)
	}
}

func TestDetach(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	k.line("one")
	w.Detach("web", 0)
	eventually(t, "its last line is in", func() bool { return len(w.all(Filter{})) == 1 })
	eventually(t, "it is left", func() bool { return len(w.Stats().Streams) == 0 })
	k.line("two")
	w.sync()
	if got := texts(w.all(Filter{})); len(got) != 1 {
		t.Errorf("%q", got)
	}
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	if got := texts(w.all(Filter{})); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// A file that goes with its rotation is read to its end all the same.
func TestNoBackups(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	k.backups = 0
	w.Attach(Source{Service: "web", Dir: dir})
	var want []string
	for i := range 20 {
		k.line("a%d", i)
		w.sync()
		k.line("b%d", i)
		k.rotate()
		w.sync()
		want = append(want, fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i))
	}
	if diff := cmp.Diff(want, texts(w.all(Filter{}))); diff != "" {
		t.Error(diff)
	}
}

// Lines that were rotated away unseen are told of.
func TestGapIsMarked(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	src := Source{Service: "web", Dir: dir}
	k := newKeeper(t, dir, Stdout)
	k.backups = 1
	w.Attach(src)
	k.line("seen")
	w.sync()
	w.stop()
	for i := range 4 {
		k.rotate()
		k.line("%d", i)
	}
	w.start(src)
	w.sync()
	if diff := cmp.Diff([]string{"seen", gapText, "2", "3"}, texts(w.all(Filter{}))); diff != "" {
		t.Error(diff)
	}
}

func TestStatsTellTheLag(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	k.line("one")
	w.sync()
	k.raw(k.stamp(" ") + "not finished")
	eventually(t, "the lag is the unfinished line", func() bool {
		for _, s := range w.Stats().Streams {
			if s.Stream == Stdout && s.Lag == prefixLen+12 {
				return true
			}
		}
		return false
	})
	if s := w.Stats(); s.Rows != 1 || s.Lines != 1 || s.Bytes != 3 || s.DiskBytes == 0 {
		t.Errorf("%+v", s)
	}
}
