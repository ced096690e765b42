package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrTooLarge says that a folder holds more than may be kept.
var ErrTooLarge = errors.New("the folder is too large")

// Limits bound what is kept of a folder. Zero means the default.
type Limits struct {
	Bytes   int64 // default 1 GiB
	Entries int   // default 200,000
}

func (l Limits) orDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 30
	}
	if l.Entries == 0 {
		l.Entries = 200_000
	}
	return l
}

// Scan looks at a folder. known is an earlier state of the same folder, or nil: it decides what stays where it is, and files that
// were not touched since are not read again.
func Scan(ctx context.Context, folder string, known *Snapshot, limits Limits) (*Snapshot, error) {
	root, err := openFolder(folder)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", folder, err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	return scan(ctx, root, skipsOf(known), known, limits, nil)
}

// visitor is given each file with its content, and may replace the way that it is read: it returns the content's sum.
type visitor func(e *Entry, f io.Reader) (sum string, size int64, err error)

// walk is one look at a folder.
type walk struct {
	ctx    context.Context //nolint:containedctx // a walk is one call
	root   *os.Root
	limits Limits
	skips  skips
	known  *Snapshot
	visit  visitor
	device uint64
	first  map[uint64]Name // first path of each inode that has several
	out    *Snapshot
}

func scan(ctx context.Context, root *os.Root, skip skips, known *Snapshot, limits Limits, visit visitor) (*Snapshot, error) {
	w := &walk{ctx: ctx, root: root, limits: limits.orDefaults(), skips: skip, known: known, visit: visit, first: map[uint64]Name{}, out: &Snapshot{}}
	top, info, err := w.open(".")
	if err != nil {
		return nil, err
	}
	w.device = stat(info).Dev
	if err := w.folder(".", top, info); err != nil {
		return nil, err
	}
	w.hardLinks()
	w.out.sort()
	return w.out, nil
}

func stat(info fs.FileInfo) *syscall.Stat_t {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &syscall.Stat_t{} // every FileInfo of os has one
	}
	return s
}

func (w *walk) open(p Name) (*os.File, fs.FileInfo, error) {
	f, err := w.root.OpenFile(string(p), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("look at %s: %w", p, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("look at %s: %w", p, err), f.Close())
	}
	return f, info, nil
}

// folder looks at an open folder and all that is in it, and closes it.
func (w *walk) folder(p Name, f *os.File, info fs.FileInfo) error {
	names, err := f.Readdirnames(-1)
	if err != nil {
		return errors.Join(fmt.Errorf("list %s: %w", p, err), f.Close())
	}
	slices.Sort(names)
	has := func(name string) bool { _, ok := slices.BinarySearch(names, name); return ok }
	if w.skips.marked(w.root, p, has) {
		w.out.Skipped = append(w.out.Skipped, p)
		return f.Close()
	}
	e := entryOf(p, info)
	e.Kind = Dir
	e.Attrs, err = readAttrs(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := w.add(e); err != nil {
		return err
	}
	for _, name := range names {
		if err := w.child(Name(path.Join(string(p), name)), name); err != nil {
			return err
		}
	}
	return nil
}

func entryOf(p Name, info fs.FileInfo) Entry {
	s := stat(info)
	return Entry{Path: p, Mode: unixMode(info.Mode()), UID: int(s.Uid), GID: int(s.Gid), Inode: s.Ino, Changed: s.Ctim.Nano()}
}

func (w *walk) add(e Entry) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	w.out.Bytes += e.Size
	w.out.Entries = append(w.out.Entries, e)
	switch {
	case w.out.Bytes > w.limits.Bytes:
		return fmt.Errorf("%w: its files hold more than %d bytes (reached at %s)", ErrTooLarge, w.limits.Bytes, e.Path)
	case len(w.out.Entries) > w.limits.Entries:
		return fmt.Errorf("%w: it has more than %d files and folders (reached at %s)", ErrTooLarge, w.limits.Entries, e.Path)
	}
	return nil
}

// child looks at one name in a folder.
func (w *walk) child(p Name, base string) error {
	info, err := w.root.Lstat(string(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went away between the list and the look
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", p, err)
	}
	skip := func() error { w.out.Skipped = append(w.out.Skipped, p); return nil }
	switch {
	case w.skips.name(p, base, info.IsDir()):
		return skip()
	case info.IsDir():
		if stat(info).Dev != w.device {
			return skip() // another file system is mounted here
		}
		f, info, err := w.open(p)
		if err != nil {
			return err
		}
		return w.folder(p, f, info)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := w.root.Readlink(string(p))
		if err != nil {
			return fmt.Errorf("read link %s: %w", p, err)
		}
		e := entryOf(p, info)
		e.Kind, e.Target, e.Mode = Link, Name(target), 0o777
		return w.add(e)
	case info.Mode().IsRegular():
		return w.file(p, info)
	}
	return skip() // a socket, a device, a pipe: there is no content to keep
}

func (w *walk) file(p Name, seen fs.FileInfo) error {
	if w.out.Bytes+seen.Size() > w.limits.Bytes {
		return fmt.Errorf("%w: its files hold more than %d bytes (reached at %s)", ErrTooLarge, w.limits.Bytes, p)
	}
	f, info, err := openFile(w.root, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	e := entryOf(p, info)
	e.Kind, e.ModTime = File, info.ModTime().UnixNano()
	if e.Attrs, err = readAttrs(f); err != nil {
		return err
	}
	if s := stat(info); s.Nlink > 1 {
		if _, ok := w.first[s.Ino]; !ok {
			w.first[s.Ino] = p
		}
		e.Hard = w.first[s.Ino]
	}
	e.Size = info.Size()
	if old := w.untouched(&e); old != nil {
		e.Sum = old.Sum
	}
	if w.visit != nil {
		e.Sum, e.Size, err = w.visit(&e, f)
	} else if e.Sum == "" {
		e.Sum, e.Size, err = digest(io.Discard, f)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", p, err)
	}
	return w.add(e)
}

// untouched is the known entry of a file that nobody has written to since.
func (w *walk) untouched(e *Entry) *Entry {
	if w.known == nil {
		return nil
	}
	old := w.known.Find(e.Path)
	if old == nil || old.Kind != File || old.Sum == "" || old.Inode != e.Inode || old.Changed != e.Changed || old.Size != e.Size || old.ModTime != e.ModTime {
		return nil
	}
	return old
}

// hardLinks forgets the links of files whose other names are all outside.
func (w *walk) hardLinks() {
	names := map[Name]int{}
	for i := range w.out.Entries {
		names[w.out.Entries[i].Hard]++
	}
	for i := range w.out.Entries {
		if names[w.out.Entries[i].Hard] < 2 {
			w.out.Entries[i].Hard = ""
		}
	}
}

// digest copies and returns the sum and the size of what was copied.
func digest(to io.Writer, from io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(to, h), from)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// openFile opens a regular file to read, whatever is put in its place meanwhile: no link is followed, no pipe waited for.
func openFile(root *os.Root, p Name) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(string(p), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", p, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no regular file any more")
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %s: %w", p, err), f.Close())
	}
	return f, info, nil
}
