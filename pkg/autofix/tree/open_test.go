package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// another is a user who is not root.
const another = 65534

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root has to fear others' links")
	}
}

func mustLink(t *testing.T, target, path string, uid int) {
	t.Helper()
	if err := errors.Join(os.Symlink(target, path), os.Lchown(path, uid, uid)); err != nil {
		t.Fatal(err)
	}
}

// TestLinksOfOthers: a user around whose folder root works cannot lead root to another one.
func TestLinksOfOthers(t *testing.T) {
	needRoot(t)
	top := t.TempDir()
	own, foreign := filepath.Join(top, "own"), filepath.Join(top, "foreign")
	lay(t, own, map[string]string{"a": "1"})
	lay(t, foreign, map[string]string{"deep/a": "1"})
	if err := os.Chown(own, another, another); err != nil {
		t.Fatal(err)
	}
	mustLink(t, "own", filepath.Join(top, "current"), another)
	mustLink(t, "current", filepath.Join(top, "ours"), 0)
	mustLink(t, foreign, filepath.Join(top, "evil"), another)
	mustLink(t, foreign, filepath.Join(top, "meant"), 0)
	mustLink(t, "loop", filepath.Join(top, "loop"), 0)
	for path, want := range map[string]string{
		"own": own, "current": own, "ours": own, "own/../ours/.": own, "meant/deep": foreign + "/deep",
		"evil": "", "evil/deep": "", "loop": "", "own/a": "", "absent": "",
	} {
		got, err := Resolve(top + "/" + path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q, %v; want %q", path, got, err, want)
		}
	}
	if _, err := Resolve("relative"); err == nil {
		t.Error("a relative path was resolved")
	}
	if _, err := Resolve(filepath.Join(top, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	for _, path := range []string{"evil", "evil/deep", "current"} {
		if _, err := Scan(t.Context(), filepath.Join(top, path), nil, Limits{}); !errors.Is(err, ErrChanged) {
			t.Errorf("%s was looked at: %v", path, err)
		}
	}
	if _, err := Scan(t.Context(), filepath.Join(top, "meant"), nil, Limits{}); err != nil {
		t.Errorf("a link of root's own: %v", err)
	}
}

// TestFolderIsExchanged: between the look and the change the folder becomes a link to one that its owner may not write to.
func TestFolderIsExchanged(t *testing.T) {
	needRoot(t)
	top, outside := t.TempDir(), t.TempDir()
	dir := filepath.Join(top, "app")
	lay(t, dir, map[string]string{"a": "1"})
	before := mustScan(t, dir, nil)
	lay(t, dir, map[string]string{"evil": "x"})
	b := mustTake(t, dir, t.TempDir(), nil)
	changes := Compare(before, &b.Snapshot)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	mustLink(t, outside, dir, another)
	err := (&Swap{Folder: dir, Changes: changes, Content: b.Content, Journal: filepath.Join(t.TempDir(), "j")}).Run(t.Context())
	if !errors.Is(err, ErrChanged) {
		t.Errorf("a swap through a link: %v", err)
	}
	if _, err := Take(t.Context(), dir, t.TempDir(), "", nil, Limits{}); !errors.Is(err, ErrChanged) {
		t.Errorf("a backup through a link: %v", err)
	}
	// And one that is to be made again is not made elsewhere.
	inner := filepath.Join(dir, "inner")
	err = (&Swap{Folder: inner, Changes: Compare(&Snapshot{}, &b.Snapshot), Content: b.Content, Journal: filepath.Join(t.TempDir(), "j")}).Run(t.Context())
	if !errors.Is(err, ErrChanged) {
		t.Errorf("a folder made again below a link: %v", err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside is %v, %v", left, err)
	}
}

// TestCopyKeepsToTheOwnersEyes: a copy for a user holds nothing that this user could not read.
func TestCopyKeepsToTheOwnersEyes(t *testing.T) {
	needRoot(t)
	dir, to := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"open": "1", "own": "1", "group": "1", "closed": "1", "vault/open": "1", "vault/deep/open": "1", "shared/open": "1"})
	for path, is := range map[string]struct {
		uid, gid int
		mode     os.FileMode
	}{
		".": {0, 0, 0o755}, "open": {0, 0, 0o644}, "own": {another, 0, 0o600}, "group": {0, another, 0o640}, "closed": {0, 0, 0o600}, "vault": {0, 0, 0o700},
		"shared": {0, another, 0o750},
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.Chown(path, is.uid, is.gid), os.Chmod(path, is.mode)); err != nil {
			t.Fatal(err)
		}
	}
	b := mustTake(t, dir, t.TempDir(), nil)
	owner := Owner{another, another}
	if _, err := b.CopyTo(t.Context(), to, &owner, b.Unreadable(owner)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"open": true, "own": true, "group": true, "shared/open": true, "closed": false, "vault/open": false, "vault/deep/open": false} {
		info, err := os.Lstat(filepath.Join(to, path))
		if (err == nil) != want {
			t.Errorf("%s in the copy: %t, want %t", path, err == nil, want)
		}
		if err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != another {
				t.Errorf("%s is not the owner's", path)
			}
		}
	}
}
