package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// defaultMaxBytes is where a log file is rotated when the spec does not say.
	defaultMaxBytes = 10 << 20
	// recheck is how often, while lines are written, a log file is compared with what is at its path, and how long a
	// full disk is left alone.
	recheck = time.Second
)

// logFile is one growing file and its rotated predecessors. All streams that write to a path share it, so that there is
// one writer even while two runs overlap. It is opened at the first line.
type logFile struct {
	path string

	refs    int // guarded by logFiles.mu
	max     atomic.Int64
	backups atomic.Int64

	mu       sync.Mutex
	fd       int // -1 while not open
	dev, ino uint64
	size     int64
	midLine  bool    // the file's last byte is not a newline
	owner    *stream // who wrote that unfinished line
	checked  time.Time
	grown    int64 // since the last look at the disk
	full     bool  // there was no room for something
	replay   int64 // so much of what is written next is in the file already: see stream.recover
}

// logFiles are the open log files by path.
type logFiles struct {
	mu    sync.Mutex
	files map[string]*logFile
}

func (l *logFiles) get(spec process.LogSpec, name string) *logFile {
	path := filepath.Join(spec.Dir, name+".log")
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[path]
	if f == nil {
		f = &logFile{path: path, fd: -1}
		l.files[path] = f
	}
	f.refs++
	limit := spec.MaxBytes
	if limit <= 0 {
		limit = defaultMaxBytes
	}
	f.max.Store(limit) // the newest run's word holds
	f.backups.Store(int64(spec.Backups))
	return f
}

func (l *logFiles) put(f *logFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.refs--; f.refs > 0 {
		return
	}
	delete(l.files, f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeLocked()
}

func (f *logFile) closeLocked() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd) // written without buffer: nothing can be lost here
		f.fd = -1
	}
}

// readyLocked makes sure that the file is open and still the one at its path.
func (f *logFile) readyLocked(now time.Time) error {
	if f.fd >= 0 {
		if now.Sub(f.checked) < recheck {
			return nil
		}
		f.checked = now
		var st unix.Stat_t
		if err := unix.Stat(f.path, &st); err == nil && st.Dev == f.dev && st.Ino == f.ino {
			f.size = st.Size // somebody may have truncated it
			return nil
		}
		f.closeLocked()
	}
	return f.openLocked(now)
}

func (f *logFile) openLocked(now time.Time) error {
	// O_NONBLOCK: should somebody have put a FIFO there, we do not wait for its reader.
	const flags = unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := unix.Open(f.path, flags, 0o640)
	if err == unix.ENOENT { // the folder was removed
		if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
			return fmt.Errorf("make log folder: %w", err)
		}
		fd, err = unix.Open(f.path, flags, 0o640)
	}
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return err
	}
	f.fd, f.dev, f.ino, f.size, f.checked = fd, st.Dev, st.Ino, st.Size, now
	f.midLine, f.owner = f.endsMidLine(), nil
	return nil
}

// endsMidLine looks at the last byte: a keeper that was killed may have left an unfinished line.
func (f *logFile) endsMidLine() bool {
	if f.size == 0 {
		return false
	}
	file, err := os.Open(f.path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	var last [1]byte
	if _, err := file.ReadAt(last[:], f.size-1); err != nil {
		return false
	}
	return last[0] != '\n'
}

// writeLocked writes whole and unfinished lines. What it returns was written; with an error the rest was not.
func (f *logFile) writeLocked(p []byte) (int, error) {
	written := 0
	if f.replay > 0 && len(p) > 0 {
		written = int(min(f.replay, int64(len(p))))
		f.replay -= int64(written)
		f.size += int64(written)
		f.midLine = p[written-1] != '\n'
	}
	for written < len(p) {
		n, err := unix.Write(f.fd, p[written:])
		if n > 0 {
			written += n
			f.size += int64(n)
			f.grown += int64(n)
			f.midLine = p[written-1] != '\n'
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return written, err
		}
	}
	return written, nil
}

// truncateLocked takes back the end of what was just written.
func (f *logFile) truncateLocked(size int64) bool {
	for {
		err := unix.Ftruncate(f.fd, size)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			f.size = size
		}
		return err == nil
	}
}

// rotateLocked moves FILE to FILE.1, FILE.1 to FILE.2 and so on, and drops the oldest. It is called between two lines. When
// the file cannot be moved it is written on, and the next attempt comes after recheck.
func (f *logFile) rotateLocked(now time.Time) error {
	if f.replay > 0 {
		return nil // more was written behind this place: it could not be moved then
	}
	var err error
	backups := int(f.backups.Load())
	if backups <= 0 {
		err = unix.Unlink(f.path)
	} else {
		for i := backups; i > 1; i-- {
			err := unix.Rename(f.path+"."+strconv.Itoa(i-1), f.path+"."+strconv.Itoa(i))
			if err != nil && err != unix.ENOENT {
				return err
			}
		}
		err = unix.Rename(f.path, f.path+".1")
	}
	if err != nil && err != unix.ENOENT {
		return err
	}
	f.closeLocked()
	return f.openLocked(now)
}

// errnoText is the kernel's plain word for an error, such as "no space left on device".
func errnoText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
