package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// timeout bounds one reconcile. It is far beyond what one takes: it ends one that hangs, and says so.
const timeout = 5 * time.Minute

// Result is what a reconcile asks for.
type Result struct {
	// RequeueAfter asks for another look after that time; 0 for none. A change in between comes at once all the same.
	RequeueAfter time.Duration
}

// Reconciler brings one object from what is observed to what is desired.
type Reconciler interface {
	Reconcile(ctx context.Context, key v1.Key) (Result, error)
}

// Figures count what a loop does; all but Depth and Wait grow from the start of the loop.
type Figures struct {
	Depth                      int    // names that wait
	Added                      uint64 // calls of Add
	Retries                    uint64 // names that were put back after an error
	Reconciles, Errors, Panics uint64
	Busy                       time.Duration // time spent reconciling, in all
	// Waits is how many names have left the queue, Waited how long they had been in it in all, Longest the longest of these
	// times and Wait the newest.
	Waits                 uint64
	Waited, Longest, Wait time.Duration
}

// Loop reconciles the names of a queue. Add works before Run: the names wait for it.
type Loop struct {
	reconciler Reconciler
	workers    int
	log        *slog.Logger
	queue      *Queue

	reconciles, errs, panics atomic.Uint64
	busy                     atomic.Int64
}

// New returns a loop with a number of workers. Run has to be called, or the loop's queue is never freed.
func New(r Reconciler, workers int, log *slog.Logger) *Loop {
	return &Loop{reconciler: r, workers: workers, log: log, queue: NewQueue()}
}

// Add asks for a name to be reconciled. It never blocks.
func (l *Loop) Add(key v1.Key) { l.queue.Add(key) }

// Figures returns the counts so far.
func (l *Loop) Figures() Figures {
	line := l.queue.line
	return Figures{
		Depth: int(line.depth.Load()), Added: l.queue.added.Load(), Retries: l.queue.retries.Load(),
		Reconciles: l.reconciles.Load(), Errors: l.errs.Load(), Panics: l.panics.Load(), Busy: time.Duration(l.busy.Load()),
		Waits: line.taken.Load(), Waited: time.Duration(line.waited.Load()), Longest: time.Duration(line.longest.Load()), Wait: time.Duration(line.newest.Load()),
	}
}

// Run works until ctx ends, and returns when no reconcile is under way any more. It begins once every source is synced:
// a decision that rests on half of what there is would stop what it has not heard of yet.
func (l *Loop) Run(ctx context.Context, synced ...<-chan struct{}) {
	defer l.queue.shutDown()
	for _, source := range synced {
		select {
		case <-source:
		case <-ctx.Done():
			return
		}
	}
	stop := context.AfterFunc(ctx, l.queue.shutDown)
	defer stop()
	var workers sync.WaitGroup
	for range l.workers {
		workers.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	workers.Wait()
}

// next reconciles one name; false when the loop is at its end.
func (l *Loop) next(ctx context.Context) bool {
	key, done, ok := l.queue.next()
	if !ok {
		return false
	}
	defer done()
	if ctx.Err() != nil {
		return true // drained, not done
	}
	begin := time.Now()
	result, err := l.reconcile(ctx, key)
	took := time.Since(begin)
	l.busy.Add(int64(took))
	l.reconciles.Add(1)
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.Debug("reconciled", "object", key.String(), "took", took, "requeueAfter", result.RequeueAfter, "err", err)
	}
	if ctx.Err() == nil {
		l.settle(key, result, err)
	}
	return true
}

// settle decides when the name comes again.
func (l *Loop) settle(key v1.Key, result Result, err error) {
	var pause waiting
	switch {
	case err == nil:
		l.queue.settle(key)
		if result.RequeueAfter > 0 {
			l.queue.AddAfter(key, result.RequeueAfter)
		}
	case errors.As(err, new(terminal)):
		l.errs.Add(1)
		l.log.Error("reconcile gave up until something changes", "object", key.String(), "err", err)
		l.queue.settle(key)
	case errors.As(err, &pause):
		l.log.Info("reconcile waits", "object", key.String(), "for", pause.after, "err", err)
		l.queue.settle(key)
		l.queue.AddAfter(key, pause.after)
	default:
		l.errs.Add(1)
		l.log.Warn("reconcile is tried again", "object", key.String(), "err", err)
		l.queue.retry(key)
	}
}

// reconcile calls the reconciler; a panic is an error of this object and of no other.
func (l *Loop) reconcile(ctx context.Context, key v1.Key) (result Result, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			l.panics.Add(1)
			err = fmt.Errorf("reconcile %s: panic: %v\n%s", key, p, debug.Stack())
		}
	}()
	result, err = l.reconciler.Reconcile(ctx, key)
	if err != nil && errors.Is(context.Cause(ctx), errTimeout) {
		err = fmt.Errorf("reconcile %s: %w: %w", key, errTimeout, err)
	}
	return result, err
}
