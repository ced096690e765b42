package jobs

import (
	"path/filepath"
	"strings"
)

// canonical is the form in which folders are compared: absolute, and with links resolved as far as the folder exists.
func canonical(folder string) string {
	if folder == "" {
		return ""
	}
	folder = filepath.Clean(folder)
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		return real
	}
	return folder
}

// overlaps reports whether one of two canonical folders is, or contains, the other.
func overlaps(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	return within(a, b) || within(b, a)
}

func within(path, folder string) bool {
	return path == folder || folder == "/" || strings.HasPrefix(path, folder+"/")
}
