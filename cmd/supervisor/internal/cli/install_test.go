package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// installer is a world whose programs can be installed.
func installer(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.file("supervisor-keeper", "")
	return w
}

func TestInstallUser(t *testing.T) {
	w := installer(t)
	folder := filepath.Join(w.dir, ".config/systemd/user")
	stdout, stderr, code := w.run("install", "--user", "--dry-run")
	if code != 0 || !strings.Contains(stdout, "DIR/.config/systemd/user/supervisor.service would be created") || !strings.Contains(stdout, "ExecStart=DIR/supervisor run") {
		t.Errorf("dry run: exit %d: %s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("the dry run wrote")
	}
	stdout, stderr, code = w.run("install", "--user")
	for _, want := range []string{
		"DIR/.config/systemd/user/supervisor-keeper.service created", "systemctl --user daemon-reload",
		"systemctl --user enable --now supervisor-keeper.service supervisor.service supervisor-poweroff.service", "enable-linger", "DIR/.env",
	} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("exit %d, not said: %s\n%s%s", code, want, stdout, stderr)
		}
	}
	if stdout, _, code := w.run("install", "--user"); code != 0 || strings.Count(stdout, " unchanged\n") != 3 {
		t.Errorf("again: exit %d: %s", code, stdout)
	}
	text, err := os.ReadFile(filepath.Join(folder, "supervisor.service"))
	if err != nil || !strings.Contains(string(text), "SUPERVISOR_DIR="+w.dir) {
		t.Errorf("%v: %s", err, text)
	}
	if stdout, _, code := w.run("uninstall", "--user", "--dry-run"); code != 0 || strings.Count(stdout, "would be removed") != 3 {
		t.Errorf("dry run of uninstall: exit %d: %s", code, stdout)
	}
	if stdout, _, code := w.run("uninstall", "--user"); code != 0 || strings.Count(stdout, " removed\n") != 3 || !strings.Contains(stdout, "supervisor shutdown") {
		t.Errorf("uninstall: exit %d: %s", code, stdout)
	}
	if _, stderr, code := w.run("uninstall", "--user"); code != 0 || !strings.Contains(stderr, "Nothing to remove") {
		t.Errorf("uninstall again: exit %d: %s", code, stderr)
	}
}

func TestInstallSystem(t *testing.T) {
	w := installer(t)
	for _, args := range []string{"install", "uninstall"} {
		if _, stderr, code := w.run(args); code != 1 || !strings.Contains(stderr, "use sudo, or --user") {
			t.Errorf("%s without root: exit %d: %s", args, code, stderr)
		}
	}
	stage := filepath.Join(w.dir, "stage")
	if stdout, stderr, code := w.run("install", "--prefix", stage); code != 0 || !strings.Contains(stdout, "DIR/stage/etc/systemd/system/supervisor.service created") || strings.Contains(stdout, "--user") {
		t.Errorf("staged: exit %d: %s%s", code, stdout, stderr)
	}
	foreign := w.file("stage/etc/systemd/system/supervisor.service", "[Unit]\n")
	if _, stderr, code := w.run("install", "--prefix", stage); code != 1 || !strings.Contains(stderr, "not written by") {
		t.Errorf("over a foreign unit: exit %d: %s", code, stderr)
	}
	if text, err := os.ReadFile(foreign); err != nil || string(text) != "[Unit]\n" {
		t.Errorf("it was changed: %v %s", err, text)
	}
}

func TestInstallRefuses(t *testing.T) {
	w := newWorld(t)
	if _, stderr, code := w.run("install", "--user"); code != 1 || !strings.Contains(stderr, "supervisor-keeper beside supervisor") {
		t.Errorf("without a keeper: exit %d: %s", code, stderr)
	}
	w.env.Sources.Environ = append(w.env.Sources.Environ, "SUPERVISOR_PORT=x")
	if _, stderr, code := w.run("install", "--user"); code != 1 || !strings.Contains(stderr, "SUPERVISOR_PORT") {
		t.Errorf("with a bad setting: exit %d: %s", code, stderr)
	}
	w = installer(t)
	w.env.Sources.Home = ""
	if _, stderr, code := w.run("uninstall", "--user"); code != 1 || !strings.Contains(stderr, "HOME") {
		t.Errorf("without a home: exit %d: %s", code, stderr)
	}
}
