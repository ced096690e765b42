package metrics

import (
	"time"
)

// runState is what is remembered of one run from pass to pass.
type runState struct {
	Run
	// leaderStart is the start time of the leader in ticks, by which a reused pid is told from it; 0 until first seen.
	leaderStart uint64
	// members are the processes of the last pass.
	members []*proc
	// buried is the cost of processes that have ended and are not in the sum over the living.
	buried cost

	// net, which never falls.
	net     *Net
	netFrom string // the namespace that net was read from

	// last are the totals of the pass before, and when it was; zero for a run that it did not know.
	last   time.Time
	lastUp totals
	seen   uint64
}

// totals are the figures that only grow.
type totals struct {
	cpu         time.Duration
	read, wrote uint64
	net         Net
}

func (t totals) plus(o totals) totals {
	return totals{
		cpu: t.cpu + o.cpu, read: t.read + o.read, wrote: t.wrote + o.wrote,
		net: Net{t.net.ReceivedBytes + o.net.ReceivedBytes, t.net.SentBytes + o.net.SentBytes},
	}
}

func (t totals) minus(o totals) totals {
	return totals{
		cpu: max(0, t.cpu-o.cpu), read: less(t.read, o.read), wrote: less(t.wrote, o.wrote),
		net: Net{less(t.net.ReceivedBytes, o.net.ReceivedBytes), less(t.net.SentBytes, o.net.SentBytes)},
	}
}

// ownerState keeps an owner's totals while its runs come and go.
type ownerState struct {
	totals
	seen time.Time
}

// ownerMemory is for how long the totals of an owner without a run are kept: counters of a service that is down for less
// go on where they were.
const ownerMemory = time.Hour
