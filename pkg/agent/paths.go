package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxLinks bounds how many symbolic links are followed, as the kernel does.
const maxLinks = 40

// Within reports whether a path is below a folder, or is the folder, once all symbolic links of both are resolved, and its path
// relative to it. The path is absolute, or relative to the folder; it need not exist. Both readings of link/.. have to be within:
// the kernel's, and that of programs that clean a path before they open it.
func Within(dir, path string) (rel string, ok bool) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", false
	}
	if !filepath.IsAbs(path) {
		path = dir + "/" + path
	}
	for _, reading := range []string{filepath.Clean(path), path} {
		real, err := resolve(reading)
		if err != nil {
			return "", false
		}
		rel, err = filepath.Rel(dir, real)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			return "", false
		}
	}
	return rel, true
}

// resolve follows the links of an absolute path as the kernel does. What does not exist is taken as it is written.
func resolve(path string) (string, error) {
	at, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, name)
		target, err := os.Readlink(next)
		if err != nil { // it is no link, or is not there
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("too many symbolic links")
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return at, nil
}

// brought is a file in a folder or above it that the agent would run; empty when there is none.
func (s *Spec) brought(dir string) string {
	if s.TrustProjects {
		return ""
	}
	dir = filepath.Clean(dir)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for at := dir; ; {
		for _, pattern := range s.Runs {
			pattern, here := strings.CutPrefix(pattern, "./")
			if here && at != dir {
				continue
			}
			// A pattern of ours is well formed, and a folder may hold characters that would be special in it.
			if found, err := fs.Glob(os.DirFS(at), pattern); err == nil && len(found) > 0 {
				return filepath.Join(at, found[0])
			}
		}
		parent := filepath.Dir(at)
		if parent == at {
			return ""
		}
		at = parent
	}
}
