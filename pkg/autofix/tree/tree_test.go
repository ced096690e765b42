package tree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// state is a folder as somebody else sees it: what `find -printf` and `sha256sum` would tell, in words of our own, so that it does not
// believe what is tested. What is skipped is told apart.
func state(t interface{ Fatal(...any) }, dir string) (kept, skipped map[string]string) {
	kept, skipped = map[string]string{}, map[string]string{}
	names := map[uint64][]string{} // of each inode, sorted
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %q", st.Mtim.Nano(), text)
			value := make([]byte, 100)
			if n, err := unix.Lgetxattr(path, "user.note", value); err == nil {
				line += " note " + string(value[:n])
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		_, inSkipped := skipped[filepath.Dir(rel)]
		if inSkipped || d.Name() == ".git" || d.Name() == "node_modules" && d.IsDir() {
			skipped[rel] = line
			return nil
		}
		kept[rel] = line
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			names[st.Ino] = append(names[st.Ino], rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, same := range names {
		for _, name := range same {
			if len(same) > 1 {
				kept[name] += " = " + same[0]
			}
		}
	}
	return kept, skipped
}

// node is one thing in a generated folder.
type node struct {
	path, kind, text string
	mode             uint32
	mtime            int64
	note             string
	uid              int
}

var (
	words = []string{"a", "b", "c.py", "d d", "node_modules", ".git", "\xff%", "é"}
	modes = []uint32{0o644, 0o600, 0o755, 0o444, 0o4755, 0o666}
	dirs  = []uint32{0o755, 0o700, 0o2775, 0o555, 0o500}
)

func genNode() *rapid.Generator[node] {
	return rapid.Custom(func(t *rapid.T) node {
		n := node{
			path: filepath.Join(rapid.SliceOfN(rapid.SampledFrom(words), 1, 3).Draw(t, "path")...),
			kind: rapid.SampledFrom([]string{"file", "file", "file", "dir", "link", "hard"}).Draw(t, "kind"),
			text: rapid.SampledFrom([]string{"", "x", "y\n", "a.py", "../../out", "/etc/passwd", strings.Repeat("long\n", 20)}).Draw(t, "text"),
			mode: rapid.SampledFrom(modes).Draw(t, "mode"), mtime: rapid.Int64Range(0, 1<<60).Draw(t, "mtime"),
			note: rapid.SampledFrom([]string{"", "", "one", "two"}).Draw(t, "note"),
		}
		if n.kind == "dir" {
			n.mode = rapid.SampledFrom(dirs).Draw(t, "mode")
		}
		if os.Geteuid() == 0 {
			n.uid = rapid.SampledFrom([]int{0, 1, 65534}).Draw(t, "uid")
		}
		return n
	})
}

// build makes a folder of nodes; what cannot be (a file below a file) is left out.
func build(dir string, nodes []node) {
	var folders []node
	for _, n := range nodes {
		path := filepath.Join(dir, n.path)
		if os.MkdirAll(filepath.Dir(path), 0o755) != nil {
			continue
		}
		var err error
		switch n.kind {
		case "dir":
			if err = os.MkdirAll(path, 0o755); err == nil {
				folders = append(folders, n)
				continue
			}
		case "link":
			err = os.Symlink(n.text, path)
		case "hard":
			if strings.Contains(n.path, ".git") || strings.Contains(n.path, "node_modules") {
				continue // a file that has a name in what is skipped, too, is what it is there
			}
			err = os.Link(filepath.Join(dir, "a"), path)
		default:
			if _, lerr := os.Lstat(path); lerr == nil {
				continue
			}
			err = os.WriteFile(path, []byte(n.text), 0o600)
		}
		if err != nil {
			continue
		}
		_ = os.Lchown(path, n.uid, n.uid)
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			if n.note != "" {
				_ = unix.Setxattr(path, "user.note", []byte(n.note), 0)
			}
			_ = os.Chmod(path, goMode(n.mode))
			_ = os.Chtimes(path, time.Unix(0, n.mtime), time.Unix(0, n.mtime))
		}
	}
	for _, n := range slices.Backward(folders) {
		_ = os.Lchown(filepath.Join(dir, n.path), n.uid, n.uid)
		_ = os.Chmod(filepath.Join(dir, n.path), goMode(n.mode))
	}
}

// empty removes everything from a folder but what is skipped, whatever its modes.
func empty(t *rapid.T, dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o755)
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// crash is what a step panics with.
type crash struct{}

// crashing runs f, in which the n-th step never returns, and reports whether that came.
func crashing(n int, f func(step func()) error) (crashed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(crash); !ok {
				panic(p) //nolint:forbidigo // Not ours to handle.
			}
			crashed = true
		}
	}()
	return false, f(func() {
		if n--; n == 0 {
			panic(crash{}) //nolint:forbidigo // Like a kill, it runs nothing of what comes after.
		}
	})
}

// TestRestoreIsExact: whatever a folder was and whatever it has become, a swap to the backup leaves exactly what it was, a crash at
// any step leaves the old or the new, and what is skipped is not touched.
func TestRestoreIsExact(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "t")
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Join(dir, "app")
		defer func() { empty(t, folder); _ = os.RemoveAll(dir) }()
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		nodes := rapid.SliceOfN(genNode(), 0, 12).Draw(t, "was")
		build(folder, nodes)
		was, _ := state(t, folder)
		b, err := Take(t.Context(), folder, filepath.Join(dir, "backups"), "", nil, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if b, err = Open(b.Path); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "anew") {
			empty(t, folder)
		}
		build(folder, rapid.SliceOfN(genNode(), 0, 12).Draw(t, "is"))
		is, skipped := state(t, folder)

		now, err := Scan(t.Context(), folder, nil, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		journal := filepath.Join(dir, "journal")
		changes := Compare(now, &b.Snapshot)
		run := func(step func()) error {
			return (&Swap{Folder: folder, Changes: changes, Content: b.Content, Journal: journal, step: step}).Run(t.Context())
		}
		crashed, err := crashing(rapid.IntRange(1, 60).Draw(t, "crash"), run)
		if err != nil {
			// What stays where it is may be in the way of what was there; then nothing is done.
			if len(skipped) > 0 && (strings.Contains(err.Error(), "cannot become a file") || errors.Is(err, ErrChanged)) {
				if still, _ := state(t, folder); cmp.Diff(is, still) != "" {
					t.Fatalf("a refused change has changed something (-was +is):\n%s", cmp.Diff(is, still))
				}
				return
			}
			t.Fatal(err)
		}
		// Recovery is interrupted as often as one likes.
		for again := 0; crashed && again < 3; again++ {
			j, err := readJournal(journal)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(folder)
			if err != nil {
				t.Fatal(err)
			}
			if crashed, err = crashing(rapid.IntRange(1, 40).Draw(t, "crash again"), func(step func()) error { return j.finish(root, journal, step) }); err != nil {
				t.Fatal(err)
			}
			_ = root.Close()
		}
		switch _, err := Recover(journal); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			t.Fatal(err)
		default:
			crashed = false
		}
		if err := Sweep(folder); err != nil {
			t.Fatal(err)
		}
		after, skippedAfter := state(t, folder)
		// A folder that holds something that is skipped stays for its sake.
		for p := range after {
			if _, ok := was[p]; !ok && slices.ContainsFunc(slices.Collect(maps.Keys(skipped)), func(s string) bool { return strings.HasPrefix(s, p+"/") }) {
				delete(after, p)
				delete(is, p)
			}
		}
		if diff := cmp.Diff(was, after); diff != "" && (!crashed || cmp.Diff(is, after) != "") {
			t.Fatalf("crashed %v; restored (-was +is):\n%s", crashed, diff)
		}
		if diff := cmp.Diff(skipped, skippedAfter); diff != "" {
			t.Fatalf("what is skipped was touched (-was +is):\n%s", diff)
		}
	})
}

// TestAsNobody runs the property as somebody whom modes keep out.
func TestAsNobody(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user; as another user TestRestoreIsExact is this test")
	}
	dir, err := os.MkdirTemp("", "tree-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	program, err := os.OpenFile(filepath.Join(dir, "test"), os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(program, self); err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "tmp"), 0o700), os.Chown(filepath.Join(dir, "tmp"), 65534, 65534)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program.Name(), "-test.run", "^TestRestoreIsExact$", "-test.v", "-rapid.nofailfile")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + filepath.Join(dir, "tmp")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestRestoreIsExact") {
		t.Errorf("%v\n%s", err, out)
	}
}
