package examples_test

import (
	"os"
	"slices"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/examples"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// A template is one valid object, named like its file, and says what it is for.
func TestTemplates(t *testing.T) {
	all := examples.Templates()
	if len(all) < 6 {
		t.Fatalf("only %d templates", len(all))
	}
	jobs := false
	for _, tpl := range all {
		docs, problems := manifest.Decode(tpl.Name+".yaml", []byte(tpl.Text))
		if len(docs) != 1 || len(problems) > 0 {
			t.Errorf("%s: %d documents, %v", tpl.Name, len(docs), problems)
			continue
		}
		if key := docs[0].Key; key.Name != tpl.Name || key.Kind != tpl.Kind {
			t.Errorf("%s holds %s, and says %s", tpl.Name, key, tpl.Kind)
		}
		if tpl.Title == "" || tpl.About == "" {
			t.Errorf("%s does not say what it is for", tpl.Name)
		}
		if jobs && tpl.Kind == "Service" {
			t.Errorf("%s comes after a job", tpl.Name)
		}
		jobs = tpl.Kind == "CronJob"
	}
}

// The manifest of Caddy is one for people to copy, and one with a program and a folder put in, whatever these are called.
func TestCaddy(t *testing.T) {
	copied, err := os.ReadFile("caddy/caddy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const program, dir = `/opt/my "caddy"/caddy: #1`, `/home/me/\odd dir`
	for text, want := range map[string]v1.Command{
		string(copied):               {Line: "caddy run --config caddy.json"},
		examples.Caddy(program, dir): {Argv: []string{program, "run", "--config", "caddy.json"}},
	} {
		docs, problems := manifest.Decode("caddy.yaml", []byte(text))
		if len(docs) != 1 || len(problems) > 0 {
			t.Fatalf("%d documents, %v\n%s", len(docs), problems, text)
		}
		svc, ok := docs[0].Object.(*v1.Service)
		if !ok || svc.Metadata.Name != "caddy" || svc.Spec.Command.Line != want.Line || !slices.Equal(svc.Spec.Command.Argv, want.Argv) {
			t.Errorf("%+v", docs[0].Object)
		}
		if want.Argv != nil && svc.Spec.WorkingDir != dir {
			t.Errorf("it runs in %q", svc.Spec.WorkingDir)
		}
	}
}
