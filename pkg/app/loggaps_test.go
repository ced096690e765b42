package app

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The status follows at once when lines begin to be skipped, then now and then, and once more when it is over.
func TestLogGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var all []int64
		var g *logGaps
		g = newLogGaps(func(service string) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, g.lines(service))
		})
		told := func() []int64 {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}
		if n := g.lines("web"); n != 0 {
			t.Errorf("%d lines before any", n)
		}
		g.skipped("web", 5)
		synctest.Wait()
		for range 35 {
			time.Sleep(time.Second) //nolint:forbidigo // In a bubble.
			g.skipped("web", 1)
		}
		if got := told(); len(got) < 3 || len(got) > 5 || got[0] != 5 {
			t.Errorf("told %v in 35 s", got)
		}
		time.Sleep(gapPause) //nolint:forbidigo // In a bubble.
		if last := last(told()); last != 40 {
			t.Errorf("the last word is %d, want 40", last)
		}
		time.Sleep(gapMemory + time.Second) //nolint:forbidigo // In a bubble.
		if last := last(told()); last != 0 || g.lines("web") != 0 {
			t.Errorf("after the end %d lines are told of", last)
		}
	})
}

func last(list []int64) int64 { return list[len(list)-1] }
