package tree

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	indexName    = "index.json"
	filesName    = "files"
	partPrefix   = ".part-"
	stampLayout  = "20060102T150405.000000Z"
	maxIndexSize = 256 << 20
)

// Backup is a copy of a folder as it was.
//
// Its files lie below PATH/files under their own names, for people who want to look or to copy by hand; modes, owners, links and
// what else a copy cannot show are in PATH/index.json.
type Backup struct {
	Path   string `json:"-"`
	Folder string `json:"folder"`
	// Time is when it was taken.
	Time time.Time `json:"time"`
	// Note is for people: what it was taken for.
	Note string `json:"note,omitempty"`
	Snapshot
}

// Take copies a folder into a new folder below dir, named by the time. What is the same as in an earlier backup of the folder (or
// nil) is shared with it. When it fails nothing is left of it.
func Take(ctx context.Context, folder, dir, note string, earlier *Backup, limits Limits) (_ *Backup, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("back up %s: %w", folder, err)
	}
	now := time.Now().UTC()
	b := &Backup{Path: filepath.Join(dir, now.Format(stampLayout)), Folder: folder, Time: now, Note: note}
	part := filepath.Join(dir, partPrefix+filepath.Base(b.Path))
	if err := os.MkdirAll(filepath.Join(part, filesName), 0o700); err != nil {
		return nil, fmt.Errorf("back up %s: %w", folder, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("back up %s: %w", folder, err), os.RemoveAll(part))
		}
	}()
	if err := b.fill(ctx, part, earlier, limits); err != nil {
		return nil, err
	}
	index, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(part, indexName), index, 0o600); err != nil {
		return nil, err
	}
	if err := syncFS(part); err != nil {
		return nil, err
	}
	if err := os.Rename(part, b.Path); err != nil {
		return nil, err
	}
	return b, syncFS(dir)
}

// fill copies the files.
func (b *Backup) fill(ctx context.Context, part string, earlier *Backup, limits Limits) error {
	from, err := openFolder(b.Folder)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // it was only read
	to, err := os.OpenRoot(filepath.Join(part, filesName))
	if err != nil {
		return err
	}
	defer to.Close() //nolint:errcheck // its files are closed one by one
	var known *Snapshot
	if earlier != nil {
		known = &earlier.Snapshot
	}
	made := map[Name]bool{".": true}
	// What is skipped is decided anew: an earlier backup only saves work.
	snap, err := scan(ctx, from, skipsOf(nil), known, limits, func(e *Entry, f io.Reader) (string, int64, error) {
		if err := makeFolders(to, e.parent(), made); err != nil {
			return "", 0, err
		}
		if e.Sum != "" && earlier != nil {
			old := filepath.Join(earlier.Path, filesName, string(e.Path))
			if os.Link(old, filepath.Join(part, filesName, string(e.Path))) == nil {
				return e.Sum, e.Size, nil
			}
		}
		return copyInto(to, e, f)
	})
	if err != nil {
		return err
	}
	b.Snapshot = *snap
	for i := range snap.Entries {
		switch e := &snap.Entries[i]; e.Kind {
		case Dir:
			err = makeFolders(to, e.Path, made)
		case Link:
			if err = makeFolders(to, e.parent(), made); err == nil {
				err = to.Symlink(string(e.Target), string(e.Path))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func makeFolders(root *os.Root, p Name, made map[Name]bool) error {
	if made[p] {
		return nil
	}
	if err := makeFolders(root, parent(p), made); err != nil {
		return err
	}
	made[p] = true
	return root.Mkdir(string(p), 0o700)
}

// copyInto copies a file that nobody but us may read: whose it is and what it may do is in the index.
func copyInto(root *os.Root, e *Entry, from io.Reader) (string, int64, error) {
	f, err := root.OpenFile(string(e.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|goMode(e.Mode)&0o100)
	if err != nil {
		return "", 0, err
	}
	sum, size, err := digest(f, from)
	return sum, size, errors.Join(err, f.Close())
}

// Open reads a backup's index.
func Open(path string) (*Backup, error) {
	f, err := os.Open(filepath.Join(path, indexName))
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIndexSize))
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	b := &Backup{}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(b); err != nil {
		return nil, fmt.Errorf("open backup: %s: %w", f.Name(), err)
	}
	b.Path = path
	return b, nil
}

// Content opens a file of the backup.
func (b *Backup) Content(p Name) (io.ReadCloser, error) {
	root, err := os.OpenRoot(filepath.Join(b.Path, filesName))
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	defer root.Close() //nolint:errcheck // what it has opened stays open
	f, _, err := openFile(root, p)
	if err != nil {
		return nil, fmt.Errorf("read backup %s: %w", b.Path, err)
	}
	return f, nil
}

// Remove deletes the backup.
func (b *Backup) Remove() error { return os.RemoveAll(b.Path) }

// List returns the paths of all backups below dir, the oldest first.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	var out []string
	for _, e := range entries {
		if _, err := time.Parse(stampLayout, e.Name()); err == nil && e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, nil
}

// Prune deletes all but the newest keep backups below dir, except for those that spare names, and what crashes have left of
// unfinished ones. Nobody may be taking one meanwhile.
func Prune(dir string, keep int, spare func(path string) bool) error {
	list, err := List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for i, path := range list {
		if i < len(list)-keep && (spare == nil || !spare(path)) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partPrefix) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(append(errs, err)...)
}

// syncFS waits until everything of the file system that path is on has reached the disk: one call instead of one for each file.
func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
