package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/philiporange/supervisor/pkg/sqlite"
)

// store is the file of jobs. There are few writes, so one connection does all.
type store struct {
	conn *sqlite.Conn
	db   *gorm.DB
}

// openStore opens or makes the file and brings its schema up to date.
func openStore(ctx context.Context, path string, log *slog.Logger) (*store, error) {
	conn, err := sqlite.Renew(path, log, func() (*sqlite.Conn, error) {
		return sqlite.Write(ctx, path, url.Values{"_auto_vacuum": {"incremental"}, "_cache_size": {"-256"}}, nil, sqlite.Step("0001-initial",
			`CREATE TABLE jobs (
				seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, name TEXT NOT NULL,
				subject TEXT NOT NULL, folder TEXT NOT NULL, actor TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
				error TEXT NOT NULL, result TEXT NOT NULL, step TEXT NOT NULL, fraction REAL NOT NULL,
				created_at INTEGER NOT NULL, started_at INTEGER NOT NULL, completed_at INTEGER NOT NULL)`,
			`CREATE INDEX jobs_subject ON jobs (subject, kind, seq)`,
			`CREATE INDEX jobs_open ON jobs (status) WHERE status IN ('pending', 'running')`))
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &store{conn: conn, db: conn.GORM}, nil
}

func (s *store) close() error { return s.conn.Close() }

// record is a Job as it is stored; times are microseconds since 1970, 0 for none.
type record struct {
	Seq         uint64 `gorm:"primaryKey"`
	ID          string
	Kind        string
	Name        string
	Subject     string
	Folder      string
	Actor       string
	Status      string
	Reason      string
	Error       string
	Result      string
	Step        string
	Fraction    float64
	CreatedAt   int64 `gorm:"autoCreateTime:false"`
	StartedAt   int64
	CompletedAt int64
}

func (record) TableName() string { return "jobs" }

func toRecord(j *Job) record {
	return record{
		ID: j.ID, Kind: j.Kind, Name: j.Name, Subject: j.Subject, Folder: j.Folder, Actor: j.Actor, Status: string(j.Status),
		Reason: string(j.Reason), Error: j.Error, Result: string(j.Result), Step: j.Step, Fraction: j.Fraction,
		CreatedAt: micros(j.CreatedAt), StartedAt: micros(j.StartedAt), CompletedAt: micros(j.CompletedAt),
	}
}

func (r *record) job() Job {
	j := Job{
		ID: r.ID, Kind: r.Kind, Name: r.Name, Subject: r.Subject, Folder: r.Folder, Actor: r.Actor, Status: Status(r.Status),
		Reason: Reason(r.Reason), Error: r.Error, Step: r.Step, Fraction: r.Fraction,
		CreatedAt: fromMicros(r.CreatedAt), StartedAt: fromMicros(r.StartedAt), CompletedAt: fromMicros(r.CompletedAt),
	}
	if r.Result != "" {
		j.Result = []byte(r.Result)
	}
	return j
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

// put writes a job whole, whether it is there or not.
func (s *store) put(ctx context.Context, j *Job) error {
	r := toRecord(j)
	if err := s.db.WithContext(ctx).Omit("Seq").Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "id"}},
		DoUpdates: clause.AssignmentColumns([]string{
			"name", "status", "reason", "error", "result", "step", "fraction", "started_at", "completed_at",
		}),
	}).Create(&r).Error; err != nil {
		return fmt.Errorf("write job %s: %w", j.ID, err)
	}
	return nil
}

// Query says which jobs are wanted; what is empty does not matter.
type Query struct {
	Status        Status
	Kind, Subject string
	Limit, Offset int // 0 means 100
}

func (s *store) list(ctx context.Context, q Query) ([]Job, error) {
	db := s.db.WithContext(ctx).Order("seq DESC").Limit(q.Limit).Offset(q.Offset)
	if q.Limit == 0 {
		db = db.Limit(100)
	}
	for column, value := range map[string]string{"status": string(q.Status), "kind": q.Kind, "subject": q.Subject} {
		if value != "" {
			db = db.Where(clause.Eq{Column: column, Value: value})
		}
	}
	return s.find(db)
}

func (s *store) find(db *gorm.DB) ([]Job, error) {
	var found []record
	if err := db.Find(&found).Error; err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	out := make([]Job, len(found))
	for i := range found {
		out[i] = found[i].job()
	}
	return out, nil
}

func (s *store) get(ctx context.Context, id string) (Job, bool, error) {
	found, err := s.find(s.db.WithContext(ctx).Where("id = ?", id).Limit(1))
	if err != nil || len(found) == 0 {
		return Job{}, false, err
	}
	return found[0], true, nil
}

// open are the jobs that an earlier life of the supervisor left, oldest first.
func (s *store) open(ctx context.Context) ([]Job, error) {
	return s.find(s.db.WithContext(ctx).Where("status IN ('pending', 'running')").Order("seq"))
}

// prune deletes what has ended beyond the newest keep jobs of each kind, and what ended before a time, and returns the IDs.
func (s *store) prune(ctx context.Context, keep int, before time.Time) (ids []string, err error) {
	const gone = `SELECT id FROM (
			SELECT id, status, completed_at, row_number() OVER (PARTITION BY kind ORDER BY seq DESC) AS place FROM jobs
			WHERE status IN ('completed', 'failed')
		) WHERE place > ? OR completed_at < ?`
	if err := s.db.WithContext(ctx).Raw(gone, keep, micros(before)).Scan(&ids).Error; err != nil {
		return nil, fmt.Errorf("prune jobs: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if err := s.db.WithContext(ctx).Where("id IN ?", ids).Delete(&record{}).Error; err != nil {
		return nil, fmt.Errorf("prune jobs: %w", err)
	}
	return ids, nil
}
