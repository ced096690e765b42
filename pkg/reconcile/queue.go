package reconcile

import (
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// retryBase and retryCap bound the backoff of a name whose reconcile fails.
const (
	retryBase = 20 * time.Millisecond
	retryCap  = time.Minute
)

// Queue holds names that wait to be reconciled. A name is in it once, however often it is added; one that is added while
// it is being reconciled comes again afterwards. It is safe for concurrent use. A Queue that is not needed any more has to
// be shut down (Loop.Run does it at its end).
type Queue struct {
	inner workqueue.TypedRateLimitingInterface[v1.Key]
	line  *line

	added, retries atomic.Uint64
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	q := &Queue{line: &line{}}
	// client-go can measure by itself, but then wakes twice a second to do it.
	inner := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[v1.Key]{Queue: q.line})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[v1.Key]{Queue: inner})
	q.inner = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[v1.Key](retryBase, retryCap),
		workqueue.TypedRateLimitingQueueConfig[v1.Key]{DelayingQueue: delaying},
	)
	return q
}

// Add asks for a name to be reconciled. It never blocks.
func (q *Queue) Add(key v1.Key) {
	q.added.Add(1)
	q.inner.Add(key)
}

// AddAfter asks for a name to be reconciled after a time.
func (q *Queue) AddAfter(key v1.Key, after time.Duration) { q.inner.AddAfter(key, after) }

// retry asks for a name again, later each time until it is settled.
func (q *Queue) retry(key v1.Key) {
	q.retries.Add(1)
	q.inner.AddRateLimited(key)
}

// settle ends the backoff of a name.
func (q *Queue) settle(key v1.Key) { q.inner.Forget(key) }

// shutDown lets next return false once the queue is empty. Nothing is taken in any more.
func (q *Queue) shutDown() { q.inner.ShutDown() }

// next waits for a name. done has to be called when it has been dealt with; until then nobody else gets the name.
func (q *Queue) next() (key v1.Key, done func(), ok bool) {
	key, end := q.inner.Get()
	if end {
		return v1.Key{}, nil, false
	}
	return key, func() { q.inner.Done(key) }, true
}

// line is the storage of a queue: first in, first out, with the time that each name has waited. The queue's lock guards
// it; what is read without that lock is atomic.
type line struct {
	names []waitingName

	depth                   atomic.Int64
	taken                   atomic.Uint64
	waited, longest, newest atomic.Int64 // nanoseconds
}

type waitingName struct {
	key   v1.Key
	since time.Time
}

// Touch implements workqueue.Queue: a name that is there already keeps its place.
func (l *line) Touch(v1.Key) {}

// Push implements workqueue.Queue.
func (l *line) Push(key v1.Key) {
	l.names = append(l.names, waitingName{key, time.Now()})
	l.depth.Store(int64(len(l.names)))
}

// Len implements workqueue.Queue.
func (l *line) Len() int { return len(l.names) }

// Pop implements workqueue.Queue.
func (l *line) Pop() v1.Key {
	first := l.names[0]
	l.names[0] = waitingName{} // its strings are not kept alive by the array
	l.names = l.names[1:]
	if len(l.names) == 0 {
		l.names = nil
	}
	l.depth.Store(int64(len(l.names)))
	waited := int64(time.Since(first.since))
	l.taken.Add(1)
	l.waited.Add(waited)
	l.newest.Store(waited)
	l.longest.Store(max(l.longest.Load(), waited))
	return first.key
}

var _ workqueue.Queue[v1.Key] = (*line)(nil)
