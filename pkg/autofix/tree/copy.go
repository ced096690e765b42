package tree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Owner is whom files belong to.
type Owner struct{ UID, GID int }

// Unreadable returns what tells of an entry whether its modes keep the owner out: of the file, or of a folder around it. Groups
// beside the owner's own do not count, as an agent is not in them either.
func (b *Backup) Unreadable(owner Owner) func(*Entry) bool {
	may := func(e *Entry, want uint32) bool {
		switch {
		case e.UID == owner.UID:
			want <<= 6
		case e.GID == owner.GID:
			want <<= 3
		}
		return e.Mode&want == want
	}
	return func(e *Entry) bool {
		if e.Kind == File && !may(e, 4) {
			return true
		}
		for p := e.Path; p != "."; {
			p = parent(p)
			if above := b.Find(p); above != nil && !may(above, 1) {
				return true
			}
		}
		return false
	}
}

// CopyTo copies the backup into dir, an empty folder, with modes, for somebody to work on: owner, or, when that is nil, whoever owns
// the files. What hide names is left out, as it may hold secrets. It returns the state of the copy.
func (b *Backup) CopyTo(ctx context.Context, dir string, owner *Owner, hide func(*Entry) bool) (*Snapshot, error) {
	root, err := openFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", b.Folder, err)
	}
	defer root.Close() //nolint:errcheck // its files are closed one by one
	out := &Snapshot{Skipped: b.Skipped}
	for i := range b.Entries {
		e := b.Entries[i]
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if e.Path != "." && e.Kind != Dir && hide != nil && hide(&e) {
			continue
		}
		if owner != nil {
			e.UID, e.GID = owner.UID, owner.GID
			e.Mode &^= 0o6000 // nobody is lent another's rights
		}
		if e.Hard != "" && out.Find(e.Hard) == nil {
			e.Hard = "" // its first name is hidden, or this is the first
		}
		if err := b.copyOne(root, &e); err != nil {
			return nil, fmt.Errorf("copy %s: %w", e.Path, err)
		}
		out.Entries = append(out.Entries, e)
		out.Bytes += e.Size
	}
	for i := range slices.Backward(out.Entries) {
		if e := &out.Entries[i]; e.Kind == Dir {
			if err := describeFolder(root, e, true); err != nil {
				return nil, fmt.Errorf("copy %s: %w", e.Path, err)
			}
		}
	}
	return scan(ctx, root, skipsOf(out), out, Limits{Bytes: out.Bytes + 1, Entries: len(out.Entries) + 1}, nil)
}

func (b *Backup) copyOne(root *os.Root, e *Entry) error {
	switch {
	case e.Path == ".":
		return nil
	case e.Kind == Dir:
		return root.Mkdir(string(e.Path), 0o700)
	case e.Kind == Link:
		return errors.Join(root.Symlink(string(e.Target), string(e.Path)), own(root, string(e.Path), e))
	case e.Hard != "":
		return root.Link(string(e.Hard), string(e.Path))
	}
	from, err := b.Content(e.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := root.OpenFile(string(e.Path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, _, err = digest(f, from); err == nil {
		err = describe(f, e)
	}
	return errors.Join(err, f.Close())
}
