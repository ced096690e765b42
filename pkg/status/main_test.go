package status

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var web = v1.Key{Kind: v1.KindService, Name: "web"}

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// openAt opens a store that is closed when the test ends.
func openAt(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(testContext(t), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) //nolint:errcheck // tests that care close it themselves
	return s
}

func dbPath(t testing.TB) string { return filepath.Join(t.TempDir(), "supervisor.db") }

// reopen closes a store and opens what it left.
func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openAt(t, s.path, Options{Events: s.events})
}

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func asideFiles(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(path + ".corrupt-*Z")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func hasEvent(t *testing.T, s *Store, reason string) bool {
	t.Helper()
	events, err := s.Events(testContext(t), v1.EventFilter{Limit: maxPage})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
