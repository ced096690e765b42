package agent

import "sync"

// pump hands events to a function, in order, from a goroutine of its own: a reader that is slow must not hold up the agent. Pieces of
// text that wait become one.
type pump struct {
	mu     sync.Mutex
	queue  []Event
	more   chan struct{} // one token when there is something
	closed bool
	done   chan struct{}
}

func newPump(emit func(Event)) *pump {
	p := &pump{more: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for range p.more {
			p.mu.Lock()
			batch := p.queue
			p.queue = nil
			p.mu.Unlock()
			for _, e := range batch {
				emit(e)
			}
		}
	}()
	return p
}

func (p *pump) put(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if n := len(p.queue); n > 0 && p.queue[n-1].Kind == e.Kind && (e.Kind == KindText || e.Kind == KindThought) {
		last := &p.queue[n-1]
		last.Text += e.Text
		last.Seq, last.Time = e.Seq, e.Time
		return
	}
	p.queue = append(p.queue, e)
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// close returns when all that was put has been handed over.
func (p *pump) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.more)
	}
	p.mu.Unlock()
	<-p.done
}
