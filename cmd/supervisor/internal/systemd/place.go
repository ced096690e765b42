package systemd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What Place did with a file.
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
)

// Folder is where the units of the machine, or of a user, are put by hand. prefix is put before it, for package builders
// and tests; config is $XDG_CONFIG_HOME, or ~/.config.
func Folder(user bool, prefix, config string) string {
	if user {
		return filepath.Join(prefix, config, "systemd", "user")
	}
	return filepath.Join(prefix, "/etc/systemd/system")
}

// Outcome is what Place did, or would do, with one file.
type Outcome struct {
	Path, Result string
}

// Place writes the units into folder. Files that somebody else has written are refused before anything is written.
// With dryRun nothing is written.
func Place(folder string, units []Unit, dryRun bool) ([]Outcome, error) {
	out := make([]Outcome, len(units))
	for i, u := range units {
		out[i] = Outcome{filepath.Join(folder, u.Name), Created}
		old, err := os.ReadFile(out[i].Path)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("read unit: %w", err)
		case bytes.Equal(old, u.Text):
			out[i].Result = Unchanged
		case !bytes.HasPrefix(old, []byte(mark)):
			return nil, fmt.Errorf("%s was not written by `supervisor install`; move it away first", out[i].Path)
		default:
			out[i].Result = Updated
		}
	}
	if dryRun {
		return out, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of units: %w", err)
	}
	for i, u := range units {
		if out[i].Result == Unchanged {
			continue
		}
		if err := replace(out[i].Path, u.Text); err != nil {
			return out[:i], fmt.Errorf("write unit: %w", err)
		}
	}
	return out, nil
}

// replace writes a file in one rename, so that systemd never reads half of it.
func replace(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".supervisor-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // after the rename there is nothing to remove
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Remove deletes the units that Place wrote and the links by which they were enabled, and returns what it deleted.
// Files that somebody else has written stay. With dryRun nothing is deleted.
func Remove(folder string, dryRun bool) ([]string, error) {
	var out []string
	for _, name := range Names() {
		path := filepath.Join(folder, name)
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return out, fmt.Errorf("read unit: %w", err)
		case !bytes.HasPrefix(text, []byte(mark)):
			continue
		}
		links, err := filepath.Glob(filepath.Join(folder, "*.wants", name))
		if err != nil {
			return out, fmt.Errorf("find what enables %s: %w", name, err)
		}
		for _, p := range append(links, path) {
			if !dryRun {
				if err := os.Remove(p); err != nil {
					return out, fmt.Errorf("remove unit: %w", err)
				}
			}
			out = append(out, p)
		}
	}
	return out, nil
}
