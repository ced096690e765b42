package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImportFromOtherManagers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conf := filepath.Join(w.dir, "web.conf")
	if err := os.WriteFile(conf, []byte("[program:web]\ncommand=sleep 1000\npriority=3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := w.run("import", "supervisord", conf)
	if code != 0 || !strings.Contains(out, "name: web") || !strings.Contains(errs, "line 3: priority=3: ") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	into := filepath.Join(w.dir, "made")
	if out, errs, code = w.run("import", "supervisord", conf, "-d", into); code != 0 || !strings.Contains(out, "web.service.yaml") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(into, "web.service.yaml")); err != nil {
		t.Error(err)
	}
	w.env.In = strings.NewReader("[Service]\nExecStart=/bin/true\n")
	if out, errs, code = w.run("import", "systemd", "-", "--name", "unit"); code != 0 || !strings.Contains(out, "name: unit") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if _, errs, code = w.run("import", "compose", filepath.Join(w.dir, "nope.yaml")); code == 0 || !strings.Contains(errs, "nope.yaml") {
		t.Errorf("%d %s", code, errs)
	}
}
