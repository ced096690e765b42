package alert

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// seen is an observation at a moment after t0, and what is told then: "+Rule" and "-Rule".
type seen struct {
	after time.Duration
	o     Observation
	tells string
	text  string        // part of the first summary
	again time.Duration // after t0; 0: never
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	loop := Spec{CrashLoop: true}
	unready := Spec{NotReadyFor: 5 * time.Minute}
	cron := Spec{CronFailure: true, MissedRun: true}
	service := func(s Spec, f func(*Observation)) Observation {
		o := Observation{Object: "Service/web", Spec: s, Wanted: true}
		if f != nil {
			f(&o)
		}
		return o
	}
	restarts := func(n int) Observation { return service(loop, func(o *Observation) { o.Restarts = n }) }
	ready := func(r bool) Observation { return service(unready, func(o *Observation) { o.Ready = &r }) }
	memory := func(n int64) Observation {
		return service(Spec{MemoryOver: gib}, func(o *Observation) { o.MemoryBytes = &n })
	}
	failed := func(n int) Observation { return service(cron, func(o *Observation) { o.FailedRuns = &n }) }
	update := func(failed *bool) Observation {
		return service(Spec{UpdateFailed: true}, func(o *Observation) { o.UpdateFailed, o.UpdateError = failed, "exited with code 1" })
	}
	stopped := func(o Observation) Observation { o.Wanted = false; return o }

	tests := []struct {
		name string
		seen []seen
	}{
		{"nothing is watched", []seen{{0, service(Spec{}, func(o *Observation) { o.GaveUp, o.Ready, o.Restarts = true, new(false), 9 }), "", "", 0}}},
		{"a crash loop, told once, and its end once the count is cleared", []seen{
			{0, restarts(1), "", "", 0},
			{1, restarts(2), "", "", 0},
			{2, restarts(3), "+CrashLoop", "3 restarts in a row", 0},
			{3, restarts(4), "", "", 0},
			{4, restarts(1), "", "", 0},
			{5, restarts(0), "-CrashLoop", "has recovered", 0},
			{6, restarts(0), "", "", 0},
		}},
		{"given up", []seen{
			{0, service(loop, func(o *Observation) { o.GaveUp, o.Restarts = true, 2 }), "+CrashLoop", "given up after 2 restarts", 0},
			{1, stopped(restarts(0)), "-CrashLoop", "is stopped", 0},
		}},
		{"not ready for long enough", []seen{
			{0, ready(false), "", "", 5 * time.Minute},
			{time.Minute, ready(false), "", "", 5 * time.Minute},
			{5 * time.Minute, ready(false), "+NotReady", "has not been ready for 5m0s", 0},
			{6 * time.Minute, ready(false), "", "", 0},
			{7 * time.Minute, ready(true), "-NotReady", "is ready again", 0},
		}},
		{"ready in time", []seen{
			{0, ready(false), "", "", 5 * time.Minute}, {4 * time.Minute, ready(true), "", "", 0}, {5 * time.Minute, ready(false), "", "", 10 * time.Minute},
		}},
		{"unready since before we looked", []seen{
			{0, service(unready, func(o *Observation) { o.Ready, o.UnreadySince = new(false), t0.Add(-time.Hour) }), "+NotReady", "", 0},
		}},
		{"readiness unknown changes nothing", []seen{
			{0, ready(false), "", "", 5 * time.Minute},
			{5 * time.Minute, ready(false), "+NotReady", "", 0},
			{6 * time.Minute, service(unready, nil), "", "", 0},
			{7 * time.Minute, ready(true), "-NotReady", "", 0},
		}},
		{"stopped while unready", []seen{{0, ready(false), "", "", 5 * time.Minute}, {time.Minute, stopped(ready(false)), "", "", 0}}},
		{"stopped with readiness unknown, after it was told", []seen{
			{5 * time.Minute, service(unready, func(o *Observation) { o.Ready, o.UnreadySince = new(false), t0 }), "+NotReady", "", 0},
			{6 * time.Minute, stopped(service(unready, nil)), "-NotReady", "is stopped", 0},
		}},
		{"what flaps is told of once in ten minutes", []seen{
			{0, restarts(3), "+CrashLoop", "", 0},
			{time.Minute, restarts(0), "-CrashLoop", "", 0},
			{2 * time.Minute, restarts(3), "", "", 10 * time.Minute},
			{3 * time.Minute, restarts(0), "", "", 0},
			{4 * time.Minute, restarts(3), "", "", 10 * time.Minute},
			{10 * time.Minute, restarts(3), "+CrashLoop", "", 0},
		}},
		{"memory must fall well below the bound", []seen{
			{0, memory(gib), "", "", 0},
			{1, memory(gib + 1), "+Memory", "takes 1024 MiB of memory, more than 1024 MiB", 0},
			{2, memory(gib - 1), "", "", 0},
			{3, memory(gib / 100 * 96), "", "", 0},
			{4, memory(gib / 100 * 94), "-Memory", "less than", 0},
		}},
		{"disk", []seen{
			{0, service(Spec{DiskOver: 100}, nil), "", "", 0},
			{1, service(Spec{DiskOver: 100}, func(o *Observation) { o.DiskBytes = new(int64(101)) }), "+Disk", "disk space", 0},
		}},
		{"a cron job that fails and succeeds", []seen{
			{0, failed(0), "", "", 0}, {1, failed(1), "+CronFailed", "failed", 0}, {2, failed(2), "", "", 0}, {3, failed(0), "-CronFailed", "succeeded again", 0},
		}},
		{"a cron job that may fail twice", []seen{
			{0, service(Spec{CronFailure: true, FailuresInRow: 3}, func(o *Observation) { o.FailedRuns = new(2) }), "", "", 0},
			{1, service(Spec{CronFailure: true, FailuresInRow: 3}, func(o *Observation) { o.FailedRuns = new(3) }), "+CronFailed", "failed 3 times in a row", 0},
			{2, service(Spec{CronFailure: true, FailuresInRow: 3}, func(o *Observation) { o.FailedRuns = new(1) }), "", "", 0},
		}},
		{"an update that is given up, and the next one", []seen{
			{0, update(nil), "", "", 0},
			{1, update(new(true)), "+UpdateFailed", "what ran before runs on: exited with code 1", 0},
			{2, update(nil), "", "", 0},
			{3, update(new(true)), "", "", 0},
			{4, update(new(false)), "-UpdateFailed", "as its manifest says", 0},
		}},
		{"a missed run", []seen{
			{0, service(cron, func(o *Observation) { o.MissedAt = t0.Add(-time.Minute) }), "+CronMissed", "did not run at 2026-01-01T11:59:00Z", 0},
			{1, service(cron, nil), "-CronMissed", "ran again", 0},
		}},
		{"a rule that is no longer watched is over without a word", []seen{
			{0, restarts(3), "+CrashLoop", "", 0}, {1, service(Spec{}, nil), "", "", 0}, {2, restarts(0), "", "", 0},
		}},
		{"several at once", []seen{
			{0, service(Spec{CrashLoop: true, MemoryOver: 1}, func(o *Observation) { o.GaveUp, o.MemoryBytes = true, new(int64(2)) }), "+CrashLoop +Memory", "", 0},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var state objectState
			for i, s := range tt.seen {
				next, alerts, again := decide(t0.Add(s.after), state, &s.o)
				state = next
				var told []string
				for _, a := range alerts {
					told = append(told, map[Status]string{Firing: "+", Resolved: "-"}[a.Status]+string(a.Rule))
					if a.Object != s.o.Object || !a.At.Equal(t0.Add(s.after)) || a.Since.After(a.At) || !strings.HasPrefix(a.Summary, a.Object+" ") {
						t.Errorf("step %d: %+v", i, a)
					}
				}
				if got := strings.Join(told, " "); got != s.tells {
					t.Fatalf("step %d: told %q, want %q", i, got, s.tells)
				}
				if s.text != "" && !strings.Contains(alerts[0].Summary, s.text) {
					t.Errorf("step %d: %q does not say %q", i, alerts[0].Summary, s.text)
				}
				if want := t0.Add(s.after); s.again == 0 != again.IsZero() || (s.again > 0 && !again.Equal(t0.Add(s.again))) {
					t.Errorf("step %d at %v: look again at %v, want %v", i, want, again, s.again)
				}
			}
		})
	}
}

// TestDecideTellsInPairs: whatever is observed, a beginning is followed by its end before the next beginning, beginnings
// of a rule are a cooldown apart, and looking twice at the same tells nothing.
func TestDecideTellsInPairs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var state objectState
		now := t0
		open, began := map[Rule]bool{}, map[Rule]time.Time{}
		spec := Spec{CrashLoop: true, NotReadyFor: time.Minute, CronFailure: true, MissedRun: true, MemoryOver: 100, DiskOver: 100, UpdateFailed: true}
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
			o := Observation{
				Object: "Service/web", Spec: spec, Wanted: rapid.IntRange(0, 9).Draw(t, "wanted") > 0,
				GaveUp: rapid.IntRange(0, 9).Draw(t, "gave up") == 0, Restarts: rapid.IntRange(0, 5).Draw(t, "restarts"),
			}
			if rapid.Bool().Draw(t, "readiness known") {
				o.Ready = new(rapid.Bool().Draw(t, "ready"))
			}
			if rapid.Bool().Draw(t, "update known") {
				o.UpdateFailed = new(rapid.Bool().Draw(t, "update failed"))
			}
			if rapid.Bool().Draw(t, "runs known") {
				o.FailedRuns = new(rapid.IntRange(0, 2).Draw(t, "failed"))
			}
			if rapid.Bool().Draw(t, "missed") {
				o.MissedAt = now.Add(-time.Second)
			}
			o.MemoryBytes = new(rapid.Int64Range(90, 110).Draw(t, "memory"))
			next, alerts, again := decide(now, state, &o)
			for _, a := range alerts {
				if open[a.Rule] == (a.Status == Firing) {
					t.Fatalf("%s %s twice", a.Rule, a.Status)
				}
				if a.Status == Firing {
					if last, ok := began[a.Rule]; ok && now.Sub(last) < cooldown {
						t.Fatalf("%s told again after %v", a.Rule, now.Sub(last))
					}
					began[a.Rule] = now
				}
				open[a.Rule] = a.Status == Firing
			}
			if !again.IsZero() && !again.After(now) {
				t.Fatalf("look again at %v, which is not after %v", again, now)
			}
			if _, more, _ := decide(now, next, &o); len(more) > 0 {
				t.Fatalf("a second look tells %+v", more)
			}
			state = next
		}
	})
}
