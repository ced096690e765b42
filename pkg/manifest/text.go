package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Text is one manifest file as it lies on the disk.
type Text struct {
	// Path is relative to the root, with slashes.
	Path string
	Text []byte
	Size int64
	// Tag names the content: two files of the same tag say the same.
	Tag      string
	Modified time.Time
	// ReadOnly is why the file cannot be edited here; empty when it can.
	ReadOnly string
}

// Condition is what must be so for a file to be written.
type Condition struct {
	// Tag is that of the text which the caller has seen; empty for any.
	Tag string
	// New is true when there must not be a file.
	New bool
}

// ErrPath says that a path cannot be that of a manifest.
var ErrPath = errors.New("this is not the path of a manifest")

// ErrNoFile says that there is no such file.
var ErrNoFile = errors.New("there is no such manifest file")

// StaleError is an edit of a file that is not as the caller has seen it.
type StaleError struct {
	// Current is the file as it is now; nil when there is none.
	Current *Text
	Path    string
}

// Error implements error.
func (e *StaleError) Error() string {
	if e.Current == nil {
		return e.Path + " is not there any more; read the folder again"
	}
	return e.Path + " was changed since it was read; compare, and repeat the edit"
}

// Unwrap returns ErrStale.
func (e *StaleError) Unwrap() error { return ErrStale }

// Tag names a content.
func Tag(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// CheckPath tells whether a manifest may have this path: relative, with slashes, below the root, not hidden, *.yaml or *.yml.
func CheckPath(path string) error {
	parts := strings.Split(path, "/")
	name := parts[len(parts)-1]
	switch {
	case !fs.ValidPath(path) || path == "." || strings.ContainsAny(path, "\\\x00"):
		return fmt.Errorf("%w: %q; write a path below the manifest folder, such as services/web.yaml", ErrPath, path)
	case len(parts) > maxDepth:
		return fmt.Errorf("%w: %q is deeper than %d folders, which are not read", ErrPath, path, maxDepth)
	case Ignored(name):
		return fmt.Errorf("%w: %q; the name must end in .yaml or .yml, and not begin with a dot", ErrPath, path)
	case slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, ".") }):
		return fmt.Errorf("%w: %q; hidden folders are not read", ErrPath, path)
	case slices.ContainsFunc(parts, func(p string) bool { return strings.TrimSpace(p) != p || len(p) > 255 }):
		return fmt.Errorf("%w: %q; a name must not begin or end with a blank, or be longer than 255 bytes", ErrPath, path)
	}
	return nil
}

// ReadText returns one of the files that List finds.
func (e *Editor) ReadText(path string) (Text, error) {
	if err := CheckPath(path); err != nil {
		return Text{}, err
	}
	tree := list(e.root)
	for _, f := range tree.files {
		if f.path == path {
			return e.text(f)
		}
	}
	return Text{}, fmt.Errorf("%s: %w", path, ErrNoFile)
}

// Texts returns all files that List finds, without their content.
func (e *Editor) Texts() []Text {
	tree := list(e.root)
	out := make([]Text, 0, len(tree.files))
	for _, f := range tree.files {
		t, err := e.text(f)
		if err != nil {
			continue // gone since it was listed
		}
		t.Text = t.Text[:0:0]
		out = append(out, t)
	}
	return out
}

func (e *Editor) text(f found) (Text, error) {
	t := Text{Path: f.path}
	info, err := os.Stat(f.full)
	if err != nil {
		return t, fmt.Errorf("read %s: %w", f.path, cause(err))
	}
	if info.Size() > MaxFile {
		return t, fmt.Errorf("%s is larger than %d KiB; split it", f.path, MaxFile>>10)
	}
	if t.Text, err = os.ReadFile(f.full); err != nil {
		return t, fmt.Errorf("read %s: %w", f.path, cause(err))
	}
	t.Tag, t.Modified, t.Size = Tag(t.Text), info.ModTime(), int64(len(t.Text))
	if err := e.ours(f.path); err != nil {
		t.ReadOnly = err.Error()
	}
	return t, nil
}

// ours refuses files that do not lie in the manifest folder itself, but behind a link, and files that must not be written.
func (e *Editor) ours(path string) error {
	real, err := filepath.EvalSymlinks(e.root)
	if err != nil {
		return fmt.Errorf("%w: the manifest folder %s: %w", ErrReadOnly, e.root, cause(err))
	}
	parts := strings.Split(path, "/")
	for i := range parts[:len(parts)-1] {
		dir := filepath.Join(real, filepath.Join(parts[:i+1]...))
		info, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%w: the folder %s is a link; edit it where it comes from", ErrReadOnly, strings.Join(parts[:i+1], "/"))
		}
		if !info.IsDir() {
			return fmt.Errorf("%w: %s is a file, and no folder", ErrPath, strings.Join(parts[:i+1], "/"))
		}
	}
	return e.editable(filepath.Join(real, filepath.FromSlash(path)))
}

// WriteText puts a text in place of a file, or makes one. Nothing is said of what it holds: whoever calls has looked.
func (e *Editor) WriteText(path string, text []byte, c Condition) (made bool, err error) {
	if len(text) > MaxFile {
		return false, fmt.Errorf("%w: %s would be larger than %d KiB; split it", ErrPath, path, MaxFile>>10)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	current, err := e.claim(path, c)
	if err != nil {
		return false, err
	}
	if current != nil && bytes.Equal(current.Text, text) {
		return false, nil
	}
	return current == nil, e.write(filepath.Join(e.root, filepath.FromSlash(path)), text)
}

// RemoveText deletes a file.
func (e *Editor) RemoveText(path string, c Condition) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	current, err := e.claim(path, c)
	if err != nil {
		return err
	}
	if current == nil {
		return fmt.Errorf("%s: %w", path, ErrNoFile)
	}
	full := filepath.Join(e.root, filepath.FromSlash(path))
	if err := os.Remove(full); err != nil {
		return fmt.Errorf("delete %s: %w", path, cause(err))
	}
	return syncDir(filepath.Dir(full))
}

// claim returns the file at path, nil when there is none, once it is sure that it may be edited as it is.
func (e *Editor) claim(path string, c Condition) (*Text, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if err := e.ours(path); err != nil {
		return nil, err
	}
	var current *Text
	switch t, err := e.ReadText(path); {
	case err == nil:
		current = &t
	case !errors.Is(err, ErrNoFile):
		return nil, err
	}
	if c.New && current != nil || c.Tag != "" && (current == nil || current.Tag != c.Tag) {
		return nil, &StaleError{Current: current, Path: path}
	}
	return current, nil
}

// Rewrite makes changes to each document of a text: those that fn returns for it. object is nil for one that is broken.
func Rewrite(text []byte, fn func(object v1.Object, document []byte) ([]Change, error)) ([]byte, error) {
	docs, _ := Decode("", text)
	byLine := map[int]*Document{}
	for i := range docs {
		byLine[docs[i].Line] = &docs[i]
	}
	var out [][]byte
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		out = append(out, text[:3])
	}
	for _, c := range split(text) {
		d := byLine[c.line]
		if d == nil {
			out = append(out, c.text)
			continue
		}
		changes, err := fn(d.Object, c.text)
		if err != nil {
			return nil, err
		}
		edited, err := splice(c.text, changes)
		if err != nil {
			return nil, err
		}
		out = append(out, edited)
	}
	return bytes.Join(out, nil), nil
}

// With is the listing as it would be with another text in one file. A nil text takes the file away.
func (l Listing) With(path string, text []byte) Listing {
	l.Files = slices.DeleteFunc(slices.Clone(l.Files), func(f *File) bool { return f.Path == path })
	if text != nil {
		f := &File{Path: path, Sum: sha256.Sum256(text)}
		f.Docs, f.Problems = Decode(path, text)
		l.Files = append(l.Files, f)
		slices.SortFunc(l.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	}
	return l
}

// WithObjects is the listing as it would be with these documents in place of those of the same names, or in files of their
// own, as Create and Replace would leave it.
func (l Listing) WithObjects(docs []Document) Listing {
	l.Files = slices.Clone(l.Files)
	for _, d := range docs {
		if i, at := l.place(d.Key); i >= 0 {
			f := *l.Files[i]
			d.Line = f.Docs[at].Line
			f.Docs = slices.Clone(f.Docs)
			f.Docs[at] = d
			f.Problems = slices.DeleteFunc(slices.Clone(f.Problems), func(p v1.Problem) bool { return p.Key == d.Key })
			l.Files[i] = &f
			continue
		}
		l = l.With(FileFor(d.Key), d.Text)
	}
	return l
}

// place is the file and the document of an object; -1 when there is none.
func (l Listing) place(key v1.Key) (file, document int) {
	for i, f := range l.Files {
		for at, d := range f.Docs {
			if d.Key.Folded() == key.Folded() {
				return i, at
			}
		}
	}
	return -1, -1
}

// Document is the text of an object's document; nil when there is none.
func (l Listing) Document(key v1.Key) (file string, text []byte) {
	if i, at := l.place(key); i >= 0 {
		return l.Files[i].Path, l.Files[i].Docs[at].Text
	}
	return "", nil
}
