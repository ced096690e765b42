package metrics

// cost is what processes have used since they began. It only grows.
type cost struct {
	ticks       uint64
	read, wrote uint64
}

func (c cost) plus(o cost) cost {
	return cost{c.ticks + o.ticks, c.read + o.read, c.wrote + o.wrote}
}

// minus is never below zero: a figure that fell (an unreadable file, for example) counts as unchanged.
func (c cost) minus(o cost) cost {
	return cost{less(c.ticks, o.ticks), less(c.read, o.read), less(c.wrote, o.wrote)}
}

func (c cost) atMost(o cost) cost {
	return cost{min(c.ticks, o.ticks), min(c.read, o.read), min(c.wrote, o.wrote)}
}

func less(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// inherit sees to it that what ended processes have used is not lost and not counted twice.
//
// The kernel adds a child's figures to its parent when the parent waits for it, so the sum over the living includes the
// dead, as long as somebody of the tree buried them. What the keeper buried, or a parent that ignores SIGCHLD, falls out
// of the sum, and is added to the run's own account: the part of it that did not turn up in the nearest surviving ancestor.
//
// gone are the processes that the pass before met and this one did not, by pid; living is everybody else.
func inherit(gone map[int]*proc, living map[int]*proc) {
	owed := make(map[*proc]cost)
	for _, p := range gone {
		if p.run == nil {
			continue
		}
		heir := p
		for range depthLimit {
			pid := heir.ppid
			if heir = gone[pid]; heir == nil {
				heir = living[pid]
				break
			}
		}
		if heir == nil || heir.run != p.run {
			p.run.buried = p.run.buried.plus(p.cost)
			continue
		}
		owed[heir] = owed[heir].plus(p.cost)
	}
	for heir, sum := range owed {
		turnedUp := sum.atMost(heir.waitedFor.minus(heir.lastWait))
		heir.run.buried = heir.run.buried.plus(sum.minus(turnedUp))
	}
}
