package status

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-gormigrate/gormigrate/v2"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/sqlite"
)

func TestDamagedDatabaseIsSetAside(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, string){
		"not a database": func(t *testing.T, path string) { write(t, path, []byte(strings.Repeat("garbage ", 1000))) },
		"zeroed pages": func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 4096; i < len(data); i++ {
				data[i] = 0xAA
			}
			write(t, path, data)
		},
		"truncated": func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		},
		"made by a newer version": func(t *testing.T, path string) {
			db, err := sql.Open("sqlite3", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close() //nolint:errcheck // a test
			if _, err := db.ExecContext(testContext(t), "INSERT INTO migrations VALUES ('9999-future')"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := dbPath(t)
			s := openAt(t, path, Options{})
			s.SetStatus(web, &v1.ServiceStatus{PID: 1})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, path)
			s = openAt(t, path, Options{})
			if aside := asideFiles(t, path); len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
			if !hasEvent(t, s, "DatabaseReplaced") || s.Degraded() != nil {
				t.Errorf("not told, or degraded (%v)", s.Degraded())
			}
			s.SetStatus(web, &v1.ServiceStatus{PID: 2})
			if s = reopen(t, s); s.Status(web) == nil || s.Status(web).PID != 2 {
				t.Error("the new database does not keep what it is given")
			}
		})
	}
}

func TestDamageInUse(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	s.PutObject(web, "r1")
	s.SetStatus(web, &v1.ServiceStatus{PID: 1})
	s.SetPort("Service/web/0", 4000)
	good := LastGood{Key: web, File: "web.yaml", Text: []byte("x"), Revision: "r1"}
	if err := errors.Join(s.SaveLastGood(testContext(t), good), s.PutIntent(testContext(t), v1.Intent{Key: web, Verb: v1.IntentStop})); err != nil {
		t.Fatal(err)
	}
	if err := s.Durable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// A connection that is opened anew has no page in its cache that would hide the damage.
	s.db.writer.SQL.SetMaxIdleConns(0)
	write(t, s.path, bytes.Repeat([]byte{0x55}, 64<<10))
	s.SetStatus(web, &v1.ServiceStatus{PID: 2})
	s.RecordEvent(v1.Event{Key: web, Reason: "Meanwhile"})
	eventually(t, "a new database", func() bool { return len(asideFiles(t, s.path)) == 1 && s.Durable(testContext(t)) == nil })
	if !hasEvent(t, s, "DatabaseReplaced") || !hasEvent(t, s, "Meanwhile") {
		t.Error("events were lost")
	}
	s = reopen(t, s)
	_, intent := s.Intent(web)
	port, _ := s.Port("Service/web/0")
	goods, err := s.LoadLastGood(testContext(t))
	if s.Status(web).PID != 2 || !intent || port != 4000 || err != nil || len(goods) != 1 {
		t.Errorf("memory was not written anew: %+v, intent %v, port %d, %v, %v", s.Status(web), intent, port, goods, err)
	}
}

func TestRemovedDatabaseIsMadeAgain(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	s.SetStatus(web, &v1.ServiceStatus{PID: 1})
	if err := s.Durable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	s.SetPort("Service/web/0", 4000)
	if err := s.Durable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if !hasEvent(t, s, "DatabaseReplaced") {
		t.Error("nothing was said")
	}
	if s = reopen(t, s); s.Status(web) == nil {
		t.Error("the status was lost")
	}
}

func TestFullDisk(t *testing.T) {
	s := openAt(t, dbPath(t), Options{})
	if err := s.Durable(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// A page count that is reached gives SQLITE_FULL, the same code as a full disk.
	limit := func(pages string) {
		if err := s.db.write.Exec("PRAGMA max_page_count=" + pages).Error; err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	big := strings.Repeat("x", 100_000)
	s.SetStatus(web, &v1.ServiceStatus{PID: 1, URL: big})
	if err := s.Durable(testContext(t)); !errors.Is(err, ErrDegraded) {
		t.Fatalf("Durable on a full disk: %v", err)
	}
	if s.Degraded() == nil || s.Status(web).PID != 1 {
		t.Error("it must serve from memory, and say that it is degraded")
	}
	if err := s.PutIntent(testContext(t), v1.Intent{Key: web, Verb: v1.IntentStop}); err != nil {
		t.Errorf("a stop must work on a full disk: %v", err)
	}
	if !hasEvent(t, s, "DatabaseDegraded") {
		t.Error("the event is not shown while degraded")
	}
	limit("100000")
	eventually(t, "recovery", func() bool { return s.Degraded() == nil && s.Durable(testContext(t)) == nil })
	if s = reopen(t, s); s.Status(web) == nil || s.Status(web).URL != big {
		t.Error("what was observed on the full disk was lost")
	}
	if _, ok := s.Intent(web); !ok {
		t.Error("the intent was lost")
	}
}

func TestFolderThatComesLate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "supervisor.db")
	s := openAt(t, path, Options{})
	if s.Degraded() == nil {
		t.Fatal("a missing folder must show")
	}
	if _, err := s.LoadLastGood(testContext(t)); !errors.Is(err, ErrDegraded) {
		t.Errorf("LoadLastGood: %v", err)
	}
	s.PutObject(web, "r2")
	s.SetStatus(web, &v1.ServiceStatus{PID: 7})
	// The folder comes back with a database of an earlier life: another object has number 1 there.
	earlier := filepath.Join(t.TempDir(), "supervisor.db")
	old := openAt(t, earlier, Options{})
	db := v1.Key{Kind: v1.KindService, Name: "db"}
	old.PutObject(db, "r1")
	old.PutObject(web, "r1")
	old.SetStatus(web, &v1.ServiceStatus{PID: 6})
	wantID, created, _, _ := old.ObjectInfo(web)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Dir(earlier), dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recovery", func() bool { return s.Degraded() == nil && s.Durable(testContext(t)) == nil })
	s = reopen(t, s)
	id, c, _, _ := s.ObjectInfo(web)
	dbID, _, _, known := s.ObjectInfo(db)
	if id != wantID || !c.Equal(created) || !known || dbID == id || s.Status(web).PID != 7 {
		t.Errorf("web has number %d (want %d), db %d %v, status %+v", id, wantID, dbID, known, s.Status(web))
	}
}

// A database as the first version made it is upgraded to the present schema and to one that is yet to come.
func TestOldDatabaseIsUpgraded(t *testing.T) {
	path := dbPath(t)
	dump, err := os.ReadFile(filepath.Join("testdata", "0001.sql"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(testContext(t), string(dump)); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, path, Options{})
	if aside := asideFiles(t, path); len(aside) > 0 {
		t.Fatalf("an old database was taken for a damaged one: %v", aside)
	}
	events, err := s.Events(testContext(t), v1.EventFilter{Key: web})
	id, _, _, _ := s.ObjectInfo(web)
	in, _ := s.Intent(web)
	if err != nil || len(events) != 1 || id != 7 || s.Status(web).PID != 4711 || in.Verb != v1.IntentStop {
		t.Errorf("events %v %v, number %d, status %+v, intent %+v", events, err, id, s.Status(web), in)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := openDatabase(testContext(t), path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // a test
	next := append(migrations(), sqlite.Step("0002-next", "ALTER TABLE events ADD COLUMN extra TEXT NOT NULL DEFAULT ''"))
	for range 2 {
		if err := sqlite.Migrate(d.write, next...); err != nil {
			t.Fatal(err)
		}
	}
	if err := sqlite.Migrate(d.write, migrations()...); !errors.Is(err, gormigrate.ErrUnknownPastMigration) {
		t.Errorf("a schema of a newer version: %v", err)
	}
}
