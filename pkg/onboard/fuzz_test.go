package onboard_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/onboard"
)

// read are the files that a look reads; a fuzzed text stands in one of them.
var read = []string{
	"Procfile", "app.service", "compose.yaml", "Dockerfile", "pyproject.toml", "requirements.txt", "main.py", "package.json", "server.js",
	"go.mod", "main.go", "Cargo.toml", "src/main.rs", "run.sh", "Makefile", ".env", "manage.py",
}

// FuzzLook: whatever a project's files hold, the look ends, and each manifest that it proposes is one that the supervisor takes.
func FuzzLook(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, archive := range archives {
		data, err := os.ReadFile(archive)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), "== want ==\n")
		marks := section.FindAllStringSubmatchIndex(input, -1)
		for i, m := range marks {
			end := len(input)
			if i+1 < len(marks) {
				end = marks[i+1][0]
			}
			for n, name := range read {
				if filepath.Base(name) == filepath.Base(input[m[2]:m[3]]) {
					f.Add(uint8(n), input[m[1]:end])
				}
			}
		}
	}
	f.Add(uint8(1), "[Service]\nExecStart=/bin/x $(A) \"\\\n\u2028\nEnvironment=A=$(B) B=$(A)\n")
	f.Add(uint8(6), "app = FastAPI(\n'''\n\\")
	f.Add(uint8(2), "services: {a: {build: ., command: [\"x\", \"'\"], environment: [\"A=\\x00\"], ports: [99999, -1]}}")
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		name := read[int(which)%len(read)]
		dir := t.TempDir()
		for file, content := range map[string]string{"go.mod": "module x\n", name: text} {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		look, err := onboard.At(dir, options(dir))
		if err != nil {
			t.Fatal(err)
		}
		for i := range look.Candidates {
			if _, problems := manifest.Decode("", []byte(look.ManifestOf(i))); len(problems) > 0 {
				t.Fatalf("%v\n%s", problems, look.ManifestOf(i))
			}
		}
	})
}
