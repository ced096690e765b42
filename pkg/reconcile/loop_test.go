package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var web = v1.Key{Kind: v1.KindService, Name: "web"}

// pass lets time pass in a bubble, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // In a bubble it costs no time.
	synctest.Wait()
}

// each makes a function a Reconciler.
type each func(ctx context.Context, key v1.Key) (reconcile.Result, error)

func (f each) Reconcile(ctx context.Context, key v1.Key) (reconcile.Result, error) {
	return f(ctx, key)
}

// in runs a loop within a bubble, and ends it after body.
func in(t *testing.T, workers int, r each, body func(l *reconcile.Loop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := reconcile.New(r, workers, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.Run(ctx)
		}()
		body(l)
		cancel()
		<-done
	})
}

// What an error leads to, by its kind: when the name comes again, and what is counted.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	trouble := errors.New("trouble")
	for name, tt := range map[string]struct {
		result          reconcile.Result
		err             error
		again           []time.Duration // after the first look, within an hour
		errors, retries uint64
	}{
		"success":               {},
		"requeue":               {result: reconcile.Result{RequeueAfter: 7 * time.Second}, again: []time.Duration{7 * time.Second}},
		"terminal":              {err: fmt.Errorf("deep: %w", reconcile.Terminal(trouble)), errors: 1},
		"waiting":               {err: fmt.Errorf("deep: %w", reconcile.Waiting(trouble, 40*time.Minute)), again: []time.Duration{40 * time.Minute}},
		"an error beats a wish": {result: reconcile.Result{RequeueAfter: time.Hour}, err: trouble, again: []time.Duration{20 * time.Millisecond}, errors: 1, retries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var begin time.Time
			var at []time.Duration
			in(t, 1, func(context.Context, v1.Key) (reconcile.Result, error) {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Since(begin))
				if len(at) > 1 {
					return reconcile.Result{}, nil
				}
				return tt.result, tt.err
			}, func(l *reconcile.Loop) {
				mu.Lock()
				begin = time.Now()
				mu.Unlock()
				l.Add(web)
				pass(time.Hour)
				f := l.Figures()
				if f.Errors != tt.errors || f.Retries != tt.retries || f.Panics != 0 || f.Depth != 0 {
					t.Errorf("figures %+v", f)
				}
			})
			if want := append([]time.Duration{0}, tt.again...); fmt.Sprint(at) != fmt.Sprint(want) {
				t.Errorf("looked at %v, want %v", at, want)
			}
		})
	}
}

// A name that keeps failing comes ever later, up to a minute; one success ends that.
func TestBackoff(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var at []time.Time
	healthy := false
	in(t, 1, func(context.Context, v1.Key) (reconcile.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		if healthy {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, errors.New("down")
	}, func(l *reconcile.Loop) {
		health := func(is bool) []time.Time {
			mu.Lock()
			defer mu.Unlock()
			healthy = is
			return slices.Clone(at)
		}
		l.Add(web)
		pass(time.Hour)
		looks := health(true)
		for i := 2; i < len(looks); i++ {
			before, now := looks[i-1].Sub(looks[i-2]), looks[i].Sub(looks[i-1])
			if now < before || now > time.Minute {
				t.Fatalf("pauses of %s and then %s", before, now)
			}
		}
		if n := len(looks); n < 60 || n > 80 {
			t.Errorf("%d looks in an hour", n)
		}
		pass(time.Hour)
		n := len(health(false))
		l.Add(web)
		pass(30 * time.Millisecond)
		if got := len(health(true)) - n; got != 2 {
			t.Errorf("%d looks in 30 ms after a success, want the first and a quick retry", got)
		}
	})
}

// A panic is counted, is an error of that name alone, and the worker lives on.
func TestPanic(t *testing.T) {
	t.Parallel()
	var healthy atomic.Int32
	in(t, 1, func(_ context.Context, key v1.Key) (reconcile.Result, error) {
		if key == web {
			panic("boom") //nolint:forbidigo // What is tested.
		}
		healthy.Add(1)
		return reconcile.Result{}, nil
	}, func(l *reconcile.Loop) {
		l.Add(web)
		l.Add(v1.Key{Kind: v1.KindService, Name: "other"})
		pass(10 * time.Millisecond)
		if f := l.Figures(); f.Panics != 1 || f.Errors != 1 || healthy.Load() != 1 {
			t.Errorf("figures %+v, %d healthy reconciles", f, healthy.Load())
		}
	})
}

// A reconcile that hangs is ended by a timeout that says so; the end of the loop is no timeout.
func TestTimeout(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		l := reconcile.New(each(func(ctx context.Context, _ v1.Key) (reconcile.Result, error) {
			<-ctx.Done()
			return reconcile.Result{}, fmt.Errorf("hung: %w", ctx.Err())
		}), 1, slog.New(slog.NewTextHandler(&out, nil)))
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Minute)
		defer cancel()
		l.Add(web)
		l.Run(ctx)
	})
	if n := strings.Count(out.String(), "reconcile took too long"); n != 1 {
		t.Errorf("%d timeouts told, want 1, not the end of the loop:\n%s", n, &out)
	}
}

// Names that are added before the sources are synced wait for them; a loop that ends before that leaves nothing behind.
func TestSourcesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		l := reconcile.New(each(func(context.Context, v1.Key) (reconcile.Result, error) {
			looks.Add(1)
			return reconcile.Result{}, nil
		}), 4, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		one, two := make(chan struct{}), make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.Run(ctx, one, two)
		}()
		l.Add(web)
		close(two)
		synctest.Wait()
		if looks.Load() != 0 {
			t.Fatal("looked before all sources were synced")
		}
		close(one)
		synctest.Wait()
		if looks.Load() != 1 {
			t.Fatalf("%d looks", looks.Load())
		}
		cancel()
		<-done

		never := reconcile.New(nil, 1, slog.New(slog.DiscardHandler))
		never.Run(ctx, make(chan struct{}))
	})
}

// Waiting is measured from the moment that a name is due.
func TestLatency(t *testing.T) {
	t.Parallel()
	in(t, 1, func(context.Context, v1.Key) (reconcile.Result, error) {
		<-time.After(3 * time.Second)
		return reconcile.Result{}, nil
	}, func(l *reconcile.Loop) {
		for i := range 3 {
			l.Add(v1.Key{Name: fmt.Sprint(i)})
		}
		synctest.Wait()
		if f := l.Figures(); f.Depth != 2 || f.Added != 3 {
			t.Errorf("under way: %+v", f)
		}
		pass(time.Minute)
		if f := l.Figures(); f.Depth != 0 || f.Waits != 3 || f.Waited != 9*time.Second || f.Longest != 6*time.Second || f.Wait != 6*time.Second || f.Busy != 9*time.Second {
			t.Errorf("at the end: %+v", f)
		}
	})
}

// Whatever is added when, by how many: a name is never reconciled twice at once, and always once more after its last Add.
func TestQueueProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		workers := rapid.IntRange(1, 5).Draw(rt, "workers")
		type add struct {
			key  v1.Key
			wait time.Duration
		}
		adds := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) add {
			return add{
				v1.Key{Name: string(rune('a' + rapid.IntRange(0, 3).Draw(rt, "name")))},
				time.Duration(rapid.IntRange(0, 5).Draw(rt, "wait")) * time.Millisecond,
			}
		}), 1, 40).Draw(rt, "adds")
		took := time.Duration(rapid.IntRange(0, 7).Draw(rt, "took")) * time.Millisecond
		outcomes := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 8).Draw(rt, "outcomes")

		var mu sync.Mutex
		twice := false
		busy, seen, wanted := map[v1.Key]bool{}, map[v1.Key]int{}, map[v1.Key]int{} // versions
		n := 0
		in(t, workers, func(_ context.Context, key v1.Key) (reconcile.Result, error) {
			mu.Lock()
			twice = twice || busy[key]
			busy[key] = true
			version := wanted[key] // what a reconcile reads at its start
			n++
			outcome := outcomes[n%len(outcomes)]
			mu.Unlock()
			<-time.After(took)
			mu.Lock()
			defer mu.Unlock()
			busy[key], seen[key] = false, version
			switch outcome {
			case 0:
				return reconcile.Result{}, errors.New("trouble")
			case 1:
				panic("boom") //nolint:forbidigo // What is tested.
			case 2:
				return reconcile.Result{}, reconcile.Terminal(errors.New("for good"))
			}
			return reconcile.Result{}, nil
		}, func(l *reconcile.Loop) {
			for _, a := range adds {
				mu.Lock()
				wanted[a.key]++
				mu.Unlock()
				l.Add(a.key)
				pass(a.wait)
			}
			pass(time.Minute)
			mu.Lock()
			defer mu.Unlock()
			if twice {
				rt.Error("a name was reconciled by two workers at once")
			}
			for key, version := range wanted {
				if seen[key] != version {
					rt.Errorf("%s: version %d was last seen, %d is there", key, seen[key], version)
				}
			}
		})
	})
}

func BenchmarkLoop(b *testing.B) {
	done := make(chan struct{})
	l := reconcile.New(each(func(context.Context, v1.Key) (reconcile.Result, error) {
		done <- struct{}{}
		return reconcile.Result{}, nil
	}), 1, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx)
	}()
	b.ReportAllocs()
	for b.Loop() {
		l.Add(web)
		<-done
	}
	cancel()
	<-ended
}
