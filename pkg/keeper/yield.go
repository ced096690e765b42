package keeper

import (
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// keepFree is how much of a disk a log leaves to everything else, in bytes; a quarter of a smaller disk.
	keepFree = 64 << 20
	// yieldStep is how much a log grows between two looks at the disk.
	yieldStep = 1 << 20
)

// yieldLocked makes room on a disk that is nearly full, out of what the log itself has taken: its oldest files go, and, while
// it floods, all but what comes. Logs that grow little are left alone: it is for them that there is room. It is called
// between two blocks.
func (f *logFile) yieldLocked(now time.Time) {
	if f.grown < yieldStep && !f.full || f.replay > 0 {
		return
	}
	flood, full := f.grown >= yieldStep, f.full
	f.grown, f.full = 0, false
	// Not until there is room: what was removed takes it up for as long as somebody reads it.
	for freed := int64(0); freed < 2*yieldStep && (full || f.scarceLocked()); {
		size, ok := f.dropOldestLocked()
		if !ok && (!flood || f.midLine || f.size < yieldStep || f.rotateLocked(now) != nil) {
			return
		}
		freed += size
	}
}

// scarceLocked tells whether the disk is nearly full.
func (f *logFile) scarceLocked() bool {
	var fs unix.Statfs_t
	if f.fd < 0 || unix.Fstatfs(f.fd, &fs) != nil {
		return false
	}
	return fs.Bavail*uint64(fs.Bsize) < min(keepFree, fs.Blocks*uint64(fs.Bsize)/4)
}

// dropOldestLocked removes the oldest of the rotated files, and tells its size; it is not ok when there is none.
func (f *logFile) dropOldestLocked() (size int64, ok bool) {
	for i := int(f.backups.Load()); i > 0; i-- {
		path := f.path + "." + strconv.Itoa(i)
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && unix.Unlink(path) == nil {
			return st.Size, true
		}
	}
	return 0, false
}
