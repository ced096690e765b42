package keeper

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/philiporange/supervisor/pkg/process"
)

// A log that floods a small disk leaves room on it, and keeps its newest lines.
func TestAFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a small file system is mounted")
	}
	dir := t.TempDir()
	const disk = 8 << 20
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", disk)); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, limit := range []int64{256 << 10, 3 << 20, 1 << 30} {
		files := noFiles()
		d := newDesk(files, process.LogSpec{Dir: dir, MaxBytes: limit, Backups: 100})
		printed := 0
		for range 2 * disk / (64 << 10) {
			var b bytes.Buffer
			for b.Len() < 64<<10 {
				fmt.Fprintf(&b, "line %06d with %01000d behind it\n", printed, 0)
				printed++
			}
			d.print(b.String())
			var fs syscall.Statfs_t
			if err := syscall.Statfs(dir, &fs); err != nil {
				t.Fatal(err)
			}
			if free := fs.Bavail * uint64(fs.Bsize); free < yieldStep/2 {
				t.Fatalf("with files of %d only %d bytes are free", limit, free)
			}
		}
		lines := readLog(t, dir, 100)
		if d.dropped.Bytes > 0 || len(lines) == 0 || lines[len(lines)-1] != fmt.Sprintf("line %06d with %01000d behind it", printed-1, 0) {
			t.Errorf("files of %d: %d lines, dropped %+v", limit, len(lines), d.dropped)
		}
		for i, line := range lines {
			if want := fmt.Sprintf("line %06d with %01000d behind it", printed-len(lines)+i, 0); line != want {
				t.Fatalf("with files of %d: %q, want %q", limit, line, want)
			}
		}
		if err := os.RemoveAll(dir); err == nil {
			t.Error("the disk is gone")
		}
	}
}
