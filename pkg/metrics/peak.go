package metrics

import "time"

// Peak is the most that a run was seen to use.
type Peak struct {
	CPUPercent  float64
	MemoryBytes int64
}

type peak struct {
	Peak
	seen time.Time
}

// peakMemory is for how long the peaks of an ended run can be asked for.
const peakMemory = 10 * time.Minute

// Peak returns the most that a run used at any pass; false when none met it (it was shorter than an interval) or it ended
// more than ten minutes ago.
func (s *Sampler) Peak(runID string) (Peak, bool) {
	s.passing.Lock()
	defer s.passing.Unlock()
	p, ok := s.peaks[runID]
	if !ok {
		return Peak{}, false
	}
	return p.Peak, true
}

// keepPeaks is called with passing held.
func (s *Sampler) keepPeaks(snap *Snapshot) {
	for i := range snap.Runs {
		r := &snap.Runs[i]
		p := s.peaks[r.ID]
		if p == nil {
			p = &peak{}
			s.peaks[r.ID] = p
		}
		p.CPUPercent = max(p.CPUPercent, r.CPUPercent)
		p.MemoryBytes = max(p.MemoryBytes, r.MemoryBytes)
		p.seen = snap.At
	}
	for id, p := range s.peaks {
		if snap.At.Sub(p.seen) > peakMemory {
			delete(s.peaks, id)
		}
	}
}
