package cronjob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

var errCrash = errors.New("here the manager dies")

// fragile dies at its nth call: before it is done, or right after. The reconciler is given it as ledger and as keeper.
type fragile struct {
	Ledger
	process.Keeper
	left  int
	after bool
	dead  bool
}

func (f *fragile) point(do func() error) error {
	if f.dead {
		return errCrash
	}
	f.left--
	f.dead = f.left == 0
	if f.dead && !f.after {
		return errCrash
	}
	if err := do(); err != nil || !f.dead {
		return err
	}
	return errCrash
}

func (f *fragile) Apply(ctx context.Context, c ledger.Change) error {
	if c.Empty() {
		return nil
	}
	return f.point(func() error { return f.Ledger.Apply(ctx, c) })
}

func (f *fragile) Prune(ctx context.Context, job string, keep int) (ids []uint64, err error) {
	err = f.point(func() error { ids, err = f.Ledger.Prune(ctx, job, keep); return err })
	return ids, err
}

func (f *fragile) Start(ctx context.Context, s process.Spec) (run process.Run, err error) {
	err = f.point(func() error { run, err = f.Keeper.Start(ctx, s); return err })
	return run, err
}

func (f *fragile) Forget(ctx context.Context, id process.RunID) error {
	return f.point(func() error { return f.Keeper.Forget(ctx, id) })
}

// The manager dies at each point at which something was just done or about to be, and another takes over at once: the instant is
// run once, its exit is on record, and its retry is made once.
func TestACrashAtAnyPoint(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; n <= 12; n++ {
			t.Run(fmt.Sprintf("%d, after %v", n, after), func(t *testing.T) {
				w := openWorld(t)
				key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) {
					s.Retries = v1.Retries{Limit: 1, Delay: v1.D(time.Minute)}
				})
				w.settle()
				f := &fragile{Ledger: w.ledger, Keeper: w.keeper, left: n, after: after}
				w.config.Ledger, w.config.Keeper = f, f
				w.restart()
				step := func(what func()) {
					what()
					for {
						w.mu.Lock()
						queue := slices.Clone(w.queue)
						w.queue = nil
						w.mu.Unlock()
						if len(queue) == 0 {
							return
						}
						if _, err := w.r.Reconcile(t.Context(), queue[0]); err != nil && !errors.Is(err, errCrash) {
							t.Fatal(err)
						}
						if f.dead {
							f.dead = false
							w.crash(0)
						}
					}
				}
				step(func() { w.now = noon.Add(time.Hour); w.enqueue(key) })
				step(func() { w.keeper.ExitWith(w.keeper.Live("")[0], process.Exit{Code: 1, At: w.now}) })
				step(func() { w.now = w.now.Add(time.Minute); w.enqueue(key) })
				step(func() { w.keeper.ExitWith(w.keeper.Live("")[0], process.Exit{At: w.now}) })
				w.crash(0)
				w.expect(key, "13:00 failed", "13:00#2 succeeded")
				if n := len(w.keeper.Started()); n != 2 {
					t.Errorf("%d starts of 2 attempts", n)
				}
				if n := len(w.keeper.All()); n != 0 {
					t.Errorf("the keeper still remembers %d runs", n)
				}
			})
		}
	}
}
