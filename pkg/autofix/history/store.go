package history

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

// Store is one file of repairs. There are few writes, so one connection does all. It is safe for concurrent use.
type Store struct {
	conn *sqlite.Conn
	db   *gorm.DB
}

// Open opens or makes the file and brings its schema up to date. A damaged file is set aside as PATH.corrupt-TIME and a new one is
// begun.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	conn, err := sqlite.Renew(path, log, func() (*sqlite.Conn, error) {
		// FULL: what a repair is about to do must be known after a power cut.
		return sqlite.Write(ctx, path, url.Values{"_synchronous": {"FULL"}, "_auto_vacuum": {"incremental"}, "_cache_size": {"-256"}}, nil, sqlite.Step("0001-initial",
			`CREATE TABLE fixes (
				id INTEGER PRIMARY KEY AUTOINCREMENT, object TEXT NOT NULL, folder TEXT NOT NULL, cause TEXT NOT NULL,
				summary TEXT NOT NULL, detail TEXT NOT NULL, signature TEXT NOT NULL, actor TEXT NOT NULL, job TEXT NOT NULL, agent_job TEXT NOT NULL,
				state TEXT NOT NULL, propose INTEGER NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, response TEXT NOT NULL,
				diff TEXT NOT NULL, files TEXT NOT NULL, backup TEXT NOT NULL, restored INTEGER NOT NULL, reason TEXT NOT NULL, wanted INTEGER NOT NULL,
				run INTEGER NOT NULL, of INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
				cost_usd REAL NOT NULL, created_at INTEGER NOT NULL, ended_at INTEGER NOT NULL)`,
			`CREATE INDEX fixes_object ON fixes (object, id)`,
			`CREATE INDEX fixes_job ON fixes (job) WHERE job <> ''`,
			`CREATE INDEX fixes_open ON fixes (state) WHERE ended_at = 0`,
			`CREATE TABLE well (object TEXT NOT NULL PRIMARY KEY, revision TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID`))
	})
	if err != nil {
		return nil, fmt.Errorf("history of repairs: %w", err)
	}
	return &Store{conn: conn, db: conn.GORM}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.conn.Close() }

// Add puts a repair on record and gives it its ID.
func (s *Store) Add(ctx context.Context, f *Fix) error {
	r := toRecord(f)
	if err := s.db.WithContext(ctx).Create(&r).Error; err != nil {
		return fmt.Errorf("put a repair on record: %w", err)
	}
	f.ID = r.ID
	return nil
}

// Save puts on record what has become of a repair.
func (s *Store) Save(ctx context.Context, f *Fix) error {
	r := toRecord(f)
	if err := s.db.WithContext(ctx).Save(&r).Error; err != nil {
		return fmt.Errorf("put fix %d on record: %w", f.ID, err)
	}
	return nil
}

// Delete forgets a repair that was not tried after all.
func (s *Store) Delete(ctx context.Context, id uint64) error {
	if err := s.db.WithContext(ctx).Where("id = ?", id).Delete(&record{}).Error; err != nil {
		return fmt.Errorf("forget fix %d: %w", id, err)
	}
	return nil
}

// Get returns a repair; false when there is none of that ID.
func (s *Store) Get(ctx context.Context, id uint64) (Fix, bool, error) {
	list, err := s.find(s.db.WithContext(ctx).Where("id = ?", id))
	if err != nil || len(list) == 0 {
		return Fix{}, false, err
	}
	return list[0], true, nil
}

// Query selects repairs.
type Query struct {
	// Object is Kind/name; empty means all.
	Object string
	// Open selects those that have not ended, Repairs leaves restores out.
	Open, Repairs bool
	// Signature selects those of the same error.
	Signature string
	// Before selects those with a smaller ID, when it is not 0.
	Before uint64
	// Limit is how many at most; 0 means all.
	Limit int
}

// List returns repairs, the newest first.
func (s *Store) List(ctx context.Context, q Query) ([]Fix, error) {
	db := s.db.WithContext(ctx).Order("id DESC")
	if q.Object != "" {
		db = db.Where("object = ?", q.Object)
	}
	if q.Open {
		db = db.Where("ended_at = 0")
	}
	if q.Repairs {
		db = db.Where("cause <> ?", string(Restore))
	}
	if q.Signature != "" {
		db = db.Where("signature = ?", q.Signature)
	}
	if q.Before > 0 {
		db = db.Where("id < ?", q.Before)
	}
	if q.Limit > 0 {
		db = db.Limit(q.Limit)
	}
	return s.find(db)
}

// ByJob returns the repair that a job does.
func (s *Store) ByJob(ctx context.Context, job string) (Fix, bool, error) {
	list, err := s.find(s.db.WithContext(ctx).Where("job = ?", job).Order("id DESC").Limit(1))
	if err != nil || len(list) == 0 {
		return Fix{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) find(db *gorm.DB) ([]Fix, error) {
	var records []record
	if err := db.Find(&records).Error; err != nil {
		return nil, fmt.Errorf("read the history of repairs: %w", err)
	}
	out := make([]Fix, len(records))
	for i := range records {
		out[i] = records[i].fix()
	}
	return out, nil
}

// BackupGone notes that a backup was deleted.
func (s *Store) BackupGone(ctx context.Context, path string) error {
	err := s.db.WithContext(ctx).Model(&record{}).Where("backup = ?", path).Update("backup", "").Error
	if err != nil {
		return fmt.Errorf("note that a backup is gone: %w", err)
	}
	return nil
}

// Prune forgets all but the newest keep repairs of an object that have ended.
func (s *Store) Prune(ctx context.Context, object string, keep int) error {
	err := s.db.WithContext(ctx).Exec(`DELETE FROM fixes WHERE object = ? AND ended_at > 0 AND id NOT IN (
		SELECT id FROM fixes WHERE object = ? ORDER BY id DESC LIMIT ?)`, object, object, keep).Error
	if err != nil {
		return fmt.Errorf("shorten the history of repairs: %w", err)
	}
	return nil
}

// Well is what was checked out when an object last ran well.
type Well struct {
	Revision string
	At       time.Time
}

// SetWell notes that an object runs well.
func (s *Store) SetWell(ctx context.Context, object string, w Well) error {
	r := wellRecord{Object: object, Revision: w.Revision, At: w.At.UnixMicro()}
	if err := s.db.WithContext(ctx).Clauses(clause.OnConflict{UpdateAll: true}).Create(&r).Error; err != nil {
		return fmt.Errorf("note that %s runs well: %w", object, err)
	}
	return nil
}

// GetWell returns what was noted last; false when it never ran well.
func (s *Store) GetWell(ctx context.Context, object string) (Well, bool, error) {
	var r []wellRecord
	if err := s.db.WithContext(ctx).Where("object = ?", object).Find(&r).Error; err != nil {
		return Well{}, false, fmt.Errorf("read when %s ran well: %w", object, err)
	}
	if len(r) == 0 {
		return Well{}, false, nil
	}
	return Well{Revision: r[0].Revision, At: time.UnixMicro(r[0].At)}, true, nil
}
