package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"

	"github.com/philiporange/supervisor/pkg/sqlite"
)

// Store is one ledger file: a connection that writes, and some that read beside it. It is safe for concurrent use.
type Store struct {
	path          string
	writer, reads *sqlite.Conn
	write, read   *gorm.DB
	group         group
}

// Open opens or makes the file and brings its schema up to date. A damaged file is set aside as PATH.corrupt-TIME and a new
// one is begun: jobs then begin afresh, and what is running is found again by its labels.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	writer, err := sqlite.Renew(path, log, func() (*sqlite.Conn, error) {
		return sqlite.Write(ctx, path, url.Values{
			"_foreign_keys": {"on"}, "_auto_vacuum": {"incremental"}, "_cache_size": {"-512"},
		}, []string{"journal_size_limit=1048576"}, schema()...)
	})
	if err != nil {
		return nil, fmt.Errorf("ledger of cron jobs: %w", err)
	}
	reads, err := sqlite.Read(path, 2)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ledger of cron jobs: %w", err), writer.Close())
	}
	return &Store{path: path, writer: writer, write: writer.GORM, reads: reads, read: reads.GORM}, nil
}

// Close closes the file.
func (s *Store) Close() error { return errors.Join(s.reads.Close(), s.writer.Close()) }

func schema() []*gormigrate.Migration {
	return []*gormigrate.Migration{
		sqlite.Step("0001-initial",
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
	}
}
