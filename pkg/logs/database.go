package logs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"time"

	"github.com/go-gormigrate/gormigrate/v2"
	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// errDamaged marks a file that is no sound database, which no trying again will mend.
var errDamaged = errors.New("the log index is damaged")

// database is one open file: the connection that writes, and those that read beside it.
type database struct {
	path   string
	conn   *sqlite3.SQLiteConn // the writer's; without database/sql, which costs more than the inserts
	reader *sql.DB
	epoch  uint32
	fts    bool
	begin  *sqlite3.SQLiteStmt
	commit *sqlite3.SQLiteStmt
}

// openDatabase opens or makes the file. The error is errDamaged when the file is at fault.
func openDatabase(ctx context.Context, path string, limit int64) (*database, error) {
	// SQLite would make it readable for all that the umask allows.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log index: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open log index: %w", err)
	}
	d := &database{path: path}
	if err := d.open(ctx, limit); err != nil {
		return nil, errors.Join(classify(fmt.Errorf("open log index %s: %w", path, err)), d.close())
	}
	return d, nil
}

func (d *database) open(ctx context.Context, limit int64) error {
	if err := d.upgrade(ctx); err != nil {
		return err
	}
	conn, err := (&sqlite3.SQLiteDriver{}).Open(dsn(d.path, url.Values{
		"_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_busy_timeout": {"5000"}, "_cache_size": {"-2048"}, "_stmt_cache_size": {"24"},
	}))
	if err != nil {
		return err
	}
	var ok bool
	if d.conn, ok = conn.(*sqlite3.SQLiteConn); !ok {
		return fmt.Errorf("unknown SQLite driver %T", conn)
	}
	// The log that is written ahead is part of what is bounded.
	pages := walPages(limit)
	for _, pragma := range []string{
		fmt.Sprintf("wal_autocheckpoint=%d", pages), fmt.Sprintf("journal_size_limit=%d", pages*pageSize), "mmap_size=0", "temp_store=MEMORY",
	} {
		if err := d.exec("PRAGMA " + pragma); err != nil {
			return err
		}
	}
	if d.begin, err = d.prepare("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if d.commit, err = d.prepare("COMMIT"); err != nil {
		return err
	}
	if d.reader, err = sql.Open("sqlite3", dsn(d.path, url.Values{
		"mode": {"ro"}, "_query_only": {"on"}, "_busy_timeout": {"5000"}, "_cache_size": {"-512"}, "_txlock": {"deferred"},
	})); err != nil {
		return err
	}
	d.reader.SetMaxOpenConns(4)
	d.reader.SetMaxIdleConns(1)
	d.reader.SetConnMaxIdleTime(30 * time.Second)
	return d.describe()
}

const pageSize = 4096

// walPages is after how many pages the log that is written ahead is moved into the database.
func walPages(limit int64) int64 { return max(64, min(2048, limit/pageSize/32)) }

// upgrade makes the tables.
func (d *database) upgrade(ctx context.Context) error {
	conn, err := sql.Open("sqlite3", dsn(d.path, url.Values{
		"_auto_vacuum": {"incremental"}, "_journal_mode": {"WAL"}, "_synchronous": {"NORMAL"}, "_busy_timeout": {"5000"},
	}))
	if err != nil {
		return err
	}
	conn.SetMaxOpenConns(1)
	defer func() { _ = conn.Close() }() // all is committed
	db, err := gorm.Open(sqlite.Dialector{Conn: conn}, &gorm.Config{SkipDefaultTransaction: true, Logger: logger.Discard, DisableAutomaticPing: true})
	if err != nil {
		return err
	}
	db = db.WithContext(ctx)
	if err := migrate(db); err != nil {
		return err
	}
	epoch := 1 + rand.Uint32N(1<<31) //nolint:gosec // no secret: it tells databases apart
	return db.Exec("INSERT OR IGNORE INTO meta(id, epoch, last_id, dropped_id) VALUES (1, ?, 0, 0)", epoch).Error
}

// describe reads what the database is and what it can.
func (d *database) describe() error {
	var epoch int64
	if err := d.one("SELECT epoch FROM meta WHERE id = 1", &epoch); err != nil {
		return err
	}
	d.epoch = uint32(epoch)
	var n int64
	if err := d.one("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'", &n); err != nil {
		return err
	}
	d.fts = n > 0
	if err := d.one("SELECT count(*) FROM segments WHERE fts", &n); err != nil {
		return err
	}
	if n > 0 && !d.fts {
		return fmt.Errorf("%w: it has a full-text index, which this program was built without (build tag sqlite_fts5)", errDamaged)
	}
	return nil
}

func (d *database) close() error {
	var errs []error
	if d.reader != nil {
		errs = append(errs, d.reader.Close())
	}
	if d.conn != nil {
		for _, s := range []*sqlite3.SQLiteStmt{d.begin, d.commit} {
			if s != nil {
				errs = append(errs, s.Close())
			}
		}
		errs = append(errs, d.conn.Close())
	}
	return errors.Join(errs...)
}

func (d *database) exec(query string, args ...driver.Value) error {
	_, err := d.conn.Exec(query, args)
	return err
}

func (d *database) prepare(query string) (*sqlite3.SQLiteStmt, error) {
	s, err := d.conn.Prepare(query)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	stmt, ok := s.(*sqlite3.SQLiteStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("unknown SQLite statement %T", s), s.Close())
	}
	return stmt, nil
}

// one reads a number with the writer's connection. Without a row it stays as it is.
func (d *database) one(query string, to *int64, args ...driver.Value) error {
	return d.rows(query, args, func(v []driver.Value) error {
		if n, ok := v[0].(int64); ok {
			*to = n
		}
		return nil
	})
}

// rows reads with the writer's connection.
func (d *database) rows(query string, args []driver.Value, fn func(v []driver.Value) error) (err error) {
	rows, err := d.conn.Query(query, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	v := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}

// transaction runs fn, all of it or nothing.
func (d *database) transaction(fn func() error) error {
	if _, err := d.begin.Exec(nil); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		_, err = d.commit.Exec(nil)
	}
	if err != nil && !d.conn.AutoCommit() {
		err = errors.Join(err, d.exec("ROLLBACK"))
	}
	return err
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

// diskFull reports whether an error says that there is no space left.
func diskFull(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.Code == sqlite3.ErrFull
}

// setAside renames a damaged file and what belongs to it, and returns the new name.
func setAside(path string, now time.Time) (string, error) {
	aside := path + ".damaged-" + now.UTC().Format("20060102T150405.000000Z")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("set the damaged log index aside: %w", err)
		}
	}
	return aside, nil
}
