package app

import (
	"testing"
	"testing/synctest"
	"time"
)

// The status follows at once when lines begin to be skipped, then now and then, and once more when it is over.
func TestLogGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []int64
		var g *logGaps
		g = newLogGaps(func(service string) { told = append(told, g.lines(service)) })
		if n := g.lines("web"); n != 0 {
			t.Errorf("%d lines before any", n)
		}
		g.skipped("web", 5)
		synctest.Wait()
		for range 35 {
			time.Sleep(time.Second) //nolint:forbidigo // In a bubble.
			g.skipped("web", 1)
		}
		synctest.Wait()
		if len(told) < 3 || len(told) > 5 || told[0] != 5 {
			t.Errorf("told %v in 35 s", told)
		}
		time.Sleep(gapPause) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		if last := told[len(told)-1]; last != 40 {
			t.Errorf("the last word is %d, want 40", last)
		}
		time.Sleep(gapMemory + time.Second) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		if last := told[len(told)-1]; last != 0 || g.lines("web") != 0 {
			t.Errorf("after the end %d lines are told of", last)
		}
	})
}
