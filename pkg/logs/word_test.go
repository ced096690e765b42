package logs

import "testing"

// What the keeper says of output that it could not keep is a marker, which no budget leaves out, and which counts.
func TestTheKeepersWordIsAMarker(t *testing.T) {
	w := newWorld(t, Options{Budget: Budget{Rate: 1, Burst: 1}})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	const word = "supervisor: dropped 40 lines (4000 bytes) of this output: no space left on device"
	k.line("one")
	k.line("two") // beyond the budget, and what follows with it
	k.raw(k.stamp("!") + word + "\n")
	k.line("%s", word) // a program can say what it likes
	w.sync()
	skipped, rows := int64(0), int64(0)
	eventually(t, "all lines have their row or their marker", func() bool {
		skipped, rows = 0, 0
		for _, r := range w.all(Filter{}) {
			if r.Marker {
				skipped += r.Skipped
			} else {
				rows++
			}
		}
		return rows+skipped == 43
	})
	if n := w.Stats().Services["web"]; n != skipped-40 && n != skipped {
		t.Errorf("%d lines are counted as not indexed, markers stand for %d", n, skipped)
	}
}
