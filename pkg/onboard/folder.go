package onboard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Bounds of what is read of a folder: projects are small, and what is larger is data.
const (
	maxFileBytes  = 256 << 10
	maxTotalBytes = 8 << 20
	maxFiles      = 2000 // sources that are looked for
	maxEntries    = 2000 // of one folder
	maxDepth      = 4
)

// folder reads below one folder, and never outside of it: os.Root refuses links that lead out.
type folder struct {
	root *os.Root
	dir  string
	left int // bytes that may still be read
	read map[string]string
	// cut says what was left out because it was too much.
	cut []string
}

func openFolder(dir string) (*folder, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the project: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("look at the project: %s is no folder", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the project: %w", err)
	}
	return &folder{root: root, dir: dir, left: maxTotalBytes, read: map[string]string{}}, nil
}

func (f *folder) close() { _ = f.root.Close() } //nolint:errcheck // it was only read

// text returns a file's text; ok is false when it is not there, is no regular file, or is larger than a source would be.
func (f *folder) text(name string) (text string, ok bool) {
	if text, ok = f.read[name]; ok {
		return text, true
	}
	// Without O_NONBLOCK the opening of a FIFO would wait for a writer.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	if info.Size() > maxFileBytes || info.Size() > int64(f.left) {
		f.cut = append(f.cut, name)
		return "", false
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFileBytes))
	if err != nil {
		return "", false
	}
	f.left -= len(data)
	text = strings.ToValidUTF8(string(data), "\uFFFD")
	f.read[name] = text
	return text, true
}

// has reports whether there is a file, or a link that may lead anywhere: a virtual environment's python does.
func (f *folder) has(name string) bool {
	info, err := f.root.Lstat(name)
	return err == nil && !info.IsDir()
}

func (f *folder) hasDir(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.IsDir()
}

// executable reports whether there is a regular file that may be run.
func (f *folder) executable(name string) bool {
	info, err := f.root.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// first is the first of names that there is.
func (f *folder) first(names ...string) (string, bool) {
	for _, n := range names {
		if f.has(n) {
			return n, true
		}
	}
	return "", false
}

// list returns the entries of a folder below, sorted by name.
func (f *folder) list(dir string) []fs.DirEntry {
	d, err := f.root.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, err := d.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	if len(entries) == maxEntries {
		f.cut = append(f.cut, path.Join(dir, "…"))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries
}

// skipped are folders in which nobody keeps the sources of a program.
var skipped = []string{
	"node_modules", "venv", "env", "site-packages", "__pycache__", "vendor", "target", "dist", "build", "migrations", "test", "tests", "testdata",
	"docs", "doc", "examples", "example", "static", "assets", "third_party", "backups", "data", "logs", "tmp", "alembic", "versions", "htmlcov", "coverage",
}

// apart reports whether a folder is a project of its own, or a virtual environment.
func (f *folder) apart(dir string) bool {
	return slices.ContainsFunc([]string{"pyvenv.cfg", "pyproject.toml", "requirements.txt", "setup.py", "go.mod"}, func(name string) bool { return f.has(path.Join(dir, name)) })
}

// sources returns the files with one of the suffixes, those nearest to the top first. Links to folders are not followed.
func (f *folder) sources(suffixes ...string) []string {
	var out []string
	level := []string{"."}
	for depth := 0; depth <= maxDepth && len(level) > 0; depth++ {
		var below []string
		for _, dir := range level {
			for _, e := range f.list(dir) {
				name := path.Join(dir, e.Name())
				switch {
				case e.IsDir():
					if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(skipped, strings.ToLower(e.Name())) && !f.apart(name) {
						below = append(below, name)
					}
				case e.Type().IsRegular() && slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(e.Name(), s) }):
					if len(out) == maxFiles {
						f.cut = append(f.cut, name)
						return out
					}
					out = append(out, name)
				}
			}
		}
		level = below
	}
	return out
}
