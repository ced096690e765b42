package cronjob

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/process/processtest"
)

// noon is when worlds begin.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC) // a Monday

// world is a reconciler among fakes: a keeper in memory, a clock that is set by hand, and a real ledger.
type world struct {
	t      test
	keeper *processtest.Fake
	ledger *ledger.Store
	config Config
	r      *Reconciler

	now    time.Time
	uptime time.Duration

	mu       sync.Mutex
	jobs     map[string]*v1.CronJob
	partial  bool // the listing is not complete
	problems []v1.Problem
	statuses map[v1.Key]*v1.CronJobStatus
	deleted  []v1.Key
	events   []v1.Event
	wakes    map[v1.Key]time.Time
	queue    []v1.Key
	requeue  map[v1.Key]time.Duration
	refuse   error // of Program
	ended    []ledger.Row
	logs     string
}

// test is a *testing.T or a *rapid.T.
type test interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// newWorld opens a ledger in dir; the caller closes it.
func newWorld(t test, dir string) *world {
	t.Helper()
	store, err := ledger.Open(contextOf(t), filepath.Join(dir, "cron.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("open ledger: %v", err)
	}
	w := &world{
		t: t, keeper: processtest.NewFake(), ledger: store, now: noon, jobs: map[string]*v1.CronJob{}, statuses: map[v1.Key]*v1.CronJobStatus{},
		wakes: map[v1.Key]time.Time{}, requeue: map[v1.Key]time.Duration{}, logs: filepath.Join(dir, "logs"),
	}
	w.keeper.OnChange(func(owner string) {
		if run := (process.Run{Owner: owner}); true {
			if key, ok := ownerOf(&run); ok {
				w.enqueue(key)
			}
		}
	})
	w.config = Config{
		Desired: w, Keeper: w.keeper, Store: w, Ledger: store, Waker: w,
		Program: func(job *v1.CronJob) (process.Spec, error) {
			return process.Spec{Argv: []string{job.Spec.Command.Line}}, w.refuse
		},
		LogDir: func(job string, id uint64) string {
			return filepath.Join(w.logs, job, "runs", strconv.FormatUint(id, 10))
		},
		Enqueue: w.enqueue, Now: func() time.Time { return w.now }, Uptime: func() time.Duration { return w.uptime },
		Ended: func(_ *v1.CronJob, row ledger.Row) { w.ended = append(w.ended, row) },
		Log:   slog.New(slog.DiscardHandler),
	}
	w.restart()
	return w
}

func openWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, t.TempDir())
	t.Cleanup(func() {
		if err := w.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// restart is a new manager over what the one before it has left.
func (w *world) restart() { w.r = New(w.config) }

// job puts a manifest in force.
func (w *world) job(name, schedule string, change ...func(*v1.CronJobSpec)) v1.Key {
	j := &v1.CronJob{
		TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindCronJob}, Metadata: v1.ObjectMeta{Name: name},
		Spec: v1.CronJobSpec{Command: v1.Command{Line: "work"}, Schedule: schedule, TimeZone: "UTC"},
	}
	for _, c := range change {
		c(&j.Spec)
	}
	j.Default()
	w.jobs[name] = j
	w.enqueue(j.Key())
	return j.Key()
}

func (w *world) enqueue(key v1.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.queue, key) {
		w.queue = append(w.queue, key)
	}
}

// settle reconciles until nothing is on the queue.
func (w *world) settle() {
	w.t.Helper()
	for range 1000 {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.mu.Unlock()
			return
		}
		key := w.queue[0]
		w.queue = w.queue[1:]
		w.mu.Unlock()
		result, err := w.r.Reconcile(contextOf(w.t), key)
		if err != nil {
			w.t.Fatalf("reconcile %s at %s: %v", key, w.now, err)
		}
		w.requeue[key] = 0
		if result.RequeueAfter > 0 {
			w.requeue[key] = w.uptime + result.RequeueAfter
		}
	}
	w.t.Fatalf("the queue does not run empty")
}

// advance lets time pass, and wakes whoever asked to be woken, each at the time.
func (w *world) advance(d time.Duration) {
	w.t.Helper()
	w.settle()
	end := w.now.Add(d)
	for {
		step := end.Sub(w.now)
		for _, at := range w.wakes {
			step = min(step, max(at.Sub(w.now), 0))
		}
		for _, at := range w.requeue {
			if at > 0 {
				step = min(step, max(at-w.uptime, 0))
			}
		}
		w.now, w.uptime = w.now.Add(step), w.uptime+step
		w.ring(false)
		for key, at := range w.requeue {
			if at > 0 && at <= w.uptime {
				w.requeue[key] = 0
				w.enqueue(key)
			}
		}
		w.settle()
		if !w.now.Before(end) {
			return
		}
	}
}

// ring wakes the keys whose time has come, or all.
func (w *world) ring(all bool) {
	for key, at := range w.wakes {
		if all || !at.After(w.now) {
			delete(w.wakes, key)
			w.enqueue(key)
		}
	}
}

// sleep suspends the machine: the wall clock goes on, nothing else does.
func (w *world) sleep(d time.Duration) {
	w.now = w.now.Add(d)
	w.ring(false)
	w.settle()
}

// set sets the clock.
func (w *world) set(to time.Time) {
	w.now = to
	w.ring(true)
	w.settle()
}

// crash ends the manager, and a new one comes after a while.
func (w *world) crash(down time.Duration) {
	w.queue, w.wakes, w.requeue = nil, map[v1.Key]time.Time{}, map[v1.Key]time.Duration{}
	w.now, w.uptime = w.now.Add(down), w.uptime+down
	w.restart()
	for name := range w.jobs {
		w.enqueue(v1.Key{Kind: v1.KindCronJob, Name: name})
	}
	w.settle()
}

// exit ends the oldest live run of a job.
func (w *world) exit(key v1.Key, code int) {
	w.t.Helper()
	live := w.keeper.Live(key.String())
	if len(live) == 0 {
		w.t.Fatalf("nothing of %s runs", key)
	}
	w.keeper.ExitWith(live[0], process.Exit{Code: code, At: w.now})
	w.settle()
}

// rows are all rows of a job, oldest instant first.
func (w *world) rows(key v1.Key) []ledger.Row {
	w.t.Helper()
	rows, err := w.ledger.Executions(contextOf(w.t), ledger.Query{Job: key.Name, All: true, Limit: 100_000, Output: true})
	if err != nil {
		w.t.Fatalf("read rows: %v", err)
	}
	slices.SortFunc(rows, func(a, b ledger.Row) int {
		if c := a.Instant.Compare(b.Instant); c != 0 {
			return c
		}
		return a.Attempt - b.Attempt
	})
	return rows
}

// story is what became of each row, in short.
func (w *world) story(key v1.Key) []string {
	var out []string
	for _, r := range w.rows(key) {
		text := r.Instant.UTC().Format("15:04") + " " + string(r.State)
		if r.Attempt > 1 {
			text = r.Instant.UTC().Format("15:04") + "#" + strconv.Itoa(r.Attempt) + " " + string(r.State)
		}
		if r.Trigger == ledger.Manual {
			text = "manual " + string(r.State)
		}
		if r.Reason != "" && r.Reason != reasonExit {
			text += " " + r.Reason
		}
		if r.Trigger == ledger.CatchUp {
			text += " (catch-up)"
		}
		out = append(out, text)
	}
	return out
}

func (w *world) expect(key v1.Key, want ...string) {
	w.t.Helper()
	if got := w.story(key); !slices.Equal(got, want) {
		w.t.Errorf("at %s\n got %q\nwant %q", w.now.Format("15:04:05"), got, want)
	}
}

func (w *world) told(reason string) int {
	n := 0
	for _, e := range w.events {
		if e.Reason == reason {
			n++
		}
	}
	return n
}

// What follows makes the world its own Desired, Store and Waker.

func (w *world) CronJob(name string) (*v1.CronJob, string, bool) {
	j, ok := w.jobs[name]
	if !ok {
		return nil, "", false
	}
	return j, j.Revision(), true
}

func (w *world) CronJobs() []*v1.CronJob {
	var out []*v1.CronJob
	for _, j := range w.jobs {
		out = append(out, j)
	}
	return out
}

func (w *world) Complete() bool               { return !w.partial }
func (w *world) Problems(string) []v1.Problem { return w.problems }

func (w *world) CronJobStatus(key v1.Key) *v1.CronJobStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.statuses[key]
}

func (w *world) SetCronJobStatus(key v1.Key, st *v1.CronJobStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.statuses[key] = st
}

func (w *world) DeleteObject(key v1.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deleted = append(w.deleted, key)
	delete(w.statuses, key)
}

func (w *world) RecordEvent(e v1.Event) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	return uint64(len(w.events))
}

func (w *world) Set(key v1.Key, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.IsZero() {
		delete(w.wakes, key)
		return
	}
	w.wakes[key] = at
}

func (w *world) Remove(key v1.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wakes, key)
}

func ready(st *v1.CronJobStatus) string {
	return v1.FindCondition(st.Conditions, v1.ConditionReady).Reason
}
