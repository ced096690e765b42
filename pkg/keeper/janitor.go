package keeper

import (
	"sync"
	"time"
)

// tidyAfter is how long the removal of what runs leave in the file system waits. When many end at once, all of them are
// told of before the first is tidied up after.
const tidyAfter = 20 * time.Millisecond

// janitor removes the FIFOs and cgroups of ended runs. A keeper that dies before that leaves it to the next one.
type janitor struct {
	log func(format string, args ...any)

	mu    sync.Mutex
	runs  []*run
	timer *time.Timer
}

// add has a run tidied up after, soon.
func (j *janitor) add(r *run) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runs = append(j.runs, r)
	if j.timer == nil {
		j.timer = time.AfterFunc(tidyAfter, j.tidy)
	} else if len(j.runs) == 1 {
		j.timer.Reset(tidyAfter)
	}
}

// tidy does what is to be done now.
func (j *janitor) tidy() {
	j.mu.Lock()
	runs := j.runs
	j.runs = nil
	j.mu.Unlock()
	for _, r := range runs {
		r.removeFifos()
		if err := r.cgroup.remove(); err != nil {
			j.log("run %s: %v", r.Run.ID, err)
		}
	}
}
