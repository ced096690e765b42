package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// Process is one live process of a run, as it is shown to people.
type Process struct {
	PID, PPID int
	// Leader is the process that the run began with.
	Leader  int
	Command string
	// CPU is what it has used since it started, Resident its resident memory in bytes.
	CPU      time.Duration
	Resident int
	Threads  int
	Started  time.Time
}

// Processes returns what belongs to the leaders: their descendants, and what shares their sessions. Parents come before
// their children, but where process numbers have wrapped around.
func Processes(leaders []int) ([]Process, error) {
	if len(leaders) == 0 {
		return nil, nil
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	procs, err := fs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	stats := make(map[int]procfs.ProcStat, len(procs))
	for _, p := range procs {
		if st, err := p.Stat(); err == nil && st.State != "Z" {
			stats[p.PID] = st
		}
	}
	lead := make(map[int]bool, len(leaders))
	for _, pid := range leaders {
		lead[pid] = true
	}
	var out []Process
	for _, p := range procs {
		st, alive := stats[p.PID]
		leader := leaderOf(st, stats, lead)
		if !alive || leader == 0 {
			continue
		}
		one := Process{
			PID: st.PID, PPID: st.PPID, Leader: leader, Command: st.Comm, Resident: st.ResidentMemory(), Threads: st.NumThreads,
			CPU: time.Duration(st.CPUTime() * float64(time.Second)),
		}
		if at, err := st.StartTime(); err == nil {
			one.Started = time.Unix(0, int64(at*float64(time.Second)))
		}
		out = append(out, one)
	}
	return out, nil
}

// leaderOf is the leader that a process belongs to, or 0.
func leaderOf(st procfs.ProcStat, stats map[int]procfs.ProcStat, lead map[int]bool) int {
	if lead[st.Session] {
		return st.Session
	}
	for range 64 { // deeper trees are not shown; a loop cannot be, but processes come and go while we look
		if lead[st.PID] {
			return st.PID
		}
		parent, ok := stats[st.PPID]
		if !ok {
			return 0
		}
		st = parent
	}
	return 0
}
