package service

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

const (
	// settled is how long Shutdown waits beyond the grace of what it stops.
	settled = 5 * time.Second
	// stopsAtOnce is how many runs are told to stop side by side.
	stopsAtOnce = 16
)

// Shutdown stops everything that runs, dependants before what they depend on, and returns the owners of what did not stop.
// From the call on nothing is started. changed wakes it after each change of a run; it may be woken for nothing.
func (r *Reconciler) Shutdown(ctx context.Context, changed <-chan struct{}) (left []string) {
	r.leave() // a start that waits for the keeper gives up
	r.starting.Lock()
	r.closing = true
	r.starting.Unlock()
	for {
		// Anew each time: a start that was under way may have got through.
		wave := r.wave(left)
		if len(wave) == 0 {
			return left
		}
		longest := r.stopAll(ctx, wave)
		for _, run := range r.await(ctx, wave, changed, longest+settled) {
			if !slices.Contains(left, run.Owner) {
				left = append(left, run.Owner)
			}
		}
	}
}

// wave is what is to be stopped next: the live runs that nothing which still runs depends on, without those that did not stop.
func (r *Reconciler) wave(left []string) []process.Run {
	ranks := r.ranks()
	var wave []process.Run
	lowest := 0
	for _, run := range r.c.Keeper.All() {
		if !run.Live() || slices.Contains(left, run.Owner) {
			continue
		}
		rank := ranks[strings.ToLower(run.Owner)]
		if len(wave) == 0 || rank < lowest {
			wave, lowest = wave[:0], rank
		}
		if rank == lowest {
			wave = append(wave, run)
		}
	}
	return wave
}

// ranks is how many services in a row lean on each service, by its owner in lower case: 0 when none does.
func (r *Reconciler) ranks() map[string]int {
	leans := map[string][]string{} // who depends on it
	services := r.c.Desired.Services()
	for _, svc := range services {
		for _, d := range svc.Spec.DependsOn {
			name := ownerKey(d.Name)
			leans[name] = append(leans[name], ownerKey(svc.Metadata.Name))
		}
	}
	ranks := make(map[string]int, len(services))
	var rank func(owner string) int
	rank = func(owner string) int {
		if n, known := ranks[owner]; known {
			return n
		}
		ranks[owner] = 0 // ends a circle, which valid manifests do not have
		n := 0
		for _, d := range leans[owner] {
			n = max(n, rank(d)+1)
		}
		ranks[owner] = n
		return n
	}
	for _, svc := range services {
		rank(ownerKey(svc.Metadata.Name))
	}
	return ranks
}

func ownerKey(name string) string { return strings.ToLower(v1.KindService + "/" + name) }

// stopAll tells runs to stop and returns the longest grace among them.
func (r *Reconciler) stopAll(ctx context.Context, runs []process.Run) (longest time.Duration) {
	var working sync.WaitGroup
	seats := make(chan struct{}, stopsAtOnce)
	for _, run := range runs {
		kind, name, _ := strings.Cut(run.Owner, "/")
		var svc *v1.Service
		if kind == v1.KindService {
			svc, _, _ = r.c.Desired.Service(name)
		}
		_, grace := stopHow(svc)
		longest = max(longest, grace)
		seats <- struct{}{}
		working.Go(func() {
			defer func() { <-seats }()
			if err := r.stop(ctx, svc, run.ID); err != nil {
				r.c.Log.Error("a run cannot be stopped", "run", run.ID, "err", err)
			}
		})
	}
	working.Wait()
	return longest
}

// await waits until the runs have ended, and returns those that have not.
func (r *Reconciler) await(ctx context.Context, runs []process.Run, changed <-chan struct{}, limit time.Duration) []process.Run {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		// What is last in the list is looked at until it has ended; then the next.
		for len(runs) > 0 && !r.alive(runs[len(runs)-1]) {
			runs = runs[:len(runs)-1]
		}
		if len(runs) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-limited.Done():
			return slices.DeleteFunc(runs, func(run process.Run) bool { return !r.alive(run) })
		}
	}
}

func (r *Reconciler) alive(run process.Run) bool {
	return slices.ContainsFunc(r.c.Keeper.Runs(run.Owner), func(now process.Run) bool { return now.ID == run.ID && now.Live() })
}
