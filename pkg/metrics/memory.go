package metrics

import "time"

// memory is what is known of one process's memory.
type memory struct {
	pss     int64 // bytes; valid when read is set
	rss     int64 // bytes, when pss was read
	read    time.Time
	refused bool // the kernel does not let us read it
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

// stale reports whether PSS should be read anew.
func (m *memory) stale(now time.Time, rss int64) bool {
	drift := rss - m.rss
	if drift < 0 {
		drift = -drift
	}
	return m.read.IsZero() || now.Sub(m.read) > pssAge || drift > m.rss>>pssDrift
}

// at is the memory of a process with the given RSS. Pages that came or went since PSS was read are taken for its own, as
// almost all such pages are.
func (m *memory) at(rss int64) (int64, MemoryKind) {
	if m.read.IsZero() {
		return rss, MemoryRSS
	}
	return min(rss, max(0, m.pss+rss-m.rss)), MemoryPSS
}
