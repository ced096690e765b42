package cronjob

import (
	"errors"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

func TestPaused(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(time.Hour)
	w.exit(key, 0)
	w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) { off := false; s.Enabled = &off })
	w.advance(time.Hour)
	if st := w.statuses[key]; ready(st) != "Suspended" || st.NextRun != nil {
		t.Errorf("%+v", st)
	}
	w.crash(time.Hour)
	w.job("backup", "0 * * * *", hourly)
	w.advance(59 * time.Minute)
	w.expect(key, "13:00 succeeded", "14:00 skipped paused", "15:00 skipped paused")
	w.advance(time.Minute)
	w.expect(key, "13:00 succeeded", "14:00 skipped paused", "15:00 skipped paused", "16:00 running")
}

func TestAnotherScheduleBeginsWhenItIsSeen(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) { s.CatchUp = v1.CatchUpSkip })
	w.advance(30 * time.Minute)
	w.queue = nil
	w.job("backup", "*/20 * * * *", hourly, func(s *v1.CronJobSpec) { s.CatchUp = v1.CatchUpSkip })
	w.crash(45 * time.Minute) // to 13:15: only 13:00 had been promised
	w.expect(key, "13:00 missed down")
	w.advance(5 * time.Minute)
	w.expect(key, "13:00 missed down", "13:20 running")
}

func TestManualRun(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 0 1 1 *", hourly, func(s *v1.CronJobSpec) { off := false; s.Enabled = &off })
	w.settle()
	id, started, err := w.r.Run(t.Context(), "backup", "user:1000")
	if err != nil || !started || id == 0 {
		t.Fatalf("%d %v %v", id, started, err)
	}
	w.settle()
	w.expect(key, "manual running")
	again, started, err := w.r.Run(t.Context(), "backup", "user:1000")
	if err != nil || started || again != id {
		t.Errorf("second: %d %v %v", again, started, err)
	}
	w.exit(key, 7)
	row, err := w.r.Await(t.Context(), "backup", id)
	if err != nil || row.ExitCode == nil || *row.ExitCode != 7 || row.Actor != "user:1000" {
		t.Errorf("%+v %v", row, err)
	}
	w.expect(key, "manual failed") // no retry, nor a scheduled instant
	if _, _, err := w.r.Run(t.Context(), "nobody", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
}

func TestManualRunsSideBySide(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) { s.ConcurrencyPolicy = v1.ConcurrencyAllow })
	for range 3 {
		if _, started, err := w.r.Run(t.Context(), "backup", ""); err != nil || !started {
			t.Fatal(started, err)
		}
	}
	w.settle()
	w.expect(key, "manual running", "manual running", "manual running")
	w.advance(time.Hour)
	w.expect(key, "manual running", "manual running", "manual running", "13:00 running")
}

func TestStop(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) { s.Retries.Limit = 3 })
	w.settle()
	if stopped, err := w.r.Stop(t.Context(), "backup", "user:1000"); err != nil || stopped {
		t.Errorf("nothing runs: %v %v", stopped, err)
	}
	w.advance(time.Hour)
	if stopped, err := w.r.Stop(t.Context(), "backup", "user:1000"); err != nil || !stopped {
		t.Errorf("%v %v", stopped, err)
	}
	w.settle()
	w.expect(key, "13:00 stopped stopped")
	w.advance(time.Hour)
	w.exit(key, 1)
	if stopped, err := w.r.Stop(t.Context(), "backup", "user:1000"); err != nil || !stopped {
		t.Errorf("a retry waits: %v %v", stopped, err)
	}
	w.advance(30 * time.Minute)
	w.expect(key, "13:00 stopped stopped", "14:00 failed", "14:00#2 skipped stopped")
	if _, err := w.r.Stop(t.Context(), "nobody", ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
}

func TestAnExitThatWasNotOurDoing(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *")
	w.advance(time.Hour)
	// The order to stop is on record, but the program ends by itself before it arrives.
	if _, err := w.r.Stop(t.Context(), "backup", ""); err != nil {
		t.Fatal(err)
	}
	w.exit(key, 0)
	w.expect(key, "13:00 succeeded")
}

func TestDeadline(t *testing.T) {
	w := openWorld(t)
	w.config.MaxRuns = 1
	w.restart()
	w.job("long", "59 * * * *", hourly) // it has the only slot when the other is due
	w.settle()
	key := w.job("waits", "0 * * * *", hourly, func(s *v1.CronJobSpec) { s.StartingDeadline = v1.D(10 * time.Minute) })
	w.advance(time.Hour)
	w.expect(key, "13:00 pending")
	w.advance(20 * time.Minute)
	w.exit(v1.Key{Kind: v1.KindCronJob, Name: "long"}, 0)
	w.expect(key, "13:00 skipped deadline")
	if w.told("DeadlineExceeded") != 1 {
		t.Errorf("events: %v", w.events)
	}
}

func TestJitter(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) { s.Jitter = v1.D(10 * time.Minute) })
	w.advance(time.Hour)
	d := jitter("backup", noon.Add(time.Hour), 10*time.Minute)
	if d <= 0 || d >= 10*time.Minute {
		t.Fatalf("jitter is %v", d)
	}
	w.expect(key, "13:00 pending")
	w.advance(d - time.Millisecond)
	w.expect(key, "13:00 pending")
	w.crash(time.Millisecond)
	w.expect(key, "13:00 running")
}

func TestDeletion(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(time.Hour)
	delete(w.jobs, "backup")
	w.partial = true
	w.enqueue(key)
	w.settle()
	if len(w.keeper.Live("")) != 1 {
		t.Fatal("it may still come, and was stopped")
	}
	w.partial = false
	w.enqueue(key)
	w.settle()
	w.expect(key)
	if len(w.keeper.All()) != 0 || len(w.deleted) != 1 || len(w.wakes) != 0 {
		t.Errorf("left: runs %v, deleted %v, wakes %v", w.keeper.All(), w.deleted, w.wakes)
	}
	known, err := w.r.Known(t.Context())
	if err != nil || len(known) != 0 {
		t.Errorf("known: %v %v", known, err)
	}
}

func TestInvalidSchedule(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 25 * * *")
	w.advance(48 * time.Hour)
	w.expect(key)
	if st := w.statuses[key]; ready(st) != "InvalidSchedule" || st.NextRun != nil {
		t.Errorf("%+v", st)
	}
	if errs := Check(w.jobs["backup"]); len(errs) != 1 || errs[0].Field != "spec.schedule" {
		t.Errorf("%v", errs)
	}
	if _, started, err := w.r.Run(t.Context(), "backup", ""); err != nil || !started {
		t.Errorf("by hand: %v %v", started, err)
	}
	w.settle()
	w.expect(key, "manual running")
	w.job("backup", "0 * * * *")
	w.settle()
	w.expect(key, "manual running")
}

func TestHistoryIsBounded(t *testing.T) {
	w := openWorld(t)
	w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{Exits: true} })
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) { s.History.Keep = 3 })
	w.advance(10 * time.Hour)
	w.expect(key, "20:00 succeeded", "21:00 succeeded", "22:00 succeeded")
	// Back to 13:30: what has run does not run again, although its rows are gone.
	w.set(noon.Add(90 * time.Minute))
	w.advance(8*time.Hour + 30*time.Minute)
	if n := len(w.keeper.Started()); n != 10 {
		t.Errorf("%d runs of 10 instants", n)
	}
	w.advance(time.Hour)
	if n := len(w.keeper.Started()); n != 11 {
		t.Errorf("%d runs of 11 instants", n)
	}
}

func TestClockSetBack(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) { s.CatchUp = v1.CatchUpSkip })
	w.advance(time.Hour)
	w.exit(key, 0)
	w.set(noon.Add(4*time.Hour + time.Minute))
	w.expect(key, "13:00 succeeded", "14:00 missed asleep", "15:00 missed asleep", "16:00 missed asleep")
	w.set(noon.Add(30 * time.Minute))
	w.expect(key, "13:00 succeeded")
	w.advance(time.Hour)
	w.expect(key, "13:00 succeeded")
	w.advance(30 * time.Minute)
	w.expect(key, "13:00 succeeded", "14:00 running")
}

func TestSleepingMachine(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.settle()
	w.sleep(3*time.Hour + 20*time.Minute)
	w.expect(key, "13:00 missed asleep", "14:00 missed asleep", "15:00 running (catch-up)")
}

func TestAThreeHourGapOfAMinuteJob(t *testing.T) {
	w := openWorld(t)
	key := w.job("often", "* * * * *", hourly, func(s *v1.CronJobSpec) { s.History.Keep = 1000 })
	w.settle()
	w.crash(3*time.Hour + 30*time.Second)
	rows := w.rows(key)
	if len(rows) != 180 || rows[179].State != ledger.Running {
		t.Fatalf("%d rows, the last %v", len(rows), rows[len(rows)-1].State)
	}
	w.exit(key, 0)
	w.advance(time.Minute)
	if got := w.story(key); got[len(got)-1] != "15:01 running" {
		t.Errorf("it goes on with %q", got[len(got)-1])
	}
}

func TestLostRun(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(time.Hour)
	w.keeper.NewSession("after the power cut")
	w.crash(time.Minute)
	w.expect(key, "13:00 failed lost")
}

func TestLostLedger(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(time.Hour)
	if _, err := w.ledger.Delete(t.Context(), "backup"); err != nil {
		t.Fatal(err)
	}
	w.crash(time.Minute)
	w.expect(key, "13:00 running")
	w.exit(key, 0)
	w.expect(key, "13:00 succeeded")
}

func TestShutdown(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(time.Hour)
	w.r.Close()
	if err := w.keeper.Stop(t.Context(), w.keeper.Live("")[0], 15, time.Second); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	w.expect(key, "13:00 running")
	w.crash(0)
	w.expect(key, "13:00 stopped shutdown", "14:00 missed down", "15:00 running")
}

func TestUnreachableKeeper(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.settle()
	w.now = noon.Add(time.Hour)
	w.keeper.FailStart(process.ErrUnavailable)
	if _, err := w.r.Reconcile(t.Context(), key); !errors.Is(err, process.ErrUnavailable) {
		t.Fatalf("reconcile: %v", err)
	}
	w.expect(key, "13:00 pending")
	w.keeper.FailStart(nil)
	w.enqueue(key)
	w.settle()
	w.expect(key, "13:00 running")
}
