package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// fifoNames are the two outputs: file suffix of the FIFO and name of the log.
var fifoNames = [2]struct{ suffix, log string }{{".out", "stdout"}, {".err", "stderr"}}

// start starts a program, once for each run id, in a slot where nothing lives.
func (k *Keeper) start(spec *process.Spec) (process.Change, error) {
	if refused := checkSpec(spec); refused != nil {
		return process.Change{}, refused
	}
	k.mu.Lock()
	for {
		if _, known := k.runs[spec.ID]; known {
			defer k.mu.Unlock()
			return k.changeLocked(spec.ID), nil
		}
		underway := k.starting[spec.ID]
		if underway == nil {
			break
		}
		k.mu.Unlock()
		<-underway
		k.mu.Lock()
	}
	if holder, taken := k.slots[spec.Slot]; taken {
		defer k.mu.Unlock()
		return process.Change{}, fmt.Errorf("%s is held by run %s: %w", spec.Slot, holder, process.ErrSlotTaken)
	}
	underway := make(chan struct{})
	k.starting[spec.ID] = underway
	k.slots[spec.Slot] = spec.ID
	k.lastFifo++
	fifo := filepath.Join(k.fifos, strconv.FormatUint(uint64(os.Getpid()), 36)+"-"+strconv.FormatUint(k.seq, 36)+"-"+strconv.FormatUint(k.lastFifo, 36))
	k.mu.Unlock()

	r, err := k.launch(spec, fifo)

	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.starting, spec.ID)
	close(underway)
	if err != nil {
		if k.slots[spec.Slot] == spec.ID {
			delete(k.slots, spec.Slot)
		}
		return process.Change{}, err
	}
	return process.Change{Seq: r.seq, Run: r.copyRun()}, nil
}

// launch does the work of start: everything is made ready, journalled, forked, registered. What a failed start has made
// is taken away again.
func (k *Keeper) launch(spec *process.Spec, fifo string) (_ *run, err error) {
	p, refused := k.prepare(spec)
	if refused != nil {
		return nil, refused
	}
	if err := os.MkdirAll(spec.Logs.Dir, 0o750); err != nil {
		return nil, refuse(process.ReasonBadLog, "the log folder %s cannot be made: %v", spec.Logs.Dir, err)
	}
	r := &run{
		entry: entry{
			Run: process.Run{
				ID: spec.ID, Owner: spec.Owner, Slot: spec.Slot, Labels: spec.Labels,
				State: process.Running, StartedAt: time.Now(), LogDir: spec.Logs.Dir,
			},
			StopSignal: spec.StopSignal, StopGrace: spec.StopGrace, Logs: spec.Logs, Fifo: fifo,
		},
		child: true, pidfd: -1,
	}
	pipes, err := k.makePipes(r, p)
	defer pipes.closeTheirs()
	if err != nil {
		pipes.closeOurs()
		r.removeFifos()
		return nil, refuse(process.ReasonNoResources, "the output pipes cannot be made: %v", err)
	}
	p.files = pipes.theirs
	r.slot = k.slate.take(fifo) // before the journal: a run without notes is one of a keeper that had no memory for them
	r.cgroup, r.Run.Warnings = k.groups.create(spec.ID, spec.Limits)
	p.cgroup = r.cgroup
	r.Run.Cgroup, r.Limits = r.cgroup.path, r.cgroup.limits

	k.mu.Lock()
	k.journal.append(record{Op: opRun, Entry: &r.entry})
	k.mu.Unlock()

	if err := k.forkAndRegister(p, r, pipes.ours); err != nil {
		k.mu.Lock()
		k.journal.append(record{Op: opForget, ID: spec.ID})
		k.mu.Unlock()
		pipes.closeOurs()
		r.removeFifos()
		k.slate.put(r.slot)
		_ = r.cgroup.remove() // the next start of the run tries again
		return nil, explain(p, spec, err)
	}
	return r, nil
}

// forkAndRegister: from the fork to the registration nothing is reaped, so that whoever handles the exit finds the run
// with its streams.
func (k *Keeper) forkAndRegister(p *program, r *run, output [2]int) error {
	k.forks.RLock()
	defer k.forks.RUnlock()
	pid, err := k.spawner.spawn(p)
	if err != nil {
		return err
	}
	now := time.Now()
	r.cgroup = p.cgroup
	r.Run.Cgroup = r.cgroup.path
	k.openStreams(r, output)
	r.watch()
	stat, _ := readProc(pid) // there even as a zombie: nobody has reaped it
	k.mu.Lock()
	defer k.mu.Unlock()
	r.Run.PID, r.Run.StartedAt, r.Ticks = pid, now, stat.ticks
	k.pids[pid] = r
	k.addLocked(r)
	k.journal.append(record{Op: opPID, ID: r.Run.ID, PID: pid, Ticks: stat.ticks, At: now})
	k.changedLocked(r)
	return nil
}

// pipes are the ends of a program's stdin, stdout and stderr.
type pipes struct {
	theirs [3]int
	ours   [2]int
}

// makePipes makes the FIFOs. The program gets each opened for reading and writing, so that it is never without a reader
// and gets no SIGPIPE when a keeper dies; we read only, and so see the end once all writers are gone.
func (k *Keeper) makePipes(r *run, p *program) (*pipes, error) {
	ends := &pipes{theirs: [3]int{-1, -1, -1}, ours: [2]int{-1, -1}}
	var err error
	if ends.theirs[0], err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return ends, err
	}
	for i, name := range fifoNames {
		path := r.Fifo + name.suffix
		err := unix.Mkfifo(path, 0o600)
		if errors.Is(err, unix.ENOENT) { // somebody has tidied up in memory's folders
			if err = os.MkdirAll(k.fifos, 0o700); err == nil {
				err = unix.Mkfifo(path, 0o600)
			}
		}
		if err != nil {
			return ends, fmt.Errorf("make %s: %w", path, err)
		}
		if ends.ours[i], err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return ends, fmt.Errorf("open %s: %w", path, err)
		}
		if ends.theirs[i+1], err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return ends, fmt.Errorf("open %s: %w", path, err)
		}
		if p.who != nil { // so that the program may open /dev/stdout
			if err := unix.Fchown(ends.ours[i], int(p.who.Uid), int(p.who.Gid)); err != nil {
				return ends, fmt.Errorf("give %s to user %d: %w", path, p.who.Uid, err)
			}
		}
	}
	return ends, nil
}

func (p *pipes) closeTheirs() { closeAll(p.theirs[:]) }
func (p *pipes) closeOurs()   { closeAll(p.ours[:]) }

func closeAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (r *run) removeFifos() {
	if r.Fifo == "" {
		return
	}
	for _, name := range fifoNames {
		_ = unix.Unlink(r.Fifo + name.suffix)
	}
}

// openStreams makes the streams of a run, which read nothing yet. A descriptor of -1 stands for an output that is at its end.
func (k *Keeper) openStreams(r *run, fds [2]int) {
	var made [2]*stream
	for i, fd := range fds {
		if fd >= 0 {
			made[i] = k.newStream(r, i, fd)
		}
	}
	k.mu.Lock()
	r.streams = made
	k.mu.Unlock()
}

func (k *Keeper) newStream(r *run, i, fd int) *stream {
	size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		size = 64 << 10
	}
	s := &stream{
		file: k.files.get(r.Logs, fifoNames[i].log), poll: k.poll, pool: k.pool, gate: &k.gate,
		grow: k.pipes.grow, slate: k.slate, output: i, fd: fd, size: size, eof: make(chan struct{}),
	}
	if r.slot != nil {
		s.notes = r.slot
	}
	s.report = func(d process.Dropped) { k.dropped(r, i, d) }
	s.atEOF = func() { k.pipes.shrunk(s.size); k.files.put(s.file) }
	return s
}

// watch begins to read a run's output.
func (r *run) watch() {
	for _, s := range r.streams {
		if s != nil {
			s.watch()
		}
	}
}

// dropped notes what was dropped in all of one output.
func (k *Keeper) dropped(r *run, i int, d process.Dropped) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r.lost[i] = d
	r.Run.Dropped = process.Dropped{
		Bytes:  r.Earlier.Bytes + r.lost[0].Bytes + r.lost[1].Bytes,
		Lines:  r.Earlier.Lines + r.lost[0].Lines + r.lost[1].Lines,
		Reason: d.Reason,
	}
	k.changedLocked(r)
}
