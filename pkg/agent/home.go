package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// otherHomes holds the homes of agents that run as other users, who cannot reach into the data folder.
const otherHomes = "/var/lib/supervisor-agents"

// home makes the agent's home and what its Spec puts there, and returns its path.
func (r *Runner) home(spec *Spec, who account, setup *Setup) (string, error) {
	path := r.homePath(spec, who)
	setup.Home = path
	if spec.Home == "" {
		if err := makeHome(path, who); err != nil {
			return "", fmt.Errorf("make the home of agent %s: %w", spec.ID, err)
		}
	}
	if len(spec.Files) == 0 {
		return path, nil
	}
	// The agent could have put links there; a Root does not follow them out of it.
	root, err := os.OpenRoot(path)
	if err != nil {
		return "", fmt.Errorf("open the home of agent %s: %w", spec.ID, err)
	}
	defer root.Close() //nolint:errcheck // nothing is lost
	for name, text := range spec.Files {
		if text, err = expand(text, setup); err == nil {
			err = writeHomeFile(root, name, text, who)
		}
		if err != nil {
			return "", fmt.Errorf("write %s in the home of agent %s: %w", name, spec.ID, err)
		}
	}
	return path, nil
}

func (r *Runner) homePath(spec *Spec, who account) string {
	switch {
	case spec.Home != "":
		return spec.Home
	case who.credential == nil:
		return filepath.Join(r.config.Dir, spec.ID, "home")
	}
	base := r.config.OtherHomes
	if base == "" {
		base = otherHomes
	}
	return filepath.Join(base, spec.ID+"-"+strconv.FormatUint(uint64(who.uid), 10))
}

// makeHome makes a folder that is its owner's alone.
func makeHome(path string, who account) error {
	mode := fs.FileMode(0o700)
	if who.credential != nil {
		mode = 0o711 // the other user has to get through
	}
	if err := os.MkdirAll(filepath.Dir(path), mode); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", path)
	}
	if who.credential == nil {
		return os.Chmod(path, 0o700) //nolint:gosec // a folder
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == who.uid {
		return nil
	}
	return os.Lchown(path, int(who.credential.Uid), int(who.credential.Gid))
}

func writeHomeFile(root *os.Root, name, text string, who account) error {
	own := func(name string) error {
		if who.credential == nil {
			return nil
		}
		return root.Lchown(name, int(who.credential.Uid), int(who.credential.Gid))
	}
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := own(dir); err != nil {
			return err
		}
	}
	if err := root.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	return own(name)
}
