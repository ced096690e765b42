package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// lay makes files of a map; a text that begins with "-> " is a link.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, ok := strings.CutPrefix(text, "-> "); ok && err == nil {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func mustScan(t *testing.T, dir string, known *Snapshot) *Snapshot {
	t.Helper()
	s, err := Scan(t.Context(), dir, known, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustTake(t *testing.T, folder, dir string, earlier *Backup) *Backup {
	t.Helper()
	b, err := Take(t.Context(), folder, dir, "for a test", earlier, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func names(s *Snapshot) []string {
	var out []string
	for i := range s.Entries {
		out = append(out, string(s.Entries[i].Path))
	}
	return out
}

func TestWhatIsSkipped(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{
		"app.py": "", "env/pyvenv.cfg": "", "env/lib/x.py": "", "target/CACHEDIR.TAG": cacheSignature + "\n", "target/debug/app": "",
		"src/CACHEDIR.TAG": "not one", "src/main.rs": "", "web/node_modules/x/i.js": "", "web/index.js": "", "pkg/__pycache__/a.pyc": "",
		".git/HEAD": "", "sub/.git": "gitdir: ../.git/modules/sub", "sub/a": "", "venv": "-> env", "data/deep/x": "",
	})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	s := mustScan(t, dir, nil)
	if diff := cmp.Diff([]string{
		".", "app.py", "data", "data/deep", "data/deep/x", "pkg", "src", "src/CACHEDIR.TAG", "src/main.rs", "sub", "sub/a", "venv", "web", "web/index.js",
	}, names(s)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Name{".git", "env", "pipe", "pkg/__pycache__", "s", "sub/.git", "target", "web/node_modules"}, s.Skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	// A marker that comes later hides nothing, and one that goes shows nothing.
	lay(t, dir, map[string]string{"data/pyvenv.cfg": "", "new/pyvenv.cfg": ""})
	if err := os.Remove(filepath.Join(dir, "env/pyvenv.cfg")); err != nil {
		t.Fatal(err)
	}
	later := mustScan(t, dir, s)
	if later.Find("data/deep/x") == nil || later.Find("env") != nil || later.Find("new") != nil {
		t.Errorf("with the earlier state known, %v is kept", names(later))
	}
}

func TestLimits(t *testing.T) {
	dir, backups := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"a": strings.Repeat("x", 600), "b": strings.Repeat("x", 600), "node_modules/c": strings.Repeat("x", 6000)})
	for _, tt := range []struct {
		limits Limits
		fails  bool
	}{{Limits{Bytes: 1200}, false}, {Limits{Bytes: 1199}, true}, {Limits{Entries: 3}, false}, {Limits{Entries: 2}, true}} {
		_, err := Take(t.Context(), dir, backups, "", nil, tt.limits)
		if errors.Is(err, ErrTooLarge) != tt.fails || err != nil && !tt.fails {
			t.Errorf("%+v: %v", tt.limits, err)
		}
	}
	left, err := filepath.Glob(backups + "/.part-*")
	if err != nil || len(left) > 0 {
		t.Errorf("a backup that failed has left %v, %v", left, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := Take(ctx, dir, backups, "", nil, Limits{}); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("a backup that was cancelled: %v", err)
	}
}

func TestBackupsShareAndEnd(t *testing.T) {
	dir, backups := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"same": "same", "d/other": "one"})
	first := mustTake(t, dir, backups, nil)
	lay(t, dir, map[string]string{"d/other": "two"})
	second := mustTake(t, dir, backups, first)
	inode := func(b *Backup, name string) uint64 {
		info, err := os.Stat(filepath.Join(b.Path, filesName, name))
		if err != nil {
			t.Fatal(err)
		}
		return stat(info).Ino
	}
	if inode(first, "same") != inode(second, "same") {
		t.Error("what is the same takes space twice")
	}
	// What was a cache then may hold something now.
	lay(t, dir, map[string]string{"cache/CACHEDIR.TAG": cacheSignature, "cache/x": ""})
	if b := mustTake(t, dir, t.TempDir(), nil); b.Find("cache/x") != nil {
		t.Error("a cache is backed up")
	} else if lay(t, dir, map[string]string{"cache/CACHEDIR.TAG": "no more"}); mustTake(t, dir, t.TempDir(), b).Find("cache/x") == nil {
		t.Error("what was a cache once is never backed up")
	}
	f, err := second.Content("d/other")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); string(text) != "two" || err != nil {
		t.Errorf("the second backup holds %q, %v", text, err)
	}
	f.Close()
	third := mustTake(t, dir, backups, nil)
	lay(t, backups, map[string]string{".part-20260101T000000.000000Z/files/x": "a crash left this"})
	if err := Prune(backups, 1, func(path string) bool { return path == first.Path }); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(backups)
	if err != nil || len(left) != 2 || left[0].Name() != filepath.Base(first.Path) || left[1].Name() != filepath.Base(third.Path) {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestLinksLeadNowhere: a link in the place of a folder that was noted does not make us write elsewhere.
func TestLinksLeadNowhere(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"d/a": "old", "d/b": "old"})
	lay(t, outside, map[string]string{"a": "outside", "b": "outside"})
	b := mustTake(t, dir, t.TempDir(), nil)
	lay(t, dir, map[string]string{"d/a": "new"})
	changes := Compare(mustScan(t, dir, nil), &b.Snapshot)
	if err := os.RemoveAll(filepath.Join(dir, "d")); err != nil {
		t.Fatal(err)
	}
	lay(t, dir, map[string]string{"d": "-> " + outside})
	err := (&Swap{Folder: dir, Changes: changes, Content: b.Content, Journal: filepath.Join(t.TempDir(), "j")}).Run(t.Context())
	if !errors.Is(err, ErrChanged) {
		t.Errorf("a swap below a link: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(outside, "a")); string(text) != "outside" {
		t.Errorf("the file outside is %q", text)
	}
	if left, _ := filepath.Glob(dir + "/.supervisor*"); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	// And a scan does not look through it.
	if s := mustScan(t, dir, nil); s.Find("d/a") != nil || s.Find("d").Target != Name(outside) {
		t.Errorf("the scan has followed a link: %v", names(s))
	}
}

func TestSwapRefusesWhatChanged(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"a": "1", "b": "1"})
	b := mustTake(t, dir, t.TempDir(), nil)
	lay(t, dir, map[string]string{"a": "2", "b": "2"})
	changes := Compare(mustScan(t, dir, nil), &b.Snapshot)
	lay(t, dir, map[string]string{"b": "3"})
	journal := filepath.Join(t.TempDir(), "j")
	err := (&Swap{Folder: dir, Changes: changes, Content: b.Content, Journal: journal}).Run(t.Context())
	if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "b: ") {
		t.Errorf("a swap of what changed: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "a")); string(text) != "2" {
		t.Errorf("a is %q", text)
	}
	if _, err := Recover(journal); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a journal of it: %v", err)
	}
}

func TestDamagedBackupIsNotTaken(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"a": "1", "b": "1"})
	b := mustTake(t, dir, t.TempDir(), nil)
	lay(t, dir, map[string]string{"a": "2"})
	lay(t, filepath.Join(b.Path, filesName), map[string]string{"a": "9"})
	err := (&Swap{Folder: dir, Changes: Compare(mustScan(t, dir, nil), &b.Snapshot), Content: b.Content, Journal: filepath.Join(t.TempDir(), "j")}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged backup: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "a")); string(text) != "2" {
		t.Errorf("a is %q", text)
	}
}

func TestFolderComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	lay(t, dir, map[string]string{"a/b": "1"})
	if err := os.Chmod(dir, 0o2750); err != nil {
		t.Fatal(err)
	}
	b := mustTake(t, dir, t.TempDir(), nil)
	was, _ := state(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := (&Swap{Folder: dir, Changes: Compare(&Snapshot{}, &b.Snapshot), Content: b.Content, Journal: filepath.Join(t.TempDir(), "j")}).Run(t.Context())
	is, _ := state(t, dir)
	if diff := cmp.Diff(was, is); err != nil || diff != "" {
		t.Errorf("a deleted folder is back, %v (-was +is):\n%s", err, diff)
	}
}

func TestCopyHides(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"a": "1", ".env": "SECRET=1", "d/e": "2", "l": "-> a", "node_modules/x": ""})
	if err := os.Chmod(filepath.Join(dir, "d"), 0o555); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "z")); err != nil {
		t.Fatal(err)
	}
	b := mustTake(t, dir, t.TempDir(), nil)
	base, err := b.CopyTo(t.Context(), to, nil, func(e *Entry) bool { return e.Path == ".env" })
	if err != nil {
		t.Fatal(err)
	}
	was, _ := state(t, dir)
	is, _ := state(t, to)
	delete(was, ".env")
	was["."] = is["."]
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("the copy (-want +got):\n%s", diff)
	}
	if changes := Compare(base, mustScan(t, to, base)); len(changes) > 0 {
		t.Errorf("an untouched copy has changes: %+v", changes)
	}
}

// TestPatchIsGits: what we show is what git takes.
func TestPatchIsGits(t *testing.T) {
	dir, work := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{
		"edit.py": "a\nb\nc\nd\ne\nf\ng\n", "gone.txt": "x\n", "mode.sh": "#!/bin/sh\n", "link": "-> edit.py", "no newline": "x", "becomes": "file\n", "bin": "a\x00b",
	})
	b := mustTake(t, dir, t.TempDir(), nil)
	base, err := b.CopyTo(t.Context(), work, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone.txt", "link", "becomes"} {
		if err := os.Remove(filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
	}
	lay(t, work, map[string]string{"edit.py": "a\nb\nc\nD\ne\nf\ng\nh\n", "new/é.txt": "y\n", "link": "-> gone", "no newline": "y", "becomes": "-> edit.py", "empty": "", "bin": "a\x00c"})
	if err := os.Chmod(filepath.Join(work, "mode.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	now := mustScan(t, work, base)
	changes := Compare(base, now)
	content := func(root string) func(Name) (io.ReadCloser, error) {
		return func(p Name) (io.ReadCloser, error) { return os.Open(filepath.Join(root, string(p))) }
	}
	patch, err := Patch(changes, content(dir), content(work))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(patch, "Binary files a/bin and b/bin differ") || !strings.Contains(patch, "-d\n+D\n") {
		t.Errorf("the patch is\n%s", patch)
	}
	// Without the binary file, git makes of the old what is in the new.
	text := ""
	for part := range strings.SplitSeq(patch, "diff --git ") {
		if part != "" && !strings.HasPrefix(part, "a/bin ") && !strings.HasPrefix(part, "# ") {
			text += "diff --git " + part
		}
	}
	cmd := exec.CommandContext(t.Context(), "git", "apply", "-")
	cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader(text), []string{"HOME=" + dir, "PATH=/usr/bin:/bin", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir)}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git apply: %v\n%s\n%s", err, out, text)
	}
	lay(t, dir, map[string]string{"bin": "a\x00c"})
	for _, c := range Compare(mustScan(t, dir, nil), now) {
		if c.Old == nil || c.New == nil || c.Old.Kind != c.New.Kind || c.Old.Sum != c.New.Sum || c.Old.Target != c.New.Target {
			t.Errorf("after git apply %s differs", c.Path)
		}
	}
	want := []string{"becomes", "bin", "edit.py", "empty", "gone.txt", "link", "mode.sh", "new/é.txt", "no newline"}
	if diff := cmp.Diff(want, Paths(changes)); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestNamesAreBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := Name(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		text, err := n.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Name
		if err := back.UnmarshalText(text); err != nil || back != n || !isPlain(text) {
			t.Fatalf("%q is written %q and read %q, %v", n, text, back, err)
		}
	})
	var n Name
	for _, bad := range []string{"%", "a%2", "%zz"} {
		if n.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is read as %q", bad, n)
		}
	}
}

func isPlain(text []byte) bool { return strings.ToValidUTF8(string(text), "") == string(text) }
