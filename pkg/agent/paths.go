package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks bounds a chain of links to files that are not there.
const maxLinks = 40

// Within reports whether an absolute path is below a folder, or is the folder, once all symbolic links of both are resolved, and its
// path relative to it. Of a path that does not exist the part that does is resolved; a link to what does not exist is followed.
func Within(dir, path string) (rel string, ok bool) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", false
	}
	real, err := resolve(path, maxLinks)
	if err != nil {
		return "", false
	}
	rel, err = filepath.Rel(dir, real)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return rel, true
}

func resolve(path string, links int) (string, error) {
	path = filepath.Clean(path)
	real, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if links == 0 {
		return "", errors.New("too many symbolic links")
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	if parent, err = resolve(parent, links-1); err != nil {
		return "", err
	}
	path = filepath.Join(parent, filepath.Base(path))
	target, err := os.Readlink(path)
	if err != nil {
		return path, nil //nolint:nilerr // it is not a link, and need not be there
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(parent, target)
	}
	return resolve(target, links-1)
}
