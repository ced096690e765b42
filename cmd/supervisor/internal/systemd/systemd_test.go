package systemd_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/philiporange/supervisor/cmd/supervisor/internal/systemd"
)

var update = flag.Bool("update", false, "write the units in examples/systemd anew")

// examples are what install writes for programs in /usr/local/bin.
func examples() map[string]systemd.Options {
	o := systemd.Options{
		Supervisor: "/usr/local/bin/supervisor", Keeper: "/usr/local/bin/supervisor-keeper",
		Dir: "/root/.supervisor", Home: "/root",
	}
	user := o
	user.User, user.Dir, user.Home = true, "/home/me/.supervisor", "/home/me"
	return map[string]systemd.Options{"system": o, "user": user}
}

func render(t *testing.T, o systemd.Options) []systemd.Unit {
	t.Helper()
	units, err := systemd.Render(o)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

// The units that people copy are those that install writes.
func TestExamples(t *testing.T) {
	for folder, o := range examples() {
		for _, u := range render(t, o) {
			path := filepath.Join("..", "..", "..", "..", "examples", "systemd", folder, u.Name)
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, u.Text, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; `make generate` writes it", err)
			}
			if diff := cmp.Diff(string(golden), string(u.Text)); diff != "" {
				t.Errorf("%s is not current; `make generate` writes it anew:\n%s", path, diff)
			}
		}
	}
}

// What the units must say, or services die with the supervisor.
func TestSurvival(t *testing.T) {
	for folder, o := range examples() {
		for _, u := range render(t, o) {
			text := string(u.Text)
			want := map[string][]string{
				systemd.Manager:  {"Type=notify", "WatchdogSec=", "KillMode=process", "OOMPolicy=continue", "Restart=on-failure", "After=supervisor-keeper.service", "Wants=supervisor-keeper.service", "SUPERVISOR_KEEPER=external"},
				systemd.Keeper:   {"KillMode=process", "OOMPolicy=continue", "Restart=always", "Delegate=yes", "TasksMax=infinity", "/supervisor-keeper --dir " + o.Dir + "/keeper"},
				systemd.Poweroff: {"After=supervisor.service", "ExecStop=-/usr/local/bin/supervisor shutdown"},
			}[u.Name]
			if folder == "system" && u.Name == systemd.Keeper {
				want = append(want, "OOMScoreAdjust=-900")
			}
			for _, w := range want {
				if !strings.Contains(text, w) {
					t.Errorf("%s/%s does not say %s", folder, u.Name, w)
				}
			}
			// Each of these would make one unit's end that of the other, or of all services.
			for _, bad := range []string{"BindsTo=", "PartOf=", "Requires=", "KillMode=control-group", "KillMode=mixed", "PrivateTmp=", "ProtectHome=", "ProtectSystem=", "NoNewPrivileges="} {
				if strings.Contains(text, bad) {
					t.Errorf("%s/%s says %s", folder, u.Name, bad)
				}
			}
		}
	}
}

// systemd itself finds nothing to complain about, also with paths that need quotes.
func TestVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed, so that the units cannot be verified (Debian: apt install systemd)")
	}
	bin, data := filepath.Join(t.TempDir(), `a $folder 100%h`), `/srv/a $folder's "100%h" \x`
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	o := systemd.Options{Supervisor: filepath.Join(bin, "supervisor"), Keeper: filepath.Join(bin, "supervisor-keeper"), Dir: data, Home: data}
	for _, path := range []string{o.Supervisor, o.Keeper} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []bool{false, true} {
		o.User = user
		folder := t.TempDir()
		if _, err := systemd.Place(folder, render(t, o), false); err != nil {
			t.Fatal(err)
		}
		args := []string{"verify", "--recursive-errors=no"}
		if user {
			args = append([]string{"--user"}, args...)
		}
		for _, name := range systemd.Names() {
			args = append(args, filepath.Join(folder, name))
		}
		cmd := exec.CommandContext(t.Context(), analyze, args...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("user %v: systemd-analyze: %v\n%s", user, err, out)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	good := examples()["system"]
	for _, path := range []string{"", "relative", "/two\nlines"} {
		o := good
		o.Dir = path
		if _, err := systemd.Render(o); err == nil {
			t.Errorf("folder %q is taken", path)
		}
	}
	good.Keeper = "/it's/here"
	if _, err := systemd.Render(good); err == nil {
		t.Error("a program that systemd would refuse is taken")
	}
}

// Place writes once, tells what it did, and leaves alone what is not ours; Remove takes back what Place did.
func TestPlaceAndRemove(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "system")
	units := render(t, examples()["system"])
	results := func(dryRun bool) string {
		t.Helper()
		out, err := systemd.Place(folder, units, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		words := make([]string, len(out))
		for i, o := range out {
			words[i] = o.Result
		}
		return strings.Join(words, " ")
	}
	if got := results(true); got != "created created created" {
		t.Errorf("dry run: %s", got)
	}
	if _, err := os.Stat(folder); err == nil {
		t.Error("the dry run wrote")
	}
	if got := results(false); got != "created created created" {
		t.Errorf("first: %s", got)
	}
	if got := results(false); got != "unchanged unchanged unchanged" {
		t.Errorf("second: %s", got)
	}
	units[1].Text = append(units[1].Text, "# more\n"...)
	if got := results(false); got != "unchanged updated unchanged" {
		t.Errorf("changed: %s", got)
	}
	manager := filepath.Join(folder, systemd.Manager)
	if info, err := os.Stat(manager); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info, err)
	}

	wants := filepath.Join(folder, "multi-user.target.wants")
	if err := os.Mkdir(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(wants, systemd.Manager)
	if err := os.Symlink(manager, link); err != nil {
		t.Fatal(err)
	}
	keeper := filepath.Join(folder, systemd.Keeper)
	if err := os.WriteFile(keeper, []byte("[Unit]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := systemd.Place(folder, units, false); err == nil || !strings.Contains(err.Error(), keeper) {
		t.Errorf("a unit of somebody else is overwritten: %v", err)
	}
	for _, dryRun := range []bool{true, false} {
		removed, err := systemd.Remove(folder, dryRun)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{link, manager, filepath.Join(folder, systemd.Poweroff)}
		if diff := cmp.Diff(want, removed); diff != "" {
			t.Errorf("dry run %v removed (-want +got):\n%s", dryRun, diff)
		}
	}
	left, err := filepath.Glob(folder + "/*.service")
	if err != nil || len(left) != 1 || left[0] != keeper {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestFolder(t *testing.T) {
	if got := systemd.Folder(false, "", "/x/.config"); got != "/etc/systemd/system" {
		t.Error(got)
	}
	if got := systemd.Folder(true, "/stage", "/x/.config"); got != "/stage/x/.config/systemd/user" {
		t.Error(got)
	}
}
