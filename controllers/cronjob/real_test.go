package cronjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/keeper"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// keeperMode makes the test program play the keeper, which takes the process over that it is in.
const keeperMode = "CRONJOB_TEST_PLAYS_KEEPER"

func TestMain(m *testing.M) {
	if os.Getenv(keeperMode) != "" || keeper.ShimRequested() {
		os.Exit(keeper.Main(os.Args[1:], os.Getenv(keeperMode)))
	}
	goleak.VerifyTestMain(m)
}

// house has a real keeper, and managers that come and go.
type house struct {
	*sharedWorld
	t      testing.TB
	dir    string
	ledger *ledger.Store
	client *process.Client // of the present manager
	r      *Reconciler
	loop   *reconcile.Loop
	leave  func() // ends the present manager, as a crash would: nothing is said to anybody
}

func newHouse(t testing.TB) *house {
	t.Helper()
	dir, err := os.MkdirTemp("", "cronhouse") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, dir: dir, sharedWorld: &sharedWorld{jobs: map[string]*v1.CronJob{}, st: map[v1.Key]*v1.CronJobStatus{}}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.LaunchCommand(t.Context(), []string{self, "--dir", dir}, []string{keeperMode + "=one", "GORACE=atexit_sleep_ms=0"}, dir); err != nil {
		t.Fatal(err)
	}
	h.arrive()
	t.Cleanup(h.clean)
	return h
}

// arrive starts a manager.
func (h *house) arrive() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	quiet := slog.New(slog.DiscardHandler)
	var err error
	if h.ledger, err = ledger.Open(ctx, filepath.Join(h.dir, "cron.db"), quiet); err != nil {
		h.t.Fatal(err)
	}
	h.client = process.NewClient(process.ClientOptions{Dir: h.dir, Version: "test"})
	var loop *reconcile.Loop
	enqueue := func(key v1.Key) { loop.Add(key) }
	ticker := cron.NewTicker(cron.SystemClock{}, enqueue)
	r := New(Config{
		Desired: h, Store: h, Keeper: h.client, Ledger: h.ledger, Waker: ticker, Enqueue: enqueue, Log: quiet,
		Program: func(j *v1.CronJob) (process.Spec, error) {
			argv := j.Spec.Command.Argv
			return process.Spec{Argv: argv, Env: []string{"PATH=" + os.Getenv("PATH")}, Dir: h.dir}, nil
		},
		LogDir: func(job string, id uint64) string {
			return filepath.Join(h.dir, "logs", job, "runs", strconv.FormatUint(id, 10))
		},
	})
	loop = reconcile.New(r, 8, quiet)
	h.r, h.loop = r, loop
	h.client.OnChange(func(owner string) {
		if key, ok := ownerOf(&process.Run{Owner: owner}); ok {
			loop.Add(key)
		}
	})
	var running sync.WaitGroup
	running.Go(func() { _ = h.client.Run(ctx) })
	running.Go(func() { loop.Run(ctx) })
	running.Go(func() { _ = ticker.Run(ctx) })
	for _, j := range h.jobs {
		loop.Add(j.Key())
	}
	h.leave = func() {
		cancel()
		running.Wait()
		_ = h.ledger.Close()
	}
}

// clean kills what runs, and the keeper.
func (h *house) clean() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.t.Context()), 20*time.Second)
	defer cancel()
	h.r.Close()
	for _, run := range h.client.All() {
		if run.Live() {
			_ = h.client.Stop(ctx, run.ID, 9, 0)
		}
	}
	for {
		err := h.client.Shutdown(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, process.ErrBusy) {
			h.t.Errorf("the keeper does not end: %v", err)
			break
		}
		h.pause(ctx)
	}
	h.leave()
	_ = os.RemoveAll(h.dir)
}

// pause is for those who look again and again.
func (*house) pause(ctx context.Context) {
	select {
	case <-time.After(2 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (h *house) job(name string, argv ...string) v1.Key {
	j := &v1.CronJob{Metadata: v1.ObjectMeta{Name: name}}
	j.Spec.Command.Argv, j.Spec.Schedule = argv, "0 0 1 1 *"
	j.Default()
	h.jobs[name] = j
	return j.Key()
}

// Ten runs are under way when the manager dies; they end while nobody is there. The next one finds out how.
func TestRunsSurviveTheManager(t *testing.T) {
	h := newHouse(t)
	const runs = 10
	gate := filepath.Join(h.dir, "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		h.job(fmt.Sprintf("job-%d", i), "/bin/sh", "-c", fmt.Sprintf("echo begin; while [ -e %s ]; do sleep 0.02; done; echo end >&2; exit %d", gate, i))
	}
	ids := map[string]uint64{}
	for name := range h.jobs {
		id, started, err := h.r.Run(t.Context(), name, "test")
		if err != nil || !started {
			t.Fatal(started, err)
		}
		ids[name] = id
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h.until(ctx, "all run", func() bool {
		n := 0
		for _, run := range h.client.All() {
			if run.Live() {
				n++
			}
		}
		return n == runs
	})
	h.leave()
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	h.arrive()
	for name, id := range ids {
		row, err := h.r.Await(ctx, name, id)
		if err != nil {
			t.Fatal(err)
		}
		want, err := strconv.Atoi(name[len("job-"):])
		if err != nil {
			t.Fatal(err)
		}
		if row.ExitCode == nil || *row.ExitCode != want || row.Stdout != "begin\n" || row.Stderr != "end\n" || row.MemoryBytes == 0 || row.Duration() == 0 {
			t.Errorf("%s: %+v", name, row)
		}
	}
	h.until(ctx, "the keeper forgets", func() bool { return len(h.client.All()) == 0 })
}

func TestTimeLimitEndsTheTree(t *testing.T) {
	h := newHouse(t)
	pid := filepath.Join(h.dir, "pid")
	key := h.job("stubborn", "/bin/sh", "-c", fmt.Sprintf("trap '' TERM; (trap '' TERM; echo $$ > %s; while :; do sleep 0.05; done) & wait; wait", pid))
	h.jobs["stubborn"].Spec.Timeout, h.jobs["stubborn"].Spec.Stop.Timeout = v1.D(300*time.Millisecond), v1.D(300*time.Millisecond)
	id, _, err := h.r.Run(t.Context(), key.Name, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	row, err := h.r.Await(ctx, key.Name, id)
	if err != nil || row.State != ledger.TimedOut || row.Signal != "SIGKILL" {
		t.Errorf("%+v %v", row, err)
	}
}

func (h *house) until(ctx context.Context, what string, holds func() bool) {
	h.t.Helper()
	for !holds() {
		if ctx.Err() != nil {
			h.t.Fatalf("waited in vain: %s", what)
		}
		h.pause(ctx)
	}
}

// Five hundred real programs are due in the same second, against as many that are started one after the other by os/exec.
func BenchmarkFiveHundredPrograms(b *testing.B) {
	const jobs = 500
	var last, plain time.Duration
	for b.Loop() {
		b.StopTimer()
		begin := time.Now()
		for range jobs {
			if err := exec.CommandContext(b.Context(), "/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}
		plain += time.Since(begin)
		h := newHouse(b)
		due := time.Now().Add(3 * time.Second).Truncate(time.Second)
		for i := range jobs {
			key := h.job(fmt.Sprintf("job-%d", i), "/bin/true")
			spec := &h.jobs[key.Name].Spec
			spec.Schedule, spec.Seconds = fmt.Sprintf("%d %d * * * *", due.Second(), due.Minute()), true
			h.loop.Add(key)
		}
		b.StartTimer()
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		var skews []time.Duration
		h.until(ctx, "all have ended", func() bool {
			rows, err := h.ledger.Executions(ctx, ledger.Query{Limit: 1000})
			if err != nil {
				b.Fatal(err)
			}
			skews = nil
			for _, r := range rows {
				if r.State == ledger.Succeeded {
					skews = append(skews, r.StartedAt.Sub(due))
				}
			}
			return len(skews) == jobs
		})
		cancel()
		slices.Sort(skews)
		last += skews[jobs-1]
		b.ReportMetric(float64(skews[jobs/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(skews[jobs*99/100].Microseconds())/1000, "p99-ms")
	}
	b.ReportMetric(float64(last.Microseconds())/1000/float64(b.N), "last-ms")
	b.ReportMetric(float64(plain.Microseconds())/1000/float64(b.N), "plain-ms")
}
