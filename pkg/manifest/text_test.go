package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func TestCheckPath(t *testing.T) {
	t.Parallel()
	for path, good := range map[string]bool{
		"web.yaml": true, "services/web.yml": true, "a/b/c/d.yaml": true, "with blank.yaml": true,
		"": false, ".": false, "/etc/passwd.yaml": false, "../web.yaml": false, "a/../../web.yaml": false, "a/./web.yaml": false, "a//web.yaml": false,
		"web.txt": false, "web": false, ".yaml": false, ".web.yaml": false, ".git/web.yaml": false, "a/.b/web.yaml": false, "web.yaml/": false,
		"a\\..\\web.yaml": false, "a\x00.yaml": false, "\xff.yaml": false, " web.yaml": false, "web.yaml~": false, "#web.yaml": false,
		strings.Repeat("a/", 17) + "web.yaml": false, strings.Repeat("a", 300) + ".yaml": false,
	} {
		if err := CheckPath(path); (err == nil) != good {
			t.Errorf("%q: %v", path, err)
		} else if err != nil && !errors.Is(err, ErrPath) {
			t.Errorf("%q: %v is no ErrPath", path, err)
		}
	}
}

// An edit demands what its caller has seen, and nothing else is written.
func TestTextsAreGuarded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	e := NewEditor(root)
	text := []byte("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {command: a}\n")
	if made, err := e.WriteText("services/web.yaml", text, Condition{New: true}); err != nil || !made {
		t.Fatalf("%v %v", made, err)
	}
	first, err := e.ReadText("services/web.yaml")
	if err != nil || string(first.Text) != string(text) || first.ReadOnly != "" || first.Tag != Tag(text) {
		t.Fatalf("%+v %v", first, err)
	}
	var stale *StaleError
	if _, err := e.WriteText("services/web.yaml", []byte("x"), Condition{New: true}); !errors.As(err, &stale) || stale.Current == nil || string(stale.Current.Text) != string(text) {
		t.Errorf("there already: %v", err)
	}
	if made, err := e.WriteText("services/web.yaml", append(text, "# more\n"...), Condition{Tag: first.Tag}); err != nil || made {
		t.Errorf("%v %v", made, err)
	}
	if _, err := e.WriteText("services/web.yaml", text, Condition{Tag: first.Tag}); !errors.As(err, &stale) || !strings.HasSuffix(string(stale.Current.Text), "# more\n") {
		t.Errorf("an old tag: %v", err)
	}
	if err := e.RemoveText("services/web.yaml", Condition{Tag: first.Tag}); !errors.Is(err, ErrStale) {
		t.Errorf("removal with an old tag: %v", err)
	}
	if err := e.RemoveText("services/web.yaml", Condition{}); err != nil {
		t.Error(err)
	}
	if _, err := e.WriteText("services/web.yaml", text, Condition{Tag: first.Tag}); !errors.As(err, &stale) || stale.Current != nil {
		t.Errorf("gone meanwhile: %v", err)
	}
	if err := e.RemoveText("services/web.yaml", Condition{}); !errors.Is(err, ErrNoFile) {
		t.Errorf("gone: %v", err)
	}
	if _, err := e.ReadText("../x.yaml"); !errors.Is(err, ErrPath) {
		t.Errorf("outside: %v", err)
	}
}

// What lies behind a link is shown, as it is in force, and not written.
func TestTextsBehindLinks(t *testing.T) {
	t.Parallel()
	root, outside := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(outside, "far.yaml"): "# far\n", filepath.Join(outside, "secret.txt"): "hush\n", filepath.Join(root, "locked.yaml"): "# locked\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Symlink(outside, filepath.Join(root, "linked")), os.Symlink(filepath.Join(outside, "far.yaml"), filepath.Join(root, "one.yaml")),
		os.Chmod(filepath.Join(root, "locked.yaml"), 0o444),
	); err != nil {
		t.Fatal(err)
	}
	e := NewEditor(root)
	if len(e.Texts()) != 3 {
		t.Errorf("%+v", e.Texts())
	}
	for _, path := range []string{"linked/far.yaml", "one.yaml", "locked.yaml"} {
		if got, err := e.ReadText(path); err != nil || got.ReadOnly == "" {
			t.Errorf("%s: %+v %v", path, got, err)
		}
		if _, err := e.WriteText(path, []byte("# near\n"), Condition{}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s was written: %v", path, err)
		}
		if err := e.RemoveText(path, Condition{}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s was removed: %v", path, err)
		}
	}
	if _, err := e.WriteText("linked/new.yaml", []byte("# x\n"), Condition{}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a new file behind a link: %v", err)
	}
	if _, err := e.WriteText("locked.yaml/x.yaml", []byte("# x\n"), Condition{}); !errors.Is(err, ErrPath) {
		t.Errorf("below a file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(outside, "new.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is there")
	}
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	const one = "# head\nkind: Service # k\napiVersion: supervisor.dev/v1\nmetadata: {name: a}\nspec:\n  command: x\n  env: {A: \"1\", B: two} # env\n"
	const two = "---\napiVersion: supervisor.dev/v1\nkind: Service\nmetadata:\n  name: b\nspec:\n  command: [run, --x, y]\n"
	const broken = "---\nkind: [\n"
	got, err := Rewrite([]byte(one+two+broken), func(o v1.Object, document []byte) ([]Change, error) {
		switch {
		case o == nil:
			if string(document) != broken {
				t.Errorf("the broken one is %q", document)
			}
			return nil, nil
		case o.Key().Name == "a":
			return []Change{{Path: []string{"spec", "env", "A"}, Value: "9"}}, nil
		}
		return []Change{{Path: []string{"spec", "command"}, Value: []string{"run", "z"}}}, nil
	})
	want := strings.Replace(one, `A: "1"`, `A: "9"`, 1) + strings.Replace(two, " [run, --x, y]", "\n    - run\n    - z", 1) + broken
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
