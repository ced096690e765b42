package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockPatience bounds each wait for the descriptors of a manager that is dead.
const lockPatience = time.Second

// lock makes sure that one manager only works on a data folder. The kernel lets go of it when the process ends, however
// it ends.
func lock(dir string) (*os.File, error) {
	path := filepath.Join(dir, "supervisor.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	holder := ""
	for wait := time.Millisecond; errors.Is(err, syscall.EWOULDBLOCK) && wait <= lockPatience; wait *= 2 {
		raw := make([]byte, 32)
		n, _ := f.ReadAt(raw, 0)
		holder = strings.TrimSpace(string(raw[:n]))
		if pid, bad := strconv.Atoi(holder); bad != nil || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			break
		}
		// It is dead. What it was about to start when it was killed has its descriptors until the exec.
		<-time.After(wait)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another supervisor (process %s) works on %s; end it with `supervisor shutdown`, or choose another folder with SUPERVISOR_DIR", holder, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// For the message above only; the lock itself is the kernel's.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
