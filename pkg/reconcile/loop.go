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

	"k8s.io/client-go/util/workqueue"

	v1 "github.com/philiporange/supervisor/api/v1"
)

const (
	// retryBase and retryCap bound the backoff of a name whose reconcile fails.
	retryBase = 20 * time.Millisecond
	retryCap  = time.Minute
	// timeout bounds one reconcile. It is far beyond what one takes: it ends one that hangs, and says so.
	timeout = 5 * time.Minute
)

// errTimeout tells our own timeout from a cancel by whoever runs the loop.
var errTimeout = errors.New("reconcile took too long")

// Result is what a reconcile asks for.
type Result struct {
	// RequeueAfter asks for another look after that time; 0 for none. A change in between comes at once all the same.
	RequeueAfter time.Duration
}

// Reconciler brings one object from what is observed to what is desired.
type Reconciler interface {
	Reconcile(ctx context.Context, key v1.Key) (Result, error)
}

// terminal is an error that no repetition will mend.
type terminal struct{ err error }

func (t terminal) Error() string { return t.err.Error() }
func (t terminal) Unwrap() error { return t.err }

// Terminal marks an error as one that no repetition will mend: the object is looked at again when something changes.
func Terminal(err error) error { return terminal{err} }

// Figures count what a loop does.
type Figures struct {
	Depth                             int // names that wait
	Reconciles, Errors, Panics, Added uint64
	Busy                              time.Duration // time spent reconciling, in all
}

// Loop reconciles names. Add works before Run: the names wait for it.
type Loop struct {
	reconciler Reconciler
	workers    int
	log        *slog.Logger
	queue      workqueue.TypedRateLimitingInterface[v1.Key]

	reconciles, errs, panics, added atomic.Uint64
	busy                            atomic.Int64
}

// New returns a loop with a number of workers.
func New(r Reconciler, workers int, log *slog.Logger) *Loop {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[v1.Key](retryBase, retryCap)
	return &Loop{reconciler: r, workers: workers, log: log, queue: workqueue.NewTypedRateLimitingQueue(limiter)}
}

// Add asks for a name to be reconciled. It never blocks.
func (l *Loop) Add(key v1.Key) {
	l.added.Add(1)
	l.queue.Add(key)
}

// Figures returns the counts so far.
func (l *Loop) Figures() Figures {
	return Figures{
		Depth: l.queue.Len(), Reconciles: l.reconciles.Load(), Errors: l.errs.Load(), Panics: l.panics.Load(),
		Added: l.added.Load(), Busy: time.Duration(l.busy.Load()),
	}
}

// Run works until ctx ends, and returns when no reconcile is under way any more.
func (l *Loop) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, l.queue.ShutDown)
	defer stop()
	var workers sync.WaitGroup
	for range l.workers {
		workers.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	workers.Wait()
	l.queue.ShutDown()
}

// next reconciles one name; false when the loop is at its end.
func (l *Loop) next(ctx context.Context) bool {
	key, end := l.queue.Get()
	if end {
		return false
	}
	defer l.queue.Done(key)
	if ctx.Err() != nil {
		return true // drained, not done
	}
	begin := time.Now()
	result, err := l.reconcile(ctx, key)
	took := time.Since(begin)
	l.busy.Add(int64(took))
	l.reconciles.Add(1)
	l.log.Debug("reconciled", "object", key.String(), "took", took, "requeueAfter", result.RequeueAfter, "err", err)
	switch {
	case ctx.Err() != nil:
	case errors.As(err, new(terminal)):
		l.errs.Add(1)
		l.log.Error("reconcile gave up until something changes", "object", key.String(), "err", err)
		l.queue.Forget(key)
	case err != nil:
		l.errs.Add(1)
		l.log.Warn("reconcile is tried again", "object", key.String(), "err", err)
		l.queue.AddRateLimited(key)
	default:
		l.queue.Forget(key)
		if result.RequeueAfter > 0 {
			l.queue.AddAfter(key, result.RequeueAfter)
		}
	}
	return true
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
