package metrics

import (
	"errors"
	"os"
	"slices"
	"time"
)

// scanner takes passes over /proc and carries what must be known from one to the next. It is not safe for concurrent use.
type scanner struct {
	proc     *procReader
	pageSize int64
	ownNet   string // our own network namespace: traffic there is everybody's

	pass   uint64
	at     time.Time
	procs  map[int]*proc
	runs   map[string]*runState
	owners map[string]*ownerState
	pids   []int // reused
}

func newScanner() (*scanner, error) {
	p, err := openProc()
	if err != nil {
		return nil, err
	}
	return &scanner{
		proc: p, pageSize: int64(os.Getpagesize()), ownNet: p.netNamespace(os.Getpid()),
		procs: make(map[int]*proc), runs: make(map[string]*runState), owners: make(map[string]*ownerState),
	}, nil
}

func (s *scanner) close() error { return s.proc.close() }

// scan measures all runs. It fails only when /proc itself cannot be read.
func (s *scanner) scan(now time.Time, runs []Run) (*Snapshot, error) {
	s.pass++
	s.sync(runs)
	gone, err := s.readProcesses()
	if err != nil {
		return nil, err
	}
	s.measure(now)
	inherit(gone, s.procs)
	snap := &Snapshot{At: now, Runs: make([]RunUsage, 0, len(s.runs)), Owners: make(map[string]Usage)}
	for _, r := range s.runs {
		snap.Runs = append(snap.Runs, RunUsage{
			ID: r.ID, Owner: r.Owner, Replica: r.Replica, PID: r.PID, StartedAt: r.StartedAt, Usage: s.usage(now, r),
		})
	}
	slices.SortFunc(snap.Runs, compareRuns)
	s.sumOwners(now, snap)
	s.at = now
	return snap, nil
}

// sync takes over which runs there are.
func (s *scanner) sync(runs []Run) {
	for _, run := range runs {
		r := s.runs[run.ID]
		if r == nil {
			r = &runState{}
			s.runs[run.ID] = r
		}
		r.Run, r.seen, r.members = run, s.pass, r.members[:0]
	}
	for id, r := range s.runs {
		if r.seen != s.pass {
			delete(s.runs, id)
		}
	}
}

// readProcesses brings the table of processes up to date, says to which run each belongs, and returns those that ended.
func (s *scanner) readProcesses() (map[int]*proc, error) {
	gone := make(map[int]*proc)
	s.pids = s.pids[:0]
	grouped := make(map[int]*runState)
	loose := tree{
		procs: s.procs, sessions: make(map[int]*runState), byID: make(map[string]*runState), adopters: map[int]bool{1: true},
		runID: s.proc.runID,
	}
	for _, r := range s.runs {
		if r.Cgroup != "" {
			from := len(s.pids)
			var err error
			if s.pids, err = s.proc.cgroupPIDs(r.Cgroup, s.pids); err == nil {
				for _, pid := range s.pids[from:] {
					grouped[pid] = r
				}
				continue
			}
			s.pids = s.pids[:from] // its folder is gone or out of reach: find it as if it had none
		}
		if r.PID > 0 {
			loose.sessions[r.PID] = r
			loose.byID[r.ID] = r
		}
	}
	if len(loose.sessions) > 0 {
		var err error
		if s.pids, err = s.proc.pids(s.pids[:0]); err != nil {
			return nil, err
		}
	}
	for _, pid := range s.pids {
		s.refresh(pid, gone)
	}
	for pid, p := range s.procs {
		if p.seen != s.pass {
			gone[pid] = p
			delete(s.procs, pid)
			continue
		}
		if p.run != nil && p.run.seen != s.pass {
			p.run, p.asked = nil, false // its run is no longer told to live
		}
		if r := grouped[pid]; r != nil {
			p.run = r
		}
		if r := loose.sessions[pid]; r != nil && r.owns(p) {
			loose.adopters[p.ppid] = true
		}
	}
	loose.assign()
	for _, p := range s.procs {
		if p.run != nil {
			p.run.members = append(p.run.members, p)
		}
	}
	return gone, nil
}

// refresh reads one process. When its pid belongs to another process now, the earlier one is among the gone.
func (s *scanner) refresh(pid int, gone map[int]*proc) {
	st, err := s.proc.stat(pid)
	if err != nil {
		return // ended since it was listed
	}
	p := s.procs[pid]
	if p != nil && p.start != st.start {
		gone[pid] = p
		p = nil
	}
	if p == nil {
		p = &proc{}
		s.procs[pid] = p
	}
	p.procStat, p.seen = st, s.pass
}

// measure reads the rest of what is wanted of the processes that belong to runs.
func (s *scanner) measure(now time.Time) {
	var unread []*proc
	for _, r := range s.runs {
		for _, p := range r.members {
			s.measureOne(p)
			if !p.gone() && !p.memory.refused && p.memory.stale(now, p.rssPages*s.pageSize) {
				unread = append(unread, p)
			}
		}
	}
	s.readPSS(now, unread)
}

func (s *scanner) measureOne(p *proc) {
	p.lastWait = p.waitedFor
	p.cost.ticks = p.ticks()
	p.files, p.ioKnown = -1, false
	if !p.gone() {
		read, wrote, err := s.proc.io(p.pid)
		p.note(err)
		if p.ioKnown = err == nil; p.ioKnown {
			p.cost.read, p.cost.wrote = read, wrote
		}
	}
	if !p.gone() {
		n, err := s.proc.openFiles(p.pid)
		p.note(err)
		if err == nil {
			p.files = n
		}
	}
	// Of bytes the kernel does not tell the children's part: it is at most all of them.
	p.waitedFor = cost{ticks: p.childrenTicks(), read: p.cost.read, wrote: p.cost.wrote}
}

// note marks a process that ended while it was looked at.
func (p *proc) note(err error) {
	if errors.Is(err, errEnded) {
		p.state = 'X'
	}
}

// readPSS reads PSS for as many processes as the budget allows, those first that have no reading yet.
func (s *scanner) readPSS(now time.Time, unread []*proc) {
	slices.SortFunc(unread, func(a, b *proc) int {
		if c := a.memory.read.Compare(b.memory.read); c != 0 {
			return c
		}
		return a.pid - b.pid
	})
	began := time.Now()
	for i, p := range unread {
		if i%8 == 7 && time.Since(began) > pssBudget {
			return
		}
		pss, err := s.proc.pss(p.pid)
		if p.note(err); err != nil {
			p.memory = memory{refused: errors.Is(err, errRefused)}
			continue
		}
		p.memory = memory{pss: pss, rss: p.rssPages * s.pageSize, read: now}
	}
}

// usage sums up one run and moves its totals on.
func (s *scanner) usage(now time.Time, r *runState) Usage {
	u := Usage{IOKnown: len(r.members) > 0}
	sum := r.buried
	for _, p := range r.members {
		sum = sum.plus(p.cost)
		if p.gone() {
			continue
		}
		bytes, kind := p.memory.at(p.rssPages * s.pageSize)
		one := Usage{MemoryBytes: bytes, MemoryKind: kind, OpenFiles: p.files, Threads: p.threads, Processes: 1}
		u.add(&one)
		u.IOKnown = u.IOKnown && p.ioKnown
	}
	t := totals{cpu: time.Duration(sum.ticks) * (time.Second / clockTick), read: sum.read, wrote: sum.wrote}
	if r.Cgroup != "" {
		if usec, ok := s.proc.cgroupCPU(r.Cgroup); ok {
			t.cpu = time.Duration(usec) * time.Microsecond
		}
	}
	s.traffic(r, &t)
	// A source that changes (the cgroup's folder goes away) may tell less than before; totals do not fall.
	t.cpu, t.read, t.wrote = max(t.cpu, r.lastUp.cpu), max(t.read, r.lastUp.read), max(t.wrote, r.lastUp.wrote)

	switch {
	case !r.last.IsZero():
		u.Window = now.Sub(r.last)
	case !s.at.IsZero() && r.StartedAt.After(s.at):
		u.Window = now.Sub(r.StartedAt) // began since the last pass: all that it used, it used since then
	}
	if u.Window > 0 {
		u.CPUPercent = percentOfCore(t.cpu-r.lastUp.cpu, max(u.Window, shortestWindow))
	}
	o := s.owners[r.Owner]
	if o == nil {
		o = &ownerState{}
		s.owners[r.Owner] = o
	}
	o.totals = o.plus(t.minus(r.lastUp))
	o.seen = now
	r.last, r.lastUp = now, t
	u.setTotals(t)
	if r.net != nil {
		u.Net = &Net{t.net.ReceivedBytes, t.net.SentBytes}
	}
	return u
}

func (u *Usage) setTotals(t totals) { u.CPUTime, u.ReadBytes, u.WriteBytes = t.cpu, t.read, t.wrote }

// shortestWindow keeps a run that began a moment before the pass from showing thousands of percent.
const shortestWindow = 20 * time.Millisecond

// traffic reads the run's network namespace, when it is not ours.
func (s *scanner) traffic(r *runState, t *totals) {
	t.net = r.lastUp.net
	ns := s.proc.netNamespace(r.PID)
	if ns == "" || ns == s.ownNet || s.ownNet == "" {
		return
	}
	now, ok := s.proc.traffic(r.PID)
	if !ok {
		return
	}
	if r.net != nil && r.netFrom == ns {
		t.net.ReceivedBytes += less(now.ReceivedBytes, r.net.ReceivedBytes)
		t.net.SentBytes += less(now.SentBytes, r.net.SentBytes)
	} else {
		t.net.ReceivedBytes += now.ReceivedBytes
		t.net.SentBytes += now.SentBytes
	}
	r.net, r.netFrom = &now, ns
}

// sumOwners adds the runs of each owner up and forgets owners that have had none for long.
func (s *scanner) sumOwners(now time.Time, snap *Snapshot) {
	for i := range snap.Runs {
		r := &snap.Runs[i]
		u, known := snap.Owners[r.Owner]
		if !known {
			u.IOKnown = true
		}
		u.add(&r.Usage)
		u.IOKnown = u.IOKnown && r.IOKnown
		t := s.owners[r.Owner].totals
		u.setTotals(t)
		if r.Net != nil {
			u.Net = &Net{t.net.ReceivedBytes, t.net.SentBytes}
		}
		snap.Owners[r.Owner] = u
	}
	for name, o := range s.owners {
		if now.Sub(o.seen) > ownerMemory {
			delete(s.owners, name)
		}
	}
}
