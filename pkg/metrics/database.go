package metrics

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/mattn/go-sqlite3"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var errClosed = errors.New("the metrics database is closed")

// asidePace is the least time between two databases that are set aside: on a disk that damages them all, their remains
// must not fill it.
const asidePace = time.Hour

// openDB opens the database for one writer and a reader beside it, with half a MiB of cache each.
func openDB(path string) (*gorm.DB, error) {
	// SQLite would make it readable for all that the umask allows.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("open metrics database: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_journal_mode=WAL&_synchronous=NORMAL&_busy_timeout=5000&_auto_vacuum=incremental&_cache_size=-512"
	// No PrepareStmt: its cache is a goroutine for ever, with a timer that wakes an idle machine.
	db, err := gorm.Open(sqlite.Open(dsn), &gorm.Config{Logger: logger.Discard, SkipDefaultTransaction: true})
	if err != nil {
		return nil, fmt.Errorf("open metrics database %s: %w", path, err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("open metrics database %s: %w", path, err)
	}
	pool.SetMaxOpenConns(2)
	pool.SetMaxIdleConns(2)
	if err := migrate(db); err != nil {
		return nil, errors.Join(fmt.Errorf("open metrics database %s: %w", path, err), closeDB(db))
	}
	return db, nil
}

func closeDB(db *gorm.DB) error {
	if db == nil {
		return nil
	}
	pool, err := db.DB()
	if err == nil {
		err = pool.Close()
	}
	if err != nil {
		return fmt.Errorf("close metrics database: %w", err)
	}
	return nil
}

// damaged reports that the file is not a sound database, which no trying again will mend.
func damaged(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}

// replace sets a database that proved damaged aside and begins a new one. It is called with writing held.
func (h *History) replace(failed *gorm.DB, cause error) error {
	h.dbMu.Lock()
	defer h.dbMu.Unlock()
	if h.db == nil {
		return errClosed
	}
	if h.db != failed {
		return cause // somebody else met the damage too, and has replaced it
	}
	if !h.asideAt.IsZero() && h.now().Sub(h.asideAt) < asidePace {
		return fmt.Errorf("the metrics database is damaged again, look at the disk: %w", cause)
	}
	_ = closeDB(h.db) // it is given up anyway
	h.db = nil
	if err := h.moveAside(cause); err != nil {
		return err
	}
	db, err := openDB(h.path)
	if err != nil {
		return err
	}
	h.use(db)
	return fmt.Errorf("the history of metrics was damaged and begins anew: %w", cause)
}

// moveAside renames a damaged database and says so.
func (h *History) moveAside(cause error) error {
	h.asideAt = h.now()
	to := fmt.Sprintf("%s.damaged-%s", h.path, h.asideAt.UTC().Format("20060102T150405Z"))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(h.path+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set damaged metrics database aside: %w", err)
		}
	}
	h.log.Error("the metrics database is damaged; it was set aside and a new one begun: the history starts over, nothing else is affected",
		"database", h.path, "set_aside", to, "error", cause)
	if h.onSetAside != nil {
		h.onSetAside(to, cause)
	}
	return nil
}
