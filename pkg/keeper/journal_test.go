package keeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

func newEntry(id string) *entry {
	return &entry{Run: process.Run{ID: process.RunID(id), Owner: "Service/" + id, Slot: id, State: process.Running}}
}

func TestJournalIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	state := []record{{Op: opSession, Boot: "boot", Session: "session"}}
	j := openJournal(path, func() []record { return state }, t.Logf)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, r := range []record{
		{Op: opRun, Entry: newEntry("a")},
		{Op: opPID, ID: "a", PID: 7, Ticks: 70, At: at},
		{Op: opRun, Entry: newEntry("b")},
		{Op: opPID, ID: "b", PID: 8, Ticks: 80, At: at},
		{Op: opStop, ID: "b", Stop: &stopOrder{Signal: 15, Deadline: 9}},
		{Op: opLeader, ID: "b", Exit: &process.Exit{Code: 3}},
		{Op: opRun, Entry: newEntry("c")},
		{Op: opExit, ID: "c", Exit: &process.Exit{Code: 4}},
		{Op: opRun, Entry: newEntry("d")},
		{Op: opForget, ID: "d"},
		{Op: "of a later version", ID: "a"},
	} {
		j.append(r)
	}
	// A crash has torn the last record.
	if _, err := j.f.WriteString(`{"op":"exit","id":"a","exit":{"co`); err != nil {
		t.Fatal(err)
	}
	if err := j.f.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := loadJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if l.boot != "boot" || l.session != "session" || len(l.entries) != 3 {
		t.Fatalf("loaded %+v", l)
	}
	a, b, c := l.entries[0], l.entries[1], l.entries[2]
	if a.Run.PID != 7 || a.Ticks != 70 || !a.Run.StartedAt.Equal(at) || !a.Run.Live() {
		t.Errorf("a is %+v", a)
	}
	if b.Leader == nil || b.Leader.Code != 3 || b.Stop == nil || b.Stop.Deadline != 9 || b.Run.State != process.Stopping {
		t.Errorf("b is %+v", b)
	}
	if c.Run.Live() || c.Run.Exit.Code != 4 {
		t.Errorf("c is %+v", c)
	}
}

func TestJournalIsCompacted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := openJournal(path, func() []record {
		return []record{{Op: opSession, Boot: "boot"}, {Op: opRun, Entry: newEntry("left")}}
	}, t.Logf)
	for range compactAfter + 1 {
		j.append(record{Op: opRun, Entry: newEntry("gone")})
		j.append(record{Op: opForget, ID: "gone"})
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), "\n"); n > compactAfter+2 {
		t.Errorf("%d records", n)
	}
	if l := parseJournal(raw); len(l.entries) != 1 || l.entries[0].Run.ID != "left" {
		t.Errorf("loaded %+v", l)
	}
}

// A journal that cannot be written refuses nothing, and is whole once it can be.
func TestJournalCatchesUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	path := filepath.Join(dir, "journal")
	j := openJournal(path, func() []record {
		return []record{{Op: opSession, Boot: "boot"}, {Op: opRun, Entry: newEntry("a")}}
	}, t.Logf)
	j.append(record{Op: opRun, Entry: newEntry("a")})
	if !j.behind {
		t.Fatal("written where there is no folder")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j.retryAt = time.Time{}
	j.append(record{Op: opRun, Entry: newEntry("a")})
	if l, err := loadJournal(path); err != nil || len(l.entries) != 1 || j.behind {
		t.Errorf("loaded %+v, %v", l, err)
	}
}

func TestAfterAReboot(t *testing.T) {
	live, known, ended := newEntry("live"), newEntry("known"), newEntry("ended")
	known.Leader = &process.Exit{Code: 2}
	ended.Run.State, ended.Run.Exit = process.Exited, &process.Exit{Code: 1}
	from := fromJournal(loaded{boot: "then", session: "old", entries: []*entry{live, known, ended}}, "now")
	if from.session != "" {
		t.Errorf("the session is %q", from.session)
	}
	for _, e := range from.entries {
		if e.Run.Live() {
			t.Errorf("%s lives", e.Run.ID)
		}
	}
	if !live.Run.Exit.Lost || live.Run.Exit.Code != -1 {
		t.Errorf("exit %+v", live.Run.Exit)
	}
	if known.Run.Exit.Code != 2 || ended.Run.Exit.Code != 1 {
		t.Errorf("exits %+v and %+v", known.Run.Exit, ended.Run.Exit)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"op":"session","boot":"b","session":"s"}` + "\n" + `{"op":"run","entry":{"run":{"id":"a"}}}` + "\n" + `{"op":"exit","id":"a","exit":{"code":1}}`))
	f.Add([]byte(`{"op":"run","entry":null}` + "\n" + `{"op":"forget","id":"a"}` + "\n\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		seen := map[process.RunID]bool{}
		for _, e := range parseJournal(raw).entries {
			if e.Run.ID == "" || seen[e.Run.ID] {
				t.Errorf("run %q", e.Run.ID)
			}
			seen[e.Run.ID] = true
		}
	})
}
