package manifest

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// quiet is how long a file that looks unfinished must be left alone before its faults are reported.
	quiet = 300 * time.Millisecond
	// settleCap bounds that for a file that keeps changing, its writer closing it in between.
	settleCap = 15 * time.Second
	// writerPoll is how often a file is looked at whose writer has it open, doubling up to writerPollMax.
	writerPoll    = 2 * time.Millisecond
	writerPollMax = 100 * time.Millisecond
	// secondLook is how long a file must be gone before it counts as deleted: git and careful editors remove and write.
	secondLook = 150 * time.Millisecond
)

// writing reports whether a process has the file open for writing. The kernel knows: it grants a read lease only when
// nobody has. known is false where no lease can be had (not our file, or a file system without leases).
func writing(path string) (busy, known bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(fd) // which lets go of the lease
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		return false, true
	case errors.Is(err, unix.EAGAIN):
		return true, true
	}
	return false, false
}

// unsettled is a changed file that may not be finished.
type unsettled struct {
	id          identity
	since, last time.Time     // of the first and the latest change that we saw
	poll        time.Duration // until the next look at a file whose writer has it open
}

// settle decides about a changed file. It returns the file when it can be taken now, else how long to wait for the next look.
func (w *Watcher) settle(f found, now time.Time) (*File, time.Duration) {
	u := w.unsettled[f.path]
	if u == nil {
		u = &unsettled{id: f.id, since: now, last: now, poll: writerPoll}
		w.unsettled[f.path] = u
	}
	if u.id != f.id {
		u.id, u.last = f.id, now
	}
	busy, known := writing(f.full)
	if busy {
		u.last = now
		u.poll = min(2*u.poll, writerPollMax)
		return nil, u.poll
	}
	file, err := read(f)
	if err != nil || file.id != f.id {
		// It changed under our eyes, or is gone: the next walk tells.
		return nil, writerPoll
	}
	finished := known && file.newline && file.valid() && len(file.Docs) > 0 || f.path == w.made
	left := quiet - now.Sub(u.last)
	if !finished && left > 0 && now.Sub(u.since) < settleCap {
		return nil, left
	}
	delete(w.unsettled, f.path)
	return file, 0
}

// statFile is the identity of any file; the zero identity when there is none.
func statFile(path string) identity {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}
	}
	return identify(info)
}
