package logs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// crashBudget makes the child skip lines now and then, whose counts must survive too.
var crashBudget = Budget{Rate: 20000, Burst: 2000}

// ingestForEver is what the child process does until it is killed.
func ingestForEver(db, dir string) {
	ctx := context.Background() //nolint:forbidigo // this is the child's main
	s, err := Open(ctx, db, Options{})
	if err == nil {
		s.Attach(Source{Service: "web", Dir: dir, Budget: crashBudget})
		_, _ = os.Stdout.WriteString("ready\n")
		err = s.Run(ctx)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A manager that is killed again and again, at any point, stores each line once, or counts it once.
func TestKilledWhileIngesting(t *testing.T) {
	tmp := t.TempDir()
	db, dir := filepath.Join(tmp, "logs.db"), filepath.Join(tmp, "web")
	k := newKeeper(t, dir, Stdout)
	k.backups = 50
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	lines := int64(0)
	write := func() {
		k.at = time.Now()
		var b strings.Builder
		head := k.stamp(" ")
		for range random.IntN(800) {
			if random.IntN(20) == 0 {
				b.WriteString(head + fmt.Sprintf("Traceback (most recent call last):\n%s  File %d\n%sValueError\n", head, lines, head))
				lines += 3
				continue
			}
			b.WriteString(head + fmt.Sprintf("line %d\n", lines))
			lines++
		}
		text := b.String()
		cut := random.IntN(len(text) + 1) // seen in two pieces
		k.raw(text[:cut])
		k.raw(text[cut:])
		if random.IntN(4) == 0 {
			k.rotate()
		}
	}
	const rounds = 25
	for range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "LOGS_TEST_INGEST="+db, "LOGS_TEST_DIR="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if random.IntN(4) > 0 { // else it is killed while it opens the index
			if _, err := out.Read(make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
		}
		for range random.IntN(8) {
			write()
			pause := time.NewTimer(time.Duration(random.IntN(8)) * time.Millisecond)
			<-pause.C
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	w := &world{t: t, path: db, stop: func() {}}
	w.start(Source{Service: "web", Dir: dir, Budget: crashBudget})
	t.Cleanup(func() { w.stop() })
	w.sync()
	eventually(t, "the last pause is over and marked", func() bool {
		_, skipped := linesOf(w.all(Filter{}))
		return skipped == 0 || !w.pausedNow(t)
	})
	checkNumbers(t, w.all(Filter{}), lines)
}

// pausedNow reports whether lines are counted that have no marker yet.
func (w *world) pausedNow(t *testing.T) bool {
	t.Helper()
	reply := make(chan bool, 1)
	w.order(func(f *follower) {
		for _, st := range f.byPath {
			if st.nextSkipped != (skip{}) {
				reply <- true
				return
			}
		}
		reply <- false
	})
	return <-reply
}

// checkNumbers looks whether rows are lines 0 to n-1, but for as many as markers say, where they say.
func checkNumbers(t *testing.T, rows []Row, n int64) {
	t.Helper()
	next := int64(0)
	for _, r := range rows {
		if r.Marker {
			next += r.Skipped
			continue
		}
		for i, text := range strings.Split(r.Text, "\n") {
			var got int64
			if _, err := fmt.Sscanf(text, "line %d", &got); err == nil {
				if got != next {
					t.Fatalf("row %d is line %d, want %d", r.ID, got, next)
				}
			} else if _, err := fmt.Sscanf(text, "  File %d", &got); err == nil && got != next-1 {
				t.Fatalf("row %d, part %d, is of line %d, want %d", r.ID, i, got, next-1)
			}
			next++
		}
	}
	if diff := cmp.Diff(n, next); diff != "" {
		t.Fatalf("lines (-written +stored and counted):\n%s", diff)
	}
}
