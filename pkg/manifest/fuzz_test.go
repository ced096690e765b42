package manifest

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		base, service("a", "sleep 1"), "---\n---\na: 1\n", "\xef\xbb\xbf" + base, "a: &a [*a]\n", "\t", "kind: Service\nmetadata: 1\n",
		"apiVersion: supervisor.dev/v1\nkind: CronJob\nmetadata: {name: x}\nspec: {command: [a, 1], schedule: '* * * * *', env: {A: 1.10, B: yes}}\n",
		"%YAML 1.2\n---\nkind: Service\n", "spec: {<<: {a: 1}}\n", "a: |\n  b\n...\n", "kind: Service\nspec:\n  probes:\n    readiness: {httpGet: {port: x}}\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, problems := Decode("f.yaml", text)
		lines := 1 // by YAML's count, which knows more breaks than editors do
		for _, br := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += bytes.Count(text, []byte(br))
		}
		for _, p := range problems {
			if p.File != "f.yaml" || p.Detail == "" || p.Line < 0 || p.Line > lines {
				t.Errorf("problem %+v of a file of %d lines", p, lines)
			}
		}
		for _, d := range docs {
			if (d.Object == nil) == (len(d.Problems) == 0) {
				t.Errorf("document %v has object %v and problems %v", d.Key, d.Object, d.Problems)
			}
		}
	})
}

// FuzzEdit: an edit of any valid document changes the named field and nothing else, or is refused.
func FuzzEdit(f *testing.F) {
	f.Add([]byte(base), "A", "x")
	f.Add([]byte(service("a", "sleep 1")), "NEW", "# no comment")
	f.Add([]byte("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: x}\nspec: {command: a, env: {A: 1}}\n"), "A", "")
	f.Fuzz(func(t *testing.T, text []byte, name, value string) {
		docs, _ := Decode("f.yaml", text)
		for _, d := range docs {
			if d.Object != nil && v1.ValidName(name) {
				checkEdit(t, d, put(value, "spec", "env", name))
				checkEdit(t, d, put(nil, "spec", "env", name))
				checkEdit(t, d, put(map[string]any{"a": value}, "metadata", "annotations"))
			}
		}
	})
}

type failer interface {
	Errorf(format string, args ...any)
}

// checkEdit makes a change as Editor does, and holds it to its promise. It reports whether the edit was taken.
func checkEdit(t failer, d Document, c Change) bool {
	edited, err := splice(d.Text, []Change{c})
	if err != nil {
		return false
	}
	now, problems := Decode("f.yaml", edited)
	if len(now) != 1 || len(problems) > 0 || onlyChanged(d.Object, now[0].Object, []Change{c}) != nil {
		return false // Editor refuses it, and nothing is written
	}
	for _, comment := range comments(d.Text) {
		if !bytes.Contains(edited, []byte(comment)) {
			t.Errorf("comment %q is lost\n--- before\n%s\n--- %v\n%s", comment, d.Text, c, edited)
		}
	}
	return true
}

// comments are the lines of a text that hold nothing but a comment, as far as one can tell without parsing.
func comments(text []byte) []string {
	var out []string
	if bytes.ContainsAny(text, "|>\"'") {
		return nil // what looks like a comment may be part of a text
	}
	for line := range strings.Lines(string(text)) {
		if s := strings.TrimSpace(line); strings.HasPrefix(s, "#") {
			out = append(out, s)
		}
	}
	return out
}

// Edits of documents as people write them are taken, whatever their style.
func TestEditsOfAnyStyle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		indent := strings.Repeat(" ", rapid.IntRange(1, 6).Draw(t, "indent"))
		comment := func(label string) string {
			return rapid.SampledFrom([]string{"", "# c" + label + "\n", indent + "# d" + label + "\n", "\n"}).Draw(t, label)
		}
		eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol")
		env := rapid.SampledFrom([]string{"", "env: {A: '1', B: two}\n", "env:\n" + indent + indent + "A: 1 # one\n" + indent + indent + "# b\n" + indent + indent + "B: two\n"}).Draw(t, "env")
		var b strings.Builder
		b.WriteString(comment("top") + "apiVersion: supervisor.dev/v1\nkind: Service\n" + comment("kind"))
		b.WriteString(rapid.SampledFrom([]string{"metadata: {name: web}\n", "metadata:\n" + indent + "name: web # the name\n"}).Draw(t, "meta"))
		b.WriteString("spec:\n" + comment("spec") + indent + "command: sleep 1\n" + comment("cmd"))
		if env != "" {
			b.WriteString(indent + env + comment("env"))
		}
		b.WriteString(indent + "port: 8000\n" + comment("end"))
		docs, problems := Decode("f.yaml", []byte(strings.ReplaceAll(b.String(), "\n", eol)))
		if len(problems) > 0 {
			t.Fatalf("%v\n%s", problems, b.String())
		}
		value := rapid.SampledFrom([]any{"x", "y: z", "# no", "", "yes", "1", "multi\nline", nil}).Draw(t, "value")
		path := rapid.SampledFrom([][]string{{"spec", "env", "A"}, {"spec", "env", "C"}, {"metadata", "annotations", "n"}, {"spec", "workingDir"}}).Draw(t, "path")
		if !checkEdit(t, docs[0], Change{Path: path, Value: value}) {
			t.Fatalf("the edit of %v to %v is refused:\n%s", path, value, docs[0].Text)
		}
	})
}
