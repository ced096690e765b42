package cron

import (
	"container/heap"
	"context"
	"fmt"
	"sync"
	"time"
)

// Clock is the machine's clock: it may be set, and it goes on while the machine sleeps.
type Clock interface {
	// Now is the wall-clock time.
	Now() time.Time
	// NewAlarm returns an alarm that is not set.
	NewAlarm() (Alarm, error)
}

// Alarm rings when the clock reaches an instant. It is used by one goroutine.
type Alarm interface {
	// Set replaces the instant at which it rings; the zero time silences it.
	Set(at time.Time) error
	// C is where it rings. It holds one ring: more are the same as one, but for Jumped, which is not lost.
	C() <-chan Ring
	// Close releases it. It does not ring any more.
	Close() error
}

// Ring is why an alarm rang.
type Ring struct {
	// Jumped is true when the clock was set while the alarm was waiting.
	Jumped bool
}

// Ticker wakes keys at wall-clock instants, with one alarm for all of them. It decides nothing: whoever is woken looks at what
// is due. A key is woken once for each Set, at the instant or, should the clock be set meanwhile, at once: then everybody has
// to look anew.
type Ticker[K comparable] struct {
	clock   Clock
	enqueue func(K)
	changed chan struct{}

	mu      sync.Mutex
	entries map[K]*entry[K]
	order   schedule[K]
}

// NewTicker returns a ticker that calls enqueue for each key that is due. enqueue must not block. Set works before Run.
func NewTicker[K comparable](clock Clock, enqueue func(K)) *Ticker[K] {
	return &Ticker[K]{clock: clock, enqueue: enqueue, changed: make(chan struct{}, 1), entries: map[K]*entry[K]{}}
}

// Set replaces the instant at which a key is woken. The zero time is Remove.
func (t *Ticker[K]) Set(key K, at time.Time) {
	if at.IsZero() {
		t.Remove(key)
		return
	}
	t.mu.Lock()
	e, first := t.entries[key], time.Time{}
	if len(t.order) > 0 {
		first = t.order[0].at
	}
	if e == nil {
		e = &entry[K]{key: key, at: at}
		t.entries[key] = e
		heap.Push(&t.order, e)
	} else {
		e.at = at
		heap.Fix(&t.order, e.index)
	}
	moved := !t.order[0].at.Equal(first)
	t.mu.Unlock()
	if moved {
		t.wake()
	}
}

// Remove forgets a key.
func (t *Ticker[K]) Remove(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[key]; e != nil {
		heap.Remove(&t.order, e.index)
		delete(t.entries, key)
	}
}

// Len is how many keys wait.
func (t *Ticker[K]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.order)
}

func (t *Ticker[K]) wake() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Run wakes keys until ctx ends, and returns its error.
func (t *Ticker[K]) Run(ctx context.Context) error {
	alarm, err := t.clock.NewAlarm()
	if err != nil {
		return fmt.Errorf("run ticker: %w", err)
	}
	defer func() { _ = alarm.Close() }() // nothing waits for it any more
	for {
		if err := alarm.Set(t.first()); err != nil {
			return fmt.Errorf("run ticker: %w", err)
		}
		var ring Ring
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.changed:
		case ring = <-alarm.C():
		}
		for _, key := range t.due(t.clock.Now(), ring.Jumped) {
			t.enqueue(key)
		}
	}
}

// first is the next instant, zero when nobody waits.
func (t *Ticker[K]) first() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) == 0 {
		return time.Time{}
	}
	return t.order[0].at
}

// due takes out the keys whose instant has come, or all.
func (t *Ticker[K]) due(now time.Time, all bool) []K {
	t.mu.Lock()
	defer t.mu.Unlock()
	var keys []K
	for len(t.order) > 0 && (all || !t.order[0].at.After(now)) {
		e, ok := heap.Pop(&t.order).(*entry[K])
		if !ok {
			break
		}
		delete(t.entries, e.key)
		keys = append(keys, e.key)
	}
	return keys
}

// entry is one key that waits.
type entry[K comparable] struct {
	key   K
	at    time.Time
	index int
}

// schedule is a heap of entries, the earliest first.
type schedule[K comparable] []*entry[K]

func (s schedule[K]) Len() int           { return len(s) }
func (s schedule[K]) Less(i, j int) bool { return s[i].at.Before(s[j].at) }

func (s schedule[K]) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push implements heap.Interface.
func (s *schedule[K]) Push(x any) {
	if e, ok := x.(*entry[K]); ok {
		e.index = len(*s)
		*s = append(*s, e)
	}
}

// Pop implements heap.Interface.
func (s *schedule[K]) Pop() any {
	old := *s
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return e
}
