package imports_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/philiporange/supervisor/pkg/imports"
	"github.com/philiporange/supervisor/pkg/manifest"
)

var update = flag.Bool("update", false, "write the .want files anew")

// reader is what reads a file of testdata.
func reader(name string) func([]byte, imports.Options) (imports.Result, error) {
	switch filepath.Ext(name) {
	case ".supervisord":
		return imports.Supervisord
	case ".pm2":
		return imports.PM2
	case ".compose":
		return imports.Compose
	}
	return imports.Systemd
}

// render is a result as people see it.
func render(t testing.TB, r imports.Result) string {
	t.Helper()
	var b strings.Builder
	for _, n := range r.Notes {
		dropped := ""
		if n.Dropped {
			dropped = "(dropped) "
		}
		fmt.Fprintf(&b, "! %s%s\n", dropped, n)
	}
	for _, o := range r.Objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, problems := manifest.Decode("", text); len(problems) > 0 {
			t.Errorf("%v\n%s", problems, text)
		}
		fmt.Fprintf(&b, "---\n%s", text)
	}
	return b.String()
}

// TestGolden imports a file of each manager. What comes of it is what the supervisor takes, and what does not is told.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".want") || strings.HasPrefix(filepath.Base(file), "fuzz") {
			continue
		}
		seen++
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		result, err := reader(file)(text, imports.Options{File: "/srv/" + filepath.Base(file), Dir: "/srv"})
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		got := render(t, result)
		if *update {
			if err := os.WriteFile(file+".want", []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file + ".want")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
	if seen < 7 {
		t.Errorf("%d files", seen)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		read func([]byte, imports.Options) (imports.Result, error)
		text string
		want string
	}{
		"an ecosystem file of JavaScript": {imports.PM2, "module.exports = {}", "node -p"},
		"a compose file that is none":     {imports.Compose, "just a text", "no compose file"},
		"a compose file without services": {imports.Compose, "volumes: {}", "no services"},
		"too much":                        {imports.Supervisord, strings.Repeat("x", 5<<20), "larger than"},
	} {
		if _, err := c.read([]byte(c.text), imports.Options{File: "f"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzImport: whatever the text, what is made of it is what the supervisor takes.
func FuzzImport(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	formats := []string{"a.supervisord", "a.pm2", "a.service", "a.compose"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || strings.HasSuffix(file, ".want") {
			continue
		}
		for i, format := range formats {
			if filepath.Ext(format) == filepath.Ext(file) {
				f.Add(uint8(i), string(text))
			}
		}
	}
	f.Add(uint8(0), "[program:x]\ncommand=a\n b\nenvironment=A='\\'',B=\"\n")
	f.Add(uint8(2), "[Service]\nExecStart=\\\n\\\n/bin/x $ ${ ${X} %% \\\n")
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		format := formats[int(which)%len(formats)]
		result, err := reader(format)([]byte(text), imports.Options{File: format, Dir: "/srv"})
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, o := range result.Objects {
			if folded := strings.ToLower(o.Key().Name); names[folded] {
				t.Fatalf("two are named %s", folded)
			} else {
				names[folded] = true
			}
			data, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if _, problems := manifest.Decode("", data); len(problems) > 0 {
				t.Fatalf("%v\n%s", problems, data)
			}
		}
		for _, n := range result.Notes {
			if strings.Contains(n.String(), "\n") {
				t.Fatalf("a note of several lines: %q", n)
			}
		}
	})
}
