package cron

import "time"

const (
	// maxShift is beyond the difference between any two clocks on earth, and beyond any change of one.
	maxShift = 72 * time.Hour
	// maxSegments bounds a search. One passes at most a handful, because it leaps to the wall time that it looks for.
	maxSegments = 64
)

// segment is a span of time in which a zone's offset from UTC is the same. Wall times are written as if they were UTC.
type segment struct {
	start, end time.Time // an instant each; zero where there is no bound
	offset     time.Duration
	// gapStart to gapEnd are the wall times that were left out at start; both zero when there are none.
	gapStart, gapEnd time.Time
	// foldEnd ends the wall times that came before start already; zero when there are none.
	foldEnd time.Time
}

// segmentAt is the segment that t is in, in t's location.
func segmentAt(t time.Time) segment {
	var s segment
	s.start, s.end = t.ZoneBounds()
	s.offset = offset(t)
	if s.start.IsZero() {
		return s
	}
	before := offset(s.start.Add(-1))
	old, now := s.start.UTC().Add(before), s.start.UTC().Add(s.offset)
	switch {
	case before < s.offset:
		s.gapStart, s.gapEnd = old, now
	case before > s.offset:
		s.foldEnd = old
	}
	return s
}

func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// wall is what the clocks show at t with the segment's offset.
func (s segment) wall(t time.Time) time.Time { return t.UTC().Add(s.offset) }

// instant is when the clocks show wall, by the segment's offset and in its zone.
func (s segment) instant(wall time.Time) time.Time {
	t := wall.Add(-s.offset)
	for _, bound := range []time.Time{s.start, s.end} {
		if !bound.IsZero() {
			return t.In(bound.Location())
		}
	}
	return t
}

// dueAfterGap reports whether a wall time of the schedule was left out at the start of a segment, to be made up there.
func (s *Schedule) dueAfterGap(seg segment) bool {
	if s.hourly || seg.gapEnd.IsZero() {
		return false
	}
	wall := s.walls.Next(seg.gapStart.Add(-1))
	return !wall.IsZero() && wall.Before(seg.gapEnd)
}
