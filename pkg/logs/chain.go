package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// headLen is how much of a file's beginning is remembered, to know it again. The time in it is unique in practice.
	headLen = 64
	// maxRotated bounds the search for rotated files.
	maxRotated = 10000
)

// identity names a file while it exists. Its number may be given to another later; the head tells them apart.
type identity struct{ dev, ino uint64 }

// knownFile is a place in a file that the database knows.
type knownFile struct {
	row int64 // in the database; 0 while it is not there
	identity
	head []byte
	off  int64
}

// logFile is an open file of a chain.
type logFile struct {
	knownFile       // off is what is committed
	next      int64 // what will be, when the present round is committed
	f         *os.File
	saved     bool // the database has this very position
	unlinked  bool
}

// openLogFile opens a file of a chain. It gives fs.ErrNotExist when there is none.
func openLogFile(path string) (*logFile, error) {
	// O_NONBLOCK: should somebody have put a FIFO there, its writer is not waited for.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	id, info, err := identify(f.Stat())
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file: %w", path, os.ErrInvalid)
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, err
	}
	l := &logFile{f: f, knownFile: knownFile{identity: id}}
	if l.head, err = l.readHead(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func identify(info os.FileInfo, err error) (identity, os.FileInfo, error) {
	if err != nil {
		return identity{}, nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, nil, fmt.Errorf("tell which file %s is: %w", info.Name(), errors.ErrUnsupported)
	}
	return identity{dev: st.Dev, ino: st.Ino}, info, nil
}

// nlink is how many names a file has; none when it was deleted.
func nlink(info os.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Nlink
	}
	return 1
}

func (l *logFile) close() { _ = l.f.Close() } // it was only read

func (l *logFile) readHead() ([]byte, error) {
	buf := make([]byte, headLen)
	n, err := l.f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf[:n], nil
}

// size looks whether the file is still what it was and returns its length. A file that was emptied and written anew is read
// from its beginning; of one that was cut everything that is left has been read.
func (l *logFile) size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(l.f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("look at log: %w", err)
	}
	l.unlinked = st.Nlink == 0
	var buf [headLen]byte
	n, err := unix.Pread(int(l.f.Fd()), buf[:], 0)
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	head := buf[:n]
	switch {
	case n > 0 && bytes.HasPrefix(head, l.head):
		if st.Size < l.off {
			l.moveTo(st.Size)
		}
	case n >= prefixLen && bytes.HasPrefix(l.head, head): // cut within its first line
		l.moveTo(min(l.off, st.Size))
		l.head = bytes.Clone(head)
		l.saved = false
	default:
		l.moveTo(0)
	}
	if len(head) > len(l.head) || l.off == 0 && !bytes.Equal(head, l.head) {
		l.head = bytes.Clone(head)
		l.saved = false
	}
	return st.Size, nil
}

// unsaved reports whether the database has to be told of the file. One that is empty is not worth it, unless it was not before.
func (l *logFile) unsaved() bool { return !l.saved && (len(l.head) > 0 || l.row != 0) }

func (l *logFile) moveTo(off int64) {
	if l.off != off {
		l.off, l.next, l.saved = off, off, false
	}
}

// is reports whether a known place is in this file: same number and same beginning, or a beginning that is unique.
func (k *knownFile) is(l *logFile) bool {
	if len(k.head) == 0 || !bytes.HasPrefix(l.head, k.head) {
		return false
	}
	if k.identity == l.identity {
		return true
	}
	// The folder may have been moved to another disk or restored from a backup.
	var s stamps
	_, _, _, ok := s.parse(k.head)
	return ok && len(k.head) >= prefixLen
}

// openChain opens FILE, FILE.1, FILE.2 and so on, the newest first. Files may be renamed meanwhile, so it looks until it has
// seen the same twice.
func openChain(path string) ([]*logFile, error) {
	for try := 1; ; try++ {
		chain, err := walkChain(path)
		if err != nil {
			return nil, err
		}
		if try == 5 || stillChain(path, chain) {
			return chain, nil
		}
		closeAll(chain)
	}
}

func closeAll(files []*logFile) {
	for _, l := range files {
		l.close()
	}
}

// chainName is the path of a file of a chain; 0 is the one that grows.
func chainName(path string, index int) string {
	if index == 0 {
		return path
	}
	return path + "." + strconv.Itoa(index)
}

func walkChain(path string) ([]*logFile, error) {
	var chain []*logFile
	// From the newest to the oldest: a file that is renamed meanwhile is met twice rather than never.
	for i, missing := 0, 0; i < maxRotated && missing < 3; i++ {
		l, err := openLogFile(chainName(path, i))
		switch {
		case errors.Is(err, os.ErrNotExist):
			missing++ // the chain has a hole while it is being moved
			continue
		case errors.Is(err, os.ErrInvalid):
			continue
		case err != nil:
			closeAll(chain)
			return nil, fmt.Errorf("open log: %w", err)
		}
		missing = 0
		if indexOf(chain, l.identity) >= 0 {
			l.close()
			continue
		}
		chain = append(chain, l)
	}
	return chain, nil
}

func indexOf(files []*logFile, id identity) int {
	for i, l := range files {
		if l.identity == id {
			return i
		}
	}
	return -1
}

// stillChain looks whether the paths still lead to the same files.
func stillChain(path string, chain []*logFile) bool {
	n := 0
	for i, missing := 0, 0; i < maxRotated && missing < 3; i++ {
		id, info, err := identify(os.Stat(chainName(path, i)))
		if err != nil {
			missing++
			continue
		}
		missing = 0
		if !info.Mode().IsRegular() {
			continue
		}
		if n >= len(chain) || chain[n].identity != id {
			return false
		}
		n++
	}
	return n == len(chain)
}
