package keeper

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// Keeper holds all runs. One process has at most one: it reaps every child that the process has.
type Keeper struct {
	dir     string
	fifos   string // folder of the FIFOs
	version string
	boot    string
	session string
	log     func(format string, args ...any)

	poll    *poller
	slate   *slate
	pool    bufferPool
	files   *logFiles
	spawner *spawner
	groups  *cgroups
	scan    *scanner
	pipes   pipeBudget
	janitor janitor

	lock     *os.File // of the folder
	listener *net.UnixListener
	signals  chan os.Signal

	// gate is passed by whatever moves bytes or changes a run, and shut by an upgrade, which so finds
	// nothing half done.
	gate gate
	// forks is held for reading from a fork to its registration and while a child is signalled by pid, and for writing
	// while children are reaped: an exit never comes before its run, and no pid is used again under our hands.
	forks sync.RWMutex

	// mu guards what follows, and all fields of all runs that are not said to be elsewhere. It is taken after the locks
	// above and after those of streams and log files.
	mu       sync.Mutex
	runs     map[process.RunID]*run
	order    []*run // oldest first
	slots    map[string]process.RunID
	pids     map[int]*run // living leaders that are our children
	helpers  map[int]chan unix.WaitStatus
	starting map[process.RunID]chan struct{}
	seq      uint64
	watchers map[*watcher]struct{}
	journal  *journal
	lastFifo uint64
}

// run is one run. Its entry is durable.
//
//	Running ──Stop──► Stopping            the leader is signalled; killTimer runs
//	   │                 │
//	   └── leader ends ──┴──► Leader set  tree empty: Exited at once
//	                              │
//	                              └─► endTree (Stopping): signal, grace, kill, until nothing is left ──► Exited
type run struct {
	entry
	seq     uint64
	child   bool // ours to wait for
	reaped  bool // guarded by Keeper.forks
	pidfd   int  // of an adopted leader, else -1
	token   uint64
	streams [2]*stream
	slot    *slot              // what is noted of the streams
	lost    [2]process.Dropped // dropped by streams, in all
	cgroup  cgroup
	kill    *time.Timer
	hasten  chan struct{} // while the tree is being ended: a shorter deadline was set
	killed  bool          // SIGKILL was sent because the grace had passed
}

// newKeeper makes a keeper without runs, that does nothing yet.
func newKeeper(dir, version string, useCgroups bool, log func(string, ...any)) (*Keeper, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	fifos, err := fifoDir(dir)
	if err != nil {
		return nil, err
	}
	sl, err := openSlate(filepath.Join(fifos, "slate"))
	if err != nil {
		return nil, err
	}
	if !sl.shared() {
		log("%s is not in memory, or that is full: should this keeper be killed, the block of output that it has in hand is lost", fifos)
	}
	k := &Keeper{
		dir: dir, fifos: fifos, version: version, boot: bootID(), log: log,
		poll:     poll,
		slate:    sl,
		pool:     newBufferPool(pumpWorkers(), sl),
		files:    &logFiles{files: map[string]*logFile{}},
		spawner:  &spawner{oom: newOOMGuard()},
		groups:   &cgroups{},
		runs:     map[process.RunID]*run{},
		slots:    map[string]process.RunID{},
		pids:     map[int]*run{},
		helpers:  map[int]chan unix.WaitStatus{},
		starting: map[process.RunID]chan struct{}{},
		watchers: map[*watcher]struct{}{},
		// Numbers of a later keeper are higher, so that a client need not know which keeper it hears.
		seq: uint64(time.Now().UnixNano()),
	}
	if useCgroups {
		k.groups = findCgroups(dir)
	}
	k.scan = &scanner{dir: dir, leaders: k.leaders}
	k.pipes.init()
	k.janitor.log = log
	return k, nil
}

// maxWorkers is how many blocks are moved at once at most.
const maxWorkers = 4

// pumpWorkers is how many blocks are moved at once: one program that floods a slow disk leaves room for the others.
func pumpWorkers() int { return max(2, min(maxWorkers, runtime.NumCPU())) }

// begin starts the workers and takes over what an earlier keeper left.
func (k *Keeper) begin(from inheritance) {
	k.session = from.session
	if k.session == "" {
		k.session = newSession()
	}
	k.mu.Lock()
	k.journal = openJournal(journalPath(k.dir), func() []record {
		return append([]record{{Op: opSession, Boot: k.boot, Session: k.session}}, entryRecords(from.entries)...)
	}, k.log)
	k.journal.snapshot = k.snapshotLocked
	k.mu.Unlock()
	for range pumpWorkers() {
		go k.poll.run()
	}
	k.adopt(from)
}

func newSession() string { return rand.Text() }

func entryRecords(entries []*entry) []record {
	records := make([]record, 0, len(entries))
	for _, e := range entries {
		records = append(records, record{Op: opRun, Entry: e})
	}
	return records
}

// snapshotLocked is the whole state for the journal.
func (k *Keeper) snapshotLocked() []record {
	records := []record{{Op: opSession, Boot: k.boot, Session: k.session}}
	for _, r := range k.order {
		records = append(records, record{Op: opRun, Entry: &r.entry})
	}
	return records
}

// leaders lists the runs of which something may live.
func (k *Keeper) leaders() leaders {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := leaders{}
	for id, r := range k.runs {
		if r.Run.Live() {
			l[id] = proc{pid: r.Run.PID, ticks: r.Ticks}
		}
	}
	return l
}

func (k *Keeper) addLocked(r *run) {
	k.runs[r.Run.ID] = r
	k.order = append(k.order, r)
	if r.Run.Live() {
		k.slots[r.Run.Slot] = r.Run.ID
	}
}

// changedLocked numbers a change and tells all who watch.
func (k *Keeper) changedLocked(r *run) {
	k.seq++
	r.seq = k.seq
	for w := range k.watchers {
		w.changedLocked(r.Run.ID)
	}
}

// changeLocked is the present state of a run as it goes over the socket.
func (k *Keeper) changeLocked(id process.RunID) process.Change {
	r := k.runs[id]
	if r == nil {
		return process.Change{Seq: k.seq, Forgotten: id}
	}
	return process.Change{Seq: r.seq, Run: r.copyRun()}
}

// copyRun copies what changes after the run was made.
func (r *run) copyRun() *process.Run {
	c := r.Run
	c.Labels = maps.Clone(c.Labels)
	c.Warnings = slices.Clone(c.Warnings)
	return &c
}

// forget drops an exited run.
func (k *Keeper) forget(id process.RunID) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.runs[id]
	if r == nil {
		return process.ErrUnknownRun
	}
	if r.Run.Live() {
		return fmt.Errorf("run %s lives as process %d: %w", id, r.Run.PID, process.ErrBusy)
	}
	delete(k.runs, id)
	k.order = slices.DeleteFunc(k.order, func(o *run) bool { return o == r })
	k.journal.append(record{Op: opForget, ID: id})
	k.seq++
	for w := range k.watchers {
		w.changedLocked(id)
	}
	return nil
}

// live counts the runs of which something may be left.
func (k *Keeper) live() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.slots) + len(k.starting)
}

// warn adds a sentence to the run for its owner to read.
func (k *Keeper) warn(r *run, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Run.Live() && !slices.Contains(r.Run.Warnings, text) {
		r.Run.Warnings = append(slices.Clone(r.Run.Warnings), text)
		k.changedLocked(r)
	}
}

// pipeBudget bounds how much pipe memory we take beyond the kernel's default, where the kernel bounds it for a user: past
// that bound every new pipe of the user, ours or not, would be of two pages.
type pipeBudget struct {
	mu    sync.Mutex
	left  int // bytes; negative means no bound
	limit bool
}

func (b *pipeBudget) init() {
	const pages = 4096 // a quarter of the kernel's default of 16384 pages for a user
	b.limit = os.Geteuid() != 0
	b.left = pages * os.Getpagesize()
}

// grow enlarges a pipe, if that may be.
func (b *pipeBudget) grow(fd, size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit && b.left < size {
		return false
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, size); err != nil {
		return false
	}
	if b.limit {
		b.left -= size
	}
	return true
}

// shrunk gives back what a closed pipe had.
func (b *pipeBudget) shrunk(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit && size >= pipeSize {
		b.left += size
	}
}
