package upstream

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Dir is a folder of addresses. It keeps nothing in memory: what was removed behind its back is made anew by the next Set.
type Dir struct {
	root   string
	path   string
	broken error // why nothing can be put there
}

// Broken is a folder that cannot be used, which everybody is told who tries.
func Broken(err error) *Dir { return &Dir{path: "/nonexistent", broken: err} }

// Open makes the folder of the supervisor whose data is in data, below root. Several supervisors share a root, and each has a
// folder of its own there. A folder that somebody else could write to is refused: they would choose where requests go.
func Open(root, data string) (*Dir, error) {
	sum := sha256.Sum256([]byte(filepath.Clean(data)))
	d := &Dir{root: root, path: filepath.Join(root, hex.EncodeToString(sum[:6]))}
	if strings.ContainsAny(d.path, "{} \t\r\n") {
		return nil, fmt.Errorf("%q cannot be a folder of upstreams: braces and spaces mean something to Caddy; choose another with CADDY_UPSTREAMS_DIR", root)
	}
	if err := d.make(); err != nil {
		return nil, err
	}
	return d, nil
}

// make makes what is not there of the folder, and makes sure that all of it is ours. What lies where everybody can write, as in
// /dev/shm, may be cleared away while we run, and somebody else may be the next to make it.
func (d *Dir) make() error {
	if err := os.MkdirAll(filepath.Dir(d.root), 0o755); err != nil {
		return fmt.Errorf("make the folder of upstreams: %w; choose another with CADDY_UPSTREAMS_DIR", err)
	}
	for _, dir := range []string{d.root, d.path} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the folder of upstreams: %w; choose another with CADDY_UPSTREAMS_DIR", err)
		}
		if err := ours(dir); err != nil {
			return err
		}
	}
	return nil
}

// ours makes sure that nobody else can write to a folder, and that everybody can read it.
func ours(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the folder of upstreams: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a folder of ours, and who owns it could send requests elsewhere; remove it, or choose another with CADDY_UPSTREAMS_DIR", dir)
	}
	if info.Mode().Perm() != 0o755 {
		// The umask made it narrower, or somebody wider.
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Caddy has to read it.
			return fmt.Errorf("open the folder of upstreams to readers: %w", err)
		}
	}
	return nil
}

// Path is the file of a replica, which need not be there.
func (d *Dir) Path(service string, replica int) string {
	return filepath.Join(d.path, service, strconv.Itoa(replica))
}

// Get is a replica's address; empty when there is none.
func (d *Dir) Get(service string, replica int) string {
	text, err := os.ReadFile(d.Path(service, replica))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Set puts a replica's address, in one step: a reader finds the old one or the new one. It does nothing, and says so, when the
// address is there already.
func (d *Dir) Set(service string, replica int, address string) (changed bool, err error) {
	if d.broken != nil {
		return false, d.broken
	}
	if err := d.make(); err != nil {
		return false, err
	}
	path := d.Path(service, replica)
	if text, err := os.ReadFile(path); err == nil && string(text) == address {
		return false, nil
	}
	if err := d.write(path, address); err != nil {
		return false, fmt.Errorf("set the upstream of replica %d of %s: %w", replica, service, err)
	}
	return true, nil
}

func (d *Dir) write(path, address string) error {
	folder := filepath.Dir(path)
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // Caddy has to read it.
		return err
	}
	f, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(address)
	// No fsync: after a power cut nothing of what it speaks of is there.
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error tells more
	}
	return err
}

// Replicas are the replicas of a service that have an address, in order.
func (d *Dir) Replicas(service string) []int {
	entries, err := os.ReadDir(filepath.Join(d.path, service))
	if err != nil {
		return nil
	}
	var replicas []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			replicas = append(replicas, n)
		}
	}
	slices.Sort(replicas)
	return replicas
}

// Remove forgets a service.
func (d *Dir) Remove(service string) error {
	if err := os.RemoveAll(filepath.Join(d.path, service)); err != nil {
		return fmt.Errorf("remove the upstreams of %s: %w", service, err)
	}
	return nil
}

// Prune forgets every service that keep does not know.
func (d *Dir) Prune(keep func(service string) bool) error {
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the upstreams: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !keep(e.Name()) {
			errs = append(errs, d.Remove(e.Name()))
		}
	}
	return errors.Join(errs...)
}
