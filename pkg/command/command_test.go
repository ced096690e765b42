package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var me = Account{Name: "me", Home: "/home/me"}

func TestResolveLines(t *testing.T) {
	env := map[string]string{"PORT": "8000", "FLAGS": "-a  -b", "EMPTY": "", "GLOB": "*.py"}
	for line, want := range map[string][]string{
		`uvicorn app:app --port $(PORT)`:     {"uvicorn", "app:app", "--port", "8000"},
		`app --port=$PORT --p2=${PORT}`:      {"app", "--port=8000", "--p2=8000"},
		`app "a b" 'c d' e\ f`:               {"app", "a b", "c d", "e f"},
		`app $FLAGS "$FLAGS" $(FLAGS)`:       {"app", "-a", "-b", "-a  -b", "-a  -b"},
		`app $EMPTY "$EMPTY" $UNKNOWN`:       {"app", ""},
		`exec app -x`:                        {"app", "-x"},
		`~/bin/app ~/x a~b "~"`:              {"/home/me/bin/app", "/home/me/x", "a~b", "~"},
		`app '$(PORT)' "\$PORT"`:             {"app", "$(PORT)", "$PORT"},
		`echo hi > out`:                      {"/bin/sh", "-c", "echo hi > out"},
		`cd /tmp && app $(PORT)`:             {"/bin/sh", "-c", "cd /tmp && app ${PORT}"},
		`app $(date) $(PORT)`:                {"/bin/sh", "-c", "app $(date) ${PORT}"},
		`a | b`:                              {"/bin/sh", "-c", "a | b"},
		`ls *.py`:                            {"/bin/sh", "-c", "ls *.py"},
		`ls $GLOB`:                           {"/bin/sh", "-c", "ls $GLOB"},
		`app ${PORT:-80}`:                    {"/bin/sh", "-c", "app ${PORT:-80}"},
		`app &`:                              {"/bin/sh", "-c", "app &"},
		`export A=1`:                         {"/bin/sh", "-c", "export A=1"},
		`for i in 1 2; do app $(PORT); done`: {"/bin/sh", "-c", "for i in 1 2; do app ${PORT}; done"},
		"app \\\n  --flag":                   {"app", "--flag"},
		`app # comment`:                      {"app"},
		`python3 -c 'print("x")'`:            {"python3", "-c", `print("x")`},
		`app ~root`:                          {"/bin/sh", "-c", "app ~root"},
	} {
		got, err := Resolve(Request{Line: line, Env: env, Account: me})
		if err != nil || !slices.Equal(got.Argv, want) {
			t.Errorf("%s\n got %q, %v\nwant %q", line, got.Argv, err, want)
		}
		if got.Shell != (want[0] == "/bin/sh") {
			t.Errorf("%s: shell is %v", line, got.Shell)
		}
	}
}

func TestResolveArgv(t *testing.T) {
	got, err := Resolve(Request{Argv: []string{"app", "$(PORT)", "$$(PORT)", "$PORT", "*", "$(NOPE)"}, Vars: map[string]string{"PORT": "1"}, Account: me})
	if want := []string{"app", "1", "$(PORT)", "$PORT", "*", "$(NOPE)"}; err != nil || !slices.Equal(got.Argv, want) {
		t.Errorf("got %q, %v, want %q", got.Argv, err, want)
	}
}

func TestCheck(t *testing.T) {
	for _, line := range []string{`app "unclosed`, `app (`, `| app`, `# only a comment`, ``} {
		if Check(line) == nil {
			t.Errorf("%q passed", line)
		}
	}
	if err := Check("a && b"); err != nil {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("export A='from file' # comment\nB=file\nPORT=1\nQ=\"x#y\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SUPERVISOR_TOKEN", "secret")
	got, err := Resolve(Request{
		Line: "X=$(B)y app", Dir: dir, Account: me,
		EnvFiles: []EnvFile{{Path: ".env"}, {Path: "absent", Optional: true}},
		Vars:     map[string]string{"PORT": "8000"},
		Env:      map[string]string{"B": "manifest", "URL": "http://h:$(PORT)/$(C)", "C": "c-$(B)", "SELF": "$(SELF)", "RAW": "$$(B)"},
	})
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Join(got.Env, "\n") + "\n"
	for _, want := range []string{
		"A=from file\n", "B=manifest\n", "PORT=8000\n", "URL=http://h:8000/c-manifest\n", "SELF=$(SELF)\n", "RAW=$(B)\n", "Q=x#y\n",
		"X=manifesty\n", "HOME=/home/me\n", "USER=me\n", "PATH=/home/me/.local/bin:",
	} {
		if !strings.Contains(env, want) {
			t.Errorf("the environment lacks %q:\n%s", want, env)
		}
	}
	if strings.Contains(env, "secret") {
		t.Error("the supervisor's own environment leaked")
	}
	if !slices.IsSorted(got.Env) || len(got.EnvFiles) != 2 {
		t.Errorf("env %q, files %q", got.Env, got.EnvFiles)
	}
}

func TestErrorsNameTheThing(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.env"), []byte("PASSWORD='hunter2\nnot a line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, r := range map[string]Request{
		"/no/.env is missing":     {Line: "app", EnvFiles: []EnvFile{{Path: "/no/.env"}}},
		"bad.env is not NAME":     {Line: "app", Dir: dir, EnvFiles: []EnvFile{{Path: "bad.env"}}},
		"A → B → A":               {Line: "app", Env: map[string]string{"A": "$(B)", "B": "$(A)"}},
		"quote it as for a shell": {Line: `app "x`},
		`folder "x" is relative`:  {Line: "app", Dir: "x"},
	} {
		r.Account = me
		_, err := Resolve(r)
		// A circle can be entered at either end.
		if err == nil || !strings.Contains(strings.Replace(err.Error(), "B → A → B", "A → B → A", 1), want) {
			t.Errorf("got %v, want %q", err, want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is in the message: %v", err)
		}
	}
}

func TestFolders(t *testing.T) {
	for _, c := range []struct{ line, dir, want string }{
		{"python ~/Code/my/x.py", "", "/home/me/Code/my"},
		{"python x.py", "", "/home/me"},
		{"uvicorn app:app", "", "/home/me"},
		{"python src/x.py --config /etc/y.py", "", "/manifests/src"},
		{"app", ".", "/manifests"},
		{"app", "~/a/../b", "/home/me/b"},
		{"app", "/srv", "/srv"},
	} {
		got, err := Resolve(Request{Line: c.line, Dir: c.dir, Base: "/manifests", Account: me})
		if err != nil || got.Dir != c.want {
			t.Errorf("%s in %q: %q, %v, want %q", c.line, c.dir, got.Dir, err, c.want)
		}
	}
}

// For whatever is run without a shell, a shell would have made the same words.
func TestSameWordsAsTheShell(t *testing.T) {
	printer := "printf '<%s>'"
	rapid.Check(t, func(t *rapid.T) {
		atom := rapid.SampledFrom([]string{
			"a", "b c", "-x", "$A", "${B}", `"$A"`, `"${B} x"`, `'q $A'`, `\$A`, `\ `, `""`, "''", " ", "  ", "=", "/", "~/x", `"a\"b"`, `"\x"`, "$E", "a~", "\\\\",
		})
		line := printer + " " + strings.Join(rapid.SliceOfN(atom, 1, 8).Draw(t, "atoms"), "")
		env := map[string]string{"A": "one two", "B": " lead", "E": ""}
		got, err := Resolve(Request{Line: line, Env: env, Account: Account{Name: "me", Home: "/home/me"}})
		if err != nil || got.Shell {
			t.Skip("not for us")
		}
		direct := exec.Command(got.Argv[0], got.Argv[1:]...)
		shell := exec.Command("/bin/sh", "-c", line)
		direct.Env, shell.Env = got.Env, got.Env
		a, errA := direct.Output()
		b, errB := shell.Output()
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("%s\ndirect %q %v\nshell  %q %v", line, a, errA, b, errB)
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, line := range []string{"app $(PORT)", `a "b $X" 'c'`, "a | b && c", "$(", "a\x00b", "x=1 y", "~", "exec", "${a[1]}"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got, err := Resolve(Request{Line: line, Account: me, Vars: map[string]string{"PORT": "1"}})
		if err == nil && (len(got.Argv) == 0 || got.Argv[0] == "") && Check(line) == nil {
			t.Errorf("%q resolved to %q", line, got.Argv)
		}
		Words(line)
	})
}
