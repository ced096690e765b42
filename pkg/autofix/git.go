package autofix

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// gitPatience bounds one question to git.
	gitPatience = 10 * time.Second
	// maxGit bounds an answer of git, in bytes.
	maxGit = 256 << 10
)

// Head is the commit that is checked out where folder is, read without git; empty when it is in no work tree. It is cheap enough to be
// asked each time that a program turns out to run well.
func Head(folder string) string {
	for dir := folder; ; dir = filepath.Dir(dir) {
		if text, err := readSmall(filepath.Join(dir, ".git", "HEAD")); err == nil {
			return resolveHead(filepath.Join(dir, ".git"), text)
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

func resolveHead(git, head string) string {
	ref, symbolic := strings.CutPrefix(head, "ref: ")
	if !symbolic {
		return onlyHash(head)
	}
	if !filepath.IsLocal(ref) {
		return ""
	}
	if text, err := readSmall(filepath.Join(git, ref)); err == nil {
		return onlyHash(text)
	}
	packed, err := readSmall(filepath.Join(git, "packed-refs"))
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(packed, "\n") {
		if hash, name, ok := strings.Cut(line, " "); ok && name == ref {
			return onlyHash(hash)
		}
	}
	return ""
}

func onlyHash(text string) string {
	if (len(text) != 40 && len(text) != 64) || strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}
	return text
}

// readSmall reads a file of git's that is small where it is what it seems.
func readSmall(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(&limitedReader{f, maxGit}); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()), nil
}

// limitedReader ends after n bytes.
type limitedReader struct {
	f *os.File
	n int
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, fmt.Errorf("%s is larger than %d bytes", l.f.Name(), maxGit)
	}
	n, err := l.f.Read(p[:min(len(p), l.n)])
	l.n -= n
	return n, err
}

// gitChanges is what differs between a commit (or HEAD) and the folder, as text; empty when git cannot tell. A repository can make
// git run programs, so git runs as whoever the folder belongs to, and is told not to.
func gitChanges(ctx context.Context, folder, since string) string {
	if since == "" {
		since = "HEAD"
	}
	head := askGit(ctx, folder, "log", "--format=%h %an %as %s", "-n", "10", since+"..HEAD", "--")
	diff := askGit(ctx, folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--stat", "-p", since, "--", ".")
	if head != "" {
		return "Commits since then:\n" + head + "\n" + diff
	}
	return diff
}

func askGit(ctx context.Context, folder string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", append([]string{
		"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", "-c", "protocol.allow=never",
	}, args...)...)
	cmd.Dir = folder
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C"}
	cmd.SysProcAttr = asOwner(folder)
	cmd.WaitDelay = time.Second
	out := &bounded{most: maxGit}
	cmd.Stdout = out
	if err := cmd.Run(); err != nil {
		return ""
	}
	return strings.TrimSpace(out.String())
}

// asOwner makes a child run as the owner of a folder, where we are root and it is another's.
func asOwner(folder string) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	info, err := os.Stat(folder)
	if err != nil || os.Geteuid() != 0 {
		return attr
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
		attr.Credential = &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
	}
	return attr
}

// bounded keeps the beginning of what is written.
type bounded struct {
	bytes.Buffer

	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.Len(); room > 0 {
		_, _ = b.Buffer.Write(p[:min(len(p), room)]) // it never fails
	}
	return len(p), nil
}
