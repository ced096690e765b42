package metrics

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// forest makes folders with plain files, hard links, and symbolic links that lead out, in a circle and to nowhere.
func forest(t testing.TB) string {
	t.Helper()
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "big"), make([]byte, 1<<20), 0o600))
	for i := range 20 {
		sub := filepath.Join(dir, fmt.Sprintf("d%d", i%4), fmt.Sprintf("e%d", i))
		must(t, os.MkdirAll(sub, 0o700))
		must(t, os.WriteFile(filepath.Join(sub, "file"), make([]byte, 5000*(i+1)), 0o600))
		must(t, os.Link(filepath.Join(sub, "file"), filepath.Join(dir, fmt.Sprintf("hard%d", i))))
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	must(t, os.Symlink(filepath.Join(outside, "big"), filepath.Join(dir, "outfile")))
	must(t, os.Symlink("..", filepath.Join(dir, "d0", "circle")))
	must(t, os.Symlink("/no/such", filepath.Join(dir, "nowhere")))
	return dir
}

// du is what du says of a folder.
func du(t testing.TB, dirs ...string) int64 {
	t.Helper()
	out, err := exec.Command("du", append([]string{"-scx", "--block-size=1"}, dirs...)...).Output()
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	n, err := strconv.ParseInt(strings.Fields(lines[len(lines)-1])[0], 10, 64)
	must(t, err)
	return n
}

func TestWalkAgreesWithDu(t *testing.T) {
	t.Parallel()
	dir := forest(t)
	other := forest(t)
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	const entries = 1 + 4 + 20 + 20 + 4 // itself, folders, files, symbolic links
	for _, tt := range []struct {
		name  string
		dirs  []string
		bytes int64
		files int64
	}{
		{"one", []string{dir}, du(t, dir), entries},
		{"two", []string{dir, other}, du(t, dir, other), 2 * entries},
		{"twice the same", []string{dir, dir + "/"}, du(t, dir), entries},
		{"one in the other", []string{filepath.Join(dir, "d1"), dir}, du(t, dir), entries},
		{"a link to a folder", []string{link, dir}, du(t, dir), entries},
	} {
		got, err := walkDirs(t.Context(), tt.dirs, 1000)
		must(t, err)
		if got.Bytes != tt.bytes || got.Files != tt.files || got.Truncated || got.Unreadable != 0 {
			t.Errorf("%s: %+v, want %d bytes in %d files", tt.name, got, tt.bytes, tt.files)
		}
	}
}

func TestWalkStopsAtItsBudget(t *testing.T) {
	t.Parallel()
	got, err := walkDirs(t.Context(), []string{forest(t)}, 10)
	if err != nil || got.Files != 10 || !got.Truncated {
		t.Errorf("%+v, %v; want 10 files and the remark that there are more", got, err)
	}
}

func TestWalkOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	got, err := walkDirs(t.Context(), []string{"/no/such/folder"}, 10)
	if err != nil || got.Unreadable != 1 || got.Files != 0 {
		t.Errorf("%+v, %v; want one unreadable", got, err)
	}
}

func TestWalkStaysOnItsFilesystem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
	sub := filepath.Join(dir, "mnt")
	must(t, os.Mkdir(sub, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=8m", "none", sub).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", sub).Run() })
	must(t, os.WriteFile(filepath.Join(sub, "big"), make([]byte, 4<<20), 0o600))
	got, err := walkDirs(t.Context(), []string{dir}, 100)
	if err != nil || got.Bytes >= 4<<20 || got.Files != 1 {
		t.Errorf("%+v, %v; want the folder alone", got, err)
	}
}

func TestWalkIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := walkDirs(ctx, []string{forest(t)}, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

func TestDiskPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiskWatcher(7)
		took := map[string]time.Duration{"/fast": time.Second, "/slow": 5 * time.Minute}
		var mu sync.Mutex
		walks := map[string][]time.Time{}
		busy, busyTime := false, time.Duration(0)
		d.walk = func(ctx context.Context, dirs []string, budget int64) (Disk, error) {
			mu.Lock()
			if busy || budget != 7 {
				t.Errorf("two walks at once, or a budget of %d", budget)
			}
			busy = true
			walks[dirs[0]] = append(walks[dirs[0]], time.Now())
			mu.Unlock()
			sleep(ctx, took[dirs[0]])
			mu.Lock()
			defer mu.Unlock()
			busy = false
			busyTime += took[dirs[0]]
			return Disk{Bytes: 1, At: time.Now(), Took: took[dirs[0]]}, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { d.run(ctx) })
		runs := []Run{
			{Owner: "fast", WatchDirs: []string{"/fast"}},
			{Owner: "fast", WatchDirs: []string{"/fast"}},
			{Owner: "slow", WatchDirs: []string{"/slow"}},
			{Owner: "none"},
		}
		began := time.Now()
		for range 600 { // ten hours of passes
			d.want(runs)
			elapse(time.Minute)
		}
		for dir, at := range walks {
			for i := 1; i < len(at); i++ {
				if gap := at[i].Sub(at[i-1]); gap < diskPace || gap < diskShare*took[dir] {
					t.Errorf("%s: walks %v apart", dir, gap)
				}
			}
		}
		if len(walks["/fast"]) < 10 || len(walks["/slow"]) < 8 {
			t.Errorf("walks: fast %d, slow %d", len(walks["/fast"]), len(walks["/slow"]))
		}
		if share := float64(busyTime) / float64(time.Since(began)); share > 0.11 {
			t.Errorf("%.0f %% of the time was spent walking", 100*share)
		}
		snap := &Snapshot{Owners: map[string]Usage{"fast": {}, "none": {}}}
		d.fill(snap)
		if snap.Owners["fast"].Disk == nil || snap.Owners["none"].Disk != nil {
			t.Errorf("filled: %+v", snap.Owners)
		}
		d.want(nil)
		elapse(2 * time.Hour)
		d.want(nil)
		if !cmp.Equal(len(d.owners), 0) {
			t.Errorf("%d owners remembered", len(d.owners))
		}
		cancel()
		wg.Wait()
	})
}

func TestWatchedFoldersAreInTheSnapshot(t *testing.T) {
	t.Parallel()
	run := start(t, `exec sleep 100`, nil)
	run.WatchDirs = []string{forest(t)}
	l := &lister{}
	l.set(run)
	s := newTestSampler(t, l, SamplerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	want := du(t, run.WatchDirs...)
	eventually(t, "disk usage", func() bool {
		u, err := s.Current(t.Context(), run.Owner)
		return err == nil && u.Disk != nil && u.Disk.Bytes == want
	})
	cancel()
	wg.Wait()
}
