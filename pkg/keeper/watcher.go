package keeper

import (
	"fmt"
	"io"
	"sync"

	"github.com/philiporange/supervisor/pkg/process"
)

// maxUnsent bounds the answers in bytes that a caller may leave unread before it is cut off.
const maxUnsent = 8 << 20

// watcher is what is to be written to one connection. Answers are kept in full; of runs only the names of those that have
// changed are kept, so that a caller who does not read costs no more than there are runs, and gets the newest state.
type watcher struct {
	k *Keeper

	mu      sync.Mutex
	wake    *sync.Cond
	out     []byte
	changed []process.RunID
	inList  map[process.RunID]bool
	syncing bool // VerbSynced is due after what is in changed
	sending bool
	closed  bool
	failed  error
}

func newWatcher(k *Keeper) *watcher {
	w := &watcher{k: k, inList: map[process.RunID]bool{}}
	w.wake = sync.NewCond(&w.mu)
	return w
}

// begin subscribes to all runs: first as they are, then VerbSynced, then what changes.
func (w *watcher) begin() {
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	w.k.watchers[w] = struct{}{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.k.order {
		w.noteLocked(r.Run.ID)
	}
	w.syncing = true
	w.wake.Broadcast()
}

func (w *watcher) noteLocked(id process.RunID) {
	if !w.inList[id] {
		w.inList[id] = true
		w.changed = append(w.changed, id)
	}
}

// changedLocked is told of a change; the keeper's lock is held.
func (w *watcher) changedLocked(id process.RunID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteLocked(id)
	w.wake.Broadcast()
}

// answer queues the answer to a request.
func (w *watcher) answer(id uint64, body any, err error) {
	f := process.Frame{ID: id}
	if err != nil {
		f.Error, body = process.ToWire(err), nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out, encodeErr := process.AppendFrame(w.out, f, body)
	if encodeErr != nil {
		out, _ = process.AppendFrame(w.out, process.Frame{ID: id, Error: process.ToWire(encodeErr)}, nil) // strings always encode
	}
	w.out = out
	if len(w.out) > maxUnsent {
		w.failed = fmt.Errorf("the caller has left %d bytes unread", len(w.out))
	}
	w.wake.Broadcast()
}

// flush waits until everything queued so far is written.
func (w *watcher) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for (len(w.out) > 0 || w.sending) && !w.closed && w.failed == nil {
		w.wake.Wait()
	}
}

// close ends the writing.
func (w *watcher) close() {
	w.k.mu.Lock()
	delete(w.k.watchers, w)
	w.k.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Broadcast()
}

// write writes to the connection until close, or until it cannot.
func (w *watcher) write(conn io.Writer) error {
	var spare []byte
	for {
		w.mu.Lock()
		w.sending = false
		w.wake.Broadcast()
		for len(w.out) == 0 && len(w.changed) == 0 && !w.syncing && !w.closed && w.failed == nil {
			w.wake.Wait()
		}
		if w.closed || w.failed != nil {
			err := w.failed
			w.mu.Unlock()
			return err
		}
		// Changes go after the answers that were queued before: the state that is read now is newer than those.
		out, changed, synced := w.out, w.changed, w.syncing
		w.out, w.changed, w.syncing, w.sending = spare[:0], nil, false, true
		clear(w.inList)
		w.mu.Unlock()

		out, err := w.appendChanges(out, changed)
		if err == nil && synced {
			out, err = process.AppendFrame(out, process.Frame{Verb: process.VerbSynced}, nil)
		}
		if err == nil {
			_, err = conn.Write(out)
		}
		if err != nil {
			w.mu.Lock()
			w.failed = err
			w.wake.Broadcast()
			w.mu.Unlock()
			return err
		}
		if spare = out; cap(spare) > 64<<10 {
			spare = nil // a burst does not stay in memory
		}
	}
}

func (w *watcher) appendChanges(out []byte, changed []process.RunID) ([]byte, error) {
	for _, id := range changed {
		w.k.mu.Lock()
		change := w.k.changeLocked(id)
		w.k.mu.Unlock()
		var err error
		if out, err = process.AppendFrame(out, process.Frame{Verb: process.VerbChange}, change); err != nil {
			return out, err
		}
	}
	return out, nil
}
