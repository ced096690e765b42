package keeper

import (
	"errors"
	"sync"
	"time"
)

// errGateBusy says that somebody did not leave in time.
var errGateBusy = errors.New("work under way does not come to an end: a disk that does not answer?")

// gate is passed by whatever moves bytes or changes a run. shut waits until nobody is inside and lets nobody in, but not
// for ever: a disk that hangs must not stop everything else. The zero value is open.
type gate struct {
	mu     sync.Mutex
	inside int
	shutBy chan struct{} // closed when the gate opens again; nil while open
	empty  chan struct{} // closed by the last to leave; nil unless somebody waits
}

// enter waits until the gate is open. Who is inside does not enter again.
func (g *gate) enter() {
	g.mu.Lock()
	for g.shutBy != nil {
		wait := g.shutBy
		g.mu.Unlock()
		<-wait
		g.mu.Lock()
	}
	g.inside++
	g.mu.Unlock()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// shut closes the gate and waits until all have left. After an error it is open again.
func (g *gate) shut(patience time.Duration) error {
	g.mu.Lock()
	if g.shutBy != nil {
		g.mu.Unlock()
		return errors.New("the keeper is being upgraded already")
	}
	g.shutBy = make(chan struct{})
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-empty:
		return nil
	case <-timer.C:
		g.open()
		return errGateBusy
	}
}

// open ends shut.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shutBy)
	g.shutBy, g.empty = nil, nil
}
