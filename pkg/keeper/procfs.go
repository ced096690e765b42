package keeper

import (
	"bytes"
	"os"
	"strconv"
	"sync"

	"github.com/philiporange/supervisor/pkg/process"
)

// These are in the environment of everything that we start: whose it is, and which run. Both have to match before a process
// is taken for ours; another keeper's runs are not to be touched whatever they are called.
const (
	keeperVariable = "SUPERVISOR_KEEPER"
	runIDVariable  = "SUPERVISOR_RUN_ID"
)

// proc is one line of the process table.
type proc struct {
	pid, ppid, pgid, sid int
	ticks                uint64 // start, in clock ticks since boot
	state                byte
	exitCode             int // as wait gives it; only for a zombie, and only where we may see it
	name                 string
}

// readProc reads /proc/PID/stat; ok is false when there is no such process.
func readProc(pid int) (p proc, ok bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return proc{}, false
	}
	return parseStat(pid, raw)
}

// parseStat parses a stat line. The name is in parentheses and may hold anything, parentheses included.
func parseStat(pid int, raw []byte) (p proc, ok bool) {
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if open < 0 || end < open {
		return proc{}, false
	}
	// f[0] is field 3 of proc(5).
	f := bytes.Fields(raw[end+1:])
	if len(f) < 20 {
		return proc{}, false
	}
	number := func(i int) int {
		n, err := strconv.Atoi(string(f[i]))
		if err != nil {
			ok = false
		}
		return n
	}
	ok = true
	p = proc{pid: pid, name: string(raw[open+1 : end]), state: f[0][0], ppid: number(1), pgid: number(2), sid: number(3)}
	ticks, err := strconv.ParseUint(string(f[19]), 10, 64)
	if err != nil {
		return proc{}, false
	}
	p.ticks = ticks
	if len(f) > 49 {
		p.exitCode = number(49)
	}
	return p, ok
}

func (p *proc) dead() bool { return p.state == 'Z' || p.state == 'X' }

// processTable reads all processes.
func processTable() []proc {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1) // what could be read is better than nothing
	table := make([]proc, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readProc(pid); ok {
			table = append(table, p)
		}
	}
	return table
}

// environRunID finds the run in a process's environment as it was at its exec; "" where the keeper of dir did not start it.
// known is false where there is no environment, which is so for a moment of each exec.
func environRunID(pid int, dir string) (id process.RunID, known bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(raw) == 0 {
		return "", false
	}
	ours := false
	for v := range bytes.SplitSeq(raw, []byte{0}) {
		if value, ok := bytes.CutPrefix(v, []byte(runIDVariable+"=")); ok {
			id = process.RunID(value)
		}
		if value, ok := bytes.CutPrefix(v, []byte(keeperVariable+"=")); ok {
			ours = string(value) == dir
		}
	}
	if !ours {
		return "", true
	}
	return id, true
}

// leaders are the runs that a scan tells apart: the leader's pid and when it started.
type leaders map[process.RunID]proc

// scanner tells which processes belong to which run, where no cgroup does. One scan serves all who ask while it is waited
// for, so that the end of many runs at once is not many walks through /proc.
type scanner struct {
	dir     string // the keeper's
	leaders func() leaders

	mu      sync.Mutex
	running bool
	next    *scan
	environ map[int]seen // what was read before, by pid
}

// scan is one walk: the living members of each run, leaders included.
type scan struct {
	done    chan struct{}
	members map[process.RunID][]proc
}

type seen struct {
	ticks uint64
	id    process.RunID
}

// look returns the members of all runs as of now.
func (s *scanner) look() map[process.RunID][]proc {
	s.mu.Lock()
	if s.next == nil {
		s.next = &scan{done: make(chan struct{})}
	}
	mine := s.next
	if s.running {
		s.mu.Unlock()
		<-mine.done
		return mine.members
	}
	s.running = true
	for s.next != nil {
		now := s.next
		s.next = nil
		s.mu.Unlock()
		now.members = s.walk()
		close(now.done)
		s.mu.Lock()
	}
	s.running = false
	s.mu.Unlock()
	return mine.members
}

// walk attributes each process: leaders, then their sessions and groups, then by environment, then by parent.
func (s *scanner) walk() map[process.RunID][]proc {
	known := s.leaders()
	table := processTable()
	a := attribution{
		byPID:   make(map[int]*proc, len(table)),
		leaders: make(map[int]process.RunID, len(known)),
		since:   known,
		result:  make(map[int]process.RunID, len(table)),
		environ: make(map[int]seen, len(s.environ)),
		before:  s.environ,
		self:    os.Getpid(),
		dir:     s.dir,
	}
	for i := range table {
		a.byPID[table[i].pid] = &table[i]
	}
	for id, l := range known {
		a.leaders[l.pid] = id
	}
	members := map[process.RunID][]proc{}
	for i := range table {
		p := &table[i]
		if id := a.of(p); id != "" && !p.dead() {
			members[id] = append(members[id], *p)
		}
	}
	s.environ = a.environ // only the goroutine that walks is here
	return members
}

// attribution is the work of one walk.
type attribution struct {
	byPID           map[int]*proc
	leaders         map[int]process.RunID
	since           leaders
	result          map[int]process.RunID
	environ, before map[int]seen
	self            int
	dir             string
}

// of tells which run a process belongs to; "" for none of ours.
func (a *attribution) of(p *proc) process.RunID {
	if p.pid == a.self || p.pid <= 1 {
		return ""
	}
	if id, ok := a.result[p.pid]; ok {
		return id
	}
	a.result[p.pid] = "" // ends a circle, which cannot be
	id := a.find(p)
	a.result[p.pid] = id
	return id
}

func (a *attribution) find(p *proc) process.RunID {
	for _, leader := range []int{p.pid, p.sid, p.pgid} {
		id, ok := a.leaders[leader]
		if !ok {
			continue
		}
		// The number may be a stranger's by now, and with it the session and the group of that name. While nobody bears
		// it, it cannot have been used again: the kernel keeps it as long as there is such a session or group.
		if bearer := a.byPID[leader]; bearer == nil || bearer.ticks == a.since[id].ticks {
			return id
		}
	}
	if parent := a.byPID[p.ppid]; parent != nil {
		if id := a.of(parent); id != "" {
			return id
		}
	}
	if p.dead() {
		return ""
	}
	const kthreadd = 2 // the parent of the kernel's own
	if p.ppid == kthreadd {
		return ""
	}
	e, ok := a.before[p.pid]
	if !ok || e.ticks != p.ticks {
		e = seen{ticks: p.ticks}
		e.id, ok = environRunID(p.pid, a.dir)
	}
	if ok {
		a.environ[p.pid] = e
	}
	if _, ours := a.since[e.id]; ours {
		return e.id
	}
	return ""
}
