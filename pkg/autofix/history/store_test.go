package history

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestFixesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fixes.db")
	s := open(t, path)
	at := time.UnixMicro(1_700_000_000_000_000)
	f := Fix{
		Object: "Service/web", Folder: "/srv/web", Cause: Crash, Summary: "ValueError: x", Detail: "d", Signature: "s", Actor: "supervisor", Job: "fix-1", AgentJob: "fix-0",
		State: Working, Propose: true, Agent: "opencode", Model: "m", Response: "r", Diff: "diff", Files: []string{"a", "b c\n"}, Backup: "/b",
		Restored: at, Reason: "because", Wanted: true, Run: 7, Of: 3, InputTokens: 1, OutputTokens: 2, CostUSD: 0.5, CreatedAt: at, EndedAt: at.Add(time.Second),
	}
	if err := s.Add(t.Context(), &f); err != nil || f.ID == 0 {
		t.Fatalf("add: %d, %v", f.ID, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	got, ok, err := s.Get(t.Context(), f.ID)
	if diff := cmp.Diff(f, got); err != nil || !ok || diff != "" {
		t.Errorf("got %v, %v (-want +got):\n%s", ok, err, diff)
	}
	f.State, f.Backup, f.EndedAt = Applied, "/c", time.Time{}
	if err := s.Save(t.Context(), &f); err != nil {
		t.Fatal(err)
	}
	other := Fix{Object: "Service/api", State: Failed, EndedAt: at}
	restore := Fix{Object: "Service/web", State: Applied, Cause: Restore, Signature: "s", EndedAt: at}
	for _, f := range []*Fix{&other, &restore} {
		if err := s.Add(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		q    Query
		want []uint64
	}{
		"all, the newest first": {Query{}, []uint64{3, 2, 1}},
		"one object's":          {Query{Object: "Service/web"}, []uint64{3, 1}},
		"repairs only":          {Query{Object: "Service/web", Repairs: true}, []uint64{1}},
		"open ones":             {Query{Open: true}, []uint64{1}},
		"of one error":          {Query{Signature: "s"}, []uint64{3, 1}},
		"a page":                {Query{Before: 3, Limit: 1}, []uint64{2}},
	} {
		list, err := s.List(t.Context(), tt.q)
		var ids []uint64
		for _, f := range list {
			ids = append(ids, f.ID)
		}
		if diff := cmp.Diff(tt.want, ids); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	if got, ok, err := s.ByJob(t.Context(), "fix-1"); err != nil || !ok || got.ID != 1 {
		t.Errorf("by its job: %+v %v %v", got, ok, err)
	}
	if err := s.BackupGone(t.Context(), "/c"); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := s.Get(t.Context(), 1); got.Backup != "" || got.CanRestore() {
		t.Errorf("after its backup has gone it is %+v", got)
	}
	// What is open is not forgotten, however old.
	if err := s.Prune(t.Context(), "Service/web", 0); err != nil {
		t.Fatal(err)
	}
	if list, _ := s.List(t.Context(), Query{}); len(list) != 2 || list[0].ID != 2 || list[1].ID != 1 {
		t.Errorf("after pruning: %+v", list)
	}
	next := Fix{Object: "x"}
	if err := s.Add(t.Context(), &next); err != nil || next.ID != 4 {
		t.Errorf("an ID is used twice: %d, %v", next.ID, err)
	}
}

func TestWell(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "fixes.db"))
	if _, ok, err := s.GetWell(t.Context(), "Service/web"); ok || err != nil {
		t.Errorf("before anything was noted: %v %v", ok, err)
	}
	for _, revision := range []string{"a", "b"} {
		if err := s.SetWell(t.Context(), "Service/web", Well{Revision: revision, At: time.UnixMicro(5)}); err != nil {
			t.Fatal(err)
		}
	}
	if w, ok, err := s.GetWell(t.Context(), "Service/web"); !ok || err != nil || w.Revision != "b" || !w.At.Equal(time.UnixMicro(5)) {
		t.Errorf("%+v %v %v", w, ok, err)
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fixes.db")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("this is no database, whatever its name says, and it is long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := s.Add(t.Context(), &Fix{Object: "x"}); err != nil {
		t.Error(err)
	}
	if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) == 0 {
		t.Error("the damaged file is gone")
	}
}
