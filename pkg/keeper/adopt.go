package keeper

import (
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// inheritance is what a keeper takes over: from the journal of one that has died, or from the program that it was itself
// before an upgrade.
type inheritance struct {
	session string
	entries []*entry
	// fds are open descriptors that came over an upgrade, by run.
	fds map[process.RunID]heldFDs
}

// heldFDs are the descriptors of one run; -1 for none.
type heldFDs struct {
	Out   int `json:"out"`
	Err   int `json:"err"`
	Pidfd int `json:"pidfd"`
}

// fromJournal is the inheritance of a dead keeper. After a reboot nothing of it runs, and a new session begins.
func fromJournal(l loaded, boot string) inheritance {
	if l.boot == boot {
		return inheritance{session: l.session, entries: l.entries}
	}
	for _, e := range l.entries {
		if e.Run.Live() {
			e.end()
		}
	}
	return inheritance{entries: l.entries}
}

// end makes a run one that has ended while nobody saw it, unless it is known how its leader ended.
func (e *entry) end() {
	exit := e.Leader
	if exit == nil {
		exit = lostExit(e)
	}
	e.Run.Exit, e.Run.State = exit, process.Exited
}

func lostExit(e *entry) *process.Exit {
	return &process.Exit{Code: -1, Lost: true, At: time.Now(), Stopped: e.Stop != nil}
}

// adopt takes over each run: what lives is watched again, what has ended is recorded, and what was half done is done. One
// bad record never keeps the others from it.
func (k *Keeper) adopt(from inheritance) {
	runs := make([]*run, 0, len(from.entries))
	k.mu.Lock()
	for _, e := range from.entries {
		r := &run{entry: *e, pidfd: -1}
		r.cgroup = cgroup{path: r.Run.Cgroup, limits: r.Limits}
		k.addLocked(r)
		k.changedLocked(r)
		if !r.Run.Live() {
			continue
		}
		runs = append(runs, r)
	}
	k.mu.Unlock()
	k.findUnrecorded(runs)
	adoptions := make([]*adoption, 0, len(runs))
	for _, r := range runs {
		adoptions = append(adoptions, k.reopen(r, from.fds))
	}
	k.slate.sweep()
	recoverStreams(adoptions)
	for _, a := range adoptions {
		k.adoptRun(a)
	}
	k.removeStrays()
	k.reap()
}

// findUnrecorded looks for the leaders of runs whose keeper died between the fork and its record.
func (k *Keeper) findUnrecorded(runs []*run) {
	missing := map[process.RunID]*run{}
	for _, r := range runs {
		if r.Run.PID == 0 {
			missing[r.Run.ID] = r
		}
	}
	if len(missing) == 0 {
		return
	}
	for _, p := range processTable() {
		// The leader of a session that it made itself is what we forked; its descendants have the variable too.
		if p.pid != p.sid || p.dead() {
			continue
		}
		id, _ := environRunID(p.pid, k.dir)
		r := missing[id]
		if r != nil && (r.Run.PID == 0 || p.ticks < r.Ticks) {
			r.Run.PID, r.Ticks = p.pid, p.ticks
		}
	}
}

// adoption is a live run that is taken over.
type adoption struct {
	*run
	leader proc
	same   bool // the leader lives
	handed bool // the run came over an upgrade
	fds    heldFDs
	spent  [2]*stream // outputs that cannot be opened any more, but of which something may be in the slate
}

// reopen opens the output of a live run.
func (k *Keeper) reopen(r *run, held map[process.RunID]heldFDs) *adoption {
	a := &adoption{run: r}
	a.fds, a.handed = held[r.Run.ID]
	if !a.handed {
		a.fds = heldFDs{Out: -1, Err: -1, Pidfd: -1}
	}
	p, there := readProc(r.Run.PID)
	a.leader = p
	a.same = there && r.Run.PID > 0 && a.leader.ticks == r.Ticks
	leader := 0
	if a.same {
		leader = r.Run.PID
	}
	output := [2]int{a.fds.Out, a.fds.Err}
	if !a.handed && r.Fifo != "" {
		for i, name := range fifoNames {
			fd, err := openFifo(r.Fifo+name.suffix, leader, i+1)
			if err != nil && !errors.Is(err, unix.ENOENT) {
				k.log("run %s: open its %s: %v", r.Run.ID, name.log, err)
			}
			if err != nil {
				fd = -1
			}
			output[i] = fd
		}
	}
	r.slot = k.slate.take(r.Fifo)
	k.openStreams(r, output)
	noted := r.slot != nil && r.slot.old
	if !noted {
		r.Earlier = r.Run.Dropped // else what was dropped in all is noted, of each output
	}
	for i, s := range r.streams {
		if s == nil && noted {
			s = k.newStream(r, i, -1)
			a.spent[i] = s
		}
		if s == nil {
			continue
		}
		s.resumes = true
		s.orphan = !a.same && !a.handed
	}
	return a
}

// recoverStreams ends what the last keeper was at, of all runs, before anything else is read: that would go where what is to
// be recovered lies.
func recoverStreams(adoptions []*adoption) {
	type found struct {
		s *stream
		n note
	}
	var begun, others []found
	for _, a := range adoptions {
		for i, s := range a.streams {
			if s == nil {
				s = a.spent[i]
			}
			switch {
			case s == nil:
			case a.slot != nil && a.slot.old:
				f := found{s, a.slot.read(i)}
				s.remember(&f.n)
				if f.n.phase == writing || f.n.phase == closing {
					begun = append(begun, f) // whoever has written to a file goes on before others write to it
				} else {
					others = append(others, f)
				}
			case !a.handed:
				s.admit(noNoteText)
			}
		}
	}
	for _, f := range append(begun, others...) {
		f.s.recover(&f.n)
	}
}

// adoptRun takes over one live run.
func (k *Keeper) adoptRun(a *adoption) {
	r, p, same, handed, fds := a.run, a.leader, a.same, a.handed, a.fds
	for _, s := range r.streams {
		if s != nil && s.total.Bytes > 0 {
			s.report(s.total)
		}
	}
	for _, s := range a.spent {
		if s != nil {
			s.close()
		}
	}
	r.watch()
	switch {
	case r.Leader != nil: // what it left behind was being ended
		r.reaped = true
		go k.endTree(r)
	case same && p.ppid == os.Getpid() && handed:
		k.mu.Lock()
		r.child = true
		k.pids[r.Run.PID] = r
		k.mu.Unlock()
		k.resumeStop(r)
	case same && k.watchAdopted(r, p, fds.Pidfd):
		k.resumeStop(r)
	case fds.Pidfd >= 0: // it ended while we were being replaced; the descriptor still tells how
		r.pidfd = fds.Pidfd
		go k.adoptedGone(r)
	default:
		r.reaped = true
		k.leaderEnded(r, *lostExit(&r.entry))
		go k.afterLeader(r)
	}
}

// watchAdopted waits for a leader that is not our child. It is the one that was started only if it began when that did:
// a pid alone may be anybody's.
func (k *Keeper) watchAdopted(r *run, p proc, pidfd int) bool {
	if pidfd < 0 {
		fd, err := unix.PidfdOpen(r.Run.PID, 0)
		if err != nil {
			return false
		}
		if now, ok := readProc(r.Run.PID); !ok || now.ticks != p.ticks {
			_ = unix.Close(fd)
			return false
		}
		pidfd = fd
	}
	k.forks.Lock()
	r.pidfd = pidfd
	k.forks.Unlock()
	k.mu.Lock()
	r.Run.Adopted = true
	k.changedLocked(r)
	k.mu.Unlock()
	token, err := k.poll.add(pidfd, unix.EPOLLIN, waitFunc(func(uint32) { go k.adoptedGone(r) }))
	if err != nil {
		k.log("run %s: watch process %d: %v", r.Run.ID, r.Run.PID, err)
	}
	k.mu.Lock()
	r.token = token
	k.mu.Unlock()
	return true
}

// adoptedGone finds out how a process ended that is not our child: from the zombie, or, where the kernel keeps it, from
// the pidfd once the parent has waited. Where neither can tell, the exit is lost, which is never success.
func (k *Keeper) adoptedGone(r *run) {
	exit := lostExit(&r.entry)
	pause := time.Millisecond
	for range 11 { // two seconds in all, for a parent that takes its time
		status, known := pidfdStatus(r.pidfd)
		if !known {
			if p, ok := readProc(r.Run.PID); ok && p.ticks == r.Ticks && p.dead() {
				status, known = unix.WaitStatus(p.exitCode), true
			}
		}
		if known {
			e := exitOf(status)
			exit = &e
			break
		}
		<-time.After(pause)
		pause *= 2
	}
	k.gate.enter()
	k.mu.Lock()
	token := r.token
	k.mu.Unlock()
	k.forks.Lock()
	r.reaped = true
	k.poll.remove(r.pidfd, token)
	_ = unix.Close(r.pidfd)
	r.pidfd = -1
	k.forks.Unlock()
	k.leaderEnded(r, *exit)
	k.gate.leave()
	k.afterLeader(r)
}

// pidfdStatus asks the kernel (6.15 and later) how a process ended that its parent has waited for.
func pidfdStatus(fd int) (unix.WaitStatus, bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return unix.WaitStatus(uint32(info.Exit_code)), true
}

// resumeStop goes on with a Stop that was under way.
func (k *Keeper) resumeStop(r *run) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Stop != nil {
		k.armKillLocked(r)
	}
}

// removeStrays removes FIFOs and empty cgroups that belong to no run: a keeper died while it made or removed them.
func (k *Keeper) removeStrays() {
	k.mu.Lock()
	var known []string
	for _, r := range k.runs {
		if r.Run.Live() {
			known = append(known, r.Fifo+fifoNames[0].suffix, r.Fifo+fifoNames[1].suffix, r.cgroup.path)
			known = append(known, r.cgroup.limits...)
		}
	}
	k.mu.Unlock()
	folders := []string{k.fifos}
	if k.groups.root != "" {
		folders = append(folders, k.groups.root)
	}
	for _, base := range k.groups.v1 {
		folders = append(folders, base)
	}
	for _, folder := range folders {
		entries, _ := os.ReadDir(folder) // not there: nothing to remove
		for _, e := range entries {
			path := folder + "/" + e.Name()
			switch {
			case slices.Contains(known, path):
			case e.IsDir():
				_ = unix.Rmdir(path) // busy when a process is in it
			case e.Type()&os.ModeNamedPipe != 0:
				_ = unix.Unlink(path)
			}
		}
	}
}
