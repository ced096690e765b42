package keeper

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// dirHash tells keepers of different folders apart, in names outside of those.
func dirHash(dir string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir)) // a hash takes everything
	return fmt.Sprintf("%08x", h.Sum32())
}

// fifoDir makes the folder for the FIFOs: in memory, where they live exactly as long as what uses them and cost a hundredth
// of what a disk's file system takes to make one; else in dir.
func fifoDir(dir string) (string, error) {
	places := []string{"/run/user/" + strconv.Itoa(os.Geteuid()), "/dev/shm"}
	if os.Geteuid() == 0 {
		places = append([]string{"/run"}, places...)
	}
	for _, place := range places {
		var fs unix.Statfs_t
		if unix.Statfs(place, &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
			continue
		}
		path := filepath.Join(place, fmt.Sprintf("supervisor-%d-%s", os.Geteuid(), dirHash(dir)))
		if privateDir(path) {
			return path, nil
		}
	}
	path := filepath.Join(dir, "fifo")
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return path, nil
}

// privateDir makes a folder that only we may enter. One that somebody else made in a public place is not ours to use.
func privateDir(path string) bool {
	if err := unix.Mkdir(path, 0o700); err != nil && err != unix.EEXIST {
		return false
	}
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR &&
		st.Mode&0o077 == 0 && int(st.Uid) == os.Geteuid()
}

// openFifo opens a run's FIFO again. Should its name be gone (a user's /run folder ends with the login), the leader still
// has it open.
func openFifo(path string, pid, fd int) (int, error) {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	opened, err := unix.Open(path, flags, 0)
	if err != unix.ENOENT || pid <= 0 {
		return opened, err
	}
	path = fmt.Sprintf("/proc/%d/fd/%d", pid, fd)
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return -1, unix.ENOENT
	}
	return unix.Open(path, flags, 0)
}
