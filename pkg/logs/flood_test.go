package logs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// small mounts a tmpfs of so many bytes, and skips the test where that is not allowed.
func small(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A flood into a data folder on a disk that is far too small for it: the writer is never held up by us, the lines of
// another service are all in the index, the flood is counted, and the database stays whole.
func TestFloodOnASmallDisk(t *testing.T) {
	const disk = 64 << 20
	root := small(t, disk)
	w := &world{t: t, path: filepath.Join(root, "logs.db"), stop: func() {}}
	t.Cleanup(func() { w.stop() })
	loud := Source{Service: "loud", Dir: filepath.Join(root, "logs", "loud"), Budget: Budget{Rate: 20_000, Burst: 50_000}}
	quiet := Source{Service: "quiet", Dir: filepath.Join(root, "logs", "quiet")}
	k, q := newKeeper(t, loud.Dir, Stdout), newKeeper(t, quiet.Dir, Stdout)
	k.backups = 4
	w.start(loud, quiet)
	var said sync.WaitGroup
	done := make(chan struct{})
	lines, lost := 0, 0
	said.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				line := now.UTC().Format("[2006-01-02T15:04:05.000000000Z] ") + fmt.Sprintf("quiet %d\n", lines)
				if _, err := q.f.WriteString(line); err == nil {
					lines++
				} else {
					lost++
				}
			}
		}
	})
	block := fmt.Appendf(nil, benchLine, 1, 2, 3)
	stored := 0
	for written := 0; written < 96<<20; {
		head := time.Now().UTC().Format("[2006-01-02T15:04:05.000000000Z] ")
		var b bytes.Buffer
		for b.Len() < 256<<10 {
			b.WriteString(head)
			b.Write(block)
			b.WriteByte('\n')
		}
		n, err := k.f.Write(b.Bytes())
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		k.size += int64(n)
		stored += bytes.Count(b.Bytes()[:n], []byte{'\n'})
		written += b.Len()
		if whole := bytes.LastIndexByte(b.Bytes()[:n], '\n') + 1; whole < n { // as the keeper does on a full disk
			k.size -= int64(n - whole)
			if err := k.f.Truncate(k.size); err != nil {
				t.Fatal(err)
			}
		}
		if k.size > 8<<20 {
			k.rotate()
			k.size = 0
		}
	}
	close(done)
	said.Wait()
	if lost > 0 {
		t.Errorf("the disk had no room for %d lines of another service", lost)
	}
	eventually(t, "the index has all of the quiet service", func() bool {
		_ = w.Sync(t.Context()) // fails while the disk is full
		p, err := w.Query(t.Context(), Query{Filter: Filter{Services: []string{"quiet"}}, Limit: 1})
		return err == nil && len(p.Rows) == 1 && p.Rows[0].Text == fmt.Sprintf("quiet %d", lines-1)
	})
	var verdict string
	if err := w.db.reader.QueryRowContext(t.Context(), "PRAGMA quick_check(1)").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the database is %q, %v", verdict, err)
	}
	s := w.Stats()
	t.Logf("%d rows, %d skipped, %d bytes of database; degraded: %v", s.Rows, s.Skipped, s.DiskBytes, w.Degraded())
	t.Logf("%d lines were written", stored+lines)
	if got := s.Lines + s.Skipped; got == 0 || got > int64(stored+lines) {
		t.Errorf("%d lines were stored or counted, of %d", got, stored+lines)
	}
	if _, err := os.Stat(w.path); err != nil {
		t.Error(err)
	}
}
