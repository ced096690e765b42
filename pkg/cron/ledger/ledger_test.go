package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	noon  = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	quiet = slog.New(slog.DiscardHandler)
)

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(context.WithoutCancel(t.Context()), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newStore(t testing.TB) *Store { return openStore(t, filepath.Join(t.TempDir(), "cron.db")) }

func apply(t testing.TB, s *Store, c Change) {
	t.Helper()
	if err := s.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func row(job string, minute, attempt int, state State) *Row {
	return &Row{
		Job: job, Instant: noon.Add(time.Duration(minute) * time.Minute), Attempt: attempt, Trigger: Scheduled, State: state,
	}
}

func TestARowIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cron.db")
	s := openStore(t, path)
	code := 3
	r := &Row{
		Job: "backup", Instant: noon, Attempt: 2, Trigger: CatchUp, State: Pending, Reason: "exit", Message: "exited with code 3",
		NotBefore: noon.Add(time.Second), Run: "CronJob/backup/x-2", StopReason: "timeout", Actor: "user:1000",
	}
	apply(t, s, Change{Insert: []*Row{r}})
	if r.ID == 0 {
		t.Fatal("no ID")
	}
	r.State, r.StartedAt, r.FinishedAt, r.ExitCode, r.Signal = Failed, noon.Add(2*time.Second), noon.Add(5*time.Second), &code, "SIGTERM"
	r.CPUPercent, r.MemoryBytes, r.UserTime, r.SystemTime = 12.5, 1<<20, time.Second, time.Millisecond
	r.Stdout, r.Stderr = "out", "err"
	apply(t, s, Change{Update: []*Row{r}})
	if err := s.SetFix(t.Context(), r.ID, true); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path)
	got, ok, err := s.Execution(t.Context(), "backup", r.ID)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got.ExitCode == nil || *got.ExitCode != 3 || got.Duration() != 3*time.Second {
		t.Errorf("%+v", got)
	}
	want := *r
	want.FixAttempted, want.FixSuccess, want.ExitCode = true, true, nil
	got.ExitCode = nil
	for _, p := range []*time.Time{&got.Instant, &got.NotBefore, &got.StartedAt, &got.FinishedAt} {
		*p = p.UTC()
	}
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if _, ok, err := s.Execution(t.Context(), "other", r.ID); err != nil || ok {
		t.Errorf("it is another job's: %v %v", ok, err)
	}
	if mode, err := os.Stat(path); err != nil || mode.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", mode, err)
	}
}

func TestAnInstantIsClaimedOnce(t *testing.T) {
	s := newStore(t)
	var mu sync.Mutex
	won := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := row("job", 0, 1, Pending)
			if err := s.Apply(t.Context(), Change{Insert: []*Row{r}, Job: &Job{Name: "job", Through: noon}}); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if r.ID != 0 {
				won++
			}
		})
	}
	all.Wait()
	rows, err := s.Open(t.Context(), "job")
	if err != nil || won != 1 || len(rows) != 1 {
		t.Errorf("%d claims, %d rows, %v", won, len(rows), err)
	}
	other := row("job", 0, 2, Pending)
	apply(t, s, Change{Insert: []*Row{other}})
	if other.ID == 0 {
		t.Error("the second attempt was refused")
	}
}

func TestAChangeIsWholeOrNothing(t *testing.T) {
	s := newStore(t)
	r := row("job", 0, 1, Pending)
	err := s.Apply(t.Context(), Change{Job: &Job{Name: "job"}, Insert: []*Row{r}, Update: []*Row{{Job: "job"}}})
	if err == nil || r.ID != 0 {
		t.Fatalf("%v, ID %d", err, r.ID)
	}
	if _, ok, err := s.Job(t.Context(), "job"); ok || err != nil {
		t.Errorf("the job was written: %v", err)
	}
	if rows, err := s.Open(t.Context(), "job"); len(rows) != 0 || err != nil {
		t.Errorf("the row was written: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Apply(ctx, Change{Insert: []*Row{r}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestJobs(t *testing.T) {
	s := newStore(t)
	want := Job{
		Name: "job", Schedule: "@daily", TimeZone: "UTC", Seconds: true, Paused: true, Through: noon, SettledFrom: noon, SettledTo: noon.Add(time.Hour), Overlaps: 2,
	}
	apply(t, s, Change{Job: &Job{Name: "job"}})
	apply(t, s, Change{Job: &want})
	got, ok, err := s.Job(t.Context(), "job")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if !got.Settled(noon) || !got.Settled(noon.Add(time.Hour)) || got.Settled(noon.Add(-1)) || (&Job{}).Settled(noon) {
		t.Error("settled is not what lies between")
	}
	got.Through, got.SettledFrom, got.SettledTo = got.Through.UTC(), got.SettledFrom.UTC(), got.SettledTo.UTC()
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	apply(t, s, Change{Insert: []*Row{row("other", 0, 1, Running)}})
	names, err := s.Names(t.Context())
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"job", "other"}) {
		t.Errorf("%v %v", names, err)
	}
}

func TestWithdraw(t *testing.T) {
	s := newStore(t)
	manual := row("job", 9, 1, Pending)
	manual.Trigger = Manual
	apply(t, s, Change{Insert: []*Row{
		row("job", 0, 1, Skipped), row("job", 1, 1, Succeeded), row("job", 2, 1, Skipped), row("job", 3, 1, Missed), row("job", 4, 1, Pending),
		row("job", 5, 1, Running), row("job", 6, 1, Failed), row("job", 6, 2, Pending), manual, row("other", 3, 1, Missed),
	}})
	apply(t, s, Change{Job: &Job{Name: "job", Through: noon}, Withdraw: noon.Add(time.Minute)})
	known, err := s.Instants(t.Context(), "job", noon.Add(-1), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for minute, want := range map[int]bool{0: true, 1: true, 2: false, 3: false, 4: false, 5: true, 6: true, 9: true} {
		if known[noon.Add(time.Duration(minute)*time.Minute)] != want {
			t.Errorf("minute %d: %v", minute, !want)
		}
	}
	open, err := s.Open(t.Context(), "job")
	if err != nil || len(open) != 3 {
		t.Errorf("%d open: %v", len(open), err)
	}
}

func TestPrune(t *testing.T) {
	s := newStore(t)
	c := Change{Job: &Job{Name: "job", Through: noon}}
	for i := range 10 {
		ended, skipped := row("job", 2*i, 1, Succeeded), row("job", 2*i+1, 1, Skipped)
		if i == 0 {
			skipped.State = Missed
		}
		c.Insert = append(c.Insert, ended, skipped)
	}
	c.Insert = append(c.Insert, row("job", 100, 1, Running), row("other", 0, 1, Succeeded))
	apply(t, s, c)
	c.Insert[0].Stdout = "text"
	apply(t, s, Change{Update: c.Insert[:1]})
	ids, err := s.Prune(t.Context(), "job", 4)
	if err != nil || len(ids) != 6 || !slices.Contains(ids, c.Insert[0].ID) {
		t.Fatalf("%v %v", ids, err)
	}
	rows, err := s.Executions(t.Context(), Query{All: true, Limit: 100})
	if err != nil || len(rows) != 10 {
		t.Errorf("%d rows left: %v", len(rows), err)
	}
	var outputs int64
	if err := s.read.Raw("SELECT count(*) FROM outputs").Scan(&outputs).Error; err != nil || outputs != 0 {
		t.Errorf("%d outputs left: %v", outputs, err)
	}
	job, _, err := s.Job(t.Context(), "job")
	if err != nil || !job.SettledFrom.Equal(noon) || !job.SettledTo.Equal(noon.Add(11*time.Minute)) {
		t.Errorf("settled %v to %v: %v", job.SettledFrom, job.SettledTo, err)
	}
	if ids, err := s.Prune(t.Context(), "job", 4); err != nil || len(ids) != 0 {
		t.Errorf("again: %v %v", ids, err)
	}
}

func TestDelete(t *testing.T) {
	s := newStore(t)
	mine, other := row("job", 0, 1, Succeeded), row("other", 0, 1, Succeeded)
	apply(t, s, Change{Job: &Job{Name: "job"}, Insert: []*Row{mine, other}})
	ids, err := s.Delete(t.Context(), "job")
	if err != nil || !slices.Equal(ids, []uint64{mine.ID}) {
		t.Errorf("%v %v", ids, err)
	}
	names, err := s.Names(t.Context())
	if err != nil || !slices.Equal(names, []string{"other"}) {
		t.Errorf("%v %v", names, err)
	}
	again := row("job", 0, 1, Succeeded)
	apply(t, s, Change{Insert: []*Row{again}})
	if again.ID <= other.ID {
		t.Errorf("ID %d was used before", again.ID)
	}
}

func TestExecutions(t *testing.T) {
	s := newStore(t)
	var c Change
	for i, state := range []State{Succeeded, Skipped, Failed, Missed, Running, Pending, Stopped, TimedOut} {
		r := row("job", i, 1, state)
		c.Insert = append(c.Insert, r)
	}
	c.Insert = append(c.Insert, row("other", 0, 1, Succeeded))
	apply(t, s, c)
	c.Insert[7].Stdout = "late"
	apply(t, s, Change{Update: c.Insert[7:8]})
	states := func(q Query) []State {
		rows, err := s.Executions(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var out []State
		for _, r := range rows {
			out = append(out, r.State)
		}
		return out
	}
	if got := states(Query{Job: "job"}); !slices.Equal(got, []State{TimedOut, Stopped, Running, Failed, Succeeded}) {
		t.Errorf("what ran: %v", got)
	}
	if got := states(Query{Job: "job", All: true, Limit: 3, Offset: 1}); !slices.Equal(got, []State{Stopped, Pending, Running}) {
		t.Errorf("a page of all: %v", got)
	}
	if got := states(Query{}); len(got) != 6 {
		t.Errorf("of all jobs: %v", got)
	}
	rows, err := s.Executions(t.Context(), Query{Job: "job", Output: true, Limit: 1})
	if err != nil || rows[0].Stdout != "late" {
		t.Errorf("%+v %v", rows, err)
	}
}

func TestSummaries(t *testing.T) {
	s := newStore(t)
	at := func(r *Row, hours int) *Row {
		r.StartedAt = noon.Add(time.Duration(hours) * time.Hour)
		r.FinishedAt = r.StartedAt.Add(time.Minute)
		return r
	}
	refused := row("job", 5, 1, Failed)
	refused.FinishedAt = noon.Add(time.Hour)
	apply(t, s, Change{Insert: []*Row{
		at(row("job", 0, 1, Succeeded), -48), at(row("job", 1, 1, Succeeded), -2), at(row("job", 2, 1, Failed), -1), at(row("job", 3, 1, TimedOut), 0),
		row("job", 4, 1, Skipped), refused, at(row("job", 6, 1, Running), 2), at(row("other", 0, 1, Succeeded), 0),
	}})
	got, err := s.Summary(t.Context(), "job", noon.Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got.Executions != 5 || got.Failures != 3 || got.LastState != Failed || !got.LastRun.Equal(noon.Add(2*time.Hour)) ||
		!got.LastSuccess.Equal(noon.Add(-2*time.Hour+time.Minute)) {
		t.Errorf("%+v", got)
	}
	all, err := s.Summaries(t.Context(), noon)
	if err != nil || len(all) != 2 || all["other"].Executions != 1 || all["job"].Executions != 3 {
		t.Errorf("%+v %v", all, err)
	}
	if none, err := s.Summary(t.Context(), "nobody", noon); err != nil || none != (Summary{}) {
		t.Errorf("%+v %v", none, err)
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cron.db")
	if err := os.WriteFile(path, []byte("this is no database, and it is longer than a header of one"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, path)
	apply(t, s, Change{Insert: []*Row{row("job", 0, 1, Running)}})
	aside, err := filepath.Glob(path + ".corrupt-*")
	if err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v %v", aside, err)
	}
}

func TestANewerFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cron.db")
	s := openStore(t, path)
	if err := s.write.Exec("INSERT INTO migrations (id) VALUES ('9999-future')").Error; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), path, quiet); err == nil {
		_ = s.Close()
		t.Error("a newer file was opened")
	}
	if aside, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(aside) != 0 {
		t.Errorf("it was set aside: %v %v", aside, err)
	}
}

func BenchmarkApply(b *testing.B) {
	s := newStore(b)
	for i := 0; b.Loop(); i++ {
		r := row(fmt.Sprintf("job-%d", i%500), i, 1, Pending)
		if err := s.Apply(b.Context(), Change{Job: &Job{Name: r.Job, Through: r.Instant}, Insert: []*Row{r}}); err != nil {
			b.Fatal(err)
		}
		r.State = Running
		if err := s.Apply(b.Context(), Change{Update: []*Row{r}}); err != nil {
			b.Fatal(err)
		}
	}
}
