package manifest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	v1 "github.com/philiporange/supervisor/api/v1"
)

const (
	maxDepth = 16     // folders below the root
	maxFiles = 10_000 // manifests
)

// File is one manifest file. It is never changed once it is in a Listing.
type File struct {
	// Path is relative to the root, with slashes.
	Path string
	// Sum is the hash of the content.
	Sum [sha256.Size]byte
	// Docs and Problems are what Decode made of it. Problems holds those of Docs too.
	Docs     []Document
	Problems []v1.Problem

	id      identity
	newline bool // the text ends in a newline, as finished files do
}

// valid reports whether nothing is wrong with the file.
func (f *File) valid() bool { return len(f.Problems) == 0 }

// Listing is all that is in the directory.
type Listing struct {
	// Complete is false when something could not be read: what is missing from such a listing may still be there.
	Complete bool
	// Files are sorted by path.
	Files []*File
	// Problems are those of the directory itself; each file has its own.
	Problems []v1.Problem
}

// identity tells whether a file is still the one that was read.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func identify(info fs.FileInfo) identity {
	id := identity{size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		id.dev, id.ino, id.mtime, id.ctime = st.Dev, st.Ino, st.Mtim, st.Ctim
	}
	return id
}

// found is a file as a walk saw it.
type found struct {
	path string // relative, with slashes
	full string
	id   identity
}

// walk is what is in a tree, nothing read yet.
type walk struct {
	files    []found
	dirs     []string // absolute, symlinks resolved: what has to be watched
	complete bool
	problems []v1.Problem
}

// Ignored reports whether a file of that name is no manifest: hidden, of an editor, or not named *.yaml or *.yml.
func Ignored(name string) bool {
	if name == "" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") {
		return true
	}
	ext := filepath.Ext(name)
	return ext != ".yaml" && ext != ".yml" || ext == name
}

// list walks the tree below root.
func list(root string) walk {
	w := walk{complete: true}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		w.complete = false
		w.problems = []v1.Problem{{Detail: fmt.Sprintf("the manifest folder %s cannot be read: %v; nothing is stopped until it is back", root, cause(err))}}
		return w
	}
	w.walk(real, "", 0, map[string]bool{})
	slices.SortFunc(w.files, func(a, b found) int { return strings.Compare(a.path, b.path) })
	return w
}

func (w *walk) fail(rel string, err error) {
	w.complete = false
	what := "the manifest folder"
	if rel != "" {
		what = "the folder " + rel
	}
	w.problems = append(w.problems, v1.Problem{File: rel, Detail: fmt.Sprintf("%s cannot be read: %v; what it held runs on", what, cause(err))})
}

// walk lists one folder. real is its path without symlinks, by which a loop of links is recognised.
func (w *walk) walk(real, rel string, depth int, above map[string]bool) {
	if above[real] {
		return
	}
	if depth > maxDepth {
		w.problems = append(w.problems, v1.Problem{File: rel, Detail: fmt.Sprintf("folders deeper than %d are not read", maxDepth)})
		return
	}
	above[real] = true
	defer delete(above, real)
	w.dirs = append(w.dirs, real)
	entries, err := os.ReadDir(real)
	if err != nil {
		w.fail(rel, err)
		return
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		full, path := filepath.Join(real, name), name
		if rel != "" {
			path = rel + "/" + name
		}
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			target, err := filepath.EvalSymlinks(full)
			if err != nil {
				if !Ignored(name) {
					w.complete = false
					w.problems = append(w.problems, v1.Problem{File: path, Detail: fmt.Sprintf("the link leads nowhere: %v", cause(err))})
				}
				continue
			}
			info, err := os.Stat(target)
			if err != nil {
				continue // gone since; the next look sees it
			}
			if mode = info.Mode().Type(); mode.IsRegular() {
				// A change of the target shows in the target's folder.
				w.dirs = append(w.dirs, filepath.Dir(target))
			} else if mode.IsDir() {
				full = target
			}
		}
		switch {
		case mode.IsDir():
			w.walk(full, path, depth+1, above)
		case mode.IsRegular() && !Ignored(name):
			w.add(full, path)
		}
	}
}

func (w *walk) add(full, path string) {
	if len(w.files) == maxFiles {
		w.complete = false
		w.problems = append(w.problems, v1.Problem{File: path, Detail: fmt.Sprintf("more than %d manifests are not read", maxFiles)})
	}
	if len(w.files) >= maxFiles {
		return
	}
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist): // gone since it was listed
	case err != nil:
		w.complete = false
		w.problems = append(w.problems, v1.Problem{File: path, Detail: fmt.Sprintf("cannot be read: %v", cause(err))})
	default:
		w.files = append(w.files, found{path: path, full: full, id: identify(info)})
	}
}

// cause is an error without the path that the message has already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// read reads and decodes a file. It may have been changed since the walk: the identity is that of what was read.
func read(f found) (*File, error) {
	h, err := os.Open(f.full)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer h.Close()
	info, err := h.Stat()
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	file := &File{Path: f.path, id: identify(info)}
	if info.Size() > MaxFile {
		file.Problems = []v1.Problem{{File: f.path, Detail: fmt.Sprintf("the file is larger than %d KiB; split it", MaxFile>>10)}}
		return file, nil
	}
	text := make([]byte, info.Size()+1)
	n := 0
	for n < len(text) {
		m, err := h.Read(text[n:])
		n += m
		if err != nil || m == 0 {
			break
		}
	}
	if int64(n) != info.Size() {
		return nil, fmt.Errorf("read manifest: %s changes while it is read", f.path)
	}
	text = text[:n]
	file.Sum = sha256.Sum256(text)
	file.newline = n == 0 || text[n-1] == '\n'
	file.Docs, file.Problems = Decode(f.path, text)
	return file, nil
}

// readAll reads files side by side. Those that cannot be read have an error at their place.
func readAll(files []found) ([]*File, []error) {
	out, errs := make([]*File, len(files)), make([]error, len(files))
	next := make(chan int)
	var readers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(files)) {
		readers.Go(func() {
			for i := range next {
				out[i], errs[i] = read(files[i])
			}
		})
	}
	for i := range files {
		next <- i
	}
	close(next)
	readers.Wait()
	return out, errs
}

// List reads the whole directory at once, without a watcher. It is what `supervisor validate` looks at.
func List(root string) Listing {
	w := list(root)
	l := Listing{Complete: w.complete, Problems: w.problems}
	files, errs := readAll(w.files)
	for i, f := range files {
		if errs[i] != nil {
			l.Complete = false
			l.Problems = append(l.Problems, v1.Problem{File: w.files[i].path, Detail: cause(errs[i]).Error()})
			continue
		}
		l.Files = append(l.Files, f)
	}
	return l
}
