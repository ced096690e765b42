package status

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"gorm.io/gorm"

	"github.com/go-gormigrate/gormigrate/v2"

	"github.com/philiporange/supervisor/pkg/sqlite"
)

// database is one open file: a connection that writes, and some that read beside it.
type database struct {
	path   string
	writer *sqlite.Conn
	write  *gorm.DB
	reader *sqlite.Conn // nil until somebody asks for history
}

// openDatabase opens or makes the file and brings its schema up to date. The error is sqlite.ErrDamaged when the file is at fault.
func openDatabase(ctx context.Context, path string) (*database, error) {
	// Small caches: the whole database is small, and the page cache of the kernel holds it anyway.
	writer, err := sqlite.Write(ctx, path, url.Values{"_foreign_keys": {"on"}, "_cache_size": {"-512"}},
		[]string{"mmap_size=0", "journal_size_limit=1048576", "wal_autocheckpoint=256"}, migrations()...)
	if errors.Is(err, gormigrate.ErrUnknownPastMigration) {
		// What is observed is observed again: rather that than nothing that an older version could do.
		return nil, fmt.Errorf("%w: %w", sqlite.ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	return &database{path: path, writer: writer, write: writer.GORM}, nil
}

// read returns the reading side, opened when it is needed for the first time. One caller at a time.
func (d *database) read() (*gorm.DB, error) {
	if d.reader == nil {
		var err error
		if d.reader, err = sqlite.Read(d.path, 2); err != nil {
			return nil, err
		}
		d.reader.SQL.SetConnMaxIdleTime(30 * time.Second)
	}
	return d.reader.GORM, nil
}

func (d *database) close() error { return errors.Join(d.reader.Close(), d.writer.Close()) }
