package manifest

import (
	"strings"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
)

const base = `# head
apiVersion: supervisor.dev/v1
kind: Service
metadata: {name: web, labels: {a: b}} # flow
spec:
  command: "uvicorn app:app" # quoted
  # the port
  port: 8000 # why
  env:
    A: one # first

    # about B
    B: 'two'
  restart: {policy: Always, delay: 5s}
  dependsOn:
  - name: db
    condition: ready
# tail
`

func put(value any, path ...string) Change { return Change{Path: path, Value: value} }

func TestSplice(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		change   Change
		old, now string
	}{
		"number keeps its comment":   {base, put(9000, "spec", "port"), "port: 8000 # why", "port: 9000 # why"},
		"quotes stay":                {base, put("a b", "spec", "command"), `"uvicorn app:app" # quoted`, `"a b" # quoted`},
		"single quotes stay":         {base, put("x", "spec", "env", "B"), "B: 'two'", "B: 'x'"},
		"new key behind the last":    {base, put("3", "spec", "env", "C"), "    B: 'two'\n", "    B: 'two'\n    C: \"3\"\n"},
		"removed key":                {base, put(nil, "spec", "env", "A"), "    A: one # first\n", ""},
		"in a flow mapping":          {base, put("9s", "spec", "restart", "delay"), "delay: 5s}", "delay: 9s}"},
		"into a flow mapping":        {base, put(3, "spec", "restart", "maxAttempts"), "delay: 5s}", "delay: 5s, maxAttempts: 3}"},
		"nested and new":             {base, put("web", "spec", "expose", "subdomain"), "    condition: ready\n", "    condition: ready\n  expose:\n    subdomain: web\n"},
		"a list is one value":        {base, put([]any{map[string]any{"name": "x"}}, "spec", "dependsOn"), "  dependsOn:\n  - name: db\n    condition: ready\n", "  dependsOn:\n    - name: x\n"},
		"last key takes its mapping": {"spec:\n  a: 1\n  env:\n    B: 2\n  c: 3\n", put(nil, "spec", "env", "B"), "  env:\n    B: 2\n", ""},
		"what is not there":          {base, put(nil, "spec", "nope"), "", ""},
		"crlf":                       {"spec:\r\n  a: 1\r\n", put(2, "spec", "b"), "  a: 1\r\n", "  a: 1\r\n  b: 2\r\n"},
		"no final newline":           {"spec:\n  a: 1", put(2, "spec", "b"), "  a: 1", "  a: 1\n  b: 2"},
		"a literal block":            {"spec:\n  a: |\n    # no comment\n    text\n\n  b: 1\n", put("x", "spec", "a"), "  a: |\n    # no comment\n    text\n", "  a: x\n"},
		"unicode before the value":   {"spec: {ä: ü, b: 1}\n", put(2, "spec", "b"), "b: 1", "b: 2"},
		"a value over lines":         {"spec:\n  a: one\n    two\n  b: 1\n", put("x", "spec", "a"), "  a: one\n    two\n", "  a: x\n"},
		"json":                       {`{"spec": {"port": 1}}` + "\n", put(2, "spec", "port"), `"port": 1`, `"port": 2`},
		"nothing yet":                {"spec:\n  env:\n  b: 1\n", put("1", "spec", "env", "A"), "  env:\n", "  env:\n    A: \"1\"\n"},
		"yes is a text":              {base, put("8", "spec", "env", "A"), "A: one # first", "A: \"8\" # first"},
		"scalar to mapping":          {base, put(map[string]any{"x": 1}, "spec", "port"), "port: 8000 # why", "port: # why\n    x: 1"},
	} {
		got, err := splice([]byte(c.text), []Change{c.change})
		want := strings.Replace(c.text, c.old, c.now, 1)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n--- got\n%s--- want\n%s", name, err, got, want)
		}
	}
	for name, text := range map[string]string{"anchor": "spec: &x\n  a: 1\n", "alias": "x: &x {a: 1}\nspec: *x\n"} {
		if out, err := splice([]byte(text), []Change{put(2, "spec", "a")}); err == nil {
			t.Errorf("%s: edited to %s", name, out)
		}
	}
}

func TestEditor(t *testing.T) {
	root := t.TempDir()
	e := NewEditor(root)
	write(t, root+"/all.yaml", strings.Replace(base, "  dependsOn:\n  - name: db\n    condition: ready\n", "", 1)+"---\n"+service("other", "sleep 1")+"# kept\n")
	key := v1.Key{Kind: v1.KindService, Name: "web"}
	rev, err := e.Change(key, []Change{put(8123, "spec", "port")}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Change(key, []Change{put(1, "spec", "port")}, "stale"); err == nil {
		t.Error("a stale revision was edited")
	}
	if _, err := e.Change(key, []Change{put(99999, "spec", "port")}, rev); err == nil {
		t.Error("an invalid value was written")
	}
	l := List(root)
	if d := describe(l); d != "all.yaml:web=uvicorn app:app all.yaml:other=sleep 1" {
		t.Fatalf("listing: %s", d)
	}
	if svc, ok := l.Files[0].Docs[0].Object.(*v1.Service); !ok || svc.Spec.Port.Number != 8123 || l.Files[0].Docs[0].Revision != rev {
		t.Errorf("web is %+v", l.Files[0].Docs[0])
	}
	next := &v1.Service{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}, Metadata: v1.ObjectMeta{Name: "new"}}
	next.Spec.Command.Line, next.Spec.Port.Auto, next.Spec.Env = "app --x", true, map[string]string{"A": "1", "B": "yes"}
	next.Default()
	want := next.Revision()
	if got, err := e.Create(next, nil); err != nil || got != want {
		t.Fatalf("create: %s, %v, want %s", got, err, want)
	}
	if _, err := e.Create(next, nil); err == nil {
		t.Error("created twice")
	}
	if gone, err := e.Delete(v1.Key{Kind: v1.KindService, Name: "other"}, ""); err != nil || gone != "" {
		t.Fatalf("delete: %q %v", gone, err)
	}
	if gone, err := e.Delete(next.Key(), want); err != nil || gone != "services/new.yaml" {
		t.Fatalf("delete: %q %v", gone, err)
	}
	if d := describe(List(root)); d != "all.yaml:web=uvicorn app:app" {
		t.Errorf("listing: %s", d)
	}
}
