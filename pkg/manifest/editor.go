package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Errors of an Editor that a caller may want to tell apart.
var (
	ErrExists   = errors.New("the name is taken")
	ErrNotFound = errors.New("there is no manifest of that name")
	// ErrStale says that the object is not in the revision that the caller has seen.
	ErrStale = errors.New("the manifest was changed since it was read; read it again")
	// ErrReadOnly says that a file must not be written by us.
	ErrReadOnly = errors.New("the manifest cannot be edited here")
)

// InvalidError is an edit that would make a document invalid. Nothing was written.
type InvalidError struct{ Problems []v1.Problem }

// Error lists the problems, one a line.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Editor changes the files of a directory. Each edit is atomic: a file has its old text or its new one, also after a crash.
type Editor struct {
	root string
	mu   sync.Mutex // one edit at a time
}

// NewEditor returns an editor of the directory root.
func NewEditor(root string) *Editor { return &Editor{root: root} }

// schemaLine lets editors complete and check the file.
const schemaLine = "# yaml-language-server: $schema=http://127.0.0.1:9900/schemas/manifest.schema.json\n"

// FileFor is where a new object's manifest goes: services/NAME.yaml or cronjobs/NAME.yaml.
func FileFor(key v1.Key) string { return strings.ToLower(key.Kind) + "s/" + key.Name + ".yaml" }

// Create writes the manifest of a new object: text when it is given, else what object says beyond the defaults.
func (e *Editor) Create(object v1.Object, text []byte) (revision string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := object.Key()
	if _, _, _, err := e.find(key); err == nil {
		return "", fmt.Errorf("%s %s: %w", key.Kind, key.Name, ErrExists)
	} else if !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if text == nil {
		if text, err = Render(object); err != nil {
			return "", err
		}
		text = append([]byte(schemaLine), text...)
	}
	rel := FileFor(key)
	docs, problems := Decode(rel, text)
	if len(problems) > 0 {
		return "", &InvalidError{problems}
	}
	if len(docs) != 1 || docs[0].Key != key {
		return "", fmt.Errorf("create %s: the text holds other objects than that", key)
	}
	path := filepath.Join(e.root, filepath.FromSlash(rel))
	if old, err := os.ReadFile(path); err == nil {
		// A file of that name with other objects in it: the new one joins them.
		if len(old) > 0 && old[len(old)-1] != '\n' {
			old = append(old, '\n')
		}
		if len(bytes.TrimSpace(old)) > 0 {
			text = slicesConcat(old, []byte("---\n"), bytes.TrimPrefix(text, []byte("---\n")))
		}
	}
	return docs[0].Revision, e.write(path, text)
}

// Change puts fields of an object and leaves the rest of its file alone. ifMatch is the revision that it must have, or empty.
func (e *Editor) Change(key v1.Key, changes []Change, ifMatch string) (revision string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	file, text, at, err := e.find(key)
	if err != nil {
		return "", err
	}
	old := file.Docs[at]
	if ifMatch != "" && ifMatch != old.Revision {
		return "", fmt.Errorf("%s %s: %w", key.Kind, key.Name, ErrStale)
	}
	edited, err := splice(old.Text, changes)
	if err != nil {
		return "", fmt.Errorf("edit %s: %w", file.Path, err)
	}
	return e.put(file, text, at, edited, func(now v1.Object) error { return onlyChanged(old.Object, now, changes) })
}

// Replace puts another object in place of one of the same key: its text when it is given, else the fields that differ.
func (e *Editor) Replace(object v1.Object, text []byte, ifMatch string) (revision string, err error) {
	key := object.Key()
	if text == nil {
		e.mu.Lock()
		file, _, at, err := e.find(key)
		e.mu.Unlock()
		if err != nil {
			return "", err
		}
		if file.Docs[at].Object != nil {
			changes, err := diff(file.Docs[at].Object, object)
			if err != nil {
				return "", err
			}
			return e.Change(key, changes, ifMatch)
		}
		if text, err = Render(object); err != nil {
			return "", err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	file, whole, at, err := e.find(key)
	if err != nil {
		return "", err
	}
	old := file.Docs[at]
	if ifMatch != "" && ifMatch != old.Revision {
		return "", fmt.Errorf("%s %s: %w", key.Kind, key.Name, ErrStale)
	}
	if bytes.HasPrefix(old.Text, []byte("---")) && !bytes.HasPrefix(text, []byte("---")) {
		text = append([]byte("---\n"), text...)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(slices.Clone(text), '\n')
	}
	return e.put(file, whole, at, text, func(v1.Object) error { return nil })
}

// Delete takes an object's document out of its file. The file goes with its last document: gone is its path then.
func (e *Editor) Delete(key v1.Key, ifMatch string) (gone string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	file, text, at, err := e.find(key)
	if err != nil {
		return "", err
	}
	if ifMatch != "" && ifMatch != file.Docs[at].Revision {
		return "", fmt.Errorf("%s %s: %w", key.Kind, key.Name, ErrStale)
	}
	path := filepath.Join(e.root, filepath.FromSlash(file.Path))
	if len(file.Docs) == 1 {
		if err := e.editable(path); err != nil {
			return "", err
		}
		if err := os.Remove(path); err != nil {
			return "", fmt.Errorf("delete %s: %w", file.Path, err)
		}
		return file.Path, syncDir(filepath.Dir(path))
	}
	chunks := split(text)
	var rest [][]byte
	for _, c := range chunks {
		if c.line != file.Docs[at].Line {
			rest = append(rest, c.text)
		}
	}
	out := bytes.Join(rest, nil)
	docs, _ := Decode(file.Path, out)
	if len(docs) != len(file.Docs)-1 {
		return "", fmt.Errorf("delete %s from %s: the other documents of the file would not stay as they are; edit it by hand", key.Name, file.Path)
	}
	return "", e.write(path, out)
}

// find reads the file that holds an object as it is on the disk now.
func (e *Editor) find(key v1.Key) (file *File, text []byte, at int, err error) {
	tree := list(e.root)
	files, errs := readAll(tree.files)
	for i, f := range files {
		if errs[i] != nil {
			continue
		}
		for at, d := range f.Docs {
			if d.Key.Folded() == key.Folded() {
				text, err := os.ReadFile(tree.files[i].full)
				if err != nil {
					return nil, nil, 0, fmt.Errorf("read %s: %w", f.Path, err)
				}
				return f, text, at, nil
			}
		}
	}
	return nil, nil, 0, fmt.Errorf("%s %s: %w", key.Kind, key.Name, ErrNotFound)
}

// put writes a file in which one document has another text, once it is sure that nothing else has changed.
func (e *Editor) put(file *File, text []byte, at int, edited []byte, check func(v1.Object) error) (string, error) {
	old := file.Docs[at]
	offset := -1
	for _, c := range split(text) {
		if c.line == old.Line {
			offset = c.offset
		}
	}
	if offset < 0 || !bytes.Equal(text[offset:offset+len(old.Text)], old.Text) {
		return "", fmt.Errorf("edit %s: %w", file.Path, ErrStale)
	}
	out := slicesConcat(text[:offset], edited, text[offset+len(old.Text):])
	docs, _ := Decode(file.Path, out)
	if len(docs) != len(file.Docs) {
		return "", fmt.Errorf("edit %s: %w", file.Path, errNotEditable)
	}
	for i, d := range docs {
		if i != at && (d.Revision != file.Docs[i].Revision || d.Key != file.Docs[i].Key) {
			return "", fmt.Errorf("edit %s: %w", file.Path, errNotEditable)
		}
	}
	now := docs[at]
	if len(now.Problems) > 0 {
		return "", &InvalidError{now.Problems}
	}
	if now.Key.Folded() != old.Key.Folded() {
		return "", fmt.Errorf("edit %s: an object's kind and name cannot be changed; create another one and delete this", file.Path)
	}
	if err := check(now.Object); err != nil {
		return "", fmt.Errorf("edit %s: %w", file.Path, err)
	}
	if bytes.Equal(out, text) {
		return now.Revision, nil
	}
	return now.Revision, e.write(filepath.Join(e.root, filepath.FromSlash(file.Path)), out)
}

// onlyChanged makes sure that an edit did what was asked for and nothing else.
func onlyChanged(old, now v1.Object, changes []Change) error {
	if old == nil {
		return nil // it was broken; what it says now is valid
	}
	want, err := generic(old)
	if err != nil {
		return err
	}
	for _, c := range changes {
		apply(want, c)
	}
	text, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	target := blank(old)
	if err := json.Unmarshal(text, target); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	target.Default()
	if target.Revision() != now.Revision() {
		return errNotEditable
	}
	return nil
}

// apply puts a change into a tree of maps.
func apply(tree map[string]any, c Change) {
	for _, name := range c.Path[:len(c.Path)-1] {
		next, ok := tree[name].(map[string]any)
		if !ok {
			if c.Value == nil {
				return
			}
			next = map[string]any{}
			tree[name] = next
		}
		tree = next
	}
	name := c.Path[len(c.Path)-1]
	if c.Value == nil {
		delete(tree, name)
		return
	}
	tree[name] = c.Value
}

func generic(object v1.Object) (map[string]any, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	delete(tree, "status")
	return tree, nil
}

// diff is the changes that lead from one object to another.
func diff(old, now v1.Object) ([]Change, error) {
	a, err := generic(old)
	if err != nil {
		return nil, err
	}
	b, err := generic(now)
	if err != nil {
		return nil, err
	}
	var changes []Change
	diffMaps(nil, a, b, &changes)
	return changes, nil
}

func diffMaps(path []string, a, b map[string]any, out *[]Change) {
	names := map[string]bool{}
	for n := range a {
		names[n] = true
	}
	for n := range b {
		names[n] = true
	}
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	for _, n := range sorted {
		here := append(slices.Clone(path), n)
		am, aMap := a[n].(map[string]any)
		bm, bMap := b[n].(map[string]any)
		switch {
		case aMap && bMap:
			diffMaps(here, am, bm, out)
		case !reflect.DeepEqual(a[n], b[n]):
			*out = append(*out, Change{Path: here, Value: b[n]})
		}
	}
}

// blank is an object of the same kind that says nothing.
func blank(like v1.Object) v1.Object {
	if like.Key().Kind == v1.KindCronJob {
		return &v1.CronJob{}
	}
	return &v1.Service{}
}

// Render writes an object as YAML, without what is default anyway.
func Render(object v1.Object) ([]byte, error) {
	bare := blank(object)
	bare.Meta().Name = object.Meta().Name
	bare.Default()
	changes, err := diff(bare, object)
	if err != nil {
		return nil, err
	}
	key := object.Key()
	text := fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", v1.APIVersion, key.Kind, quoteName(key.Name))
	for _, c := range changes {
		if c.Path[0] == "apiVersion" || c.Path[0] == "kind" || c.Value == nil {
			continue
		}
		if text, err = spliceOne(text, c); err != nil {
			return nil, fmt.Errorf("render %s: %w", key, err)
		}
	}
	return text, nil
}

// quoteName keeps a name such as 1.10 or null a text.
func quoteName(name string) string {
	n, err := toNode(name)
	if err != nil {
		return name
	}
	text, err := encode(n)
	if err != nil {
		return name
	}
	return strings.TrimRight(text, "\n")
}

// editable refuses files that are not ours to write.
func (e *Editor) editable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("edit %s: %w", path, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		if err != nil {
			target = "elsewhere"
		}
		return fmt.Errorf("%w: %s is a link to %s; edit it there", ErrReadOnly, path, target)
	}
	if info.Mode().Perm()&0o222 == 0 {
		return fmt.Errorf("%w: %s is read-only; make it writable (chmod u+w), or edit it where it comes from", ErrReadOnly, path)
	}
	return nil
}

// write puts text in place of a file: a temporary one, synced, renamed, the folder synced.
func (e *Editor) write(path string, text []byte) (err error) {
	if err := e.editable(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	tmp, err := os.CreateTemp(dir, ".edit-*")
	if err != nil {
		if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only file system") {
			return fmt.Errorf("%w: the folder %s is not writable for us: %w", ErrReadOnly, dir, cause(err))
		}
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		chownAs(tmp, info)
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
