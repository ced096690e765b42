package keeper

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// killPatience is how long SIGKILL may take before we say who does not die.
	killPatience = 5 * time.Second
	// pipePatience is how long an output may stay open after the last process that we know of the run has gone.
	pipePatience = time.Second
	// defaultGrace is for a tree without a leader when the spec does not say.
	defaultGrace = 10 * time.Second
)

// reap waits for all children that have ended: leaders, and orphans that came to us as their subreaper.
func (k *Keeper) reap() {
	k.gate.enter()
	defer k.gate.leave()
	k.forks.Lock()
	defer k.forks.Unlock()
	for {
		var status unix.WaitStatus
		var usage unix.Rusage
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, &usage)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		k.mu.Lock()
		r, helper := k.pids[pid], k.helpers[pid]
		delete(k.pids, pid)
		delete(k.helpers, pid)
		k.mu.Unlock()
		switch {
		case r != nil:
			r.reaped = true
			e := exitOf(status)
			e.Usage = process.Usage{
				UserTime: time.Duration(usage.Utime.Nano()), SystemTime: time.Duration(usage.Stime.Nano()), MaxRSS: usage.Maxrss << 10,
			}
			k.leaderEnded(r, e)
			go k.afterLeader(r)
		case helper != nil:
			helper <- status
		}
	}
}

// exitOf puts a wait status into words.
func exitOf(status unix.WaitStatus) process.Exit {
	e := process.Exit{Code: status.ExitStatus(), At: time.Now()}
	if status.Signaled() {
		e.Code, e.Signal, e.Core = -1, int(status.Signal()), status.CoreDump()
	}
	return e
}

// leaderEnded records how a leader ended, once for each run. It is called within the gate, together with the wait that has
// told: between the two an upgrade would lose it.
func (k *Keeper) leaderEnded(r *run, e process.Exit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.kill != nil {
		r.kill.Stop()
	}
	e.Stopped = r.Stop != nil
	r.Leader = &e
	k.journal.append(record{Op: opLeader, ID: r.Run.ID, Exit: &e})
}

// afterLeader brings a run to its end once its leader has ended.
func (k *Keeper) afterLeader(r *run) {
	k.gate.enter()
	done := false
	if r.cgroup.path != "" && !r.cgroup.populated() && r.drain() {
		// The usual end: nothing is left, and the pipes say so too.
		k.finish(r, nil)
		done = true
	}
	k.gate.leave()
	if !done {
		k.endTree(r)
	}
}

// drain reads what is left of the output and tells whether its end was reached.
func (r *run) drain() bool {
	all := true
	for _, s := range r.streams {
		if s != nil && !s.drain() {
			all = false
		}
	}
	return all
}

// endTree ends what a leader has left behind: the stop signal, the grace, SIGKILL. An upgrade may come at any time while
// it waits; the next program begins it anew from the journal.
func (k *Keeper) endTree(r *run) {
	members := k.members(r)
	if len(members) > 0 {
		members = k.endMembers(r, members)
	}
	left := describe(members)
	k.awaitPipes(r)
	k.gate.enter()
	defer k.gate.leave()
	k.finish(r, left)
}

// endMembers returns those that SIGKILL did not end in time.
func (k *Keeper) endMembers(r *run, members []proc) []proc {
	k.mu.Lock()
	sig := syscall.SIGTERM
	if r.StopSignal > 0 {
		sig = syscall.Signal(r.StopSignal)
	}
	if r.Stop == nil {
		grace := r.StopGrace
		if grace <= 0 {
			grace = defaultGrace
		}
		r.Stop = &stopOrder{Signal: int(sig), Deadline: sinceBoot() + int64(grace)}
		k.journal.append(record{Op: opStop, ID: r.Run.ID, Stop: r.Stop})
	} else {
		sig = syscall.Signal(r.Stop.Signal)
	}
	r.hasten = make(chan struct{}, 1)
	hasten, killed := r.hasten, r.killed
	if r.Run.State != process.Stopping {
		r.Run.State = process.Stopping
		k.changedLocked(r)
	}
	k.mu.Unlock()

	if !killed {
		k.signalMembers(r, members, sig)
		if members = k.awaitEmpty(r, members, hasten, k.deadlineOf(r)); len(members) == 0 {
			return nil
		}
		k.mu.Lock()
		r.killed = true
		k.mu.Unlock()
	}
	k.killMembers(r)
	end := sinceBoot() + int64(killPatience)
	return k.awaitEmpty(r, k.members(r), nil, func() int64 { return end })
}

// deadlineOf reads the deadline, which a second Stop may bring nearer.
func (k *Keeper) deadlineOf(r *run) func() int64 {
	return func() int64 {
		k.mu.Lock()
		defer k.mu.Unlock()
		return r.Stop.Deadline
	}
}

// awaitEmpty waits until none of the run's tree lives, and returns who does at the deadline.
func (k *Keeper) awaitEmpty(r *run, members []proc, hasten <-chan struct{}, deadline func() int64) []proc {
	for len(members) > 0 {
		gone := k.awaitAll(members)
		timer := time.NewTimer(time.Duration(deadline() - sinceBoot()))
	wait:
		for {
			select {
			case <-gone.done:
				break wait
			case <-hasten:
				timer.Reset(time.Duration(deadline() - sinceBoot()))
			case <-timer.C:
				gone.cancel()
				return k.members(r)
			}
		}
		timer.Stop()
		members = k.members(r)
	}
	return nil
}

// vigil waits for several processes by their pidfds.
type vigil struct {
	done   chan struct{} // closed when all have ended, or after cancel
	cancel func()
}

// awaitAll begins to wait until all of members have ended.
func (k *Keeper) awaitAll(members []proc) vigil {
	ended := make(chan struct{}, len(members))
	type watched struct {
		fd    int
		token uint64
	}
	var open []watched
	for _, p := range members {
		fd, err := openPidfd(p)
		if err != nil {
			continue // gone already
		}
		token, err := k.poll.add(fd, unix.EPOLLIN, waitFunc(func(uint32) { ended <- struct{}{} }))
		if err != nil {
			_ = unix.Close(fd)
			continue
		}
		open = append(open, watched{fd, token})
	}
	done, stop := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for left, stopped := len(open), false; left > 0 && !stopped; left-- {
			select {
			case <-ended:
			case <-stop:
				stopped = true
			}
		}
		for _, w := range open {
			k.poll.remove(w.fd, w.token)
			_ = unix.Close(w.fd)
		}
	}()
	return vigil{done: done, cancel: func() { close(stop) }}
}

// awaitPipes drains the output. Should a process that we do not know of hold a pipe, we do not wait for ever.
func (k *Keeper) awaitPipes(r *run) {
	k.gate.enter()
	ended := r.drain()
	k.gate.leave()
	if ended {
		return
	}
	timer := time.NewTimer(pipePatience)
	defer timer.Stop()
	for _, s := range r.streams {
		if s == nil {
			continue
		}
		select {
		case <-s.eof:
		case <-timer.C:
			timer.Reset(0)
		}
	}
	k.gate.enter()
	defer k.gate.leave()
	r.drain()
	for _, s := range r.streams {
		if s != nil {
			s.close()
		}
	}
}

// finish records the end of a run. What it leaves in the file system is removed after everybody has been told.
func (k *Keeper) finish(r *run, left []string) {
	oom := r.cgroup.oomKilled()
	k.mu.Lock()
	e := *r.Leader
	e.OOM, e.Killed, e.Left = oom, r.killed, left
	r.Run.Exit, r.Run.State = &e, process.Exited
	if k.slots[r.Run.Slot] == r.Run.ID {
		delete(k.slots, r.Run.Slot)
	}
	k.journal.append(record{Op: opExit, ID: r.Run.ID, Exit: &e})
	k.slate.put(r.slot)
	r.slot = nil
	k.changedLocked(r)
	k.janitor.add(r) // before a shutdown may find that nothing lives
	k.mu.Unlock()
}

func describe(members []proc) []string {
	var left []string
	for _, p := range members {
		left = append(left, fmt.Sprintf("%d %s", p.pid, p.name))
	}
	slices.Sort(left)
	return left
}
