package cronjob

import (
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/crontest"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

// The promise of the ledger, in words:
//
//   - Each instant that a job's schedule has, by an oracle that shares no code with us, has exactly one first attempt on record,
//     whatever the clock, the machine, the manager and the manifest have been through.
//   - No attempt is started twice.
//   - What is said to have been missed because we were down came while we were down.
//   - Under Forbid and Replace, no two runs of a job overlap.
func TestEachInstantIsAccountedForOnce(t *testing.T) {
	zones := map[string]time.Time{
		"UTC":                 time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
		"Europe/Berlin":       time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC),
		"America/New_York":    time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC),
		"Australia/Lord_Howe": time.Date(2026, 10, 3, 6, 0, 0, 0, time.UTC),
	}
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, dir)
		defer func() { _ = w.ledger.Close(); _ = os.RemoveAll(dir) }()
		zone := rapid.SampledFrom(names).Draw(t, "zone")
		w.now = zones[zone].Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "begin")) * time.Second)
		w.restart()
		h := &history{t: t, w: w, first: w.now, furthest: w.now}
		h.draw(zone)
		h.put()
		t.Repeat(map[string]func(*rapid.T){
			"advance":  func(t *rapid.T) { w.advance(h.span(t, 6*time.Hour)) },
			"sleep":    func(t *rapid.T) { w.settle(); w.sleep(h.span(t, 8*time.Hour)) },
			"crash":    h.crash,
			"forward":  func(t *rapid.T) { w.settle(); w.set(w.now.Add(h.span(t, 5*time.Hour))) },
			"back":     h.back,
			"exit":     h.exit,
			"tick":     h.tick,
			"stop":     h.stop,
			"manual":   h.manual,
			"external": h.external,
			"pause":    func(*rapid.T) { h.paused = !h.paused; h.put() },
			"":         func(*rapid.T) { h.check() },
		})
		// Whatever the clock was, it is past everything now, and somebody looks.
		w.config.External = false
		w.restart()
		h.enqueue()
		w.set(h.furthest.Add(time.Second))
		h.compare()
	})
}

// history is what a world has been through.
type history struct {
	t        *rapid.T
	w        *world
	key      v1.Key
	expr     crontest.Expression
	policy   v1.ConcurrencyPolicy
	spec     func(*v1.CronJobSpec)
	paused   bool
	first    time.Time // the earliest time at which the job was known
	furthest time.Time
	down     [][2]time.Time
	alone    bool // there were times at which nobody looked for instants but Tick
}

func (h *history) draw(zone string) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		h.t.Fatal(err)
	}
	minutes := []crontest.Field{crontest.Single(0), crontest.Single(5, 35), crontest.Star(0, 59, 7), crontest.Star(0, 59, 20), crontest.Span(10, 50, 10)}
	hours := []crontest.Field{crontest.Star(0, 23, 1), crontest.Star(0, 23, 2), crontest.Single(2), crontest.Span(1, 6, 1), crontest.Single(1, 2, 3, 14)}
	h.expr = crontest.Expression{
		Minute: rapid.SampledFrom(minutes).Draw(h.t, "minute"), Hour: rapid.SampledFrom(hours).Draw(h.t, "hour"),
		Dom: crontest.Star(1, 31, 1), Month: crontest.Star(1, 12, 1), Dow: crontest.Star(0, 6, 1), Zone: loc,
	}
	h.policy = rapid.SampledFrom([]v1.ConcurrencyPolicy{v1.ConcurrencyAllow, v1.ConcurrencyForbid, v1.ConcurrencyReplace}).Draw(h.t, "policy")
	catchUp := rapid.SampledFrom([]v1.CatchUp{v1.CatchUpSkip, v1.CatchUpOnce, v1.CatchUpAll}).Draw(h.t, "catchUp")
	retries := rapid.IntRange(0, 2).Draw(h.t, "retries")
	jitter := time.Duration(rapid.SampledFrom([]int{0, 0, 90, 1200}).Draw(h.t, "jitter")) * time.Second
	timeout := time.Duration(rapid.SampledFrom([]int{0, 600, 7200}).Draw(h.t, "timeout")) * time.Second
	deadline := time.Duration(rapid.SampledFrom([]int{0, 1800, 36000}).Draw(h.t, "deadline")) * time.Second
	h.spec = func(s *v1.CronJobSpec) {
		s.TimeZone, s.ConcurrencyPolicy, s.CatchUp, s.Jitter, s.Timeout = zone, h.policy, catchUp, v1.D(jitter), v1.D(timeout)
		s.StartingDeadline, s.Retries.Limit, s.History.Keep = v1.D(deadline), retries, 10_000
	}
}

func (h *history) put() {
	h.key = h.w.job("job", h.expr.String(), h.spec, func(s *v1.CronJobSpec) { on := !h.paused; s.Enabled = &on })
	h.w.settle()
}

func (h *history) enqueue() {
	h.w.enqueue(h.key)
	h.w.settle()
}

func (*history) span(t *rapid.T, most time.Duration) time.Duration {
	return time.Duration(rapid.IntRange(1, int(most/time.Second)).Draw(t, "seconds")) * time.Second
}

func (h *history) crash(t *rapid.T) {
	h.w.settle()
	from := h.w.now
	h.w.crash(h.span(t, 10*time.Hour))
	h.down = append(h.down, [2]time.Time{from, h.w.now})
}

// external has a new manager that leaves the instants to Tick, or one that does not. While nobody calls it, nobody is there.
func (h *history) external(t *rapid.T) {
	h.alone = true
	h.w.config.External = rapid.Bool().Draw(t, "external")
	h.crash(t)
}

// back sets the clock back.
func (h *history) back(t *rapid.T) {
	h.w.settle()
	h.w.set(h.w.now.Add(-h.span(t, 7*time.Hour)))
	if h.w.now.Before(h.first) {
		h.first = h.w.now
	}
}

func (h *history) exit(t *rapid.T) {
	if len(h.w.keeper.Live(h.key.String())) > 0 {
		h.w.exit(h.key, rapid.IntRange(0, 1).Draw(t, "code"))
	}
}

func (h *history) tick(t *rapid.T) {
	if _, err := h.w.r.Tick(contextOf(h.w.t)); err != nil {
		t.Fatal(err)
	}
	h.w.settle()
}

func (h *history) stop(t *rapid.T) {
	if _, err := h.w.r.Stop(contextOf(h.w.t), h.key.Name, "somebody"); err != nil {
		t.Fatal(err)
	}
	h.w.settle()
}

func (h *history) manual(t *rapid.T) {
	if _, _, err := h.w.r.Run(contextOf(h.w.t), h.key.Name, "somebody"); err != nil {
		t.Fatal(err)
	}
	h.w.settle()
}

// check is what holds at all times.
func (h *history) check() {
	h.w.settle()
	if h.w.now.After(h.furthest) {
		h.furthest = h.w.now
	}
	seen := map[process.RunID]bool{}
	for _, s := range h.w.keeper.Started() {
		if seen[s.ID] {
			h.t.Fatalf("%s was started twice", s.ID)
		}
		seen[s.ID] = true
	}
	if n := len(h.w.keeper.Live(h.key.String())); h.policy != v1.ConcurrencyAllow && n > 1 {
		h.t.Fatalf("%d runs overlap under %s", n, h.policy)
	}
	for _, r := range h.w.rows(h.key) {
		if r.Reason != reasonDown || h.alone {
			continue
		}
		if !slices.ContainsFunc(h.down, func(d [2]time.Time) bool { return !r.Instant.Before(d[0]) && !r.Instant.After(d[1]) }) {
			h.t.Fatalf("%s is told to have been missed while we were down, and we were not: %v", r.Instant, h.down)
		}
	}
}

// compare holds the ledger against the oracle.
func (h *history) compare() {
	var got []time.Time
	for _, r := range h.w.rows(h.key) {
		if r.Attempt == 1 && r.Trigger != ledger.Manual {
			got = append(got, r.Instant.UTC())
		}
	}
	want := h.expr.Instants(h.first, h.w.now)
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		h.t.Fatalf("%q in %s from %s to %s\n got %v\nwant %v", h.expr, h.expr.Zone, h.first, h.w.now, got, want)
	}
}
