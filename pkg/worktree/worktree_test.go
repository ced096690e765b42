package worktree

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=Me", "-c", "user.email=me@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each edit becomes a commit of that file alone, by whoever made it, and the state says what is not committed.
func TestCommit(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, "manifests")
	write(t, filepath.Join(dir, "a.yaml"), "1\n")
	write(t, filepath.Join(dir, "deep/ä b.yaml"), "1\n")
	write(t, filepath.Join(top, "outside.txt"), "1\n")
	write(t, filepath.Join(top, ".gitignore"), "*.ignored.yaml\n")
	f := New(dir)
	if _, err := f.State(t.Context()); !errors.Is(err, ErrNone) {
		t.Fatalf("without a repository: %v", err)
	}
	if err := f.Commit(t.Context(), "a.yaml", "m", "me"); !errors.Is(err, ErrNone) {
		t.Fatalf("without a repository: %v", err)
	}
	git(t, top, "init", "-q", "-b", "main")
	s, err := f.State(t.Context())
	if err != nil || s.Branch != "main" || s.Head != "" || s.Of("a.yaml") != Untracked || s.Of("deep/ä b.yaml") != Untracked || len(s.Files) != 2 {
		t.Fatalf("%+v %v", s, err)
	}
	git(t, top, "add", ".")
	git(t, top, "commit", "-qm", "begin")

	write(t, filepath.Join(dir, "a.yaml"), "2\n")
	write(t, filepath.Join(dir, "deep/ä b.yaml"), "2\n")
	git(t, top, "add", "manifests/deep") // somebody is about to commit that
	if err := f.Commit(t.Context(), "a.yaml", "a was edited", "user:1000 (<cli>)"); err != nil {
		t.Fatal(err)
	}
	if got := git(t, top, "log", "-1", "--name-only", "--format=%an|%cn|%s"); got != "user:1000 (cli)|Supervisor|a was edited\n\nmanifests/a.yaml" {
		t.Errorf("%q", got)
	}
	if s, err = f.State(t.Context()); err != nil || s.Of("a.yaml") != Clean || s.Of("deep/ä b.yaml") != Modified || s.Head == "" {
		t.Errorf("%+v %v", s, err)
	}

	before := git(t, top, "rev-parse", "HEAD")
	write(t, filepath.Join(dir, "x.ignored.yaml"), "1\n")
	for _, path := range []string{"a.yaml", "x.ignored.yaml", "never.yaml"} {
		if err := f.Commit(t.Context(), path, "nothing", ""); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if now := git(t, top, "rev-parse", "HEAD"); now != before {
		t.Error("a commit of nothing")
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(t.Context(), "a.yaml", "a was deleted", ""); err != nil {
		t.Fatal(err)
	}
	if got := git(t, top, "log", "-1", "--name-status", "--format=%an"); got != "Supervisor\n\nD\tmanifests/a.yaml" {
		t.Errorf("%q", got)
	}
}

// A hook that refuses is an error that says what the hook said.
func TestCommitThatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	write(t, filepath.Join(dir, ".git/hooks/pre-commit"), "#!/bin/sh\necho not today >&2\nexit 1\n")
	if err := os.Chmod(filepath.Join(dir, ".git/hooks/pre-commit"), 0o755); err != nil { //nolint:gosec // hooks are programs
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.yaml"), "1\n")
	if err := New(dir).Commit(t.Context(), "a.yaml", "m", "me"); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("%v", err)
	}
}
