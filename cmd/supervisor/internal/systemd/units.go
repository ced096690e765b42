package systemd

import (
	"bytes"
	"embed"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

//go:generate go test -run TestExamples -update .

//go:embed templates/*.tmpl
var templates embed.FS

// The names of the units.
const (
	Manager  = "supervisor.service"
	Keeper   = "supervisor-keeper.service"
	Poweroff = "supervisor-poweroff.service"
)

// Names are all units, in the order in which they are to be started.
func Names() []string { return []string{Keeper, Manager, Poweroff} }

// mark is the first line of each unit. A file without it was written by somebody else.
const mark = "# Written by `supervisor install`"

// Options say for whom and of what units are written. Paths are absolute.
type Options struct {
	// User is true for the service manager of a user, false for that of the machine.
	User bool
	// Supervisor and Keeper are the two programs.
	Supervisor, Keeper string
	// Dir is the data folder, Home the home folder that ~ in manifests means.
	Dir, Home string
}

// Unit is one unit file.
type Unit struct {
	Name string
	Text []byte
}

// Render returns the unit files, in the order of Names.
func Render(o Options) ([]Unit, error) {
	for _, path := range []string{o.Supervisor, o.Keeper, o.Dir, o.Home} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, "\n\r") {
			return nil, fmt.Errorf("%q cannot stand in a unit; it must be an absolute path in one line", path)
		}
	}
	for _, path := range []string{o.Supervisor, o.Keeper} {
		if strings.ContainsAny(path, `"'\`) {
			return nil, fmt.Errorf("systemd runs no program whose path has quotes or backslashes in it, as %s has; move it", path)
		}
	}
	t, err := template.New("units").Funcs(template.FuncMap{"quote": quote, "arg": argument}).ParseFS(templates, "templates/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the templates of units: %w", err)
	}
	units := make([]Unit, 0, len(Names()))
	for _, name := range Names() {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name+".tmpl", o); err != nil {
			return nil, fmt.Errorf("render %s: %w", name, err)
		}
		units = append(units, Unit{Name: name, Text: b.Bytes()})
	}
	return units, nil
}

// quote writes a word of an assignment such that systemd reads it back as it is: no specifiers, no word splitting.
func quote(word string) string {
	word = strings.NewReplacer(`%`, `%%`, `\`, `\\`, `"`, `\"`).Replace(word)
	if strings.ContainsAny(word, " \t'\"\\;") {
		return `"` + word + `"`
	}
	return word
}

// argument is quote for a word of a command line after the first, where $ refers to variables.
func argument(word string) string { return quote(strings.ReplaceAll(word, "$", "$$")) }
