package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
)

// Job returns how far a job is accounted for; false when nothing is known of it.
func (s *Store) Job(ctx context.Context, name string) (Job, bool, error) {
	var found []jobRecord
	if err := s.read.WithContext(ctx).Where("name = ?", name).Limit(1).Find(&found).Error; err != nil {
		return Job{}, false, fmt.Errorf("read ledger of %s: %w", name, err)
	}
	if len(found) == 0 {
		return Job{}, false, nil
	}
	return found[0].job(), true, nil
}

// Names are the jobs of which something is known.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	var names []string
	if err := s.read.WithContext(ctx).Raw("SELECT name FROM jobs UNION SELECT DISTINCT job FROM executions").Scan(&names).Error; err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return names, nil
}

// Open returns a job's pending and running attempts, oldest instant first, without output.
func (s *Store) Open(ctx context.Context, job string) ([]Row, error) {
	return s.rows(s.read.WithContext(ctx).Where("job = ? AND state IN ('pending', 'running')", job).Order("instant, attempt"), "open rows of "+job)
}

// Newest is the latest instant that has a row; the zero time when there is none.
func (s *Store) Newest(ctx context.Context, job string) (time.Time, error) {
	var newest int64
	if err := s.read.WithContext(ctx).Raw("SELECT coalesce(max(instant), 0) FROM executions WHERE job = ?", job).Scan(&newest).Error; err != nil {
		return time.Time{}, fmt.Errorf("read newest instant of %s: %w", job, err)
	}
	return fromMicros(newest), nil
}

// Instants tells which instants after from, up to and including to, have a row.
func (s *Store) Instants(ctx context.Context, job string, from, to time.Time) (map[time.Time]bool, error) {
	var found []int64
	err := s.read.WithContext(ctx).Model(&rowRecord{}).
		Where("job = ? AND attempt = 1 AND instant > ? AND instant <= ?", job, micros(from), micros(to)).Pluck("instant", &found).Error
	if err != nil {
		return nil, fmt.Errorf("read instants of %s: %w", job, err)
	}
	known := make(map[time.Time]bool, len(found))
	for _, n := range found {
		known[time.UnixMicro(n).UTC()] = true
	}
	return known, nil
}

// Query says which rows are wanted. They come newest first.
type Query struct {
	// Job is the name of one job; empty takes all.
	Job string
	// All takes what was skipped, missed or is pending too; else only what was started, or failed to start.
	All bool
	// Limit is the most rows, 0 for 50.
	Limit, Offset int
	// Output reads Stdout and Stderr too.
	Output bool
}

// Executions returns rows, newest first.
func (s *Store) Executions(ctx context.Context, q Query) ([]Row, error) {
	db := s.read.WithContext(ctx).Order("id DESC").Limit(q.Limit).Offset(q.Offset)
	if q.Limit == 0 {
		db = db.Limit(50)
	}
	if q.Job != "" {
		db = db.Where("job = ?", q.Job)
	}
	if !q.All {
		db = db.Where("state NOT IN ('pending', 'skipped', 'missed')")
	}
	rows, err := s.rows(db, "executions")
	if err != nil || !q.Output {
		return rows, err
	}
	return rows, s.outputs(ctx, rows)
}

// Execution returns one row with its output; false when there is none.
func (s *Store) Execution(ctx context.Context, job string, id uint64) (Row, bool, error) {
	rows, err := s.rows(s.read.WithContext(ctx).Where("id = ? AND job = ?", id, job).Limit(1), fmt.Sprintf("execution %d", id))
	if err != nil || len(rows) == 0 {
		return Row{}, false, err
	}
	return rows[0], true, s.outputs(ctx, rows)
}

// Attempt returns the row of one attempt at an instant; false when there is none.
func (s *Store) Attempt(ctx context.Context, job string, instant time.Time, attempt int) (Row, bool, error) {
	rows, err := s.rows(s.read.WithContext(ctx).Where("job = ? AND instant = ? AND attempt = ?", job, micros(instant), attempt).Limit(1), "attempt of "+job)
	if err != nil || len(rows) == 0 {
		return Row{}, false, err
	}
	return rows[0], true, nil
}

func (s *Store) rows(db *gorm.DB, what string) ([]Row, error) {
	var found []rowRecord
	if err := db.Find(&found).Error; err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	rows := make([]Row, len(found))
	for i := range found {
		rows[i] = found[i].row()
	}
	return rows, nil
}

func (s *Store) outputs(ctx context.Context, rows []Row) error {
	at := make(map[uint64]*Row, len(rows))
	ids := make([]uint64, len(rows))
	for i := range rows {
		ids[i], at[rows[i].ID] = rows[i].ID, &rows[i]
	}
	var found []outputRecord
	if err := s.read.WithContext(ctx).Where("id IN ?", ids).Find(&found).Error; err != nil {
		return fmt.Errorf("read output: %w", err)
	}
	for _, o := range found {
		at[o.ID].Stdout, at[o.ID].Stderr = o.Stdout, o.Stderr
	}
	return nil
}

// Summary is what a list of jobs shows of one.
type Summary struct {
	// LastRun is when the newest attempt was started; zero when none was.
	LastRun time.Time
	// LastState is how the newest attempt that has ended did so; empty when none has.
	LastState State
	// LastSuccess is when an attempt last succeeded.
	LastSuccess time.Time
	// Executions and Failures count attempts that began, and those of them that failed, since the time asked for.
	Executions, Failures int
}

type summaryRecord struct {
	Job                  string
	LastRun, LastSuccess int64
	LastState            string
	Executions, Failures int
}

// Summary tells of one job. Executions are counted from since on.
func (s *Store) Summary(ctx context.Context, job string, since time.Time) (Summary, error) {
	all, err := s.summaries(ctx, "WHERE job = ?", since, job)
	return all[job], err
}

// Summaries tells of all jobs that have run, by name.
func (s *Store) Summaries(ctx context.Context, since time.Time) (map[string]Summary, error) {
	return s.summaries(ctx, "", since)
}

func (s *Store) summaries(ctx context.Context, where string, since time.Time, args ...any) (map[string]Summary, error) {
	var found []summaryRecord
	query := `
		SELECT job,
			max(started_at) AS last_run,
			max(CASE WHEN state = 'succeeded' THEN finished_at ELSE 0 END) AS last_success,
			coalesce((SELECT state FROM executions AS e WHERE e.job = executions.job
				AND e.state IN ('succeeded', 'failed', 'timedOut', 'stopped') ORDER BY e.id DESC LIMIT 1), '') AS last_state,
			sum(CASE WHEN begun >= ? THEN 1 ELSE 0 END) AS executions,
			sum(CASE WHEN begun >= ? AND state IN ('failed', 'timedOut') THEN 1 ELSE 0 END) AS failures
		FROM (SELECT *, CASE WHEN started_at > 0 THEN started_at WHEN state = 'failed' THEN finished_at ELSE 0 END AS begun FROM executions) AS executions
		` + where + ` GROUP BY job`
	err := s.read.WithContext(ctx).Raw(query, append([]any{micros(since), micros(since)}, args...)...).Scan(&found).Error
	if err != nil && !errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, fmt.Errorf("read summaries: %w", err)
	}
	out := make(map[string]Summary, len(found))
	for _, r := range found {
		out[r.Job] = Summary{
			LastRun: fromMicros(r.LastRun), LastSuccess: fromMicros(r.LastSuccess), LastState: State(r.LastState),
			Executions: r.Executions, Failures: r.Failures,
		}
	}
	return out, nil
}
