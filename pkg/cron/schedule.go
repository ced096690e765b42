package cron

import (
	"slices"
	"time"
	_ "time/tzdata" // machines without /usr/share/zoneinfo

	gocron "github.com/netresearch/go-cron"
)

// Schedule is a parsed expression in a time zone. It is immutable and safe for concurrent use.
type Schedule struct {
	expr     string
	fields   []string // second to day of week; nil for @every
	location *time.Location
	every    time.Duration        // of an @every schedule, else 0
	walls    *gocron.SpecSchedule // walks wall-clock times, written as if they were UTC
	interval bool                 // repeats in an hour that comes twice
	hourly   bool                 // runs in every hour of the day
}

// String is the expression as it was written.
func (s *Schedule) String() string { return s.expr }

// Location is the zone that the schedule is in.
func (s *Schedule) Location() *time.Location { return s.location }

// Next returns the first instant after t, in the schedule's zone. The zero time says that there is none within a century.
func (s *Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		return s.multiple(t, 1)
	}
	at, fromStart := t.In(s.location), false
	for range maxSegments {
		seg := segmentAt(at)
		if fromStart && at.Equal(seg.start) && s.dueAfterGap(seg) {
			return seg.start
		}
		wall := seg.wall(at)
		if fromStart {
			wall = wall.Add(-1) // the walker looks for what is strictly later
		}
		wall = s.walls.Next(wall)
		if !s.interval && !wall.IsZero() && wall.Before(seg.foldEnd) {
			wall = s.walls.Next(seg.foldEnd.Add(-1))
		}
		if wall.IsZero() {
			return time.Time{}
		}
		found := seg.instant(wall)
		if seg.end.IsZero() || found.Before(seg.end) {
			return found
		}
		at = seg.end
		if bound := wall.Add(-maxShift).In(s.location); fromStart && bound.After(at) {
			// No wall time before this one is due, and the segments between repeat none that came before this segment.
			at = bound
		}
		fromStart = true
	}
	return time.Time{}
}

// Prev returns the last instant before t, in the schedule's zone. The zero time says that there is none within a century.
func (s *Schedule) Prev(t time.Time) time.Time {
	if s.every > 0 {
		return s.multiple(t, -1)
	}
	at, fromEnd := t.In(s.location), false
	for range maxSegments {
		seg := segmentAt(at.Add(-1))
		wall := s.walls.Prev(ceilSecond(seg.wall(at)))
		repeated := !s.interval && wall.Before(seg.foldEnd)
		if !wall.IsZero() && !repeated {
			if found := seg.instant(wall); !found.Before(seg.start) {
				return found
			}
		}
		switch {
		case s.dueAfterGap(seg):
			return seg.start
		case wall.IsZero() || seg.start.IsZero():
			return time.Time{}
		}
		at = seg.start
		if bound := wall.Add(maxShift).In(s.location); fromEnd && !repeated && bound.Before(at) {
			at = bound
		}
		fromEnd = true
	}
	return time.Time{}
}

// NextN returns the first n instants after t; fewer when there are no more.
func (s *Schedule) NextN(t time.Time, n int) []time.Time {
	var out []time.Time
	for range n {
		if t = s.Next(t); t.IsZero() {
			break
		}
		out = append(out, t)
	}
	return out
}

// Between returns the instants after from, up to and including to: the oldest limit of them. more says that there are others.
func (s *Schedule) Between(from, to time.Time, limit int) (instants []time.Time, more bool) {
	for t := s.Next(from); !t.IsZero() && !t.After(to); t = s.Next(t) {
		if len(instants) == limit {
			return instants, true
		}
		instants = append(instants, t)
	}
	return instants, false
}

// Latest returns the instants after from, up to and including to: the newest limit of them, oldest first. more says that there
// are older ones. It takes time for what it returns, not for what lies before.
func (s *Schedule) Latest(from, to time.Time, limit int) (instants []time.Time, more bool) {
	for t := s.Prev(ceilSecond(to.Add(1))); t.After(from); t = s.Prev(t) {
		if len(instants) == limit {
			more = true
			break
		}
		instants = append(instants, t)
	}
	slices.Reverse(instants)
	return instants, more
}

// Due reports whether t is an instant of the schedule.
func (s *Schedule) Due(t time.Time) bool { return s.Next(t.Add(-1)).Equal(t) }

// multiple is the next (step 1) or previous (step -1) multiple of an @every interval.
func (s *Schedule) multiple(t time.Time, step int64) time.Time {
	seconds := int64(s.every / time.Second)
	k, rest := t.Unix()/seconds, t.Unix()%seconds
	if rest < 0 {
		k, rest = k-1, rest+seconds
	}
	if step < 0 && (rest > 0 || t.Nanosecond() > 0) {
		step = 0 // the multiple before t is the one at or below it
	}
	return time.Unix((k+step)*seconds, 0).In(s.location)
}

func ceilSecond(t time.Time) time.Time {
	if n := t.Nanosecond(); n > 0 {
		return t.Add(time.Second - time.Duration(n))
	}
	return t
}
