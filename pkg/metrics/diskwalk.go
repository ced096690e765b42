package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// inode names a file on a machine.
type inode struct{ dev, ino uint64 }

// walk adds up what folders take on disk. A folder that lies in another, or is named twice, counts once.
type walk struct {
	ctx    context.Context
	budget int64
	disk   Disk
	links  map[inode]struct{} // files with more than one name
	roots  map[inode]struct{} // watched folders that were walked
}

// walkDirs walks folders until ctx ends or more than budget files and folders were met. A folder that is missing counts as
// unreadable; only the end of ctx is an error.
func walkDirs(ctx context.Context, dirs []string, budget int64) (Disk, error) {
	began := time.Now()
	w := &walk{ctx: ctx, budget: budget, links: make(map[inode]struct{}), roots: make(map[inode]struct{})}
	for _, dir := range outermost(dirs) {
		if err := w.root(dir); err != nil {
			return Disk{}, err
		}
	}
	w.disk.At = time.Now()
	w.disk.Took = w.disk.At.Sub(began)
	return w.disk, nil
}

// outermost resolves the folders' own symbolic links, which a user may well have put there, and drops those inside others.
func outermost(dirs []string) []string {
	real := make([]string, 0, len(dirs))
	for _, d := range dirs {
		if r, err := filepath.EvalSymlinks(d); err == nil {
			d = r
		}
		real = append(real, filepath.Clean(d))
	}
	var out []string
	for i, d := range real {
		inside := false
		for j, o := range real {
			rel, err := filepath.Rel(o, d)
			if i != j && err == nil && filepath.IsLocal(rel) && (rel != "." || j < i) {
				inside = true
				break
			}
		}
		if !inside {
			out = append(out, d)
		}
	}
	return out
}

func (w *walk) root(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		w.disk.Unreadable++
		return nil
	}
	id := inode{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is 32 bits wide on some architectures
	if _, again := w.roots[id]; again {
		return nil
	}
	w.roots[id] = struct{}{}
	w.disk.Files++
	w.disk.Bytes += st.Blocks * 512
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	// Names are opened below this folder and never through a link or a mount, also when one is put there during the walk.
	base, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		w.disk.Unreadable++
		return nil
	}
	defer func() { _ = unix.Close(base) }()

	pending := []string{"."}
	for len(pending) > 0 && !w.disk.Truncated {
		rel := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if pending, err = w.folder(base, rel, id.dev, pending); err != nil {
			return err
		}
	}
	return nil
}

// folder counts what is in one folder and adds its subfolders to those that are pending.
func (w *walk) folder(base int, rel string, dev uint64, pending []string) ([]string, error) {
	f, err := openBelow(base, rel)
	if err != nil {
		if !errors.Is(err, unix.ENOENT) { // gone since it was listed
			w.disk.Unreadable++
		}
		return pending, nil
	}
	defer func() { _ = f.Close() }()
	for {
		if err := w.ctx.Err(); err != nil {
			return nil, fmt.Errorf("walk watched folders: %w", err)
		}
		names, err := f.Readdirnames(512)
		for _, name := range names {
			var st unix.Stat_t
			if unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || uint64(st.Dev) != dev { //nolint:unconvert // as above
				continue // gone, or the root of another filesystem
			}
			if w.disk.Files >= w.budget {
				w.disk.Truncated = true
				return nil, nil
			}
			isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
			if !isDir && st.Nlink > 1 {
				id := inode{dev, st.Ino}
				if _, again := w.links[id]; again {
					continue
				}
				w.links[id] = struct{}{}
			}
			w.disk.Files++
			w.disk.Bytes += st.Blocks * 512
			if isDir {
				pending = append(pending, filepath.Join(rel, name))
			}
		}
		if errors.Is(err, io.EOF) {
			return pending, nil
		}
		if err != nil {
			w.disk.Unreadable++
			return pending, nil
		}
	}
}

// openBelow opens a folder below base through neither symbolic links nor mounts. Where openat2 is missing or forbidden (by
// an old seccomp filter), only the last part of the path is guarded.
func openBelow(base int, rel string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Openat2(base, rel, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		fd, err = ignoringEINTR(func() (int, error) { return unix.Openat(base, rel, flags, 0) })
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), rel), nil
}
