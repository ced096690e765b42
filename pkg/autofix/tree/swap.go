package tree

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrChanged says that a folder is not as it was when a change of it was prepared.
var ErrChanged = errors.New("it was changed meanwhile")

// Swap is one change of a folder, from one state to another.
type Swap struct {
	Folder  string
	Changes []Change
	// Content opens the new content of a file.
	Content func(Name) (io.ReadCloser, error)
	// Journal is where the change is written down, a file on a disk that survives.
	Journal string

	// step is called before each step; tests crash there.
	step func()
}

// Run makes the change. When it fails before the journal is written the folder is as it was; after that it is finished, by Run
// or, when that could not, by Recover. It fails with ErrChanged when a path is not as Changes say that it was.
func (s *Swap) Run(ctx context.Context) error {
	if len(s.Changes) == 0 {
		return nil
	}
	if s.step == nil {
		s.step = func() {}
	}
	if err := s.makeFolder(); err != nil {
		return err
	}
	root, err := openFolder(s.Folder)
	if err != nil {
		return fmt.Errorf("change %s: %w", s.Folder, err)
	}
	defer root.Close() //nolint:errcheck // its files are closed one by one
	j, err := s.stage(ctx, root)
	if err != nil {
		return fmt.Errorf("change %s: nothing was changed: %w", s.Folder, err)
	}
	s.step()
	if err := j.write(s.Journal); err != nil {
		return errors.Join(fmt.Errorf("change %s: nothing was changed: %w", s.Folder, err), dropStage(root, j.Stage))
	}
	return j.finish(root, s.Journal, s.step)
}

// makeFolder makes the folder itself, when it was deleted.
func (s *Swap) makeFolder() error {
	if s.Changes[0].Path != "." || s.Changes[0].Old != nil {
		return nil
	}
	above, err := openFolder(filepath.Dir(s.Folder))
	if err != nil {
		return fmt.Errorf("make %s again: %w", s.Folder, err)
	}
	defer above.Close() //nolint:errcheck // nothing of it is written
	if err := above.Mkdir(filepath.Base(s.Folder), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make %s again: %w", s.Folder, err)
	}
	return nil
}

// stage puts everything that is new into a folder beside the files.
func (s *Swap) stage(ctx context.Context, root *os.Root) (_ *journal, err error) {
	var id [6]byte
	_, _ = rand.Read(id[:]) //nolint:errcheck // it never fails
	j := &journal{Folder: s.Folder, Stage: Name(stagePrefix + hex.EncodeToString(id[:])), Changes: s.Changes}
	top, err := root.Lstat(".")
	if err != nil {
		return nil, err
	}
	unlocked := top.Mode().Perm()&0o300 == 0o300 || os.Geteuid() == 0
	if !unlocked {
		if err := root.Chmod(".", top.Mode()|0o700); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dropStage(root, j.Stage))
			if !unlocked {
				err = errors.Join(err, root.Chmod(".", top.Mode()))
			}
		}
	}()
	s.step()
	if err := root.Mkdir(string(j.Stage), 0o700); err != nil {
		return nil, err
	}
	for i := range s.Changes {
		s.step()
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := s.check(root, &s.Changes[i]); err != nil {
			return nil, err
		}
		if err := s.stageOne(root, j.stagePath(i), &s.Changes[i]); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", s.Changes[i].Path, err)
		}
	}
	if j.Parents, err = s.parents(root, top); err != nil {
		return nil, err
	}
	s.step()
	return j, syncDir(filepath.Join(s.Folder, string(j.Stage)))
}

func (j *journal) stagePath(i int) string { return path.Join(string(j.Stage), strconv.Itoa(i)) }

// check refuses when the path is not as it was.
func (s *Swap) check(root *os.Root, c *Change) error {
	if c.Path == "." && c.Old == nil {
		return nil // made a moment ago
	}
	now, err := look(root, c.Path)
	switch {
	case err != nil:
		return err
	case now == nil && c.Old == nil:
		return nil
	case now == nil || c.Old == nil || !sameContent(now, c.Old):
		return fmt.Errorf("%s: %w", c.Path, ErrChanged)
	}
	if c.Old.Kind == Dir && c.New != nil && c.New.Kind != Dir {
		return s.checkEmptied(root, c.Path)
	}
	return nil
}

// checkEmptied refuses to put a file in the place of a folder in which something is that stays.
func (s *Swap) checkEmptied(root *os.Root, p Name) error {
	d, err := root.Open(string(p))
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		inner := Name(path.Join(string(p), name))
		i, ok := slices.BinarySearchFunc(s.Changes, inner, func(c Change, p Name) int { return comparePaths(c.Path, p) })
		if !ok || s.Changes[i].New != nil {
			return fmt.Errorf("a folder cannot become a file: %s in it is not ours to remove; move it away", inner)
		}
		if s.Changes[i].Old.Kind == Dir {
			if err := s.checkEmptied(root, inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// lstat is root's, but that nothing is below a link: root would follow it to another place within the folder.
func lstat(root *os.Root, p Name) (fs.FileInfo, error) {
	if above := parent(p); above != "." {
		info, err := lstat(root, above)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, unix.ENOTDIR
		}
	}
	return root.Lstat(string(p))
}

// gone reports whether an error says that there is nothing at a path.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// look returns what is at a path, without its attributes; nil when there is nothing or what has no content.
func look(root *os.Root, p Name) (*Entry, error) {
	info, err := lstat(root, p)
	if gone(err) {
		return nil, nil //nolint:nilnil // nothing is there
	}
	if err != nil {
		return nil, err
	}
	e := entryOf(p, info)
	switch {
	case info.IsDir():
		e.Kind = Dir
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(string(p))
		if err != nil {
			return nil, err
		}
		e.Kind, e.Target, e.Mode = Link, Name(target), 0o777
	case info.Mode().IsRegular():
		f, _, err := openFile(root, p)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		e.Kind, e.ModTime = File, info.ModTime().UnixNano()
		if e.Sum, e.Size, err = digest(io.Discard, f); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%s: %w: it is a %s now", p, ErrChanged, info.Mode().Type())
	}
	return &e, nil
}

// stageOne prepares one path: its content, and all that is to be said about it.
func (s *Swap) stageOne(root *os.Root, at string, c *Change) error {
	switch e := c.New; {
	case e == nil || e.Kind == Dir || c.metaOnly():
		return nil
	case e.Kind == Link:
		if err := root.Symlink(string(e.Target), at); err != nil {
			return err
		}
		return own(root, at, e)
	case e.Hard != "" && e.Hard != e.Path:
		return nil // linked when the first name is in place
	default:
		return s.stageFile(root, at, e)
	}
}

func (s *Swap) stageFile(root *os.Root, at string, e *Entry) error {
	from, err := s.Content(e.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	sum, _, err := digest(f, from)
	if err == nil && sum != e.Sum {
		err = errors.New("its content is not the one that was noted; the copy is damaged")
	}
	if err == nil {
		err = errors.Join(describe(f, e), f.Sync())
	}
	return errors.Join(err, f.Close())
}

// own gives a link its owner.
func own(root *os.Root, at string, e *Entry) error {
	if os.Geteuid() != 0 {
		return nil // only root gives files away
	}
	return root.Lchown(at, e.UID, e.GID)
}

// describe gives an open file or folder its owner, mode, attributes and time. The owner comes first: a new one takes setuid away.
func describe(f *os.File, e *Entry) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if s := stat(info); int(s.Uid) != e.UID || int(s.Gid) != e.GID {
		if err := f.Chown(e.UID, e.GID); err != nil && os.Geteuid() == 0 {
			return err
		}
	}
	if err := writeAttrs(f, e.Attrs); err != nil {
		return err
	}
	if err := f.Chmod(goMode(e.Mode)); err != nil {
		return err
	}
	if e.Kind != File {
		return nil
	}
	t := unix.NsecToTimespec(e.ModTime)
	// The file behind the descriptor, whatever its name leads to by now.
	return unix.UtimesNanoAt(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())), []unix.Timespec{t, t}, 0)
}

// parents are the folders in which something changes and that are not changed themselves.
func (s *Swap) parents(root *os.Root, top fs.FileInfo) ([]Entry, error) {
	changed := map[Name]bool{}
	for i := range s.Changes {
		changed[s.Changes[i].Path] = true
	}
	var out []Entry
	for i := range s.Changes {
		for p := s.Changes[i].Path; p != "."; {
			p = parent(p)
			if changed[p] {
				continue
			}
			changed[p] = true
			if p == "." {
				e := entryOf(".", top)
				e.Kind = Dir
				out = append(out, e)
				continue
			}
			e, err := look(root, p)
			if err != nil {
				return nil, err
			}
			if e == nil || e.Kind != Dir {
				return nil, fmt.Errorf("%s: %w: it is no folder", p, ErrChanged)
			}
			out = append(out, *e)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	return out, nil
}

// Left returns those of changes that have not been made in a folder yet, and the paths that are neither as they were nor as they shall
// be.
func Left(folder string, changes []Change) (left []Change, strange []Name, err error) {
	root, err := openFolder(folder)
	if err != nil {
		return nil, nil, fmt.Errorf("look at %s: %w", folder, err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	is := func(now, e *Entry) bool {
		return now == nil && e == nil || now != nil && e != nil && sameContent(now, e)
	}
	for _, c := range changes {
		now, err := look(root, c.Path)
		switch {
		case errors.Is(err, ErrChanged):
			strange = append(strange, c.Path)
		case err != nil:
			return nil, nil, fmt.Errorf("look at %s: %w", c.Path, err)
		case is(now, c.Old):
			left = append(left, c)
		case !is(now, c.New):
			strange = append(strange, c.Path)
		}
	}
	return left, strange, nil
}

// dropStage removes what was prepared.
func dropStage(root *os.Root, stage Name) error {
	if !strings.HasPrefix(string(stage), stagePrefix) || strings.Contains(string(stage), "/") {
		return fmt.Errorf("%q is no folder of ours", stage)
	}
	return root.RemoveAll(string(stage))
}

// Sweep removes what a crash has left in a folder of a change that was never decided. Nobody may be changing it meanwhile.
func Sweep(folder string) error {
	found, err := filepath.Glob(filepath.Join(quoteGlob(folder), stagePrefix+"*"))
	if err != nil || len(found) == 0 {
		return err
	}
	root, err := openFolder(folder)
	if err != nil {
		return fmt.Errorf("sweep %s: %w", folder, err)
	}
	defer root.Close() //nolint:errcheck // nothing of it is written
	var errs []error
	for _, path := range found {
		errs = append(errs, dropStage(root, Name(filepath.Base(path))))
	}
	return errors.Join(errs...)
}

var globQuoter = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

func quoteGlob(path string) string { return globQuoter.Replace(path) }
