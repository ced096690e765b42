package logs

import (
	"math"
	"time"
)

// pause is for how long nothing is stored of a service that has used up its budget: long enough that markers are few, and
// that what comes meanwhile can be counted in blocks.
const pause = int64(time.Second)

// bucket is the budget of one service. It runs on the times of the lines, not on the clock: what is read late is judged as
// it would have been in time.
type bucket struct {
	budget Budget
	tokens float64
	at     int64 // the newest time seen; 0 before the first
	until  int64 // nothing is stored of lines before that; 0 when all is well
}

// paused reports whether a line of that time is not to be stored. A clock that was set back ends the pause.
func (b *bucket) paused(at int64) bool {
	return b.until != 0 && at < b.until && at > b.until-2*pause
}

// take asks whether an entry of so many lines may be stored.
func (b *bucket) take(lines int, at int64) bool {
	if b.budget.Rate < 0 {
		return true
	}
	if b.paused(at) {
		return false
	}
	b.until = 0
	burst := math.Max(float64(b.budget.Burst), 1)
	switch {
	case b.at == 0:
		b.tokens = burst
	case at > b.at:
		b.tokens = math.Min(burst, b.tokens+b.budget.Rate*float64(at-b.at)/float64(time.Second))
	case b.at-at > 2*pause: // the clock was set back
		b.tokens = burst
	default:
		at = b.at
	}
	b.at = at
	if b.tokens <= 0 {
		b.until = at + pause
		return false
	}
	b.tokens -= float64(lines)
	return true
}
