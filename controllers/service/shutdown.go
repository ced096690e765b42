package service

import (
	"context"
	"slices"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
)

// Shutdown stops every service, dependants before what they depend on, and returns the owners of what did not stop. From
// the call on, no reconcile starts anything. changed wakes it after each change of a run; it may be woken for nothing.
func (r *Reconciler) Shutdown(ctx context.Context, changed <-chan struct{}) (left []string) {
	r.mu.Lock()
	r.closing = true
	r.mu.Unlock()
	for _, wave := range r.waves() {
		var longest time.Duration
		for _, owner := range wave {
			longest = max(longest, r.stopOwner(ctx, owner))
		}
		r.await(ctx, wave, changed, longest+settled)
	}
	for _, run := range r.c.Keeper.All() {
		if run.Live() && !slices.Contains(left, run.Owner) {
			left = append(left, run.Owner)
		}
	}
	return left
}

// waves are the owners of live runs in the order in which they are to be stopped. What is not desired any more goes first.
func (r *Reconciler) waves() [][]string {
	level := map[string]int{}
	services := map[string]*v1.Service{}
	for _, svc := range r.c.Desired.Services() {
		services[strings.ToLower(svc.Metadata.Name)] = svc
	}
	// depth is how many services in a row lean on this one; the manifests have no circles.
	var visit func(name string, depth int)
	visit = func(name string, depth int) {
		svc := services[name]
		if svc == nil || depth > len(services) || level[name] >= depth && depth > 0 {
			return
		}
		level[name] = max(level[name], depth)
		for _, d := range svc.Spec.DependsOn {
			visit(strings.ToLower(d.Name), depth+1)
		}
	}
	for name := range services {
		visit(name, 0)
	}
	waves := make([][]string, len(services)+1)
	seen := map[string]bool{}
	for _, run := range r.c.Keeper.All() {
		if !run.Live() || seen[run.Owner] {
			continue
		}
		seen[run.Owner] = true
		_, name, _ := strings.Cut(run.Owner, "/")
		n := level[strings.ToLower(name)]
		waves[n] = append(waves[n], run.Owner)
	}
	return slices.DeleteFunc(waves, func(w []string) bool { return len(w) == 0 })
}

// stopOwner stops all runs of an owner and returns the grace that they have.
func (r *Reconciler) stopOwner(ctx context.Context, owner string) time.Duration {
	_, name, _ := strings.Cut(owner, "/")
	in := &input{}
	if svc, _, ok := r.c.Desired.Service(name); ok {
		in.svc = svc
	}
	m := &memory{stops: map[process.RunID]stopReason{}}
	for _, run := range r.c.Keeper.Runs(owner) {
		if run.Live() {
			if err := r.stop(ctx, v1.Key{Kind: v1.KindService, Name: name}, in, m, stop{run, stopUnwanted, "the supervisor shuts down"}); err != nil {
				r.c.Log.Error("a service cannot be stopped", "service", name, "err", err)
			}
		}
	}
	if in.svc == nil {
		return v1.DefaultStopTimeout
	}
	return in.svc.Spec.Stop.Timeout.Or(v1.DefaultStopTimeout)
}

// await waits until nothing of the owners is live.
func (r *Reconciler) await(ctx context.Context, owners []string, changed <-chan struct{}, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		live := slices.ContainsFunc(owners, func(owner string) bool {
			return slices.ContainsFunc(r.c.Keeper.Runs(owner), func(run process.Run) bool { return run.Live() })
		})
		if !live {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
