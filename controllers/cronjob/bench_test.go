package cronjob

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// sharedWorld is a world that several workers may look at.
type sharedWorld struct {
	jobs map[string]*v1.CronJob
	mu   sync.Mutex
	st   map[v1.Key]*v1.CronJobStatus
}

func (w *sharedWorld) CronJob(name string) (*v1.CronJob, string, bool) {
	j, ok := w.jobs[name]
	return j, "revision", ok
}
func (w *sharedWorld) CronJobs() []*v1.CronJob      { return nil }
func (w *sharedWorld) Complete() bool               { return true }
func (w *sharedWorld) Problems(string) []v1.Problem { return nil }
func (w *sharedWorld) DeleteObject(v1.Key)          {}
func (w *sharedWorld) RecordEvent(v1.Event) uint64  { return 0 }

func (w *sharedWorld) CronJobStatus(key v1.Key) *v1.CronJobStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.st[key]
}

func (w *sharedWorld) SetCronJobStatus(key v1.Key, st *v1.CronJobStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.st[key] = st
}

// Five hundred jobs are due in the same second: how long until the first, half of, and all of them are handed to the keeper.
// It is a real loop with a real ticker and a real ledger; the keeper is in memory, so what is measured is ours alone.
func BenchmarkFiveHundredAtOnce(b *testing.B) {
	const jobs = 500
	var p50, p99, last time.Duration
	for b.Loop() {
		skews := fiveHundred(b, jobs)
		p50 += skews[jobs/2]
		p99 += skews[jobs*99/100]
		last += skews[jobs-1]
	}
	n := float64(b.N)
	b.ReportMetric(float64(p50.Microseconds())/1000/n, "p50-ms")
	b.ReportMetric(float64(p99.Microseconds())/1000/n, "p99-ms")
	b.ReportMetric(float64(last.Microseconds())/1000/n, "last-ms")
}

func fiveHundred(b *testing.B, jobs int) []time.Duration {
	b.StopTimer()
	defer b.StartTimer()
	dir := b.TempDir()
	store, err := ledger.Open(context.WithoutCancel(b.Context()), filepath.Join(dir, "cron.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	w := &sharedWorld{jobs: map[string]*v1.CronJob{}, st: map[v1.Key]*v1.CronJobStatus{}}
	due := time.Now().Add(2500 * time.Millisecond).Truncate(time.Second)
	for i := range jobs {
		j := &v1.CronJob{Metadata: v1.ObjectMeta{Name: fmt.Sprintf("job-%d", i)}}
		j.Spec.Schedule = fmt.Sprintf("%d %d * * * *", due.Second(), due.Minute())
		j.Spec.Seconds = true
		j.Default()
		w.jobs[j.Metadata.Name] = j
	}
	fake := processtest.NewFake()
	var mu sync.Mutex
	var skews []time.Duration
	all := make(chan struct{})
	fake.Behave(func(process.Spec) processtest.Behaviour {
		mu.Lock()
		defer mu.Unlock()
		if skews = append(skews, time.Since(due)); len(skews) == jobs {
			close(all)
		}
		return processtest.Behaviour{}
	})
	var loop *reconcile.Loop
	ticker := cron.NewTicker(cron.SystemClock{}, func(key v1.Key) { loop.Add(key) })
	r := New(Config{
		Desired: w, Store: w, Keeper: fake, Ledger: store, Waker: ticker, Enqueue: func(key v1.Key) { loop.Add(key) },
		Program: func(*v1.CronJob) (process.Spec, error) { return process.Spec{Argv: []string{"x"}}, nil },
		LogDir:  func(string, uint64) string { return dir }, Log: slog.New(slog.DiscardHandler),
	})
	loop = reconcile.New(r, 8, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { loop.Run(ctx) })
	running.Go(func() { _ = ticker.Run(ctx) })
	for name := range w.jobs {
		loop.Add(v1.Key{Kind: v1.KindCronJob, Name: name})
	}
	b.StartTimer()
	<-all
	b.StopTimer()
	cancel()
	running.Wait()
	slices.Sort(skews)
	return skews
}
