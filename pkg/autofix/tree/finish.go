package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Recover finishes the change that a journal tells of. It returns the folder, and an error that is fs.ErrNotExist when there is no
// journal.
func Recover(path string) (folder string, err error) {
	j, err := readJournal(path)
	if err != nil {
		return "", err
	}
	root, err := openFolder(j.Folder)
	if err != nil {
		// Not wrapped: that the folder is gone does not mean that there is no journal.
		return j.Folder, fmt.Errorf("finish the change of %s: %v", j.Folder, err) //nolint:errorlint // see above
	}
	defer root.Close() //nolint:errcheck // its files are closed one by one
	return j.Folder, j.finish(root, path, func() {})
}

// finish does what has not been done yet of a change. Each step may have been done before.
func (j *journal) finish(root *os.Root, path string, step func()) error {
	for _, part := range []func(*os.Root, func()) error{j.unlock, j.remove, j.makeFolders, j.place, j.link, j.modes} {
		if err := part(root, step); err != nil {
			return fmt.Errorf("change %s: it is half done, and %s has what is needed to finish it: %w", j.Folder, path, err)
		}
	}
	step()
	if err := j.syncFolders(root); err != nil {
		return err
	}
	if err := dropStage(root, j.Stage); err != nil {
		return fmt.Errorf("change %s: it is done, but what it was made of stays: %w", j.Folder, err)
	}
	// The stage needed a writable folder.
	if err := j.mode(root, "."); err != nil {
		return err
	}
	step()
	return done(path)
}

// unlock lets us into folders that even their owner may not write to. Root is never kept out.
func (j *journal) unlock(root *os.Root, step func()) error {
	if os.Geteuid() == 0 {
		return nil
	}
	open := func(p Name) error {
		info, err := lstat(root, p)
		if gone(err) || err == nil && !info.IsDir() || err == nil && info.Mode().Perm()&0o700 == 0o700 {
			return nil
		}
		if err != nil {
			return err
		}
		step()
		return root.Chmod(string(p), info.Mode()|0o700)
	}
	for i := range j.Parents {
		if err := open(j.Parents[i].Path); err != nil {
			return err
		}
	}
	for i := range j.Changes {
		if c := &j.Changes[i]; c.Old != nil && c.Old.Kind == Dir || c.New != nil && c.New.Kind == Dir {
			if err := open(c.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove takes away what is gone or becomes of another kind, the innermost first.
func (j *journal) remove(root *os.Root, step func()) error {
	for i := range slices.Backward(j.Changes) {
		c := &j.Changes[i]
		if !c.replaces() {
			continue
		}
		info, err := lstat(root, c.Path)
		if gone(err) || err == nil && kindOf(info) != c.Old.Kind {
			continue // gone, or the new one is in its place
		}
		if err != nil {
			return err
		}
		step()
		err = root.Remove(string(c.Path))
		if c.Old.Kind == Dir && c.New == nil && (errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist)) {
			continue // what stays where it is lives in it, or something came meanwhile
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func kindOf(info fs.FileInfo) Kind {
	switch {
	case info.IsDir():
		return Dir
	case info.Mode()&fs.ModeSymlink != 0:
		return Link
	case info.Mode().IsRegular():
		return File
	}
	return ""
}

// makeFolders makes new folders, the outermost first.
func (j *journal) makeFolders(root *os.Root, step func()) error {
	for i := range j.Changes {
		c := &j.Changes[i]
		if c.New == nil || c.New.Kind != Dir || c.Path == "." {
			continue
		}
		step()
		if err := root.Mkdir(string(c.Path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// place moves what was prepared to where it belongs, and describes anew what keeps its content.
func (j *journal) place(root *os.Root, step func()) error {
	for i := range j.Changes {
		c := &j.Changes[i]
		switch {
		case c.New == nil || c.New.Kind == Dir:
			continue
		case c.metaOnly():
			step()
			if err := describeFile(root, c.New); err != nil {
				return err
			}
			continue
		case c.New.Kind == File && c.New.Hard != "" && c.New.Hard != c.Path:
			continue
		}
		if err := j.move(root, j.stagePath(i), c, step); err != nil {
			return err
		}
	}
	return nil
}

func (j *journal) move(root *os.Root, from string, c *Change, step func()) error {
	step()
	err := root.Rename(from, string(c.Path))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, lookErr := look(root, c.Path)
	if lookErr == nil && now != nil && sameContent(now, c.New) {
		return nil // done before a crash
	}
	return errors.Join(fmt.Errorf("what was prepared for %s is lost: %w", c.Path, err), lookErr)
}

// describeFile gives a file that stays its owner, mode, attributes and time.
func describeFile(root *os.Root, e *Entry) error {
	f, _, err := openFile(root, e.Path)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		// Not even its owner may read it; it is ours, so the mode can be given by name.
		return root.Chmod(string(e.Path), goMode(e.Mode))
	}
	if err != nil {
		return err
	}
	return errors.Join(describe(f, e), f.Close())
}

// link gives files their further names.
func (j *journal) link(root *os.Root, step func()) error {
	for i := range j.Changes {
		c := &j.Changes[i]
		if c.New == nil || c.New.Kind != File || c.New.Hard == "" || c.New.Hard == c.Path {
			continue
		}
		first, err := root.Lstat(string(c.New.Hard))
		if err != nil {
			return err
		}
		if now, err := root.Lstat(string(c.Path)); err == nil && os.SameFile(now, first) {
			continue
		}
		at := j.stagePath(i)
		step()
		if err := root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := root.Link(string(c.New.Hard), at); err != nil {
			return err
		}
		step()
		if err := root.Rename(at, string(c.Path)); err != nil {
			return err
		}
	}
	return nil
}

// modes describes folders when nothing is put into them any more, the innermost first: a folder may become one that nobody enters.
func (j *journal) modes(root *os.Root, step func()) error {
	var folders []*Entry
	for i := range j.Parents {
		folders = append(folders, &j.Parents[i])
	}
	for i := range j.Changes {
		if c := &j.Changes[i]; c.New != nil && c.New.Kind == Dir {
			folders = append(folders, c.New)
		}
	}
	slices.SortFunc(folders, func(a, b *Entry) int { return -comparePaths(a.Path, b.Path) })
	for _, e := range folders {
		if e.Path == "." {
			continue // when the stage is gone
		}
		step()
		if err := describeFolder(root, e, j.changed(e.Path)); err != nil {
			return err
		}
	}
	return nil
}

// syncFolders waits until every folder in which something was put or removed is on the disk.
func (j *journal) syncFolders(root *os.Root) error {
	seen := map[Name]bool{}
	for i := range j.Changes {
		p := parent(j.Changes[i].Path)
		if seen[p] {
			continue
		}
		seen[p] = true
		info, err := lstat(root, p)
		if gone(err) || err == nil && !info.IsDir() {
			continue // it went with what was in it
		}
		if err != nil {
			return err
		}
		d, err := root.OpenFile(string(p), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if gone(err) || errors.Is(err, fs.ErrPermission) {
			continue // nobody may look; the journal's own sync has to do
		}
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", p, err)
		}
	}
	return nil
}

func (j *journal) changed(p Name) bool {
	_, ok := slices.BinarySearchFunc(j.Changes, p, func(c Change, p Name) int { return comparePaths(c.Path, p) })
	return ok
}

// mode describes one folder of the journal.
func (j *journal) mode(root *os.Root, p Name) error {
	for i := range j.Changes {
		if c := &j.Changes[i]; c.Path == p && c.New != nil {
			return describeFolder(root, c.New, true)
		}
	}
	for i := range j.Parents {
		if j.Parents[i].Path == p {
			return describeFolder(root, &j.Parents[i], false)
		}
	}
	return nil
}

// describeFolder gives a folder its mode, and, when it is one that changed, its owner and attributes.
func describeFolder(root *os.Root, e *Entry, all bool) error {
	f, err := root.OpenFile(string(e.Path), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
			return root.Chmod(string(e.Path), goMode(e.Mode))
		}
		return err
	}
	if all {
		return errors.Join(describe(f, e), f.Close())
	}
	return errors.Join(f.Chmod(goMode(e.Mode)), f.Close())
}
