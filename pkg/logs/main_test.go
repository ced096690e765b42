package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if db := os.Getenv("LOGS_TEST_INGEST"); db != "" {
		ingestForEver(db, os.Getenv("LOGS_TEST_DIR")) // TestKilledWhileIngesting runs this binary anew
	}
	if dir := os.Getenv("LOGS_TEST_WRITE"); dir != "" {
		writeForEver(dir) // for BenchmarkCPUThousandLines
	}
	// lumberjack keeps one goroutine for each log for ever; the program has one log.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// keeper writes log files as the keeper does.
type keeper struct {
	t       testing.TB
	path    string
	backups int
	size    int64
	f       *os.File
	at      time.Time // the next line's; it moves on by step
	step    time.Duration
}

func newKeeper(t testing.TB, dir string, stream Stream) *keeper {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	k := &keeper{t: t, path: filepath.Join(dir, string(stream)+".log"), backups: 3, at: time.Now().Add(-time.Hour), step: 200 * time.Millisecond}
	k.open()
	t.Cleanup(func() { _ = k.f.Close() })
	return k
}

func (k *keeper) open() {
	k.t.Helper()
	f, err := os.OpenFile(k.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		k.t.Fatal(err)
	}
	k.f = f
}

func (k *keeper) raw(text string) {
	k.t.Helper()
	if _, err := k.f.WriteString(text); err != nil {
		k.t.Fatal(err)
	}
}

// stamp is the beginning of the next line.
func (k *keeper) stamp(sign string) string {
	s := k.at.UTC().Format("[2006-01-02T15:04:05.000000000Z]") + sign
	k.at = k.at.Add(k.step)
	return s
}

func (k *keeper) line(format string, args ...any) {
	k.t.Helper()
	k.raw(k.stamp(" ") + fmt.Sprintf(format, args...) + "\n")
}

// block is lines of one moment.
func (k *keeper) block(lines ...string) {
	k.t.Helper()
	var b strings.Builder
	head := k.stamp(" ")
	for _, l := range lines {
		b.WriteString(head + l + "\n")
	}
	k.raw(b.String())
}

func (k *keeper) rotate() {
	k.t.Helper()
	for i := k.backups; i > 1; i-- {
		if err := os.Rename(chainName(k.path, i-1), chainName(k.path, i)); err != nil && !errors.Is(err, os.ErrNotExist) {
			k.t.Fatal(err)
		}
	}
	var err error
	if k.backups == 0 {
		err = os.Remove(k.path)
	} else {
		err = os.Rename(k.path, k.path+".1")
	}
	if err != nil {
		k.t.Fatal(err)
	}
	_ = k.f.Close()
	k.open()
}

func (k *keeper) truncate() {
	k.t.Helper()
	if err := k.f.Truncate(0); err != nil {
		k.t.Fatal(err)
	}
}

// world is a Store with a running follower.
type world struct {
	t    testing.TB
	path string
	o    Options
	*Store
	stop func()
}

func newWorld(t testing.TB, o Options) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "logs.db"), o: o, stop: func() {}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// start opens the store, again after stop.
func (w *world) start(sources ...Source) {
	w.t.Helper()
	s, err := Open(w.t.Context(), w.path, w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Store = s
	for _, src := range sources {
		s.Attach(src)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) sync() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if err := w.Sync(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// all returns every row, oldest first.
func (w *world) all(f Filter) []Row {
	w.t.Helper()
	var out []Row
	for r, err := range w.Read(w.t.Context(), f, Cursor{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func texts(rows []Row) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.Text
	}
	return out
}

// eventually polls a condition, as tests may not sleep for a guess.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		wait := time.NewTimer(5 * time.Millisecond)
		<-wait.C
	}
}
