package rest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// countingWriter counts what reaches the network.
type countingWriter struct {
	*httptest.ResponseRecorder
	mu     sync.Mutex
	writes int
}

func (w *countingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	return w.ResponseRecorder.Write(p)
}

// Events that are queued come soon, in order, and many in one write; the first after a pause comes at once.
func TestQueuedEventsComeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &countingWriter{ResponseRecorder: httptest.NewRecorder()}
		s := &stream{w: w, rc: http.NewResponseController(w)}
		seen := func() (writes, events int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.writes, strings.Count(w.Body.String(), "data: ")
		}
		if err := s.queue("1", "line", 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if writes, events := seen(); writes != 1 || events != 1 {
			t.Errorf("the first: %d events in %d writes", events, writes)
		}
		for i := 2; i <= 1000; i++ {
			if err := s.queue(strconv.Itoa(i), "line", i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(batchPause) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		if writes, events := seen(); writes > 3 || events != 1000 {
			t.Errorf("%d events in %d writes", events, writes)
		}
		if err := s.queue("x", "line", 1001); err != nil {
			t.Fatal(err)
		}
		s.end()
		if _, events := seen(); events != 1001 {
			t.Errorf("%d events at the end", events)
		}
		if s.queue("y", "line", 1002) == nil || s.send("z", "line", 1003) == nil {
			t.Error("something is written after the end")
		}
		for i, part := range strings.Split(strings.TrimSpace(w.Body.String()), "\n\n") {
			if want := "data: " + strconv.Itoa(i+1); !strings.HasSuffix(part, want) {
				t.Fatalf("event %d is %q", i, part)
			}
		}
	})
}
