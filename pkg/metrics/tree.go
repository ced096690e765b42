package metrics

// proc is what is remembered of one process from pass to pass.
type proc struct {
	procStat
	// run is whose tree it belongs to. Once known it stays, whatever parent the process is given later.
	run *runState
	// asked is true once its environment was searched: it is read once in a process's life.
	asked bool
	seen  uint64 // the last pass that met it

	cost      cost // all that it and the children that it waited for have used, as of this pass
	waitedFor cost // upper bound of the children's part in cost
	lastWait  cost // waitedFor as of the pass before
	ioKnown   bool
	files     int // open files; -1 where we may not look
	memory    memory
}

// tree finds the processes of runs that have no cgroup.
//
// A process belongs to a run when it is the leader, shares the leader's session (also after the leader has gone: the
// kernel does not hand out the number of a session that is in use), descends from one that belongs, or was orphaned to
// the keeper or to init with the run's id in its environment.
type tree struct {
	procs map[int]*proc
	// sessions are the runs without a cgroup, by the pid of their leader.
	sessions map[int]*runState
	// byID are the same runs by id.
	byID map[string]*runState
	// adopters are the processes that orphans end up with: init, and the parents of leaders.
	adopters map[int]bool
	// runID reads the run id out of a process's environment.
	runID func(pid int) (id string, final bool)
}

// assign sets the run of every process that belongs to one. Those that have a run keep it.
func (t *tree) assign() {
	for _, p := range t.procs {
		if p.run == nil {
			t.resolve(p, 0)
		}
	}
}

// depthLimit ends a walk through parents; the table is read process by process, so pids that are reused while it is read
// could tie a loop into it.
const depthLimit = 4096

func (t *tree) resolve(p *proc, depth int) *runState {
	if p.run != nil || depth > depthLimit {
		return p.run
	}
	if run := t.sessions[p.session]; run != nil && run.owns(t.procs[p.session]) {
		p.run = run
		return run
	}
	const kthreadd = 2
	if p.ppid == 0 || p.ppid == kthreadd {
		return nil
	}
	if !t.adopters[p.ppid] {
		if parent := t.procs[p.ppid]; parent != nil && parent != p {
			p.run = t.resolve(parent, depth+1)
		}
		return p.run
	}
	// Its parent is init or the keeper: an orphan of a run, or no concern of ours.
	if !p.asked {
		var id string
		id, p.asked = t.runID(p.pid)
		p.run = t.byID[id]
	}
	return p.run
}

// owns reports whether a session that bears the number of our leader is ours. leader is the process with that pid now.
func (r *runState) owns(leader *proc) bool {
	switch {
	case leader == nil:
		return true // ended; its session lives on
	case leader.session != leader.pid:
		return false // a reused pid: our leader leads its session from its first instant to its last
	case r.leaderStart == 0:
		r.leaderStart = leader.start
	}
	return r.leaderStart == leader.start
}
