package autofix

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/autofix/history"
	"github.com/philiporange/supervisor/pkg/autofix/tree"
)

// TestEveryRepairEnds: whatever happens in whatever order, a repair comes to an end or waits for a person, and the folder is the new
// one exactly when it is Applied.
func TestEveryRepairEnds(t *testing.T) {
	outcomes := []outcome{done, asks, approved, declined, refused, failed, interrupt}
	rapid.Check(t, func(t *rapid.T) {
		s, fresh, steps := history.Pending, false, 0
		for !s.Ended() {
			if steps++; steps > 200 {
				t.Fatalf("it goes on and on, and is %s", s)
			}
			o := rapid.SampledFrom(outcomes).Draw(t, "outcome")
			if steps > 100 {
				o = map[bool]outcome{true: declined, false: done}[s == history.Proposed] // misfortune ends
			}
			to, err := next(s, o)
			if err != nil {
				if to != s {
					t.Fatalf("an impossible %s makes %s of %s", o, to, s)
				}
				continue
			}
			// What the steps do to the folder: Applying puts the new one there, all or nothing; Reverting the old one.
			switch {
			case s == history.Applying && o == done, s == history.Applying && o == interrupt && rapid.Bool().Draw(t, "made"):
				fresh = true
			case s == history.Reverting && o == done:
				fresh = false
			case s == history.Reverting && o == failed:
				return // the disk is broken; the record says so, and the backup stays
			}
			if fresh && to != history.Verifying && to != history.Reverting && to != history.Applied {
				t.Fatalf("the folder is changed, and %s leads from %s to %s", o, s, to)
			}
			s = to
		}
		if fresh != (s == history.Applied) {
			t.Fatalf("it is %s, and the folder is new: %v", s, fresh)
		}
	})
}

func TestAdmit(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration, cause history.Cause, s history.State) history.Fix {
		return history.Fix{ID: 7, Cause: cause, State: s, CreatedAt: now.Add(-d)}
	}
	off, two := false, 2
	many := func(n int, every time.Duration) (out []history.Fix) {
		for i := range n {
			out = append(out, ago(time.Hour+time.Duration(i)*every, history.Crash, history.Failed))
		}
		return out
	}
	for name, tt := range map[string]struct {
		enabled bool
		policy  *v1.Autofix
		cause   history.Cause
		past    []history.Fix
		goes    bool
		reason  string
		again   time.Duration // from now; 0 for never
	}{
		"the first":                        {enabled: true, cause: history.Crash, goes: true},
		"switched off":                     {cause: history.Crash, reason: "AUTOFIX_ENABLED"},
		"switched off, by hand":            {cause: history.Hand, goes: true},
		"switched off in the manifest":     {enabled: true, policy: &v1.Autofix{Enabled: &off}, cause: history.Loop, reason: "spec.autofix.enabled"},
		"too soon":                         {enabled: true, cause: history.Crash, past: []history.Fix{ago(4*time.Minute, history.Crash, history.Failed)}, reason: "4m0s ago", again: 6 * time.Minute},
		"too soon after one by hand":       {enabled: true, cause: history.Crash, past: []history.Fix{ago(4*time.Minute, history.Hand, history.Applied)}, reason: "4m0s ago", again: 6 * time.Minute},
		"too soon, by hand":                {enabled: true, cause: history.Hand, past: []history.Fix{ago(time.Minute, history.Crash, history.Failed)}, goes: true},
		"late enough":                      {enabled: true, cause: history.Crash, past: []history.Fix{ago(10*time.Minute, history.Crash, history.Failed)}, goes: true},
		"a cool-down of its own":           {enabled: true, policy: &v1.Autofix{Cooldown: ptr(v1.Duration(time.Hour))}, cause: history.Cron, past: []history.Fix{ago(30*time.Minute, history.Cron, history.Applied)}, reason: "1h", again: 30 * time.Minute},
		"one goes on":                      {enabled: true, cause: history.Hand, past: []history.Fix{ago(time.Hour, history.Crash, history.Working)}, reason: "fix 7 of it is Working", again: time.Minute},
		"one waits for a person":           {enabled: true, cause: history.Crash, past: []history.Fix{ago(time.Hour, history.Crash, history.Proposed)}, reason: "Proposed"},
		"the budget is spent":              {enabled: true, cause: history.Crash, past: many(5, time.Hour), reason: "5 repairs", again: 24*time.Hour - 5*time.Hour},
		"the budget was spent":             {enabled: true, cause: history.Crash, past: many(5, 6*time.Hour), goes: true},
		"a budget of its own":              {enabled: true, policy: &v1.Autofix{MaxPerDay: &two}, cause: history.Crash, past: many(2, time.Hour), reason: "2 repairs", again: 22 * time.Hour},
		"a budget does not count hands":    {enabled: true, policy: &v1.Autofix{MaxPerDay: &two}, cause: history.Crash, past: []history.Fix{ago(time.Hour, history.Hand, history.Failed), ago(2*time.Hour, history.Hand, history.Failed)}, goes: true},
		"the budget is spent, and by hand": {enabled: true, cause: history.Hand, past: many(9, time.Hour), goes: true},
	} {
		v := admit(now, tt.enabled, tt.policy, tt.cause, tt.past)
		want := time.Time{}
		if tt.again != 0 {
			want = now.Add(tt.again)
		}
		if v.Go != tt.goes || !strings.Contains(v.Reason, tt.reason) || !v.Again.Equal(want) {
			t.Errorf("%s: %+v, again in %s", name, v, v.Again.Sub(now))
		}
	}
}

func ptr[T any](v T) *T { return &v }

const pythonTrace = `INFO:     Started server process [12]
Traceback (most recent call last):
  File "/srv/web/app.py", line 7, in <module>
    RATE = 100 / 0
ZeroDivisionError: division by zero`

func TestCrashed(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	lines := func(text string) []string { return strings.Split(text, "\n") }
	for name, tt := range map[string]struct {
		st      v1.ServiceStatus
		cause   history.Cause
		summary string
	}{
		"a traceback":             {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 1, LastExit: &v1.ExitInfo{At: at, Code: 1, Reason: "exited with code 1", LastLines: lines(pythonTrace)}}, history.Crash, "exited with code 1: ZeroDivisionError: division by zero"},
		"no trace, once":          {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 1, LastExit: &v1.ExitInfo{At: at, Code: 1, LastLines: lines("bye")}}, "", ""},
		"no trace, twice":         {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 2, LastExit: &v1.ExitInfo{At: at, Code: 1, Reason: "exited with code 1", LastLines: lines("bye")}}, history.Loop, "exited with code 1: bye"},
		"given up at once":        {v1.ServiceStatus{Phase: v1.PhaseFailed, LastExit: &v1.ExitInfo{At: at, Code: 3, Reason: "exited with code 3"}}, history.Loop, "exited with code 3"},
		"a panic of Go":           {v1.ServiceStatus{Phase: v1.PhaseStarting, Attempts: 1, LastExit: &v1.ExitInfo{At: at, Code: 2, Reason: "exited with code 2", LastLines: lines("panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/web/main.go:5")}}, history.Crash, "exited with code 2: panic: runtime error: index out of range"},
		"a fault":                 {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 2, LastExit: &v1.ExitInfo{At: at, Code: -1, Signal: "SIGSEGV", Reason: "killed by SIGSEGV"}}, history.Loop, "killed by SIGSEGV"},
		"an operator's kill":      {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 2, LastExit: &v1.ExitInfo{At: at, Code: -1, Signal: "SIGKILL"}}, "", ""},
		"no memory":               {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 2, LastExit: &v1.ExitInfo{At: at, Code: 1, OOM: true}}, "", ""},
		"nobody saw it":           {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 2, LastExit: &v1.ExitInfo{At: at, Code: -1, Lost: true}}, "", ""},
		"a good end":              {v1.ServiceStatus{Phase: v1.PhaseBackoff, Attempts: 2, LastExit: &v1.ExitInfo{At: at}}, "", ""},
		"an end that was allowed": {v1.ServiceStatus{Phase: v1.PhaseComplete, LastExit: &v1.ExitInfo{At: at, Code: 1, LastLines: lines(pythonTrace)}}, "", ""},
		"nothing has ended":       {v1.ServiceStatus{Phase: v1.PhaseRunning}, "", ""},
	} {
		got, ok := Crashed(web, &tt.st, at.Add(-time.Second))
		if ok != (tt.cause != "") || got.Cause != tt.cause || got.Summary != tt.summary {
			t.Errorf("%s: %v %+v", name, ok, got)
		}
		if _, again := Crashed(web, &tt.st, at); again {
			t.Errorf("%s: it is news twice", name)
		}
	}
	if _, ok := Crashed(web, nil, at); ok {
		t.Error("of nothing there is a crash")
	}
}

func TestSignature(t *testing.T) {
	same := []string{
		pythonTrace,
		strings.ReplaceAll(pythonTrace, "line 7", "line 19"),
		strings.ReplaceAll(pythonTrace, "[12]", "[4711]"),
	}
	for _, text := range same {
		if signature(text) != signature(same[0]) {
			t.Errorf("another error is\n%s", text)
		}
	}
	if signature(`KeyError: 'alice'`) != signature(`KeyError: 'bob'`) {
		t.Error("a name makes another error")
	}
	for _, text := range []string{
		strings.ReplaceAll(pythonTrace, "app.py", "lib.py"), strings.ReplaceAll(pythonTrace, "ZeroDivisionError", "ValueError"), "",
	} {
		if signature(text) == signature(same[0]) {
			t.Errorf("the same error is\n%s", text)
		}
	}
}

func TestErrorsAreCounted(t *testing.T) {
	g := groups{}
	at := time.Unix(1_700_000_000, 0)
	note := func(text string, after time.Duration) bool {
		got, ok := g.note(web, text, at.Add(after))
		if ok && (got.Cause != history.Errors || got.Trace != text || !strings.Contains(got.Summary, "again and again")) {
			t.Errorf("the trigger is %+v", got)
		}
		return ok
	}
	if note(pythonTrace, 0) || note(pythonTrace, time.Minute) || note("ERROR nothing says where", 2*time.Minute) || note("ERROR nothing says where", 2*time.Minute) || note("ERROR nothing says where", 2*time.Minute) {
		t.Error("too early")
	}
	if !note(pythonTrace, 2*time.Minute) {
		t.Error("three in ten minutes are not enough")
	}
	if note(pythonTrace, 3*time.Minute) {
		t.Error("what was told is told again")
	}
	if note(pythonTrace, 9*time.Minute) || note(pythonTrace, 30*time.Minute) || note(pythonTrace, 41*time.Minute) {
		t.Error("too rare")
	}
	for i := range maxGroups + 50 {
		word := strings.Map(func(r rune) rune { return 'a' + (r - '0') }, fmt.Sprint(i)) // numbers vary
		g.note(web, "Traceback (most recent call last):\nValueError: "+word, at.Add(time.Duration(i)*time.Second))
	}
	if len(g) > maxGroups {
		t.Errorf("%d errors are told apart", len(g))
	}
}

func TestUnfitFolders(t *testing.T) {
	const home, data, manifests = "/home/me", "/home/me/.supervisor", "/home/me/.supervisor/manifests"
	for folder, fit := range map[string]bool{
		"/": false, "": false, "/home/me": false, "/home": false, "/etc/app": false, "/usr/lib/x": false, "/root": false, data: false, manifests: false,
		data + "/logs": false, "/home/me/Code/web": true, "/srv/web": true, "/opt/x/y": true, "/root/web": true, manifests + "/web": true, "/app": true,
		"/home/me/.supervisor2": true,
	} {
		if why := unfit(folder, home, data, manifests); (why == "") != fit {
			t.Errorf("%q: %q", folder, why)
		}
	}
}

func TestLinksThatLeadOut(t *testing.T) {
	for link, want := range map[string]bool{
		"a -> b": false, "d/a -> ../b": false, "d/a -> ../../b": true, "a -> ..": true, "a -> /etc": true, "d/e/a -> ../../../x": true, "a -> ./d/../b": false,
	} {
		from, to, _ := strings.Cut(link, " -> ")
		if leadsOut(tree.Name(from), tree.Name(to)) != want {
			t.Errorf("%s leads out: %v", link, !want)
		}
	}
}

// TestLentRights: what lends rights to whoever runs it is not an agent's to change, and not only its mode.
func TestLentRights(t *testing.T) {
	file := func(sum string, mode uint32, attrs map[string][]byte) *tree.Entry {
		return &tree.Entry{Path: "tool", Kind: tree.File, Sum: sum, Mode: mode, Attrs: attrs}
	}
	capable := map[string][]byte{"security.capability": {1}}
	for _, c := range []struct {
		name     string
		old, new *tree.Entry
		refused  bool
	}{
		{"plain", file("1", 0o755, nil), file("2", 0o755, nil), false},
		{"setuid, other content", file("1", 0o4755, nil), file("2", 0o4755, nil), true},
		{"setgid, other content", file("1", 0o2755, nil), file("2", 0o2755, nil), true},
		{"capabilities, other content", file("1", 0o755, capable), file("2", 0o755, capable), true},
		{"setuid, same content", file("1", 0o4755, nil), file("1", 0o4700, nil), false},
		{"becomes setuid", file("1", 0o755, nil), file("1", 0o4755, nil), true},
		{"new and setuid", nil, file("1", 0o4755, nil), true},
		{"setuid, removed", file("1", 0o4755, nil), nil, false},
	} {
		b := bounds{folder: t.TempDir(), manifests: t.TempDir()}
		if err := b.review([]tree.Change{{Path: "tool", Old: c.old, New: c.new}}); (err != nil) != c.refused {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestNothingIsLentOutside: links in the copy do not lead us out of it when we link into it what the check needs.
func TestNothingIsLentOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	r := &repair{copy: dir, log: slog.New(slog.DiscardHandler), f: history.Fix{Folder: "/srv/web"}, backup: &tree.Backup{Snapshot: tree.Snapshot{
		Skipped: []tree.Name{"node_modules", "sub/ld.so.preload"},
		Entries: []tree.Entry{{Path: "sub/.env", Kind: tree.File}, {Path: ".env", Kind: tree.File}},
	}}}
	if err := r.lendAll(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node_modules", ".env"} {
		if to, err := os.Readlink(filepath.Join(dir, name)); err != nil || to != "/srv/web/"+name {
			t.Errorf("%s leads to %q, %v", name, to, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside is %v, %v", left, err)
	}
}

func TestSecretFiles(t *testing.T) {
	for name, want := range map[string]bool{
		".env": true, "sub/.env.production": true, ".env.example": false, "tls/server.key": true, "id_rsa": true, "keys.py": false, "app.py": false, "conf/x.cfg": true,
	} {
		if secretFile(tree.Name(name), []string{"conf/x.cfg"}) != want {
			t.Errorf("%s is secret: %v", name, !want)
		}
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestWhatChangedSinceItRanWell(t *testing.T) {
	dir := t.TempDir()
	if Head(dir) != "" {
		t.Errorf("without git the commit is %q", Head(dir))
	}
	git(t, dir, "init", "-q", "-b", "main")
	lay(t, dir, map[string]string{"app.py": "one\n", "sub/x.py": "x\n"})
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "it runs")
	well := git(t, dir, "rev-parse", "HEAD")
	sub := filepath.Join(dir, "sub")
	if Head(dir) != well || Head(sub) != well {
		t.Errorf("the commit is %q, below %q, and not %q", Head(dir), Head(sub), well)
	}
	git(t, dir, "pack-refs", "--all")
	if Head(dir) != well {
		t.Errorf("with packed refs the commit is %q", Head(dir))
	}
	lay(t, dir, map[string]string{"app.py": "two\n"})
	git(t, dir, "commit", "-qam", "faster now")
	lay(t, dir, map[string]string{"app.py": "three\n"})
	// What a hostile repository would have git run.
	marker := filepath.Join(dir, "was-run")
	for _, key := range []string{"core.fsmonitor", "diff.external", "core.pager"} {
		git(t, dir, "config", key, "touch "+marker)
	}
	text := gitChanges(t.Context(), dir, well)
	for _, want := range []string{"faster now", "-one", "+three"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if text := gitChanges(t.Context(), dir, ""); !strings.Contains(text, "-two") || strings.Contains(text, "-one") {
		t.Errorf("what is not committed is\n%s", text)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("git has run a program of the repository")
	}
	git(t, dir, "checkout", "-q", "--detach", well, "-f")
	if Head(dir) != well {
		t.Errorf("detached, the commit is %q", Head(dir))
	}
	if text := gitChanges(t.Context(), t.TempDir(), ""); text != "" {
		t.Errorf("without git there are changes: %s", text)
	}
}

func TestThePastIsTold(t *testing.T) {
	e := evidence{object: "Service/web", cause: "It has crashed.", well: "2026-01-01 10:00", changes: "the diff", check: "pytest", past: []history.Fix{
		{State: history.Reverted, Reason: "it exited again", Diff: "+a"},
		{State: history.Failed, Cause: history.Restore, Reason: "not me"},
		{State: history.Applied, Restored: time.Unix(1, 0)},
		{State: history.Rejected},
		{State: history.Failed, Reason: "one too many"},
	}}
	text := e.prompt()
	for _, want := range []string{"did not help and was undone", "it exited again", "a person undid it", "did not want it", "since it last ran well, 2026-01-01", "pytest"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for _, unwanted := range []string{"not me", "one too many"} {
		if strings.Contains(text, unwanted) {
			t.Errorf("%q is in\n%s", unwanted, text)
		}
	}
}
