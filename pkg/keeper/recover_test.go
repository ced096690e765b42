package keeper_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// A keeper that is killed at any moment, again and again, while programs print as fast as they can and files are rotated:
// every line is there once, in order, whole.
func TestKilledKeeperLosesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	numbered := func(script string) process.Spec {
		s := h.sh(script)
		s.Logs.MaxBytes, s.Logs.Backups = 300_000, 2000
		h.start(s)
		return s
	}
	const many, some = 1_000_000, 100_000
	runs := map[int]process.Spec{
		// In large blocks, and in many small ones with unfinished lines between them.
		many: numbered(fmt.Sprintf("seq 1 %d; exec sleep 1000", many)),
		some: numbered(fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); printf %%s $i; echo; done; exec sleep 1000", some)),
	}
	kills := 0
	complete := func() bool {
		for last, s := range runs {
			raw, err := os.ReadFile(filepath.Join(s.Logs.Dir, "stdout.log"))
			if end := strconv.Itoa(last) + "\n"; err != nil || len(raw) < len(end) || string(raw[len(raw)-len(end):]) != end {
				return false
			}
		}
		return true
	}
	deadline := time.Now().Add(30 * time.Second)
	for !complete() && time.Now().Before(deadline) {
		if kills < 40 {
			<-time.After(time.Duration(rand.Int64N(int64(8 * time.Millisecond))))
			raw, err := os.ReadFile(filepath.Join(h.dir, "lock"))
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			h.killPID(pid) // not kill: the client takes its time to connect again
			h.launch()
			kills++
		}
	}
	for last, s := range runs {
		lines := h.text(s, "stdout")
		for i, line := range lines {
			if line != strconv.Itoa(i+1) {
				t.Fatalf("after %d kills line %d of %d is %q", kills, i+1, last, line)
			}
		}
		if len(lines) != last {
			t.Errorf("after %d kills there are %d lines, want %d", kills, len(lines), last)
		}
	}
	t.Logf("%d kills", kills)
}
