package manifests_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/philiporange/supervisor/manifests"
	"github.com/philiporange/supervisor/pkg/manifest"
)

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := fs.ReadFile(manifests.Schemas(), "manifest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("manifest.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("manifest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// check holds a text against the schema and the decoder.
func check(t *testing.T, schema *jsonschema.Schema, name string, text []byte) (bySchema, byDecoder error) {
	t.Helper()
	_, problems := manifest.Decode(name, text)
	if len(problems) > 0 {
		byDecoder = &manifest.InvalidError{Problems: problems}
	}
	for doc := range strings.SplitSeq("\n"+string(text), "\n---") {
		asJSON, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if value == nil {
			continue
		}
		if err := schema.Validate(value); err != nil {
			bySchema = err
		}
	}
	return bySchema, byDecoder
}

// What we give people to copy is valid, by the schema and by the decoder: every example, and what the README shows.
func TestExamplesAreValid(t *testing.T) {
	schema := compile(t)
	texts := map[string][]byte{}
	err := filepath.WalkDir("../examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || manifest.Ignored(d.Name()) {
			return err
		}
		texts[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1) {
		text := m[1]
		const head = "apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: x}\n"
		switch part := bytes.TrimSpace(text); {
		case bytes.HasPrefix(part, []byte("apiVersion:")):
		case bytes.HasPrefix(part, []byte("spec:")):
			text = slices.Concat([]byte(head), part, []byte("\n  command: x\n"))
		default: // fields of a spec
			text = slices.Concat([]byte(head+"spec:\n  command: x\n  "), bytes.ReplaceAll(part, []byte("\n"), []byte("\n  ")))
		}
		texts["README.md#"+string(rune('0'+i))] = text
	}
	design, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts["testdata/design.yaml"] = design
	if len(texts) < 4 {
		t.Fatalf("only %d examples found", len(texts))
	}
	for name, text := range texts {
		if bySchema, byDecoder := check(t, schema, name, text); bySchema != nil || byDecoder != nil {
			t.Errorf("%s\nby the schema: %v\nby the decoder: %v", name, bySchema, byDecoder)
		}
	}
}

// What is wrong is wrong for both.
func TestSchemaRefuses(t *testing.T) {
	schema := compile(t)
	const good = "apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {command: a}\n"
	if bySchema, byDecoder := check(t, schema, "good", []byte(good)); bySchema != nil || byDecoder != nil {
		t.Fatalf("%v %v", bySchema, byDecoder)
	}
	for what, text := range map[string]string{
		"unknown field": strings.Replace(good, "command", "comand", 1),
		"no spec":       strings.Replace(good, "spec: {command: a}", "", 1),
		"kind":          strings.Replace(good, "Service", "Servise", 1),
		"name":          strings.Replace(good, "web", "'a/b'", 1),
		"port":          strings.Replace(good, "command: a", "command: a, port: 70000", 1),
		"duration":      strings.Replace(good, "command: a", "command: a, stop: {timeout: soon}", 1),
		"policy":        strings.Replace(good, "command: a", "command: a, restart: {policy: Sometimes}", 1),
	} {
		if bySchema, byDecoder := check(t, schema, what, []byte(text)); bySchema == nil || byDecoder == nil {
			t.Errorf("%s: by the schema %v, by the decoder %v", what, bySchema, byDecoder)
		}
	}
}

func TestSchemasAreJSON(t *testing.T) {
	for _, name := range []string{"service", "cronjob", "manifest"} {
		text, err := fs.ReadFile(manifests.Schemas(), name+".schema.json")
		if err != nil || !json.Valid(text) || bytes.Contains(text, []byte("observedRevision")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
