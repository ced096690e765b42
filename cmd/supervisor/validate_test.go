package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const web = "apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  command: sleep 1000\n"

// A folder and a file are read as the daemon reads them, and problems have paths that the user can open.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"web.yaml": web, "sub/typo.yaml": strings.Replace(strings.Replace(web, "command", "comand", 1), "web", "typo", 1),
		"notes.txt": "bad", ".hidden.yaml": "bad", "again.yaml": web,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, problems, err := validate(dir)
	if err != nil || len(keys) != 1 || keys[0].Name != "web" {
		t.Fatalf("objects %v, %v", keys, err)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{dir + "/sub/typo.yaml:5: spec.comand: ", dir + "/web.yaml:1: metadata.name: ", dir + "/again.yaml:1: metadata.name: "} {
		if !strings.Contains(text, want) {
			t.Errorf("not said: %s\n%s", want, text)
		}
	}
	if strings.Contains(text, "hidden") || strings.Contains(text, "notes") {
		t.Errorf("what is no manifest is read:\n%s", text)
	}

	typo := filepath.Join(dir, "sub/typo.yaml")
	if keys, problems, err := validate(typo); err != nil || len(keys) != 0 || len(problems) != 1 || problems[0].File != typo {
		t.Errorf("a file: %v, %v, %v", keys, problems, err)
	}
	if keys, problems, err := validate(filepath.Join(dir, "web.yaml")); err != nil || len(keys) != 1 || len(problems) != 0 {
		t.Errorf("a good file: %v, %v, %v", keys, problems, err)
	}
	if _, _, err := validate(filepath.Join(dir, "nope")); err == nil {
		t.Error("what is not there is valid")
	}
}
