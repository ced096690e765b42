package examples_test

import (
	"testing"

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
