package keeper

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// stop signals the leader and sees to it that nothing of the tree is left once grace has passed.
func (k *Keeper) stop(id process.RunID, sig syscall.Signal, grace time.Duration) error {
	if sig <= 0 || sig > 64 {
		return fmt.Errorf("there is no signal %d", sig)
	}
	grace = max(grace, 0)
	if sig == syscall.SIGKILL {
		grace = 0
	}
	k.mu.Lock()
	r := k.runs[id]
	if r == nil {
		k.mu.Unlock()
		return process.ErrUnknownRun
	}
	if !r.Run.Live() {
		k.mu.Unlock()
		return nil
	}
	deadline := sinceBoot() + int64(grace)
	again := r.Stop != nil
	if again {
		deadline = min(deadline, r.Stop.Deadline)
	}
	r.Stop = &stopOrder{Signal: int(sig), Deadline: deadline}
	k.journal.append(record{Op: opStop, ID: id, Stop: r.Stop})
	if r.Run.State != process.Stopping {
		r.Run.State = process.Stopping
		k.changedLocked(r)
	}
	leaderGone := r.Leader != nil
	if leaderGone {
		if r.hasten != nil {
			select {
			case r.hasten <- struct{}{}:
			default: // told already
			}
		}
	} else {
		k.armKillLocked(r)
	}
	k.mu.Unlock()
	if leaderGone || sig == syscall.SIGKILL {
		return nil // endTree signals what is left; and a kill is the timer's
	}
	if err := k.signalLeader(r, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// armKillLocked sets the timer of SIGKILL to the deadline of the Stop.
func (k *Keeper) armKillLocked(r *run) {
	if r.kill != nil {
		r.kill.Stop()
	}
	r.kill = time.AfterFunc(time.Duration(r.Stop.Deadline-sinceBoot()), func() { k.killRun(r) })
}

// killRun is the end of a Stop's grace while the leader still lives.
func (k *Keeper) killRun(r *run) {
	k.gate.enter()
	defer k.gate.leave()
	k.mu.Lock()
	if r.Leader != nil || !r.Run.Live() {
		k.mu.Unlock()
		return
	}
	r.killed = true
	r.kill = time.AfterFunc(killPatience, func() { k.complain(r) })
	k.mu.Unlock()
	k.killMembers(r)
}

// complain says that a leader does not die: it hangs in the kernel. Its slot stays taken, for two would be worse.
func (k *Keeper) complain(r *run) {
	p, ok := readProc(r.Run.PID)
	if !ok {
		return
	}
	text := fmt.Sprintf("process %d (%s) does not die on SIGKILL: it is in state %c, which usually means a disk or network mount that does not answer", p.pid, p.name, p.state)
	k.log("run %s: %s", r.Run.ID, text)
	k.warn(r, text)
}

// signal sends a signal to the leader or to the whole tree.
func (k *Keeper) signal(id process.RunID, sig syscall.Signal, tree bool) error {
	if sig <= 0 || sig > 64 {
		return fmt.Errorf("there is no signal %d", sig)
	}
	k.mu.Lock()
	r := k.runs[id]
	live := r != nil && r.Run.Live()
	k.mu.Unlock()
	if !live {
		return process.ErrUnknownRun
	}
	if tree {
		k.signalMembers(r, k.members(r), sig)
	}
	err := k.signalLeader(r, sig)
	if errors.Is(err, unix.ESRCH) {
		return nil // it has just ended; the change is on its way
	}
	return err
}
