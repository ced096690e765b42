package testenv

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Alive reports whether a process exists and is no zombie.
func Alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	end := bytes.LastIndexByte(stat, ')')
	return end > 0 && end+2 < len(stat) && stat[end+2] != 'Z'
}

// StartTicks is a process's start time in clock ticks since boot: with it, a process ID is an identity.
func StartTicks(pid int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// WithEnv returns the live processes that have the variable NAME=value in their environment.
func WithEnv(variable string) []int {
	var pids []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !Alive(pid) {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil {
			continue
		}
		for v := range bytes.SplitSeq(environ, []byte{0}) {
			if string(v) == variable {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// withArgs returns the live processes whose command line has both words.
func withArgs(words ...string) []int {
	var pids []int
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil
	}
next:
	for _, f := range files {
		args, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for _, w := range words {
			if !bytes.Contains(args, []byte(w)) {
				continue next
			}
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && Alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// openFile returns the path of a file that a process has open, the one that ends in suffix; "" for none.
func openFile(pid int, suffix string) string {
	links, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	if err != nil {
		return ""
	}
	for _, l := range links {
		if path, err := os.Readlink(l); err == nil && strings.HasSuffix(path, suffix) {
			return path
		}
	}
	return ""
}

// kill sends SIGKILL to a process that this environment started.
func kill(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
