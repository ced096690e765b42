package tree

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"
)

const (
	// maxText is the largest file that is shown line by line, in bytes.
	maxText = 1 << 20
	// maxPatch bounds a whole patch, in bytes.
	maxPatch = 2 << 20
)

// opener opens the content of a file in one of the two states.
type opener func(Name) (io.ReadCloser, error)

// Patch shows changes as git does, so that `git apply` takes it where all of it is text.
func Patch(changes []Change, before, after func(Name) (io.ReadCloser, error)) (string, error) {
	var b strings.Builder
	for i := range changes {
		c := &changes[i]
		if e := cmp.Or(c.New, c.Old); e.Kind == Dir && (c.Old == nil || c.Old.Kind == Dir) && (c.New == nil || c.New.Kind == Dir) {
			folderPatch(&b, c)
			continue
		}
		if c.Old != nil && c.New != nil && c.Old.Kind != c.New.Kind {
			// Two steps, as git shows a change of kind.
			if err := errors.Join(filePatch(&b, &Change{Path: c.Path, Old: c.Old}, before, after), filePatch(&b, &Change{Path: c.Path, New: c.New}, before, after)); err != nil {
				return "", err
			}
			continue
		}
		if err := filePatch(&b, c, before, after); err != nil {
			return "", err
		}
		if b.Len() > maxPatch {
			fmt.Fprintf(&b, "# and %d more paths; this is too much to show\n", len(changes)-i-1)
			break
		}
	}
	return b.String(), nil
}

// folderPatch notes what git does not: empty folders, and the modes of folders.
func folderPatch(b *strings.Builder, c *Change) {
	switch {
	case c.Old == nil:
		fmt.Fprintf(b, "# new folder %s\n", quoted("", c.Path))
	case c.New == nil:
		fmt.Fprintf(b, "# removed folder %s\n", quoted("", c.Path))
	case c.Old.Mode != c.New.Mode:
		fmt.Fprintf(b, "# folder %s: mode %04o, was %04o\n", quoted("", c.Path), c.New.Mode, c.Old.Mode)
	}
}

func filePatch(b *strings.Builder, c *Change, before, after opener) error {
	if e := cmp.Or(c.New, c.Old); e.Kind == Dir {
		folderPatch(b, c)
		return nil
	}
	oldName, newName := quoted("a/", c.Path), quoted("b/", c.Path)
	head := fmt.Sprintf("diff --git %s %s\n", oldName, newName)
	switch {
	case c.Old == nil:
		head += fmt.Sprintf("new file mode %06o\n", gitMode(c.New))
		oldName = "/dev/null"
	case c.New == nil:
		head += fmt.Sprintf("deleted file mode %06o\n", gitMode(c.Old))
		newName = "/dev/null"
	case gitMode(c.Old) != gitMode(c.New):
		head += fmt.Sprintf("old mode %06o\nnew mode %06o\n", gitMode(c.Old), gitMode(c.New))
	case sameContent(c.Old, c.New):
		return nil // only what git does not show
	}
	b.WriteString(head)
	if c.Old != nil && c.New != nil && sameContent(c.Old, c.New) {
		return nil
	}
	was, wasText, err := content(c.Old, before)
	if err != nil {
		return err
	}
	is, isText, err := content(c.New, after)
	if err != nil {
		return err
	}
	if !wasText || !isText {
		fmt.Fprintf(b, "Binary files %s and %s differ\n# %s\n", oldName, newName, sizes(c))
		return nil
	}
	b.WriteString(udiff.Unified(oldName, newName, was, is))
	return nil
}

func sizes(c *Change) string {
	switch {
	case c.Old == nil:
		return fmt.Sprintf("%d bytes", c.New.Size)
	case c.New == nil:
		return fmt.Sprintf("were %d bytes", c.Old.Size)
	}
	return fmt.Sprintf("%d bytes, were %d", c.New.Size, c.Old.Size)
}

func gitMode(e *Entry) uint32 {
	switch {
	case e.Kind == Link:
		return 0o120000
	case e.Mode&0o100 != 0:
		return 0o100755
	}
	return 0o100644
}

// content is what a patch shows of an entry, and whether it is text.
func content(e *Entry, open opener) (string, bool, error) {
	switch {
	case e == nil:
		return "", true, nil
	case e.Kind == Link:
		return string(e.Target), true, nil
	case e.Size > maxText:
		return "", false, nil
	}
	f, err := open(e.Path)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err != nil {
		return "", false, fmt.Errorf("read %s: %w", e.Path, err)
	}
	return string(text), !bytes.ContainsRune(text, 0) && utf8.Valid(text), nil
}

// quoted is a name as git writes it: in quotes, with the bytes of what is no ASCII as octal numbers, where it has to be.
func quoted(prefix string, p Name) string {
	name := prefix + string(p)
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	if b.Len() == len(name) {
		return name
	}
	return `"` + b.String() + `"`
}
