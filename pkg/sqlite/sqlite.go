package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/go-gormigrate/gormigrate/v2"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// ErrDamaged marks a file that cannot be used any more, as against a disk that cannot be used now.
var ErrDamaged = errors.New("database is damaged")

// Version is the version of the library that all files are written with.
func Version() string {
	version, _, _ := sqlite3.Version()
	return version
}

// Conn is a pool of connections to one file. GORM is the same pool.
type Conn struct {
	SQL  *sql.DB
	GORM *gorm.DB
}

// Close closes the pool; nil is closed already.
func (c *Conn) Close() error {
	if c == nil {
		return nil
	}
	return c.SQL.Close()
}

// Write opens or makes the file for one connection that writes, checks it and brings its schema up to date. options are added to,
// and go before, those that all files have (see github.com/mattn/go-sqlite3); pragmas are what has no option. The error is
// ErrDamaged when the file is at fault.
func Write(ctx context.Context, path string, options url.Values, pragmas []string, steps ...*gormigrate.Migration) (*Conn, error) {
	// SQLite would make it readable for all that the umask allows.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	all := url.Values{"_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_busy_timeout": {"5000"}, "_txlock": {"immediate"}}
	for name, value := range options {
		all[name] = value
	}
	c, err := open(path, 1, all)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(ctx, path, pragmas, steps); err != nil {
		return nil, errors.Join(Classify(err), c.Close())
	}
	return c, nil
}

func (c *Conn) prepare(ctx context.Context, path string, pragmas []string, steps []*gormigrate.Migration) error {
	var verdict string
	if err := c.SQL.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check %s: %w: %s", path, ErrDamaged, verdict)
	}
	for _, pragma := range pragmas {
		if _, err := c.SQL.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return fmt.Errorf("set up %s: %w", path, err)
		}
	}
	if err := Migrate(c.GORM, steps...); err != nil {
		return fmt.Errorf("upgrade %s: %w", path, err)
	}
	return nil
}

// Read opens a file that is there for at most so many connections that only read.
func Read(path string, most int) (*Conn, error) {
	return open(path, most, url.Values{"mode": {"ro"}, "_query_only": {"on"}, "_busy_timeout": {"5000"}, "_cache_size": {"-256"}})
}

func open(path string, most int, options url.Values) (*Conn, error) {
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	pool, err := sql.Open("sqlite3", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(1)
	db, err := gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{
		SkipDefaultTransaction: true, Logger: logger.Discard, DisableAutomaticPing: true, CreateBatchSize: 200,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, Classify(err)), pool.Close())
	}
	return &Conn{SQL: pool, GORM: db}, nil
}

// Migrate brings a schema up to date. It refuses a file that a newer version has changed.
func Migrate(db *gorm.DB, steps ...*gormigrate.Migration) error {
	options := *gormigrate.DefaultOptions
	options.UseTransaction = true
	options.ValidateUnknownMigrations = true
	return gormigrate.New(db, &options, steps).Migrate()
}

// Step is one change of a schema. One that was released is never edited. Each is plain SQL, because the records in the code describe
// the present schema only.
func Step(id string, statements ...string) *gormigrate.Migration {
	return &gormigrate.Migration{ID: id, Migrate: func(tx *gorm.DB) error {
		for _, statement := range statements {
			if err := tx.Exec(statement).Error; err != nil {
				return fmt.Errorf("migration %s: %w", id, err)
			}
		}
		return nil
	}}
}

// Classify adds ErrDamaged to an error that says that the file is at fault.
func Classify(err error) error {
	var e sqlite3.Error
	if !errors.Is(err, ErrDamaged) && errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// SetAside renames a file and what belongs to it to PATH.corrupt-TIME, and returns that name.
func SetAside(path string, now time.Time) (string, error) {
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405.000000Z")
	// A WAL that stayed would be replayed into the new file.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("set the damaged %s aside: %w", filepath.Base(path+suffix), err)
		}
	}
	return aside, nil
}

// Renew opens a store with open; when its file is damaged, it is set aside and a new one is begun.
func Renew[T any](path string, log *slog.Logger, open func() (T, error)) (T, error) {
	s, err := open()
	if !errors.Is(err, ErrDamaged) {
		return s, err
	}
	aside, asideErr := SetAside(path, time.Now())
	if asideErr != nil {
		return s, asideErr
	}
	log.Error("a database is damaged; it was set aside and a new one begun", "database", path, "set_aside", aside, "err", err)
	return open()
}
