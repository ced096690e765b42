package testenv_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// versioned is a service whose environment says which edit it was started by.
func versioned(name string, version int) string {
	return testenv.Manifest(name, fmt.Sprintf("command: [sh, -c, 'echo version=$VERSION; exec sleep 1000']\nenv:\n  VERSION: \"%d\"\n", version))
}

// versions are the versions that a service was started with, in order.
func versions(e *testenv.Env, name string) string {
	return strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(e.LogText(name, "stdout"), "version=", "")), "\n", " ")
}

// Every way of saving a file is applied once, and unrelated services do not notice.
func TestWaysOfSaving(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	e.Write("bystander.yaml", versioned("bystander", 0))
	e.Write("web.yaml", versioned("web", 0))
	e.StartManager()
	bystander := e.PID("bystander")
	e.PID("web")
	path := filepath.Join(e.Manifests, "web.yaml")
	sh := func(script string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
		cmd.Dir = e.Manifests
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	want := "0"
	for i, save := range []struct{ name, script string }{
		{"sed -i", `sed -i 's/VERSION: "[0-9]*"/VERSION: "%d"/' web.yaml`},
		{"rename over", `sed 's/VERSION: "[0-9]*"/VERSION: "%d"/' web.yaml > .web.tmp && mv .web.tmp web.yaml`},
		{"truncate and write", `text=$(sed 's/VERSION: "[0-9]*"/VERSION: "%d"/' web.yaml); printf '%%s\n' "$text" > web.yaml`},
		{"remove and write", `text=$(sed 's/VERSION: "[0-9]*"/VERSION: "%d"/' web.yaml); rm web.yaml; printf '%%s\n' "$text" > web.yaml`},
		{"vim", `vim.tiny -Nu NONE -es -c '%%s/VERSION: "[0-9]*"/VERSION: "%d"/' -c 'wq' web.yaml </dev/null || vi -es -c '%%s/VERSION: "[0-9]*"/VERSION: "%d"/' -c wq web.yaml </dev/null`},
		{"slow writer with the file open", `text=$(sed 's/VERSION: "[0-9]*"/VERSION: "%d"/' web.yaml); { printf '%%s' "$text" | head -c 60; sleep 0.4; printf '%%s' "$text" | tail -c +61; echo; } > web.yaml`},
	} {
		version := i + 1
		script := save.script
		script = strings.ReplaceAll(script, "%d", fmt.Sprint(version))
		script = strings.ReplaceAll(script, "%%", "%")
		sh(script)
		want += fmt.Sprintf(" %d", version)
		e.Wait(save.name+" to be applied", func() bool { return versions(e, "web") == want })
		e.PID("web")
	}
	// What is no change restarts nothing: a touch, a comment, a reformat, the same content from git.
	pid := e.PID("web")
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e.Write("web.yaml", "# a comment\n"+strings.ReplaceAll(string(text), "  ", "    "))
	// The marker is seen after the edits above, as the watcher takes changes in order.
	e.Write("marker.yaml", versioned("marker", 0))
	e.PID("marker")
	if got := e.PID("web"); got != pid || versions(e, "web") != want {
		t.Errorf("a comment or a reformat restarted the service: process %d became %d", pid, got)
	}
	if got := e.PID("bystander"); got != bystander || versions(e, "bystander") != "0" {
		t.Errorf("the bystander was restarted: process %d became %d", bystander, got)
	}
}

// Files that editors and tools leave behind are no manifests.
func TestJunkFilesHaveNoEffect(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	for _, name := range []string{".web.yaml.swp", "web.yaml~", "web.yaml.bak", "4913", "web.yaml.tmp123", ".hidden/web.yaml", "#web.yaml#", "readme.md"} {
		e.Write(name, versioned("junk", 0))
	}
	e.Write("real.yaml", versioned("real", 0))
	e.PID("real")
	if st := e.Status("junk"); st != nil {
		t.Errorf("a junk file made a service: %+v", st)
	}
	if out, _ := e.CLI("get", "problems"); strings.Contains(out, "junk") {
		t.Errorf("a junk file made a problem:\n%s", out)
	}
}

// A git work tree behind a symlink, checked out, switched and swapped.
func TestGitCheckoutAndSymlinkFlip(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	repo := filepath.Join(e.Dir, "repo")
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo, "-c", "user.name=t", "-c", "user.email=t@localhost"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	commit := func(version int) {
		t.Helper()
		for i := range 500 {
			kind := fmt.Sprintf("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: g%03d, labels: {version: v%d}}\nspec: {command: sleep 1000, enabled: false}\n", i, version)
			if i < 2 {
				kind = versioned(fmt.Sprintf("g%03d", i), version*(1-i)) // g000 changes, g001 does not
			}
			if err := os.WriteFile(filepath.Join(repo, fmt.Sprintf("g%03d.yaml", i)), []byte(kind), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		git("add", "-A")
		git("commit", "-qm", fmt.Sprint(version))
		git("tag", fmt.Sprintf("v%d", version))
	}
	if err := os.MkdirAll(repo, 0o755); err != nil {
		t.Fatal(err)
	}
	git("init", "-q")
	commit(1)
	commit(2)
	git("checkout", "-q", "v1")
	if err := os.Remove(e.Manifests); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(repo, e.Manifests); err != nil {
		t.Fatal(err)
	}
	e.StartManager()
	e.PID("g000")
	still := e.PID("g001")

	git("checkout", "-q", "v2")
	e.Wait("the checkout to be applied", func() bool { return versions(e, "g000") == "1 2" })
	if got := e.PID("g001"); got != still {
		t.Errorf("the same content from git restarted a service: process %d became %d", still, got)
	}
	e.Wait("all 500 to be known with their new label", func() bool {
		objs, err := e.Client.Objects(t.Context(), v1.KindService, "version=v2")
		return err == nil && len(objs) == 498
	})

	// git-sync: the link is pointed at another folder in one rename.
	next := filepath.Join(e.Dir, "next")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", repo, next).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(next, "g000.yaml"), []byte(versioned("g000", 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(next, e.Manifests+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(e.Manifests+".new", e.Manifests); err != nil {
		t.Fatal(err)
	}
	e.Wait("the flip to be applied", func() bool { return versions(e, "g000") == "1 2 3" })
	if got := e.PID("g001"); got != still {
		t.Errorf("the flip restarted an unchanged service: process %d became %d", still, got)
	}
}

// The folder is moved away, an empty one takes its place: nothing stops until a person says so; later edits are seen.
func TestDirectorySwapAsksBeforePruning(t *testing.T) {
	t.Parallel()
	e := testenv.New(t)
	for i := range 5 {
		e.Write(fmt.Sprintf("s%d.yaml", i), versioned(fmt.Sprintf("s%d", i), 0))
	}
	e.StartManager()
	pids := map[string]int{}
	for i := range 5 {
		name := fmt.Sprintf("s%d", i)
		pids[name] = e.PID(name)
	}
	if err := os.Rename(e.Manifests, e.Manifests+".away"); err != nil {
		t.Fatal(err)
	}
	e.Wait("the missing folder to be reported", func() bool {
		out, _ := e.CLI("get", "problems")
		return strings.Contains(out, "manifests")
	})
	if err := os.Mkdir(e.Manifests, 0o755); err != nil {
		t.Fatal(err)
	}
	e.Write("new.yaml", versioned("new", 0))
	e.PID("new")
	for name, pid := range pids {
		if got := e.PID(name); got != pid {
			t.Errorf("%s: process %d became %d", name, pid, got)
		}
	}
	e.Wait("prune to list what would go", func() bool {
		out, code := e.CLI("prune")
		return code == 0 && strings.Contains(out, "s3")
	})
	if out, code := e.CLI("prune", "--yes"); code != 0 {
		t.Fatalf("prune --yes: exit %d: %s", code, out)
	}
	for name, pid := range pids {
		e.Wait(name+" to go", func() bool { return !testenv.Alive(pid) && e.Status(name) == nil })
	}
	e.PID("new")
}

// 20,000 events in a burst, more than the kernel's queue holds: the state converges all the same.
func TestEventBurst(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Write("web.yaml", versioned("web", 0))
	pid := e.PID("web")
	for i := range 10_000 {
		name := filepath.Join(e.Manifests, fmt.Sprintf("junk%d.tmp", i%50))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	e.Write("late.yaml", versioned("late", 0))
	e.PID("late")
	if got := e.PID("web"); got != pid {
		t.Errorf("process %d became %d", pid, got)
	}
}

// A broken edit leaves the old process alone and names file, line and field, in the CLI and the API.
func TestBrokenEdit(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Write("web.yaml", versioned("web", 0))
	pid := e.PID("web")
	e.Write("web.yaml", strings.Replace(versioned("web", 1), "command:", "comand:", 1))
	var out string
	e.Wait("the problem to be shown", func() bool {
		out, _ = e.CLI("get", "problems")
		return strings.Contains(out, "web.yaml:6")
	})
	for _, want := range []string{"spec.comand", "did you mean", "command"} {
		if !strings.Contains(out, want) {
			t.Errorf("get problems does not say %q:\n%s", want, out)
		}
	}
	if out, _ := e.CLI("describe", "web"); !strings.Contains(out, "web.yaml:6") {
		t.Errorf("describe does not name file and line:\n%s", out)
	}
	_, body := get(t, e, "/api/v1/problems")
	if !strings.Contains(body, `"line":6`) || !strings.Contains(body, "spec.comand") {
		t.Errorf("the API does not name line and field: %s", body)
	}
	if got := e.PID("web"); got != pid {
		t.Errorf("process %d became %d", pid, got)
	}
	// Also a manager that starts on the broken file keeps the last good version.
	e.KillManager()
	e.StartManager()
	if got := e.PID("web"); got != pid {
		t.Errorf("after a restart of the manager, process %d became %d", pid, got)
	}
	e.Write("web.yaml", versioned("web", 2))
	e.Wait("the mended file to be applied", func() bool { return versions(e, "web") == "0 2" })
	e.Wait("the problem to go", func() bool {
		out, _ = e.CLI("get", "problems")
		return !strings.Contains(out, "web.yaml")
	})
}

// The same name in two files: what runs is untouched, both files are flagged.
func TestDuplicateName(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	e.Write("b.yaml", versioned("web", 0))
	pid := e.PID("web")
	e.Write("a.yaml", versioned("Web", 1))
	e.Wait("both files to be flagged", func() bool {
		out, _ := e.CLI("get", "problems")
		return strings.Contains(out, "a.yaml") && strings.Contains(out, "b.yaml")
	})
	if got := e.PID("web"); got != pid || versions(e, "web") != "0" {
		t.Errorf("process %d became %d", pid, got)
	}
}

// Delete and recreate in quick succession ends with one process of the last version.
func TestDeleteAndRecreate(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t)
	for i := range 100 {
		e.Write("web.yaml", testenv.Manifest("web", fmt.Sprintf("command: sleep 1000\nenv: {MARK: '%s', VERSION: 'v%d'}", e.Dir, i)))
		if i < 99 {
			e.Remove("web.yaml")
		}
	}
	e.Wait("one process of the last version", func() bool {
		pids := testenv.WithEnv("MARK=" + e.Dir)
		last := testenv.WithEnv("VERSION=v99")
		return len(pids) == 1 && len(last) == 1 && pids[0] == last[0]
	})
}

// get asks the HTTP API as a local program would.
func get(t *testing.T, e *testenv.Env, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
