package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds how many symbolic links are followed, as the kernel does.
const maxLinks = 40

// Resolve returns a folder's path without links. Where we are root, a link that somebody else has made counts only when it leads
// to a folder of that user's own: who owns a folder around it could else have us read and change what is not theirs.
func Resolve(dir string) (string, error) {
	if os.Geteuid() != 0 {
		return filepath.EvalSymlinks(dir)
	}
	var makers []uint32
	fd, path, err := walkTo(dir, func(uid uint32) bool { makers = append(makers, uid); return true })
	if err != nil {
		return "", err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only looked at
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	for _, uid := range makers {
		if uid != 0 && uid != st.Uid {
			return "", fmt.Errorf("%s leads to %s by a link that user %d has made, whose that folder is not; write its own path", dir, path, uid)
		}
	}
	return path, nil
}

// openFolder opens a folder whose path was resolved. Where we are root it follows only links that root has made: one of somebody
// else is a folder that was exchanged since.
func openFolder(dir string) (*os.Root, error) {
	if os.Geteuid() != 0 {
		return os.OpenRoot(dir)
	}
	fd, _, err := walkTo(dir, func(uid uint32) bool { return uid == 0 })
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only looked at
	return os.OpenRoot("/proc/self/fd/" + strconv.Itoa(fd))
}

// walkTo walks to a folder name by name, so that nothing can be exchanged behind us. follow is asked about each link, by its owner.
// It returns the folder, open for nothing but to name it, and its path without links.
func walkTo(dir string, follow func(uid uint32) bool) (at int, path string, err error) {
	if !filepath.IsAbs(dir) {
		return -1, "", fmt.Errorf("%q is not an absolute path", dir)
	}
	open := func(from int, name string) (int, error) {
		return unix.Openat(from, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	if at, err = open(unix.AT_FDCWD, "/"); err != nil {
		return -1, "", fmt.Errorf("open /: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(&os.PathError{Op: "open", Path: dir, Err: err}, unix.Close(at))
			at, path = -1, ""
		}
	}()
	path = "/"
	rest, links := strings.Split(dir, "/"), 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next, err := open(at, name)
		if err != nil {
			return at, path, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(next, &st); err != nil {
			return at, path, errors.Join(err, unix.Close(next))
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			_ = unix.Close(at) // it was only looked at
			at, path = next, filepath.Join(path, name)
			continue
		}
		target, err := readLink(next)
		if err := errors.Join(err, unix.Close(next)); err != nil {
			return at, path, err
		}
		if links++; links > maxLinks {
			return at, path, unix.ELOOP
		}
		if !follow(st.Uid) {
			return at, path, fmt.Errorf("%w: %s is a link, made by user %d", ErrChanged, filepath.Join(path, name), st.Uid)
		}
		if filepath.IsAbs(target) {
			top, err := open(unix.AT_FDCWD, "/")
			if err != nil {
				return at, path, err
			}
			_ = unix.Close(at) // it was only looked at
			at, path = top, "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return at, path, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return at, path, unix.ENOTDIR
	}
	return at, path, nil
}

// readLink returns where an open link leads.
func readLink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
