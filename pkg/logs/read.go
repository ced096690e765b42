package logs

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"
	"time"
)

// droppedText is the marker for rows that went before they were read.
const droppedText = "supervisor: older lines are not kept any more"

// readPage is how many rows a reader holds in memory.
const readPage = 256

// news tells readers that rows were committed.
type news struct {
	mu sync.Mutex
	ch chan struct{}
}

// next is closed at the next commit.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}

// Read yields the rows behind a cursor, oldest first, up to the newest there is at its time. An error is the last thing it
// yields.
func (s *Store) Read(ctx context.Context, f Filter, after Cursor) iter.Seq2[Row, error] {
	return s.read(ctx, f, after, false)
}

// Follow is Read that goes on with rows as they are committed, until ctx ends or the caller has enough. A slow caller
// holds nobody up, and costs no memory: rows wait in the database. When retention overtakes it, a marker without a service
// says so.
func (s *Store) Follow(ctx context.Context, f Filter, after Cursor) iter.Seq2[Row, error] {
	return s.read(ctx, f, after, true)
}

func (s *Store) read(ctx context.Context, f Filter, after Cursor, follow bool) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			fresh := s.news.next() // before reading, so that no commit falls in between
			page, more, err := s.readOn(ctx, f, &after)
			if err != nil {
				if ctx.Err() == nil || !follow {
					yield(Row{}, err)
				}
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if more {
				continue
			}
			if !follow {
				return
			}
			select {
			case <-fresh:
			case <-ctx.Done():
				return
			}
		}
	}
}

// readOn reads the next rows behind a cursor and moves it.
func (s *Store) readOn(ctx context.Context, f Filter, after *Cursor) (page []Row, more bool, err error) {
	err = s.view(ctx, func(v *view) error {
		var last, dropped int64
		err := v.tx.QueryRowContext(ctx, "SELECT max(last_id, coalesce((SELECT max(last_id) FROM segments), 0)), dropped_id FROM meta").Scan(&last, &dropped)
		if err != nil {
			return err
		}
		sel, ok, err := v.selection(f)
		if err != nil {
			return err
		}
		sel.below = math.MaxInt64
		if !after.IsZero() {
			if sel.above, err = v.resolve(ctx, *after); err != nil {
				return err
			}
			if sel.above < dropped {
				page = append(page, Row{Marker: true, Level: Warning, Time: time.Unix(0, after.At).UTC(), Text: droppedText})
			}
		}
		at := after.At
		if ok {
			var seen spot
			full := false
			size := 0
			seen, err = v.walk(ctx, sel, false, readPage, func(r Row) bool {
				page = append(page, r)
				at = r.Time.UnixNano()
				size += len(r.Text)
				full = len(page) >= readPage || size > maxPage
				return !full
			})
			switch {
			case full:
				last, more = page[len(page)-1].ID, true
			case errors.Is(err, errScanned):
				last, more = seen.id, true
			case err != nil:
				return err
			}
		}
		// All up to last was looked at, whether it matched or not.
		*after = Cursor{Epoch: v.epoch, ID: max(last, sel.above), At: at}
		return nil
	})
	return page, more, err
}
