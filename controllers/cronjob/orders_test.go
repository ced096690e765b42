package cronjob

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

// A crontab of the system calls Tick each minute beside the scheduler, for a day: nothing runs twice.
func TestTickBesideTheScheduler(t *testing.T) {
	w := openWorld(t)
	w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{Exits: true} })
	keep := func(s *v1.CronJobSpec) { s.History.Keep = 10_000 }
	keys := map[v1.Key]int{w.job("often", "*/5 * * * *", keep): 288, w.job("hourly", "0 * * * *", keep): 24, w.job("daily", "0 2 * * *", keep): 1}
	w.settle()
	ticked := 0
	for minute := range 24 * 60 {
		if minute%7 == 0 {
			// Cron is early by a hair, and the scheduler has the first look; else cron has it.
			w.advance(time.Minute)
		} else {
			w.now, w.uptime = w.now.Add(time.Minute), w.uptime+time.Minute
		}
		ids, err := w.r.Tick(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ticked += len(ids)
		w.ring(false)
		w.settle()
	}
	for key, want := range keys {
		rows := w.rows(key)
		if len(rows) != want {
			t.Errorf("%s: %d rows of %d instants", key, len(rows), want)
		}
		for _, r := range rows {
			if r.State != ledger.Succeeded || r.Trigger != ledger.Scheduled {
				t.Errorf("%s at %s: %s %s", key, r.Instant, r.State, r.Trigger)
			}
		}
	}
	if n := len(w.keeper.Started()); n != 313 {
		t.Errorf("%d runs of 313 instants", n)
	}
	if ticked == 0 || ticked == 313 {
		t.Errorf("%d were started by tick: both should have had their share", ticked)
	}
}

func TestTicksAtTheSameTime(t *testing.T) {
	w := openWorld(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.job(name, "0 * * * *", hourly)
	}
	w.settle()
	w.now = noon.Add(time.Hour)
	var all sync.WaitGroup
	var mu sync.Mutex
	claimed := map[uint64]int{}
	w.config.Ended = nil
	for range 6 {
		all.Go(func() {
			ids, err := w.r.Tick(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				claimed[id]++
			}
		})
	}
	all.Wait()
	if len(claimed) != 4 || len(w.keeper.Started()) != 4 {
		t.Errorf("claimed %v, started %d", claimed, len(w.keeper.Started()))
	}
	for id, n := range claimed {
		if n != 1 {
			t.Errorf("%d was claimed %d times", id, n)
		}
	}
}

func TestOnlyTick(t *testing.T) {
	w := openWorld(t)
	w.config.External = true
	w.restart()
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) { s.Timeout = v1.D(10 * time.Minute) })
	w.advance(time.Hour + 30*time.Second)
	w.expect(key)
	ids, err := w.r.Tick(t.Context())
	if err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	w.expect(key, "13:00 running")
	// The loop keeps the time limit, and nothing else is looked for.
	w.advance(2 * time.Hour)
	w.expect(key, "13:00 timedOut timeout")
	if ids, err := w.r.Tick(t.Context()); err != nil || len(ids) != 1 {
		t.Fatal(ids, err)
	}
	w.expect(key, "13:00 timedOut timeout", "14:00 missed noTick", "15:00 running")
}

func TestAwait(t *testing.T) {
	w := openWorld(t)
	w.job("backup", "0 0 1 1 *", hourly)
	w.settle()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	id, _, err := w.r.Run(t.Context(), "backup", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.r.Await(ended, "backup", id); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if _, err := w.r.Await(t.Context(), "backup", id+1); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	result := make(chan ledger.Row, 1)
	go func() {
		row, err := w.r.Await(t.Context(), "backup", id)
		if err != nil {
			t.Error(err)
		}
		result <- row
	}()
	// A request that is taken back comes to an end as well.
	if _, err := w.r.Stop(t.Context(), "backup", "somebody"); err != nil {
		t.Fatal(err)
	}
	if row := <-result; row.State != ledger.Skipped || row.Reason != reasonStopped {
		t.Errorf("%+v", row)
	}
}
