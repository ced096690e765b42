package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// file writes a file into the user's folder and returns its path.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// diff shows the texts and what would come of them.
func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		args    string
		preview wire.Preview
		code    int
		want    []string
	}{
		"nothing": {args: "-f F/good.yaml --exit-code", want: []string{"nothing would change\n"}},
		"a restart": {
			args: "-f F/good.yaml", want: []string{"+new\n", "service/web would restart: because (spec.command, spec.env.A)\n"},
			preview: wire.Preview{Valid: true, Diff: "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n", Steps: []wire.PreviewStep{{
				Key: v1.Key{Kind: v1.KindService, Name: "web"}, Action: "change", Effect: wire.EffectRestart, Reason: "because",
				Fields: []wire.FieldChange{{Field: "spec.command"}, {Field: "spec.env.A"}},
			}}},
		},
		"a new job": {
			args: "-f F/good.yaml --exit-code", code: 1, want: []string{"cronjob/j would be added: later\n"},
			preview: wire.Preview{Steps: []wire.PreviewStep{{Key: v1.Key{Kind: v1.KindCronJob, Name: "j"}, Action: "add", Effect: wire.EffectInPlace, Reason: "later"}}},
		},
		"as JSON": {args: "-f F/good.yaml -o json", want: []string{`"valid": false`}},
		"no file": {code: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t)
			w.preview = c.preview
			w.file("good.yaml", "Service/web\n")
			stdout, stderr, code := w.run(append([]string{"diff"}, strings.Fields(strings.ReplaceAll(c.args, "F/", w.dir+"/"))...)...)
			if code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("lacks %q:\n%s", want, stdout)
				}
			}
			if len(w.calls) > 0 {
				t.Errorf("it changed something: %v", w.calls)
			}
		})
	}
}

// Each call's end and what it says: on standard output, or where it fails on standard error.
func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		args  string // F is the folder of files
		in    string
		code  int
		want  []string
		calls int
	}{
		"file":             {args: "-f F/good.yaml", want: []string{"service/web configured (Running, pid 99)", "service/x created (Failed, no such program)", "cronjob/j unchanged\n"}, calls: 1},
		"names":            {args: "-f F/good.yaml -o name", want: []string{"service/web\nservice/x\ncronjob/j\n"}, calls: 1},
		"json":             {args: "-f F/good.yaml -o json", want: []string{`"result": "configured"`}, calls: 1},
		"standard input":   {args: "-f -", in: "Service/a", want: []string{"configured"}, calls: 1},
		"folder":           {args: "-f F/tree", want: []string{"configured"}, calls: 1},
		"folders within":   {args: "-f F/tree -R", code: 1, want: []string{"F/tree/sub/bad.yml:2: spec.bad: unknown field", "nothing was changed: 1 problem"}},
		"two, one bad":     {args: "-f F/good.yaml -f F/tree/sub/bad.yml", code: 1, want: []string{"bad.yml:2"}},
		"bad input":        {args: "-f -", in: "bad\nbad\n", code: 1, want: []string{"standard input:1", "standard input:2", "2 problems"}},
		"dry run":          {args: "-f F/good.yaml --dry-run", want: []string{"service/web is valid (dry run)"}},
		"missing":          {args: "-f F/nope.yaml", code: 1, want: []string{"F/nope.yaml: no such file"}},
		"nothing":          {code: 1, want: []string{"-f"}},
		"an empty folder":  {args: "-f F/empty", code: 1, want: []string{"F/empty holds no *.yaml or *.yml"}},
		"an odd form":      {args: "-f F/good.yaml -o wide", code: 1, want: []string{"yaml, json, name"}},
		"an argument more": {args: "-f F/good.yaml web", code: 1, want: []string{"too many"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t)
			w.file("good.yaml", "Service/web\n")
			w.file("tree/a.yaml", "Service/a\n")
			w.file("tree/.hidden.yaml", "bad\n")
			w.file("tree/a.yaml.bak", "bad\n")
			w.file("tree/sub/bad.yml", "Service/b\nbad\n")
			w.file("tree/.git/x.yaml", "bad\n")
			w.file("empty/readme.txt", "bad\n")
			w.env.In = strings.NewReader(c.in)
			stdout, stderr, code := w.run(append([]string{"apply"}, strings.Fields(strings.ReplaceAll(c.args, "F/", w.dir+"/"))...)...)
			if code != c.code {
				t.Errorf("exit %d, want %d: %s", code, c.code, stderr)
			}
			said := stdout
			if c.code != 0 {
				said = strings.ReplaceAll(stderr, "DIR/", "F/")
			}
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("not said: %q; but:\n%s", want, said)
				}
			}
			if len(w.calls) != c.calls {
				t.Errorf("calls %v, want %d", w.calls, c.calls)
			}
		})
	}
}

// One document that cannot be written is told, and the exit code says so.
func TestApplyPartly(t *testing.T) {
	w := full(t)
	w.applied[1].Result, w.applied[1].Message = wire.ResultFailed, "services/x.yaml is read-only"
	stdout, stderr, code := w.run("apply", "-f", w.file("a.yaml", "Service/x"))
	if code != 1 || !strings.Contains(stderr, "service/x: services/x.yaml is read-only") || !strings.Contains(stdout, "service/web configured") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
}

func TestDeleteByFile(t *testing.T) {
	w := full(t)
	stdout, stderr, code := w.run("delete", "-f", w.file("a.yaml", "Service/web\nCronJob/backup\n"))
	if code != 0 || stdout != "service/web deleted\ncronjob/backup deleted\n" {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	if _, stderr, code := w.run("delete", "-f", w.file("b.yaml", "bad\n")); code != 1 || !strings.Contains(stderr, "b.yaml:1") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if _, _, code := w.run("delete", "web", "-f", "x"); code != 1 {
		t.Error("both a name and a file are taken")
	}
}

func TestDeleteAmbiguous(t *testing.T) {
	job := &v1.CronJob{}
	job.Metadata.Name = "web"
	w := full(t).add(job)
	_, stderr, code := w.run("delete", "web")
	if code != 1 || !strings.Contains(stderr, "service/web or cronjob/web") || len(w.calls) > 0 {
		t.Errorf("exit %d, calls %v: %s", code, w.calls, stderr)
	}
}

func TestValidate(t *testing.T) {
	w := newWorld(t) // no supervisor runs
	good, bad := w.file("good.yaml", "Service/a\nCronJob/b\n"), w.file("bad.yaml", "Service/a\nbad\n")
	for args, want := range map[string]struct {
		code           int
		stdout, stderr string
	}{
		good:                          {0, "", "2 valid objects, no problems\n"},
		good + " -q":                  {0, "", ""},
		bad:                           {1, "DIR/bad.yaml:2: spec.bad: unknown field\n", "1 valid object, 1 problem\n"},
		good + " " + bad:              {1, "DIR/bad.yaml:2: spec.bad: unknown field\n", "3 valid objects, 1 problem\n"},
		filepath.Join(w.dir, "nope"):  {1, "", "error: open DIR/nope: no such file or directory\n"},
		w.dir + "/nope " + good + "-": {1, "", "error: open DIR/nope: no such file or directory\nerror: open DIR/good.yaml-: no such file or directory\n"},
	} {
		stdout, stderr, code := w.run(append([]string{"validate"}, strings.Fields(args)...)...)
		if code != want.code || stdout != want.stdout || stderr != want.stderr {
			t.Errorf("validate %s: exit %d\n%s--- stderr\n%s", args, code, stdout, stderr)
		}
	}
}

// Whoever calls without a supervisor learns where it was looked for and what to do.
func TestNobodyAnswers(t *testing.T) {
	w := newWorld(t)
	for _, args := range []string{"get", "status", "apply -f -", "stop web", "logs web -f", "events -w", "get -w", "shutdown", "describe web", "prune"} {
		_, stderr, code := w.run(strings.Fields(args)...)
		if want := "error: no supervisor is running at DIR/supervisor.sock; start one with `supervisor run`\n"; code != 1 || !strings.HasSuffix(stderr, want) {
			t.Errorf("%s: exit %d: %s", args, code, stderr)
		}
	}
	stdout, stderr, code := w.run("version")
	if code != 1 || stdout != "client: v1.2.3 (GO)\n" || !strings.Contains(stderr, "no supervisor is running") {
		t.Errorf("version: exit %d: %s%s", code, stdout, stderr)
	}
	w.env.Sources.Environ = []string{"SUPERVISOR_DIR=~nobody"}
	if _, stderr, code := w.run("get"); code != 1 || !strings.Contains(stderr, "SUPERVISOR_DIR") {
		t.Errorf("bad folder: exit %d: %s", code, stderr)
	}
}

func TestOtherUsersSupervisor(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may connect to every socket")
	}
	w := full(t)
	if err := os.Chmod(filepath.Join(w.dir, "supervisor.sock"), 0); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := w.run("get"); code != 1 || !strings.Contains(stderr, "another user") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// The folder can be named by a flag, the address of another machine too; there the token is sent.
func TestWhichSupervisor(t *testing.T) {
	w := full(t)
	w.env.Sources.Environ = nil
	if stdout, stderr, code := w.run("get", "svc/web", "-o", "name", "--supervisor-dir", w.dir); code != 0 || stdout != "service/web\n" {
		t.Errorf("--supervisor-dir: exit %d: %s%s", code, stdout, stderr)
	}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame" {
			problem(rw, wire.Problem{Status: http.StatusUnauthorized, Detail: "no token"})
			return
		}
		w.handler().ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	if _, stderr, code := w.run("get", "--server", s.URL); code != 1 || !strings.Contains(stderr, "SUPERVISOR_TOKEN") {
		t.Errorf("without a token: exit %d: %s", code, stderr)
	}
	w.env.Sources.Environ = []string{"SUPERVISOR_TOKEN=sesame"}
	if stdout, stderr, code := w.run("get", "svc", "web", "-o", "name", "--server", s.URL); code != 0 || stdout != "service/web\n" {
		t.Errorf("with it: exit %d: %s%s", code, stdout, stderr)
	}
	if _, stderr, code := w.run("get", "--server", "localhost"); code != 1 || !strings.Contains(stderr, "http://127.0.0.1:9900") {
		t.Errorf("a bad address: exit %d: %s", code, stderr)
	}
}

// What the API refuses is told in its words, and is no reason to leave the other services alone.
func TestRefused(t *testing.T) {
	w := full(t)
	w.fail["POST /api/services/web/start"] = wire.Problem{Status: 504, Code: wire.CodeTimeout, Detail: "web is not ready yet", Errors: []v1.FieldError{{Field: "spec.port", Detail: "8000 is taken by pid 9"}}}
	_, stderr, code := w.run("start", "web")
	if code != 1 || stderr != "error: web is not ready yet\n  spec.port: 8000 is taken by pid 9\n" {
		t.Errorf("exit %d: %q", code, stderr)
	}
	stdout, stderr, code := w.run("start", "web", "api")
	if code != 1 || !strings.Contains(stderr, "service/web: web is not ready yet") || !strings.HasPrefix(stdout, "service/api") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	w.shutdown.Left = []v1.Key{{Kind: v1.KindService, Name: "api"}}
	if _, stderr, code := w.run("shutdown"); code != 1 || !strings.Contains(stderr, "service/api could not be stopped") {
		t.Errorf("shutdown: exit %d: %s", code, stderr)
	}
}

// What logs asks for.
func TestLogOptions(t *testing.T) {
	w := full(t)
	for args, want := range map[string]string{
		"logs api":                                       "logs api tail=-1 follow= stream= since=",
		"logs api --tail 5 --stream stderr":              "logs api tail=5 follow= stream=stderr since=",
		"logs api web --since 10m":                       "logs api,web tail=-1 follow= stream= since=2026-03-04T11:50:00Z",
		"logs -l team=web":                               "logs api,web tail=10 follow= stream= since=",
		"logs svc/api --since-time 2026-03-04T11:00:00Z": "logs api tail=-1 follow= stream= since=2026-03-04T11:00:00Z",
		"logs -l team=web --since 60":                    "logs api,web tail=-1 follow= stream= since=2026-03-04T11:59:00Z",
		"logs api --previous":                            "logs api tail=-1 follow= stream= since=2026-03-04T11:59:54.8Z",
	} {
		w.calls = nil
		if _, stderr, code := w.run(strings.Fields(args)...); code != 0 {
			t.Errorf("%s: exit %d: %s", args, code, stderr)
		}
		if len(w.calls) != 1 || w.calls[0] != want {
			t.Errorf("%s: %v, want %s", args, w.calls, want)
		}
	}
	if _, _, code := w.run("logs", "api", "-f", "-p"); code != 1 {
		t.Error("-f and -p go together")
	}
}

func TestColor(t *testing.T) {
	w := full(t)
	w.env.Color = true
	stdout, _, _ := w.run("get", "svc")
	for _, want := range []string{"\x1b[32mRunning\x1b[0m", "\x1b[31mFailed\x1b[0m", "\x1b[33mBackoff\x1b[0m"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	plain, _, _ := full(t).run("get", "svc")
	stripped := stdout
	for _, code := range []string{"\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"} {
		stripped = strings.ReplaceAll(stripped, code, "")
	}
	if stripped != plain {
		t.Errorf("colours disturb the alignment:\n%s\n%s", stripped, plain)
	}
	if stdout, _, _ := w.run("logs", "web", "api"); strings.Count(stdout, "\x1b[0m") != 3 {
		t.Errorf("names are not coloured:\n%q", stdout)
	}
}

func TestCompletion(t *testing.T) {
	w := full(t)
	for args, want := range map[string]string{
		"get ":            "services cronjobs events problems api db fleet new off web backup never",
		"get svc ":        "api db fleet new off web",
		"get svc web ":    "api db fleet new off",
		"get cj/":         "cj/backup cj/never",
		"get odd/":        "",
		"stop ":           "api db fleet new off web",
		"logs web ":       "api db fleet new off",
		"describe ":       "services cronjobs api db fleet new off web backup never",
		"get svc -o ":     "wide yaml json name",
		"events --types ": "Normal Warning",
		"logs --stream ":  "stdout stderr",
	} {
		words := strings.Split(args, " ")
		stdout, stderr, code := w.run(append([]string{"__complete"}, words...)...)
		var got []string
		for line := range strings.Lines(stdout) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, ":") {
				got = append(got, line)
			}
		}
		if code != 0 || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s (exit %d: %s)", args, got, want, code, stderr)
		}
	}
	if stdout, _, code := newWorld(t).run("__complete", "stop", ""); code != 0 || !strings.HasPrefix(stdout, ":") {
		t.Errorf("without a supervisor: exit %d: %s", code, stdout)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if stdout, _, code := w.run("completion", shell); code != 0 || len(stdout) < 1000 {
			t.Errorf("completion %s: exit %d, %d bytes", shell, code, len(stdout))
		}
	}
}

// Every command has a help text and a short description that fits a line; none ends in a full stop.
func TestHelp(t *testing.T) {
	w := newWorld(t)
	stdout, _, code := w.run("--help")
	if code != 0 {
		t.Fatalf("exit %d", code)
	}
	for _, name := range []string{
		"run", "shutdown", "apply", "get", "describe", "delete", "start", "stop", "restart", "logs", "events",
		"validate", "prune", "status", "version", "completion", "install", "uninstall",
	} {
		if !strings.Contains(stdout, "\n  "+name+" ") {
			t.Errorf("%s is not listed:\n%s", name, stdout)
		}
		if text, _, code := w.run(name, "--help"); code != 0 || len(text) < 100 {
			t.Errorf("%s --help: exit %d\n%s", name, code, text)
		}
	}
	for line := range strings.Lines(stdout) {
		if len(line) > 150 {
			t.Errorf("long: %s", line)
		}
	}
}

// JSON of everything reads back.
func TestJSONForms(t *testing.T) {
	w := full(t)
	for _, args := range []string{"get -o json", "get problems -o json", "events -o json", "version -o json", "get events -o json"} {
		stdout, stderr, code := w.run(strings.Fields(args)...)
		var v map[string]any
		if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != 0 {
			t.Errorf("%s: exit %d, %v: %s", args, code, err, stderr)
		}
	}
	w.problems, w.events = nil, nil
	for args, want := range map[string]string{"get problems -o json": "{\n  \"items\": []\n}\n", "events -o json": "{\n  \"items\": []\n}\n"} {
		if stdout, _, _ := w.run(strings.Fields(args)...); stdout != want {
			t.Errorf("%s: %q", args, stdout)
		}
	}
}

// Many services are acted on at once, and told of in order.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	want := make([]string, 100)
	for i := range want {
		s := &v1.Service{}
		s.Metadata.Name = fmt.Sprintf("s%03d", i)
		w.add(s)
		want[i] = "service/" + s.Metadata.Name + " stopped"
	}
	stdout, stderr, code := w.serve().run("stop", "--all")
	if got := strings.Split(strings.TrimSpace(stdout), "\n"); code != 0 || !slices.Equal(got, want) {
		t.Errorf("exit %d: %v\n%s", code, got, stderr)
	}
	if len(w.calls) != len(want) {
		t.Errorf("%d calls", len(w.calls))
	}
}

// Ages are short and grow coarser.
func TestAges(t *testing.T) {
	for ago, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 90 * time.Second: "90s", 125 * time.Second: "2m5s", 5 * time.Minute: "5m", 45 * time.Minute: "45m",
		3*time.Hour + 20*time.Minute: "3h20m", 9 * time.Hour: "9h", 50 * time.Hour: "2d2h", 30 * 24 * time.Hour: "30d",
	} {
		w := newWorld(t)
		s := &v1.Service{Status: &v1.ServiceStatus{Phase: v1.PhaseRunning, PID: 1, StartedAt: ptr(before(ago))}}
		s.Metadata.Name = "web"
		stdout, _, _ := w.add(s).serve().run("get", "svc", "--no-headers")
		if got := strings.Fields(stdout)[4]; got != want {
			t.Errorf("%s: %s, want %s", ago, got, want)
		}
	}
}
