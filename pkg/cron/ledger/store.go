package ledger

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
	"gorm.io/gorm/logger"
)

// Store is one ledger file: a connection that writes, and some that read beside it. It is safe for concurrent use.
type Store struct {
	path          string
	writer, reads *sql.DB
	write, read   *gorm.DB
	group         group
}

var errDamaged = errors.New("database is damaged")

// Open opens or makes the file and brings its schema up to date. A damaged file is set aside as PATH.corrupt-TIME and a new
// one is begun: jobs then begin afresh, and what is running is found again by its labels.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	s, err := open(ctx, path)
	if !errors.Is(err, errDamaged) {
		return s, err
	}
	aside := path + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000000Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("set the damaged ledger aside: %w", err)
		}
	}
	log.Error("the ledger of cron jobs is damaged; it was set aside and a new one begun", "database", path, "set_aside", aside, "err", err)
	return open(ctx, path)
}

func open(ctx context.Context, path string) (*Store, error) {
	// SQLite would make it readable for all that the umask allows; output of jobs may hold secrets.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	s := &Store{path: path}
	if err := s.connect(ctx); err != nil {
		return nil, errors.Join(classify(err), s.Close())
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context) error {
	var err error
	if s.writer, s.write, err = connection(s.path, 1, url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_busy_timeout": {"5000"}, "_txlock": {"immediate"},
		"_foreign_keys": {"on"}, "_auto_vacuum": {"incremental"}, "_cache_size": {"-512"},
	}); err != nil {
		return err
	}
	var verdict string
	if err := s.writer.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check ledger: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check ledger: %w: %s", errDamaged, verdict)
	}
	if err := s.write.Exec("PRAGMA journal_size_limit=1048576").Error; err != nil {
		return fmt.Errorf("set up ledger: %w", err)
	}
	if err := migrate(s.write); err != nil {
		return fmt.Errorf("upgrade ledger: %w", err)
	}
	s.reads, s.read, err = connection(s.path, 2, url.Values{
		"mode": {"ro"}, "_query_only": {"on"}, "_busy_timeout": {"5000"}, "_cache_size": {"-256"},
	})
	return err
}

func connection(path string, most int, options url.Values) (*sql.DB, *gorm.DB, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	conn, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	conn.SetMaxOpenConns(most)
	conn.SetMaxIdleConns(1)
	db, err := gorm.Open(sqlite.Dialector{Conn: conn}, &gorm.Config{
		SkipDefaultTransaction: true, Logger: logger.Discard, DisableAutomaticPing: true, CreateBatchSize: 200,
	})
	if err != nil {
		return conn, nil, fmt.Errorf("open ledger: %w", err)
	}
	return conn, db, nil
}

// Close closes the file.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.reads, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// classify adds errDamaged to an error that says that the file is at fault.
func classify(err error) error {
	var e sqlite3.Error
	switch {
	case errors.Is(err, errDamaged):
		return err
	case errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB):
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
		step("0001-initial",
			`CREATE TABLE jobs (
				name TEXT NOT NULL PRIMARY KEY, schedule TEXT NOT NULL, time_zone TEXT NOT NULL, seconds INTEGER NOT NULL,
				paused INTEGER NOT NULL, through INTEGER NOT NULL, settled_from INTEGER NOT NULL, settled_to INTEGER NOT NULL,
				overlaps INTEGER NOT NULL) WITHOUT ROWID`,
			`CREATE TABLE executions (
				id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, instant INTEGER NOT NULL, attempt INTEGER NOT NULL,
				"trigger" TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, not_before INTEGER NOT NULL,
				run TEXT NOT NULL, stop_reason TEXT NOT NULL, actor TEXT NOT NULL, started_at INTEGER NOT NULL, finished_at INTEGER NOT NULL,
				exit_code INTEGER, signal TEXT NOT NULL, cpu_percent REAL NOT NULL, memory_bytes INTEGER NOT NULL,
				user_time INTEGER NOT NULL, system_time INTEGER NOT NULL, fix_attempted INTEGER NOT NULL, fix_success INTEGER NOT NULL,
				UNIQUE (job, instant, attempt))`,
			`CREATE TABLE outputs (
				id INTEGER PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE, stdout TEXT NOT NULL, stderr TEXT NOT NULL)`,
			`CREATE INDEX executions_open ON executions (job) WHERE state IN ('pending', 'running')`,
			`CREATE INDEX executions_job ON executions (job, id)`,
			`CREATE INDEX executions_started ON executions (started_at) WHERE started_at > 0`),
	}).Migrate()
}

func step(id string, statements ...string) *gormigrate.Migration {
	return &gormigrate.Migration{ID: id, Migrate: func(tx *gorm.DB) error {
		for _, statement := range statements {
			if err := tx.Exec(statement).Error; err != nil {
				return fmt.Errorf("migration %s: %w", id, err)
			}
		}
		return nil
	}}
}
