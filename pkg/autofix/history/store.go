package history

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/go-gormigrate/gormigrate/v2"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Store is one file of repairs. There are few writes, so one connection does all. It is safe for concurrent use.
type Store struct {
	conn *sql.DB
	db   *gorm.DB
}

var errDamaged = errors.New("database is damaged")

// Open opens or makes the file and brings its schema up to date. A damaged file is set aside as PATH.corrupt-TIME and a new one is
// begun.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	s, err := connect(ctx, path)
	if !errors.Is(err, errDamaged) {
		return s, err
	}
	aside := path + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000000Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("set the damaged history of repairs aside: %w", err)
		}
	}
	log.Error("the history of repairs is damaged; it was set aside and a new one begun", "database", path, "set_aside", aside, "err", err)
	return connect(ctx, path)
}

func connect(ctx context.Context, path string) (*Store, error) {
	// SQLite would make it readable for all that the umask allows; it holds pieces of people's programs.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the history of repairs: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open the history of repairs: %w", err)
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"FULL"}, "_busy_timeout": {"5000"}, "_txlock": {"immediate"},
		"_auto_vacuum": {"incremental"}, "_cache_size": {"-256"},
	}.Encode()}
	conn, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open the history of repairs: %w", err)
	}
	conn.SetMaxOpenConns(1)
	s := &Store{conn: conn}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(classify(err), conn.Close())
	}
	return s, nil
}

func (s *Store) prepare(ctx context.Context) error {
	var err error
	s.db, err = gorm.Open(sqlite.Dialector{Conn: s.conn}, &gorm.Config{
		SkipDefaultTransaction: true, Logger: logger.Discard, DisableAutomaticPing: true,
	})
	if err != nil {
		return fmt.Errorf("open the history of repairs: %w", err)
	}
	var verdict string
	if err := s.conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check the history of repairs: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check the history of repairs: %w: %s", errDamaged, verdict)
	}
	if err := migrate(s.db); err != nil {
		return fmt.Errorf("upgrade the history of repairs: %w", err)
	}
	return nil
}

// classify adds errDamaged to an error that says that the file is at fault.
func classify(err error) error {
	var e sqlite3.Error
	if !errors.Is(err, errDamaged) && errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// migrate brings the schema up to date; it refuses a file that a newer version has changed. A step that was released is never
// edited; each is plain SQL, because the records in the code describe the present schema only.
func migrate(db *gorm.DB) error {
	options := *gormigrate.DefaultOptions
	options.UseTransaction = true
	options.ValidateUnknownMigrations = true
	return gormigrate.New(db, &options, []*gormigrate.Migration{
		{ID: "0001-initial", Migrate: func(tx *gorm.DB) error {
			for _, statement := range []string{
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
				`CREATE TABLE well (object TEXT NOT NULL PRIMARY KEY, revision TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID`,
			} {
				if err := tx.Exec(statement).Error; err != nil {
					return fmt.Errorf("migration 0001-initial: %w", err)
				}
			}
			return nil
		}},
	}).Migrate()
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
