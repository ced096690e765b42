package app

import (
	"sync"
	"time"
)

const (
	// gapPause is how often the status of a service follows the count of its lines that are not indexed.
	gapPause = 10 * time.Second
	// gapMemory is how long it shows them after the last one.
	gapMemory = 15 * time.Minute
)

// logGaps remembers which services have lately printed lines that are in their files only.
type logGaps struct {
	poke func(service string) // has the status of a service written anew

	mu sync.Mutex
	of map[string]*logGap
}

type logGap struct {
	lines int64
	last  time.Time
	told  time.Time
	timer *time.Timer
}

func newLogGaps(poke func(string)) *logGaps { return &logGaps{poke: poke, of: map[string]*logGap{}} }

// skipped notes lines of a service that are not indexed.
func (g *logGaps) skipped(service string, lines int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	gap := g.of[service]
	if gap == nil {
		gap = &logGap{}
		gap.timer = time.AfterFunc(0, func() { g.look(service) })
		g.of[service] = gap
	} else if !gap.told.Before(gap.last) { // nothing new has waited to be told
		gap.timer.Reset(time.Until(gap.told.Add(gapPause)))
	}
	gap.lines += lines
	gap.last = now
}

// look has a service's status follow.
func (g *logGaps) look(service string) {
	g.mu.Lock()
	gap := g.of[service]
	now := time.Now()
	switch {
	case gap == nil:
		g.mu.Unlock()
		return
	case now.Sub(gap.last) >= gapMemory:
		delete(g.of, service)
	default:
		gap.told = now
		gap.timer.Reset(gap.last.Add(gapMemory).Sub(now))
	}
	g.mu.Unlock()
	g.poke(service)
}

// lines is how many lines of a service are not indexed, of late.
func (g *logGaps) lines(service string) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gap := g.of[service]; gap != nil {
		return gap.lines
	}
	return 0
}
