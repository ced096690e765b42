package keeper

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// members lists the living processes of a run other than its leader while that lives: those in its cgroup, and, where it has
// none or its output is still held by somebody, those that /proc shows.
func (k *Keeper) members(r *run) []proc {
	found := map[int]proc{}
	if r.cgroup.path != "" {
		for _, pid := range r.cgroup.pids() {
			if p, ok := readProc(pid); ok && !p.dead() {
				found[pid] = p
			}
		}
	}
	if r.cgroup.path == "" || (len(found) == 0 && !r.silent()) {
		// A walk takes its time: whoever was forked behind it by somebody who is gone before it comes is in the next one.
		for range 2 {
			for _, p := range k.scan.look()[r.Run.ID] {
				found[p.pid] = p
			}
			if len(found) > 0 {
				break
			}
		}
	}
	k.mu.Lock()
	gone := r.Leader != nil
	k.mu.Unlock()
	var members []proc
	for _, p := range found {
		if gone || p.pid != r.Run.PID {
			members = append(members, p)
		}
	}
	return members
}

// silent tells whether both outputs are at their end.
func (r *run) silent() bool {
	for _, s := range r.streams {
		if s == nil {
			continue
		}
		select {
		case <-s.eof:
		default:
			return false
		}
	}
	return true
}

// openPidfd opens a process, and makes sure that it is the one that was seen.
func openPidfd(p proc) (int, error) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return -1, err
	}
	if now, ok := readProc(p.pid); !ok || now.ticks != p.ticks || now.dead() {
		_ = unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// signalMembers signals each process that is still the one that was seen. A stopped process has to go on to act on it.
func (k *Keeper) signalMembers(r *run, members []proc, sig syscall.Signal) {
	for _, p := range members {
		fd, err := openPidfd(p)
		if err != nil {
			continue
		}
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && err != unix.ESRCH {
			k.log("run %s: signal %d to process %d: %v", r.Run.ID, sig, p.pid, err)
		}
		if wakes(sig) {
			_ = unix.PidfdSendSignal(fd, unix.SIGCONT, nil, 0)
		}
		_ = unix.Close(fd)
	}
}

// wakes tells whether a stopped process has to be continued so that it can act on a signal that asks it to end.
func wakes(sig syscall.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGHUP || sig == syscall.SIGQUIT
}

// killMembers kills the whole tree, leader included: at one stroke where there is a cgroup, else again and again until no
// new process turns up.
func (k *Keeper) killMembers(r *run) {
	if r.cgroup.path != "" && r.cgroup.kill() == nil {
		_ = k.signalLeader(r, syscall.SIGKILL) // it may have been moved to another cgroup
		return
	}
	const rounds = 16 // a tree that forks faster than that has a cgroup to be caught by
	killed := map[int]uint64{}
	for range rounds {
		fresh := false
		for _, p := range k.members(r) {
			if killed[p.pid] != p.ticks {
				killed[p.pid], fresh = p.ticks, true
				k.signalMembers(r, []proc{p}, syscall.SIGKILL)
			}
		}
		if !fresh {
			break
		}
	}
	_ = k.signalLeader(r, syscall.SIGKILL)
}

// signalLeader signals the leader if it lives.
func (k *Keeper) signalLeader(r *run, sig syscall.Signal) error {
	k.forks.RLock()
	defer k.forks.RUnlock()
	var err error
	switch {
	case r.reaped:
		return unix.ESRCH
	case r.child:
		err = unix.Kill(r.Run.PID, sig)
		if err == nil && wakes(sig) {
			_ = unix.Kill(r.Run.PID, unix.SIGCONT)
		}
	default:
		err = unix.PidfdSendSignal(r.pidfd, sig, nil, 0)
		if err == nil && wakes(sig) {
			_ = unix.PidfdSendSignal(r.pidfd, unix.SIGCONT, nil, 0)
		}
	}
	if err != nil {
		return fmt.Errorf("signal %d to process %d: %w", sig, r.Run.PID, err)
	}
	return nil
}
