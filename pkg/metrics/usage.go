package metrics

import (
	"cmp"
	"time"
)

// RunIDEnv is the variable by which an orphan is known to belong to a run, wherever in the process tree it went.
const RunIDEnv = "SUPERVISOR_RUN_ID"

// Run is one live run as the Lister tells it.
type Run struct {
	// ID is unique for ever.
	ID string
	// Owner is the object that the run belongs to, such as "Service/web". Figures are summed by it.
	Owner string
	// Replica tells the runs of one owner apart, from 0.
	Replica int
	// PID is that of the leader, which leads its own session.
	PID       int
	StartedAt time.Time
	// Cgroup is the run's cgroup v2 directory; empty where it has none.
	Cgroup string
	// WatchDirs are the folders whose disk usage is charged to the owner.
	WatchDirs []string
}

// Lister tells which runs live now. It is called once for each pass and must not block.
type Lister interface {
	LiveRuns() []Run
}

// MemoryKind says what a memory figure counts.
type MemoryKind string

// The kinds of memory figures.
const (
	// MemoryPSS counts a page that is shared by n processes as 1/n in each: the sum over a tree is what the tree costs.
	MemoryPSS MemoryKind = "pss"
	// MemoryRSS counts shared pages in full in each process.
	MemoryRSS MemoryKind = "rss"
	// MemoryMixed is PSS where it could be read, RSS for the other processes of the tree.
	MemoryMixed MemoryKind = "mixed"
)

// Usage is what one run, or all runs of one owner together, use. Totals count since the run began (for an owner: since the
// sampler first saw it) and never fall while the sampler lives.
type Usage struct {
	// CPUPercent is of one core: two busy cores are 200. It is the average over Window.
	CPUPercent float64
	// Window is the time that CPUPercent averages over; 0 means that there was nothing to compare with yet.
	Window time.Duration
	// CPUTime is user and system time of all processes, those that have ended included.
	CPUTime time.Duration

	MemoryBytes int64
	MemoryKind  MemoryKind

	// OpenFiles is -1 where the kernel does not let us look.
	OpenFiles int
	Threads   int
	// Processes counts all but zombies.
	Processes int

	// ReadBytes and WriteBytes are what went to and came from storage. They are valid when IOKnown.
	ReadBytes, WriteBytes uint64
	IOKnown               bool

	// Net is nil unless the run has a network namespace of its own: the kernel counts traffic by interface, not by process.
	Net *Net
	// Disk is nil until the watched folders have been walked once. It is set for owners only.
	Disk *Disk
}

// Net is the traffic of a network namespace, loopback apart, in bytes.
type Net struct {
	ReceivedBytes, SentBytes uint64
}

// Disk is what the watched folders of an owner take up.
type Disk struct {
	// Bytes is allocated space, as du counts it: hard links once, symbolic links not followed.
	Bytes int64
	// Files counts files and folders.
	Files int64
	// Truncated is true when the file budget ran out; Bytes and Files are then lower bounds.
	Truncated bool
	// Unreadable counts folders that could not be read.
	Unreadable int
	// At is when the walk ended, Took how long it took.
	At   time.Time
	Took time.Duration
}

// RunUsage is the usage of one run.
type RunUsage struct {
	ID        string
	Owner     string
	Replica   int
	PID       int
	StartedAt time.Time
	Usage
}

// Snapshot is what one pass saw. It is never changed once it is published; share it freely, write to it never.
type Snapshot struct {
	At time.Time
	// Runs is ordered by owner, then replica.
	Runs []RunUsage
	// Owners holds every owner of a live run.
	Owners map[string]Usage
}

// RunsOf returns the runs of one owner, by replica.
func (s *Snapshot) RunsOf(owner string) []RunUsage {
	lo := 0
	for lo < len(s.Runs) && s.Runs[lo].Owner < owner {
		lo++
	}
	hi := lo
	for hi < len(s.Runs) && s.Runs[hi].Owner == owner {
		hi++
	}
	return s.Runs[lo:hi:hi]
}

func compareRuns(a, b RunUsage) int {
	return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Replica, b.Replica), cmp.Compare(a.ID, b.ID))
}

// add sums what is present at one moment. The totals of an owner are kept apart (see ownerTotals), as its runs come and go.
func (u *Usage) add(r *Usage) {
	u.CPUPercent += r.CPUPercent
	u.Window = max(u.Window, r.Window)
	u.MemoryBytes += r.MemoryBytes
	u.MemoryKind = u.MemoryKind.with(r.MemoryKind)
	if r.OpenFiles < 0 || u.OpenFiles < 0 {
		u.OpenFiles = -1
	} else {
		u.OpenFiles += r.OpenFiles
	}
	u.Threads += r.Threads
	u.Processes += r.Processes
}

// with is the kind of a sum of two figures.
func (k MemoryKind) with(o MemoryKind) MemoryKind {
	switch {
	case k == "" || k == o:
		return o
	case o == "":
		return k
	}
	return MemoryMixed
}

// percentOfCore turns CPU time used within a window into percent of one core.
func percentOfCore(used, window time.Duration) float64 {
	if window <= 0 || used <= 0 {
		return 0
	}
	return 100 * used.Seconds() / window.Seconds()
}
