package metrics

import (
	"runtime"
	"time"
)

// memory is what is known of one process's memory.
type memory struct {
	pss     int64     // bytes; valid when read is set
	rss     int64     // bytes, as /proc/PID/stat told when pss was read
	read    time.Time // zero: never
	refused bool      // the kernel does not let us read it
}

const (
	// pssBudget bounds what one pass spends on reading PSS. What it does not reach is counted by RSS and comes first in
	// the next pass.
	pssBudget = 10 * time.Millisecond
	// pssAge is for how long a reading stands while RSS hardly moves; how pages are shared changes by what others do.
	pssAge = 10 * time.Minute
	// pssDrift is the part of the RSS, as a shift (1/16), by which it may move before PSS is read anew.
	pssDrift = 4
)

// rssNoise is by how many bytes the RSS of a process may be wrong: the kernel keeps it per core, in batches of 32 pages. A
// small process may well show none at all. (smaps_rollup walks the pages and is exact.)
func rssNoise() int64 { return 32 * 4096 * int64(runtime.NumCPU()) }

// drift is how far RSS has moved since PSS was read; 0 within what may be noise.
func (m *memory) drift(rss int64) int64 {
	d := rss - m.rss
	if noise := rssNoise(); -noise <= d && d <= noise {
		return 0
	}
	return d
}

// stale reports whether PSS should be read anew.
func (m *memory) stale(now time.Time, rss int64) bool {
	return m.read.IsZero() || now.Sub(m.read) > pssAge || max(m.drift(rss), -m.drift(rss)) > m.rss>>pssDrift
}

// at is the memory of a process with the given RSS. Pages that came or went since PSS was read are taken for its own, as
// almost all such pages are.
func (m *memory) at(rss int64) (int64, MemoryKind) {
	if m.read.IsZero() {
		return rss, MemoryRSS
	}
	return max(0, m.pss+m.drift(rss)), MemoryPSS
}
