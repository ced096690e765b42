package sqlite_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-gormigrate/gormigrate/v2"

	"github.com/philiporange/supervisor/pkg/sqlite"
)

func first() *gormigrate.Migration { return sqlite.Step("0001", "CREATE TABLE t (n INTEGER NOT NULL)") }

func write(ctx context.Context, path string, steps ...*gormigrate.Migration) (*sqlite.Conn, error) {
	return sqlite.Renew(path, slog.New(slog.DiscardHandler), func() (*sqlite.Conn, error) {
		return sqlite.Write(ctx, path, nil, []string{"journal_size_limit=65536"}, steps...)
	})
}

func mustWrite(t *testing.T, path string, steps ...*gormigrate.Migration) *sqlite.Conn {
	t.Helper()
	c, err := write(t.Context(), path, steps...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func count(t *testing.T, c *sqlite.Conn) (n int) {
	t.Helper()
	if err := c.SQL.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func insert(t *testing.T, c *sqlite.Conn) {
	t.Helper()
	if err := c.GORM.Exec("INSERT INTO t VALUES (1)").Error; err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	// A path that a URL has to escape.
	path := filepath.Join(t.TempDir(), "a b?c=d#e%20.db")
	c := mustWrite(t, path, first())
	insert(t, c)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: only the owner may read it", info, err)
	}
	r, err := sqlite.Read(path, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if n := count(t, r); n != 1 {
		t.Errorf("%d rows", n)
	}
	if err := r.GORM.Exec("INSERT INTO t VALUES (2)").Error; err == nil {
		t.Error("a reader wrote")
	}
}

func TestSchemaGoesStepByStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	c := mustWrite(t, path, first())
	insert(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	second := sqlite.Step("0002", "ALTER TABLE t ADD COLUMN m INTEGER NOT NULL DEFAULT 0")
	c = mustWrite(t, path, first(), second)
	if n := count(t, c); n != 1 {
		t.Errorf("%d rows after the upgrade", n)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// A step that fails leaves all as it was.
	if _, err := write(t.Context(), path, first(), second, sqlite.Step("0003", "DROP TABLE t", "no SQL")); err == nil || !strings.Contains(err.Error(), "0003") {
		t.Errorf("%v should name the step", err)
	}
	if n := count(t, mustWrite(t, path, first(), second)); n != 1 {
		t.Errorf("%d rows after a failed upgrade", n)
	}
}

func TestDamagedFilesAreSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database at all\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := count(t, mustWrite(t, path, first())); n != 0 {
		t.Errorf("%d rows in a new file", n)
	}
	if aside, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(aside) == 0 {
		t.Errorf("%q, %v: the old file should be there", aside, err)
	}
}

func TestFilesOfNewerVersionsStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := mustWrite(t, path, first(), sqlite.Step("9999", "CREATE TABLE u (n INTEGER)")).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t.Context(), path, first()); !errors.Is(err, gormigrate.ErrUnknownPastMigration) || errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("%v", err)
	}
}

// A disk that cannot be used now does not make a sound file a damaged one.
func TestUnusableIsNotDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "x.db")
	if _, err := write(t.Context(), path, first()); err == nil || errors.Is(err, sqlite.ErrDamaged) {
		t.Errorf("%v", err)
	}
}
