package metrics

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	defaultFileBudget = 1_000_000
	// diskPace is the least time between two walks of one owner.
	diskPace = 5 * time.Minute
	// diskShare is the inverse of the part of the time that may be spent walking: after a walk, no other begins for that
	// many times as long as it took.
	diskShare = 10
)

// diskWatcher walks the watched folders of all owners, one owner at a time, at a pace that adapts to what walks take.
// It is driven by passes (want) and sleeps when there are none.
type diskWatcher struct {
	budget int64
	walk   func(ctx context.Context, dirs []string, budget int64) (Disk, error)
	poke   chan struct{}

	mu     sync.Mutex
	owners map[string]*watchedOwner
}

type watchedOwner struct {
	dirs []string
	disk *Disk // nil until walked
	due  time.Time
}

func newDiskWatcher(budget int64) *diskWatcher {
	if budget <= 0 {
		budget = defaultFileBudget
	}
	return &diskWatcher{budget: budget, walk: walkDirs, poke: make(chan struct{}, 1), owners: make(map[string]*watchedOwner)}
}

// want takes over which folders are watched. An owner without runs is forgotten once its next walk would be due, so that
// one which restarts often is not walked each time.
func (d *diskWatcher) want(runs []Run) {
	dirs := make(map[string][]string)
	for _, r := range runs {
		for _, dir := range r.WatchDirs {
			if !slices.Contains(dirs[r.Owner], dir) {
				dirs[r.Owner] = append(dirs[r.Owner], dir)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now, due := time.Now(), false
	for owner, w := range d.owners {
		if len(dirs[owner]) == 0 && !w.due.After(now) {
			delete(d.owners, owner)
		}
	}
	for owner, list := range dirs {
		slices.Sort(list)
		w := d.owners[owner]
		if w == nil || !slices.Equal(w.dirs, list) {
			w = &watchedOwner{dirs: list, due: now}
			d.owners[owner] = w
		}
		due = due || !w.due.After(now)
	}
	if due {
		select {
		case d.poke <- struct{}{}:
		default:
		}
	}
}

// fill puts the last figures into a snapshot.
func (d *diskWatcher) fill(snap *Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for owner, u := range snap.Owners {
		if w := d.owners[owner]; w != nil && w.disk != nil {
			u.Disk = w.disk
			snap.Owners[owner] = u
		}
	}
}

// run walks what is due whenever it is poked, until ctx ends.
func (d *diskWatcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.poke:
		}
		for {
			owner, dirs, ok := d.next(time.Now())
			if !ok {
				break
			}
			disk, err := d.walk(ctx, dirs, d.budget)
			if err != nil {
				return // only the end of ctx ends a walk
			}
			d.done(owner, dirs, disk)
			if !sleep(ctx, diskShare*disk.Took) {
				return
			}
		}
	}
}

// next is the owner that has waited longest.
func (d *diskWatcher) next(now time.Time) (owner string, dirs []string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var best *watchedOwner
	for name, w := range d.owners {
		if w.due.After(now) {
			continue
		}
		if best == nil || w.due.Before(best.due) || (w.due.Equal(best.due) && name < owner) {
			owner, best = name, w
		}
	}
	if best == nil {
		return "", nil, false
	}
	return owner, best.dirs, true
}

func (d *diskWatcher) done(owner string, dirs []string, disk Disk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.owners[owner]
	if w == nil || !slices.Equal(w.dirs, dirs) {
		return // its folders were changed meanwhile
	}
	w.disk = &disk
	w.due = disk.At.Add(max(diskPace, diskShare*disk.Took))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
