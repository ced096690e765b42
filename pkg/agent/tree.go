package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// killRounds bounds how often a tree is looked at anew while it is killed.
	killRounds = 32
	// killPatience is how long the end of a killed process is waited for, in milliseconds.
	killPatience = 1000
)

func newMark() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) //nolint:errcheck // it never fails
	return hex.EncodeToString(b[:])
}

// member is one living process of a tree.
type member struct {
	pid   int
	ticks string // when it began, so that another process of the same number is not taken for it
}

// stat is what /proc/PID/stat says.
type stat struct {
	state       byte
	ppid, pgrp  int
	begun       string
	marked      bool
	interesting bool
}

func readStat(pid int) (s stat, ok bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return s, false
	}
	// The name is in parentheses, and may hold some itself.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return s, false
	}
	s.state = fields[0][0]
	s.ppid, _ = strconv.Atoi(fields[1])
	s.pgrp, _ = strconv.Atoi(fields[2])
	s.begun = fields[19]
	return s, s.state != 'Z' && s.state != 'X'
}

// members are the living processes of a tree: those that carry its mark, and, while its leader lives (0: it does not), those of its
// process group and all who descend from it.
func members(mark string, leader int) []member {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	want := []byte(markName + "=" + mark)
	all := map[int]stat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		s, ok := readStat(pid)
		if !ok {
			continue
		}
		// Another user's, when we are not root: not of our tree.
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")) //nolint:errcheck // see above
		s.marked = bytes.Contains(env, want)
		s.interesting = s.marked || (leader != 0 && (pid == leader || s.pgrp == leader))
		all[pid] = s
	}
	for grown := true; grown; {
		grown = false
		for pid, s := range all {
			if !s.interesting && all[s.ppid].interesting {
				s.interesting, grown = true, true
				all[pid] = s
			}
		}
	}
	var out []member
	for pid, s := range all {
		if s.interesting {
			out = append(out, member{pid, s.begun})
		}
	}
	return out
}

// signal signals a process that is still the one that was seen. One that is killed is waited for.
func (m member) signal(sig syscall.Signal) {
	fd, err := unix.PidfdOpen(m.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost
	if s, ok := readStat(m.pid); !ok || s.begun != m.ticks {
		return
	}
	_ = unix.PidfdSendSignal(fd, sig, nil, 0) //nolint:errcheck // it is gone
	switch sig {
	case syscall.SIGKILL:
		// A process that the kernel holds on to, such as for a disk, is left to it after a while.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, killPatience) //nolint:errcheck // see above
	case syscall.SIGTERM:
		_ = unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0) //nolint:errcheck // a stopped one could not act on it
	}
}

func signalTree(mark string, leader int, sig syscall.Signal) {
	for _, m := range members(mark, leader) {
		m.signal(sig)
	}
}

// killTree kills until no new process turns up, and returns how many it killed.
func killTree(mark string, leader int) int {
	killed := map[member]bool{}
	for range killRounds {
		fresh := false
		for _, m := range members(mark, leader) {
			if !killed[m] {
				killed[m], fresh = true, true
				m.signal(syscall.SIGKILL)
			}
		}
		if !fresh {
			break
		}
	}
	return len(killed)
}
