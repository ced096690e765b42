// Package examples holds what people copy: manifests, small real apps, systemd units. What lies in templates is in the program
// too, to begin a manifest with.
package examples

import (
	"embed"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed templates/*.yaml
var files embed.FS

//go:embed caddy/caddy.yaml
var caddyManifest string

// Caddy is the manifest of Caddy as a service, for a program and a folder of its own.
func Caddy(program, dir string) string {
	quoted := func(s string) string { return strconv.Quote(s) } // as YAML's double quotes have it
	return strings.NewReplacer(
		"command: caddy run --config caddy.json", "command: ["+quoted(program)+", run, --config, caddy.json]",
		"workingDir: ~/.supervisor/caddy", "workingDir: "+quoted(dir),
	).Replace(caddyManifest)
}

// Template is a manifest to begin with.
type Template struct {
	Name, Kind, Title, About, Text string
}

var kind = regexp.MustCompile(`(?m)^kind: (\w+)$`)

// Templates are the manifests in templates, services first. The comment at the head of each is its title and, in the lines
// after that, what it is for.
func Templates() []Template {
	entries, err := fs.ReadDir(files, "templates")
	if err != nil {
		return nil // they are part of the program
	}
	var out []Template
	for _, e := range entries {
		text, err := fs.ReadFile(files, "templates/"+e.Name())
		if err != nil {
			continue
		}
		t := Template{Name: strings.TrimSuffix(e.Name(), ".yaml")}
		var about []string
		rest := string(text)
		for line := range strings.Lines(rest) {
			comment, isComment := strings.CutPrefix(line, "# ")
			if !isComment {
				break
			}
			rest = rest[len(line):]
			if comment = strings.TrimSpace(comment); t.Title == "" {
				t.Title = comment
			} else {
				about = append(about, comment)
			}
		}
		t.About, t.Text = strings.Join(about, " "), rest
		if m := kind.FindStringSubmatch(rest); m != nil {
			t.Kind = m[1]
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b Template) int { return strings.Compare(b.Kind, a.Kind) })
	return out
}
