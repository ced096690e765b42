package status

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

// errDamaged marks a database that cannot be used any more, as against a disk that cannot be used now.
var errDamaged = errors.New("database is damaged")

// database is one open file: a connection that writes, and one that reads beside it.
type database struct {
	path   string
	write  *gorm.DB
	writer *sql.DB
	reader *sql.DB
	read   *gorm.DB
}

// SQLiteVersion is the version of the library that all databases are written with.
func SQLiteVersion() string {
	version, _, _ := sqlite3.Version()
	return version
}

// openDatabase opens or makes the file and brings its schema up to date. The error is errDamaged when the file is at fault.
func openDatabase(ctx context.Context, path string) (*database, error) {
	// SQLite would make it readable for all that the umask allows.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	d := &database{path: path}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(classify(err), d.close())
	}
	return d, nil
}

func (d *database) open(ctx context.Context) error {
	var err error
	// Small caches: the whole database is small, and the page cache of the kernel holds it anyway.
	if d.writer, err = sql.Open("sqlite3", dsn(d.path, url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_busy_timeout": {"5000"}, "_foreign_keys": {"on"},
		"_txlock": {"immediate"}, "_cache_size": {"-512"},
	})); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	d.writer.SetMaxOpenConns(1)
	if err := d.check(ctx); err != nil {
		return err
	}
	if d.write, err = openGORM(d.writer); err != nil {
		return err
	}
	for _, pragma := range []string{"mmap_size=0", "journal_size_limit=1048576", "wal_autocheckpoint=256"} {
		if err := d.write.Exec("PRAGMA " + pragma).Error; err != nil {
			return fmt.Errorf("set up database: %w", err)
		}
	}
	if err := migrate(d.write, migrations()); err != nil {
		return fmt.Errorf("upgrade database: %w", err)
	}
	if d.reader, err = sql.Open("sqlite3", dsn(d.path, url.Values{
		"mode": {"ro"}, "_query_only": {"on"}, "_busy_timeout": {"5000"}, "_cache_size": {"-256"},
	})); err != nil {
		return fmt.Errorf("open database to read: %w", err)
	}
	d.reader.SetMaxOpenConns(2)
	d.reader.SetMaxIdleConns(1)
	d.reader.SetConnMaxIdleTime(30 * time.Second)
	return nil
}

// check asks SQLite whether the file is whole.
func (d *database) check(ctx context.Context) error {
	var verdict string
	if err := d.writer.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("check database: %w: %s", errDamaged, verdict)
	}
	return nil
}

// readGORM returns the reading side, opened when it is needed for the first time. One caller at a time.
func (d *database) readGORM() (*gorm.DB, error) {
	if d.read != nil {
		return d.read, nil
	}
	var err error
	d.read, err = openGORM(d.reader)
	return d.read, err
}

func (d *database) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.reader, d.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func openGORM(conn *sql.DB) (*gorm.DB, error) {
	db, err := gorm.Open(sqlite.Dialector{Conn: conn}, &gorm.Config{
		SkipDefaultTransaction: true, Logger: logger.Discard, DisableAutomaticPing: true, CreateBatchSize: 200,
	})
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

func dsn(path string, options url.Values) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	return u.String()
}

// classify adds errDamaged to an error that says that the file is at fault.
func classify(err error) error {
	var e sqlite3.Error
	switch {
	case err == nil, errors.Is(err, errDamaged):
		return err
	case errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB):
	case errors.Is(err, gormigrate.ErrUnknownPastMigration):
	default:
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// setAside renames the file and what belongs to it, and returns the new name.
func setAside(path string, now time.Time) (string, error) {
	aside := path + ".corrupt-" + now.UTC().Format("20060102T150405.000000Z")
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("set the damaged database aside: %w", err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		// A WAL that stayed would be replayed into the new database.
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("set %s aside: %w", filepath.Base(path+suffix), err)
		}
	}
	return aside, nil
}
