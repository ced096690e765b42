package cronjob

import (
	"errors"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

func hourly(spec *v1.CronJobSpec) { spec.Timeout = v1.D(0) }

func TestRunsAtItsInstant(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(59 * time.Minute)
	w.expect(key)
	if st := w.statuses[key]; st.Running || st.LastRun != nil || !st.NextRun.Equal(noon.Add(time.Hour)) || ready(st) != "Scheduled" {
		t.Errorf("before: %+v", st)
	}
	w.advance(time.Minute)
	w.expect(key, "13:00 running")
	started := w.keeper.Started()
	if len(started) != 1 || started[0].Owner != "CronJob/backup" || started[0].Logs.Dir == "" {
		t.Fatalf("started: %+v", started)
	}
	if st := w.statuses[key]; !st.Running || st.LastRun == nil || !st.NextRun.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("while it runs: %+v", st)
	}
	w.exit(key, 0)
	w.expect(key, "13:00 succeeded")
	if st := w.statuses[key]; st.Running || st.LastSuccess == nil || !*st.LastSuccess {
		t.Errorf("after: %+v", st)
	}
	if n := len(w.keeper.All()); n != 0 {
		t.Errorf("the keeper still remembers %d runs", n)
	}
	w.advance(2 * time.Hour)
	w.expect(key, "13:00 succeeded", "14:00 running", "15:00 skipped overlap")
}

func TestFailureIsTold(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *")
	w.advance(time.Hour)
	w.exit(key, 3)
	w.expect(key, "13:00 failed")
	row := w.rows(key)[0]
	if row.ExitCode == nil || *row.ExitCode != 3 || row.Message != "exited with code 3" {
		t.Errorf("%+v", row)
	}
	if w.told("RunFailed") != 1 || *w.statuses[key].LastSuccess || len(w.ended) != 1 {
		t.Errorf("events %v, ended %v", w.events, w.ended)
	}
}

func TestConcurrency(t *testing.T) {
	for _, tt := range []struct {
		policy v1.ConcurrencyPolicy
		want   []string
		live   int
	}{
		{v1.ConcurrencyForbid, []string{"13:00 running", "14:00 skipped overlap"}, 1},
		{v1.ConcurrencyAllow, []string{"13:00 running", "14:00 running"}, 2},
		{v1.ConcurrencyReplace, []string{"13:00 stopped replaced", "14:00 running"}, 1},
	} {
		t.Run(string(tt.policy), func(t *testing.T) {
			w := openWorld(t)
			key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) { s.ConcurrencyPolicy = tt.policy })
			w.advance(2 * time.Hour)
			w.expect(key, tt.want...)
			if n := len(w.keeper.Live(key.String())); n != tt.live {
				t.Errorf("%d run", n)
			}
		})
	}
}

func TestReplaceWaitsForTheEnd(t *testing.T) {
	w := openWorld(t)
	w.keeper.Behave(func(process.Spec) processtest.Behaviour { return processtest.Behaviour{IgnoresStop: true} })
	key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) {
		s.ConcurrencyPolicy, s.Stop.Timeout = v1.ConcurrencyReplace, v1.D(5*time.Hour)
	})
	w.advance(2 * time.Hour)
	w.expect(key, "13:00 running", "14:00 pending")
	w.advance(time.Hour)
	w.expect(key, "13:00 running", "14:00 skipped replaced", "15:00 pending")
	w.exit(key, 0)
	w.expect(key, "13:00 stopped replaced", "14:00 skipped replaced", "15:00 running")
	if n := len(w.keeper.Stops()); n != 1 {
		t.Errorf("told %d times to stop", n)
	}
}

func TestHungRunIsToldAtTheSecondSkip(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly)
	w.advance(2 * time.Hour)
	if w.told("Hung") != 0 {
		t.Error("told at the first")
	}
	w.advance(time.Hour)
	if w.told("Hung") != 1 {
		t.Errorf("told %d times at the second", w.told("Hung"))
	}
	w.advance(3 * time.Hour)
	if w.told("Hung") != 1 {
		t.Errorf("told %d times in all", w.told("Hung"))
	}
	if c := v1.FindCondition(w.statuses[key].Conditions, v1.ConditionDegraded); c.Status != v1.ConditionTrue {
		t.Errorf("%+v", c)
	}
	w.crash(time.Second)
	w.exit(key, 0)
	w.advance(time.Hour)
	if got := w.story(key); got[len(got)-1] != "19:00 running" {
		t.Errorf("it does not run again: %v", got)
	}
	w.advance(2 * time.Hour)
	if w.told("Hung") != 2 {
		t.Errorf("another hung run: told %d times in all", w.told("Hung"))
	}
}

func TestTimeout(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) {
		s.Timeout, s.Stop.Signal, s.Stop.Timeout = v1.D(5*time.Minute), "SIGINT", v1.D(7*time.Second)
	})
	w.advance(time.Hour + 299*time.Second)
	if len(w.keeper.Stops()) != 0 {
		t.Fatal("stopped early")
	}
	w.advance(time.Second)
	w.expect(key, "13:00 timedOut timeout")
	stops := w.keeper.Stops()
	if len(stops) != 1 || stops[0].Signal.String() != "interrupt" || stops[0].Grace != 7*time.Second {
		t.Errorf("stops: %+v", stops)
	}
	if w.told("RunTimedOut") != 1 {
		t.Errorf("events: %v", w.events)
	}
}

func TestTimeoutIsNotMovedByTheClock(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 12 * * *", func(s *v1.CronJobSpec) { s.Timeout = v1.D(10 * time.Minute) })
	w.advance(24 * time.Hour)
	w.set(w.now.Add(3 * time.Hour))
	if len(w.keeper.Stops()) != 0 {
		t.Fatal("the clock was set forward, and the run was stopped for it")
	}
	w.set(w.now.Add(-5 * time.Hour))
	w.advance(10 * time.Minute)
	w.expect(key, "12:00 timedOut timeout")
}

func TestRetries(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) {
		s.Retries = v1.Retries{Limit: 2, Delay: v1.D(time.Minute)}
	})
	w.advance(time.Hour)
	w.exit(key, 1)
	w.expect(key, "13:00 failed", "13:00#2 pending")
	w.advance(59 * time.Second)
	w.expect(key, "13:00 failed", "13:00#2 pending")
	w.crash(time.Second)
	w.expect(key, "13:00 failed", "13:00#2 running")
	w.exit(key, 1)
	w.advance(119 * time.Second)
	w.expect(key, "13:00 failed", "13:00#2 failed", "13:00#3 pending")
	w.advance(time.Second)
	w.exit(key, 1)
	w.expect(key, "13:00 failed", "13:00#2 failed", "13:00#3 failed")
	w.advance(30 * time.Minute)
	w.expect(key, "13:00 failed", "13:00#2 failed", "13:00#3 failed")
}

func TestRetryHoldsTheJobUnderForbid(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "*/10 * * * *", func(s *v1.CronJobSpec) {
		s.Retries = v1.Retries{Limit: 1, Delay: v1.D(15 * time.Minute)}
	})
	w.advance(10 * time.Minute)
	w.exit(key, 1)
	w.advance(10 * time.Minute)
	w.expect(key, "12:10 failed", "12:10#2 pending", "12:20 skipped overlap")
	w.advance(5 * time.Minute)
	w.expect(key, "12:10 failed", "12:10#2 running", "12:20 skipped overlap")
}

func TestCannotStart(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", func(s *v1.CronJobSpec) {
		s.Retries = v1.Retries{Limit: 1, Delay: v1.D(time.Minute)}
	})
	w.refuse = errors.New("env file /x/.env is missing")
	w.advance(time.Hour)
	w.expect(key, "13:00 failed notStarted", "13:00#2 pending")
	if row := w.rows(key)[0]; row.ExitCode != nil || row.Message == "" || !row.StartedAt.IsZero() {
		t.Errorf("%+v", row)
	}
	w.refuse = nil
	w.keeper.FailStart(&process.StartError{Reason: process.ReasonNotFound, Detail: "there is no program work"})
	w.advance(time.Minute)
	w.expect(key, "13:00 failed notStarted", "13:00#2 failed notStarted")
	if w.told("RunNotStarted") != 2 {
		t.Errorf("events: %v", w.events)
	}
}

func TestCatchUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy v1.CatchUp
		forget time.Duration // startingDeadline
		down   time.Duration
		want   []string
		missed int
	}{
		{"skip", v1.CatchUpSkip, 4 * time.Hour, 3*time.Hour + 30*time.Minute, []string{
			"13:00 missed down", "14:00 missed down", "15:00 missed down",
		}, 1},
		{"once", v1.CatchUpOnce, 4 * time.Hour, 3*time.Hour + 30*time.Minute, []string{
			"13:00 missed down", "14:00 missed down", "15:00 running (catch-up)",
		}, 1},
		{"once, on the dot", v1.CatchUpOnce, 4 * time.Hour, 3 * time.Hour, []string{
			"13:00 missed down", "14:00 missed down", "15:00 running",
		}, 1},
		{"once, too late", v1.CatchUpOnce, 20 * time.Minute, 3*time.Hour + 30*time.Minute, []string{
			"13:00 missed down", "14:00 missed down", "15:00 missed down",
		}, 1},
		{"all, in turn", v1.CatchUpAll, 4 * time.Hour, 3*time.Hour + 30*time.Minute, []string{
			"13:00 running (catch-up)", "14:00 pending (catch-up)", "15:00 pending (catch-up)",
		}, 0},
		{"all that are young enough", v1.CatchUpAll, 2 * time.Hour, 3*time.Hour + 30*time.Minute, []string{
			"13:00 missed down", "14:00 running (catch-up)", "15:00 pending (catch-up)",
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := openWorld(t)
			key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) {
				s.CatchUp, s.StartingDeadline = tt.policy, v1.D(tt.forget)
			})
			w.settle()
			w.crash(tt.down)
			w.expect(key, tt.want...)
			if w.told("Missed") != tt.missed {
				t.Errorf("told %d times: %v", w.told("Missed"), w.events)
			}
			w.crash(0)
			w.expect(key, tt.want...)
		})
	}
}

func TestCatchUpRunsInTurn(t *testing.T) {
	w := openWorld(t)
	key := w.job("backup", "0 * * * *", hourly, func(s *v1.CronJobSpec) {
		s.CatchUp, s.StartingDeadline = v1.CatchUpAll, v1.D(24*time.Hour)
	})
	w.settle()
	w.crash(2*time.Hour + time.Minute)
	w.expect(key, "13:00 running (catch-up)", "14:00 pending (catch-up)")
	w.exit(key, 0)
	w.expect(key, "13:00 succeeded (catch-up)", "14:00 running (catch-up)")
	w.exit(key, 0)
	w.expect(key, "13:00 succeeded (catch-up)", "14:00 succeeded (catch-up)")
}

func TestCatchUpIsNoStampede(t *testing.T) {
	w := openWorld(t)
	w.config.MaxCatchUp = 3
	w.restart()
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		w.job(name, "0 * * * *", hourly)
	}
	w.settle()
	w.crash(90 * time.Minute)
	for left := 7; left > 0; left-- {
		live := w.keeper.Live("")
		if len(live) != min(left, 3) {
			t.Fatalf("%d run while %d are left", len(live), left)
		}
		w.keeper.ExitWith(live[0], process.Exit{At: w.now})
		w.settle()
	}
}

func TestSlotsOfAll(t *testing.T) {
	w := openWorld(t)
	w.config.MaxRuns = 2
	w.restart()
	for _, name := range []string{"a", "b", "c", "d"} {
		w.job(name, "0 * * * *", hourly)
	}
	w.advance(time.Hour)
	for left := 4; left > 0; left-- {
		live := w.keeper.Live("")
		if len(live) != min(left, 2) {
			t.Fatalf("%d run while %d are left", len(live), left)
		}
		w.keeper.ExitWith(live[0], process.Exit{At: w.now})
		w.settle()
	}
}
