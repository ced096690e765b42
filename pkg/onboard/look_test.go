package onboard_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/onboard"
)

var update = flag.Bool("update", false, "write the expected parts of testdata anew")

var section = regexp.MustCompile(`(?m)^-- (\S+)(?: \((\d+)\))? --\n`)

// unpack writes the files of an archive into dir, and returns the part that tells what is expected.
func unpack(t testing.TB, archive, dir string) (input, want string) {
	t.Helper()
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	input, want, _ = strings.Cut(string(data), "== want ==\n")
	marks := section.FindAllStringSubmatchIndex(input, -1)
	for i, m := range marks {
		end := len(input)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		mode := os.FileMode(0o644)
		if m[4] >= 0 {
			mode = 0o755
		}
		name := filepath.Join(dir, input[m[2]:m[3]])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(input[m[1]:end]), mode); err != nil {
			t.Fatal(err)
		}
	}
	return input, want
}

func options(home string) onboard.Options {
	return onboard.Options{
		Home: home, Program: func(name string) (string, bool) {
			if name == "pnpm" {
				return "/opt/pnpm/pnpm", true
			}
			return name, name != "poetry" && name != "docker" && name != "make"
		},
		PortUsed: func(port int, _ string) string {
			if port == 4000 || port == 8501 {
				return "service other"
			}
			return ""
		},
	}
}

// TestProjects looks at small projects of many kinds. What is proposed is a manifest that the supervisor takes.
func TestProjects(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) < 20 {
		t.Fatal(archives, err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := filepath.Join(root, name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			input, want := unpack(t, archive, dir)
			look, err := onboard.At(dir, options(root))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, c := range look.Candidates {
				fmt.Fprintf(&b, "%d %s: %s\n", c.Confidence, c.Kind, c.Command)
			}
			for _, w := range look.Warnings {
				fmt.Fprintf(&b, "! %s\n", w)
			}
			got := strings.ReplaceAll(b.String()+look.Manifest, root, "/home/me")
			if *update {
				if err := os.WriteFile(archive, []byte(input+"== want ==\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for i := range look.Candidates {
				if _, problems := manifest.Decode("", []byte(look.ManifestOf(i))); len(problems) > 0 {
					t.Errorf("candidate %d: %v\n%s", i, problems, look.ManifestOf(i))
				}
			}
			if strings.Contains(got, "secret") {
				t.Error("a secret of .env is shown")
			}
		})
	}
}

func TestNamesAndPorts(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir := filepath.Join(home, "My Shop!")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".My-Shop"), 0o755); err != nil {
		t.Fatal(err)
	}
	unpack(t, "testdata/static.txtar", dir)
	look := func(change func(*onboard.Options)) *onboard.Look {
		t.Helper()
		o := options(home)
		change(&o)
		l, err := onboard.At(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := look(func(*onboard.Options) {})
	if l.Name != "My-Shop" || !l.DataExists || l.DataDir != filepath.Join(home, ".My-Shop") || !strings.Contains(l.Manifest, "watchDirs:") || l.Known {
		t.Errorf("%+v", l)
	}
	if l := look(func(o *onboard.Options) {
		o.NameUsed = func(name string) (string, bool) { return "/elsewhere", name == "My-Shop" }
	}); l.Name != "My-Shop-2" || len(l.Warnings) == 0 || l.Known {
		t.Errorf("%s %v", l.Name, l.Warnings)
	}
	if l := look(func(o *onboard.Options) {
		o.NameUsed = func(name string) (string, bool) { return dir, name == "My-Shop" }
	}); l.Name != "My-Shop" || !l.Known {
		t.Errorf("%s %v", l.Name, l.Known)
	}
	if l := look(func(o *onboard.Options) { o.Port = 9321 }); !strings.Contains(l.Manifest, "port: 9321") {
		t.Error(l.Manifest)
	}
	if l := look(func(o *onboard.Options) { o.PortUsed = func(int, string) string { return "process 7" } }); !strings.Contains(l.Manifest, "port: auto") {
		t.Error(l.Manifest)
	}
	if _, err := onboard.At(filepath.Join(home, "nope"), options(home)); err == nil {
		t.Error("looked at a folder that is not there")
	}
	if _, err := onboard.At(filepath.Join(dir, "index.html"), options(home)); err == nil {
		t.Error("looked at a file")
	}
}

// TestHostileFolder: whatever is in the folder, the look ends, stays inside, and what it proposes is a valid manifest.
func TestHostileFolder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "app")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "deep"), 0o755))
	must(os.WriteFile(filepath.Join(root, "outside.py"), []byte("from fastapi import FastAPI\napp = FastAPI()\n"), 0o644))
	must(os.Symlink("../outside.py", filepath.Join(dir, "main.py")))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "Procfile")))
	must(os.Symlink(".", filepath.Join(dir, "loop")))
	must(os.Symlink("package.json", filepath.Join(dir, "package.json")))
	must(syscall.Mkfifo(filepath.Join(dir, "pyproject.toml"), 0o644))
	must(syscall.Mkfifo(filepath.Join(dir, ".env"), 0o644))
	must(os.Mkdir(filepath.Join(dir, "go.mod"), 0o755))
	huge, err := os.Create(filepath.Join(dir, "Cargo.toml"))
	must(err)
	must(huge.Truncate(1 << 40))
	must(huge.Close())
	below := dir
	for range 60 {
		below = filepath.Join(below, "d")
	}
	must(os.MkdirAll(below, 0o755))
	for i := range 2100 {
		must(os.WriteFile(filepath.Join(dir, "deep", fmt.Sprintf("f%04d.py", i)), []byte("x = 1\n"), 0o644))
	}
	must(os.WriteFile(filepath.Join(dir, "evil\nspec: {command: rm}.service"), []byte("[Service]\nExecStart=/bin/true \"# \\\" \u2028\"\nEnvironment=A:\u0085=b\n"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "unclosed.service"), []byte("[Service]\nExecStart=/bin/true \"\n"), 0o644))
	look, err := onboard.At(dir, options(root))
	must(err)
	for _, c := range look.Candidates {
		if c.Kind == "fastapi" || c.Kind == "procfile" {
			t.Errorf("it looked outside: %+v", c)
		}
	}
	if len(look.Candidates) == 0 {
		t.Error("the unit was not seen")
	}
	for i := range look.Candidates {
		docs, problems := manifest.Decode("", []byte(look.ManifestOf(i)))
		if len(problems) > 0 || len(docs) != 1 {
			t.Errorf("%v\n%s", problems, look.ManifestOf(i))
		}
	}
	if !strings.Contains(strings.Join(look.Warnings, "\n"), "not everything was read") {
		t.Errorf("%v", look.Warnings)
	}
}

// TestWhatIsWrittenIsWhatIsRead: whatever a Procfile says comes back from the manifest unchanged.
func TestWhatIsWrittenIsWhatIsRead(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "p")
		if err != nil {
			t.Fatal(err)
		}
		line := strings.TrimSpace(rapid.StringMatching(`[a-z./]{1,5}[ -~é\x{2028}]{0,40}`).Draw(t, "command"))
		if err := os.WriteFile(filepath.Join(dir, "Procfile"), []byte("web: "+line+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		look, err := onboard.At(dir, onboard.Options{Home: root})
		if err != nil {
			t.Fatal(err)
		}
		if look.Manifest == "" { // it is no command, and the user is told
			if len(look.Warnings) == 0 {
				t.Fatalf("%q was dropped without a word", line)
			}
			return
		}
		docs, problems := manifest.Decode("", []byte(look.Manifest))
		if len(problems) > 0 {
			t.Fatalf("%v\n%s", problems, look.Manifest)
		}
		if got := docs[0].Object.(*v1.Service).Spec.Command.Line; got != line {
			t.Fatalf("%q became %q", line, got)
		}
	})
}
