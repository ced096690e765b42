package cronjob

import (
	"context"
	"log/slog"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/ledger"
	"github.com/philiporange/supervisor/pkg/process"
)

// Desired tells what should be.
type Desired interface {
	// CronJob returns the job in force under exactly this name, and its revision.
	CronJob(name string) (job *v1.CronJob, revision string, ok bool)
	// CronJobs returns all of them.
	CronJobs() []*v1.CronJob
	// Complete is false until a whole listing of the manifests was seen: before that, what is missing may still come.
	Complete() bool
	// Problems is what is wrong with a job's manifest.
	Problems(name string) []v1.Problem
}

// Store keeps what was observed.
type Store interface {
	CronJobStatus(key v1.Key) *v1.CronJobStatus
	SetCronJobStatus(key v1.Key, st *v1.CronJobStatus)
	DeleteObject(key v1.Key)
	RecordEvent(e v1.Event) uint64
}

// Ledger keeps what became of each instant; *ledger.Store is one.
type Ledger interface {
	Job(ctx context.Context, name string) (ledger.Job, bool, error)
	Names(ctx context.Context) ([]string, error)
	Open(ctx context.Context, job string) ([]ledger.Row, error)
	Newest(ctx context.Context, job string) (time.Time, error)
	Instants(ctx context.Context, job string, from, to time.Time) (map[time.Time]bool, error)
	Attempt(ctx context.Context, job string, instant time.Time, attempt int) (ledger.Row, bool, error)
	Execution(ctx context.Context, job string, id uint64) (ledger.Row, bool, error)
	Summary(ctx context.Context, job string, since time.Time) (ledger.Summary, error)
	Apply(ctx context.Context, c ledger.Change) error
	Prune(ctx context.Context, job string, keep int) (ended []uint64, err error)
	Delete(ctx context.Context, job string) (ids []uint64, err error)
}

// Waker wakes a name at a wall-clock instant, or when the clock is set; *cron.Ticker is one.
type Waker interface {
	Set(key v1.Key, at time.Time)
	Remove(key v1.Key)
}

// Peak is the most that a run's whole tree was seen to use.
type Peak struct {
	CPUPercent  float64
	MemoryBytes int64
}

// Config is what the reconciler works with.
type Config struct {
	Desired Desired
	Keeper  process.Keeper
	Store   Store
	Ledger  Ledger
	Waker   Waker
	// Program resolves a job. The Spec lacks ID, Owner, Slot, Labels and Logs.Dir, which the reconciler adds. Its error is
	// shown to the user, and fails the attempt; a *process.StartError has a reason.
	Program func(job *v1.CronJob) (process.Spec, error)
	// LogDir is the folder for the output of one execution; ids are never used twice.
	LogDir func(job string, id uint64) string
	// Peak tells what a run used at most, where that was measured; nil when nothing measures.
	Peak func(id process.RunID) (Peak, bool)
	// Ended is told of each attempt that has ended and is on record; nil tells nobody. It must not block.
	Ended func(job *v1.CronJob, row ledger.Row)
	// Enqueue asks for a name to be reconciled.
	Enqueue func(key v1.Key)

	// Now is the wall clock; nil is the machine's. Uptime is a clock that cannot be set; nil is the runtime's.
	Now    func() time.Time
	Uptime func() time.Duration

	// External leaves the instants to Tick: what is due is only looked for when it is called.
	External bool
	// MaxRuns bounds the runs of all jobs at one time, MaxCatchUp those among them that make up for missed instants, so that
	// a return after a long absence is no stampede. 0 takes DefaultMaxRuns and DefaultMaxCatchUp.
	MaxRuns, MaxCatchUp int
	// OutputBytes bounds what is kept of each of stdout and stderr: a quarter for the beginning, the rest for the end.
	// 0 takes DefaultOutputBytes.
	OutputBytes int
	Log         *slog.Logger
}

// What Config means where it says nothing.
const (
	DefaultMaxRuns     = 1000
	DefaultMaxCatchUp  = 4
	DefaultOutputBytes = 64 << 10
)

func (c *Config) setDefaults() {
	if c.Now == nil {
		c.Now = func() time.Time { return time.Now().Round(0) }
	}
	if c.Uptime == nil {
		begin := time.Now()
		c.Uptime = func() time.Duration { return time.Since(begin) }
	}
	if c.MaxRuns == 0 {
		c.MaxRuns = DefaultMaxRuns
	}
	if c.MaxCatchUp == 0 {
		c.MaxCatchUp = DefaultMaxCatchUp
	}
	if c.OutputBytes == 0 {
		c.OutputBytes = DefaultOutputBytes
	}
}
