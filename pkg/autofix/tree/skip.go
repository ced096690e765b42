package tree

import (
	"io"
	"os"
	"strings"
)

// stagePrefix begins the names of folders that we make in others'.
const stagePrefix = ".supervisor-stage-"

// caches are names of folders that hold only what can be made anew.
var caches = map[string]bool{
	"node_modules": true, "__pycache__": true, ".venv": true, ".tox": true, ".nox": true, ".pytest_cache": true,
	".mypy_cache": true, ".ruff_cache": true, ".next": true, ".nuxt": true, ".parcel-cache": true, ".turbo": true, ".gradle": true,
	".terraform": true, ".direnv": true,
}

// histories are where version control keeps its data: a folder, or a file that names one. A repair must neither change the
// history nor plant a hook in it.
var histories = map[string]bool{".git": true, ".hg": true, ".svn": true, ".jj": true, ".bzr": true}

// markers are files that say what a folder is: a virtual environment of Python, and a cache by the standard of
// https://bford.info/cachedir.
const (
	venvMarker     = "pyvenv.cfg"
	cacheMarker    = "CACHEDIR.TAG"
	cacheSignature = "Signature: 8a477f597d28d172789f06886806bc55"
)

// skips decides what stays where it is. known is an earlier state of the same folder, or nil: what was kept then is kept, so that
// nobody hides a folder by putting a marker in it.
type skips struct {
	known   map[Name]bool // kept as folders
	skipped map[Name]bool
}

func skipsOf(known *Snapshot) skips {
	s := skips{known: map[Name]bool{}, skipped: map[Name]bool{}}
	if known != nil {
		for i := range known.Entries {
			if known.Entries[i].Kind == Dir {
				s.known[known.Entries[i].Path] = true
			}
		}
		for _, p := range known.Skipped {
			s.skipped[p] = true
		}
	}
	return s
}

// name decides by the name alone.
func (s *skips) name(p Name, base string, isDir bool) bool {
	switch {
	case strings.HasPrefix(base, stagePrefix), histories[base]:
		return true
	case !isDir:
		return false
	case s.known[p]:
		return false
	case s.skipped[p]:
		return true
	}
	return caches[base]
}

// marked decides about a folder by what is in it.
func (s *skips) marked(root *os.Root, p Name, has func(string) bool) bool {
	if s.known[p] || p == "." {
		return false
	}
	return has(venvMarker) || has(cacheMarker) && signed(root, p)
}

func signed(root *os.Root, p Name) bool {
	f, _, err := openFile(root, p+"/"+cacheMarker)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(cacheSignature))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == cacheSignature
}
