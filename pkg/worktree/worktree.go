package worktree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// lookTime bounds a question, commitTime a commit, whose hooks may take a while.
	lookTime   = 2 * time.Second
	commitTime = 15 * time.Second
)

// ErrNone says that the folder lies in no work tree.
var ErrNone = errors.New("the folder is in no git work tree")

// The states of a file.
const (
	Clean     = "clean"
	Modified  = "modified"
	Untracked = "untracked"
)

// State is how a folder differs from HEAD.
type State struct {
	// Branch is empty when HEAD is detached, Head when there is no commit yet.
	Branch, Head string
	// Files are those that are not clean, by path relative to the folder, with slashes.
	Files map[string]string
}

// Of is the state of a file; path is relative to the folder.
func (s *State) Of(path string) string {
	if state, ok := s.Files[path]; ok {
		return state
	}
	return Clean
}

// Folder is a folder that may lie in a work tree. It is safe for concurrent use.
type Folder struct {
	dir string
	mu  sync.Mutex // one commit at a time
}

// New returns the folder at dir, which need not exist.
func New(dir string) *Folder { return &Folder{dir: dir} }

// inside reports whether a .git is in the folder or above it. It costs no process.
func (f *Folder) inside() bool {
	real, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		return false
	}
	for dir := real; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

// git runs git in the folder. Nothing may ask a question, and no signature is made, for which somebody may have to type.
func (f *Folder) git(ctx context.Context, limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", f.dir, "-c", "commit.gpgSign=false", "-c", "core.quotePath=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C",
		"GIT_COMMITTER_NAME=Supervisor", "GIT_COMMITTER_EMAIL=supervisor@localhost")
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(errs.String())
		if ctx.Err() != nil {
			said = "it took longer than " + limit.String()
		}
		return "", fmt.Errorf("git %s: %w: %.300s", args[0], err, said)
	}
	return out.String(), nil
}

// State compares the folder with HEAD. It fails with ErrNone where there is no work tree.
func (f *Folder) State(ctx context.Context) (State, error) {
	if !f.inside() {
		return State{}, ErrNone
	}
	out, err := f.git(ctx, lookTime, "status", "--porcelain=v2", "--branch", "--untracked-files=all", "-z", "--", ".")
	if err != nil {
		return State{}, err
	}
	prefix, err := f.git(ctx, lookTime, "rev-parse", "--show-prefix")
	if err != nil {
		return State{}, err
	}
	return parse(out, strings.TrimSpace(prefix)), nil
}

// parse reads what status says. Paths in it begin at the top of the work tree; prefix is that of the folder.
func parse(out, prefix string) State {
	s := State{Files: map[string]string{}}
	fields := strings.Split(out, "\x00")
	for i := 0; i < len(fields); i++ {
		line := fields[i]
		if head, ok := strings.CutPrefix(line, "# branch.head "); ok && head != "(detached)" {
			s.Branch = head
		}
		if id, ok := strings.CutPrefix(line, "# branch.oid "); ok && id != "(initial)" {
			s.Head = id[:min(12, len(id))]
		}
		state := Modified
		var path string
		switch {
		case strings.HasPrefix(line, "? "):
			state, path = Untracked, line[2:]
		case strings.HasPrefix(line, "1 "): // 1 XY sub mH mI mW hH hI path
			path = field(line, 8)
		case strings.HasPrefix(line, "2 "): // as 1, with a score; the old path is a field of its own
			path = field(line, 9)
			i++
		case strings.HasPrefix(line, "u "):
			path = field(line, 10)
		default:
			continue
		}
		s.Files[strings.TrimPrefix(path, prefix)] = state
	}
	return s
}

// field is what stands behind n blanks.
func field(line string, n int) string {
	parts := strings.SplitN(line, " ", n+1)
	if len(parts) <= n {
		return ""
	}
	return parts[n]
}

// Commit makes a commit of one file, as it is now or as it is gone, and of nothing else. What git ignores, or never knew, is no
// error. It fails with ErrNone where there is no work tree.
func (f *Folder) Commit(ctx context.Context, path, message, author string) error {
	if !f.inside() {
		return ErrNone
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := os.Lstat(filepath.Join(f.dir, filepath.FromSlash(path))); err != nil {
		if known, err := f.git(ctx, lookTime, "ls-files", "--", path); err != nil || known == "" {
			return err
		}
	} else if out, err := f.git(ctx, lookTime, "status", "--porcelain", "--ignored", "--untracked-files=all", "--", path); err != nil || out == "" || strings.HasPrefix(out, "!!") {
		return err // ignored, or as HEAD has it
	}
	if _, err := f.git(ctx, lookTime, "add", "--all", "--", path); err != nil {
		return err
	}
	_, err := f.git(ctx, commitTime, "commit", "--quiet", "--only", "--message", message, "--author", signature(author), "--", path)
	return err
}

// signature makes an author of an actor, such as "user:1000 (cli)".
func signature(actor string) string {
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == '<' || r == '>' {
			return -1
		}
		return r
	}, actor)
	if name = strings.TrimSpace(name); name == "" {
		name = "Supervisor"
	}
	return name + " <supervisor@localhost>"
}
