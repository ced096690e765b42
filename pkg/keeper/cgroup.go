package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// cgroups makes a directory for each run in the v2 hierarchy, where that can be written: by it the tree of a run is known
// and can be killed at one stroke. Limits are set there where the controllers are at hand, else in the v1 hierarchies,
// else the run carries a warning. Nothing here ever refuses a start.
type cgroups struct {
	root        string            // folder of our runs in the v2 hierarchy; empty when there is none
	controllers map[string]bool   // of v2, enabled for our runs
	v1          map[string]string // controller → folder of our runs
}

// findCgroups looks for hierarchies that can be written. name tells keepers of different folders apart.
func findCgroups(dir string) *cgroups {
	name := "supervisor-" + dirHash(dir)
	c := &cgroups{controllers: map[string]bool{}, v1: map[string]string{}}
	own := ownCgroups()
	for _, m := range cgroupMounts() {
		if m.v2 {
			c.findV2(m.path, own[""], name)
			continue
		}
		for _, controller := range []string{"memory", "cpu", "pids"} {
			path, ok := own[controller]
			base := filepath.Join(m.path, path)
			if _, err := os.Stat(base); err != nil {
				base = m.path // a container sees its own cgroup as the root
			}
			if ok && m.has(controller) && unix.Access(base, unix.W_OK) == nil {
				c.v1[controller] = filepath.Join(base, name)
			}
		}
	}
	return c
}

func (c *cgroups) findV2(mount, own, name string) {
	base := filepath.Join(mount, own)
	if _, err := os.Stat(base); err != nil {
		base = mount
	}
	root := filepath.Join(base, name)
	if err := os.Mkdir(root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return
	}
	if unix.Access(filepath.Join(root, "cgroup.procs"), unix.W_OK) != nil {
		_ = os.Remove(root)
		return
	}
	c.root = root
	c.enable(base, root)
}

// enable turns on the controllers that are there, down to our runs. A cgroup with processes in it may not hand
// controllers down, so under systemd (Delegate=yes) we move ourselves aside first.
func (c *cgroups) enable(base, root string) {
	there, _ := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	for _, controller := range strings.Fields(string(there)) {
		if controller != "memory" && controller != "cpu" && controller != "pids" {
			continue
		}
		on := []byte("+" + controller)
		err := writeFile(filepath.Join(base, "cgroup.subtree_control"), on)
		if errors.Is(err, unix.EBUSY) && delegated(base) {
			aside := filepath.Join(base, "keeper")
			_ = os.Mkdir(aside, 0o755)
			if writeFile(filepath.Join(aside, "cgroup.procs"), []byte("0")) == nil {
				err = writeFile(filepath.Join(base, "cgroup.subtree_control"), on)
			}
		}
		if err == nil && writeFile(filepath.Join(root, "cgroup.subtree_control"), on) == nil {
			c.controllers[controller] = true
		}
	}
}

// delegated tells whether systemd has given a cgroup into our hands.
func delegated(path string) bool {
	var value [8]byte
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(path, name, value[:]); err == nil && n > 0 && value[0] == '1' {
			return true
		}
	}
	return false
}

// cgroup is the place of one run.
type cgroup struct {
	path   string   // v2; empty when there is none
	limits []string // v1 folders that the program has to join
}

// create makes the place of a run and sets its limits. What could not be had is in warnings.
func (c *cgroups) create(id process.RunID, l process.Limits) (g cgroup, warnings []string) {
	if c.root != "" {
		g.path = filepath.Join(c.root, cgroupName(id))
		if err := os.Mkdir(g.path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			g.path = ""
		}
	}
	for _, want := range []struct {
		what, controller string
		value            int64
		v2, v2Format     string
		v1               string
	}{
		{"memoryMax", "memory", l.MemoryMax, "memory.max", "%d", "memory.limit_in_bytes"},
		{"cpuMax", "cpu", l.CPUMilli * 100, "cpu.max", "%d 100000", "cpu.cfs_quota_us"},
		{"pidsMax", "pids", l.PidsMax, "pids.max", "%d", "pids.max"},
	} {
		if want.value <= 0 {
			continue
		}
		if g.path != "" && c.controllers[want.controller] {
			if err := writeFile(filepath.Join(g.path, want.v2), fmt.Appendf(nil, want.v2Format, want.value)); err != nil {
				warnings = append(warnings, fmt.Sprintf("%s is not enforced: %v", want.what, err))
			}
			continue
		}
		base, ok := c.v1[want.controller]
		if !ok {
			warnings = append(warnings, fmt.Sprintf("%s is not enforced: the cgroup controller %q is not at hand here; run the keeper as root or under systemd with Delegate=yes", want.what, want.controller))
			continue
		}
		path := filepath.Join(base, cgroupName(id))
		err := os.MkdirAll(path, 0o755)
		if err == nil {
			err = writeFile(filepath.Join(path, want.v1), fmt.Append(nil, want.value))
		}
		if err != nil {
			_ = os.Remove(path)
			warnings = append(warnings, fmt.Sprintf("%s is not enforced: %v", want.what, err))
			continue
		}
		g.limits = append(g.limits, path)
	}
	return g, warnings
}

// cgroupName is a file name for a run: readable, and different for different runs.
func cgroupName(id process.RunID) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // a hash takes everything
	var b strings.Builder
	for _, r := range string(id) {
		if b.Len() >= 64 {
			break
		}
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return fmt.Sprintf("%s-%08x", b.String(), uint32(h.Sum64()))
}

// remove takes the run's folders away. Those of the program's own making below are removed as well.
func (g cgroup) remove() error {
	var errs []error
	for _, path := range append([]string{g.path}, g.limits...) {
		if path == "" {
			continue
		}
		err := unix.Rmdir(path)
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
			err = removeTree(path)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

func removeTree(path string) error {
	entries, _ := os.ReadDir(path) // what cannot be listed cannot be removed either
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(path)
}

// close removes our own folders when nothing is in them any more.
func (c *cgroups) close() {
	for _, path := range append([]string{c.root}, c.v1["memory"], c.v1["cpu"], c.v1["pids"]) {
		if path != "" {
			_ = unix.Rmdir(path) // busy when something is left in it
		}
	}
}

// populated tells whether a process lives in the run's cgroup.
func (g cgroup) populated() bool {
	fd, err := unix.Open(g.path+"/cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	var buf [128]byte
	n, err := unix.Read(fd, buf[:])
	return err == nil && bytes.Contains(buf[:n], []byte("populated 1"))
}

// pids lists the processes of the run, those in cgroups below included.
func (g cgroup) pids() []int {
	var pids []int
	_ = filepath.WalkDir(g.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // gone meanwhile
		}
		raw, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, f := range bytes.Fields(raw) {
			if pid, err := strconv.Atoi(string(f)); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// kill sends SIGKILL to every process of the run, at one stroke. Older kernels cannot.
func (g cgroup) kill() error { return writeFile(filepath.Join(g.path, "cgroup.kill"), []byte("1")) }

// oomKilled tells whether the kernel killed something of the run for want of memory; nil when nobody knows.
func (g cgroup) oomKilled() *bool {
	paths := []string{filepath.Join(g.path, "memory.events")}
	for _, l := range g.limits {
		paths = append(paths, filepath.Join(l, "memory.oom_control"))
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(raw) {
			if n, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("oom_kill ")); ok {
				killed := !bytes.Equal(n, []byte("0"))
				return &killed
			}
		}
	}
	return nil
}

// writeFile writes to a file of the kernel, in one write, without creating it.
func writeFile(path string, data []byte) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.Write(fd, data); err != nil {
		return fmt.Errorf("write %q to %s: %w", data, path, err)
	}
	return nil
}
