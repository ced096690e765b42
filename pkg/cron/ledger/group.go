package ledger

import (
	"context"
	"sync"

	"gorm.io/gorm"
)

// group commits writes together that are asked for at the same time: when hundreds of jobs are due at once, a transaction for each
// would be most of the work. Whoever finds nobody writing writes for all who come meanwhile.
type group struct {
	mu      sync.Mutex
	queue   []*request
	writing bool
}

type request struct {
	write func(tx *gorm.DB) error
	done  chan error
}

// do runs write in a transaction. Once that has begun it is not cancelled any more.
func (g *group) do(ctx context.Context, db *gorm.DB, write func(tx *gorm.DB) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	r := &request{write: write, done: make(chan error, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, r)
	lead := !g.writing
	g.writing = true
	g.mu.Unlock()
	if lead {
		g.lead(db.WithContext(context.WithoutCancel(ctx)))
	}
	return <-r.done
}

// lead writes until nobody waits.
func (g *group) lead(db *gorm.DB) {
	for {
		g.mu.Lock()
		batch := g.queue
		g.queue = nil
		g.writing = len(batch) > 0
		g.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		err := db.Transaction(func(tx *gorm.DB) error {
			for _, r := range batch {
				if err := r.write(tx); err != nil {
					return err
				}
			}
			return nil
		})
		for _, r := range batch {
			if err != nil && len(batch) > 1 {
				r.done <- db.Transaction(r.write) // one of them is at fault, the others are not to pay for it
			} else {
				r.done <- err
			}
		}
	}
}
