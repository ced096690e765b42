package onboard

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/philiporange/supervisor/pkg/command"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// Options say what a look may know of the world around the project.
type Options struct {
	// Home is the user's; data is kept at Home/.PROJECT.
	Home string
	// Port is the one that the user wants; 0 leaves it to the look.
	Port int
	// PortUsed says who uses a port, besides a service of that name; empty means that it is free. nil takes all to be free.
	PortUsed func(port int, service string) string
	// NameUsed returns the folder of the service that has a name already. nil takes all names to be free.
	NameUsed func(name string) (dir string, used bool)
	// Program finds a program on the PATH that services are given, as exec.LookPath does. nil finds none.
	Program func(name string) (path string, ok bool)
}

// Look is what a look at a folder brought.
type Look struct {
	// Project is the folder's name, Name that of the service, Dir the folder, DataDir where its data goes by convention.
	Project string `json:"project"`
	Name    string `json:"name"`
	Dir     string `json:"dir"`
	DataDir string `json:"data_dir"`
	// DataExists is whether DataDir is there.
	DataExists bool `json:"data_exists"`
	// Known is true when a service of that name runs from this folder already.
	Known bool `json:"known,omitempty"`
	// Candidates are the ways to run it, best first; there may be none.
	Candidates []Candidate `json:"candidates"`
	// Manifest is the text for the best one, empty when there is none.
	Manifest string   `json:"manifest"`
	Reasons  []Reason `json:"reasons"`
	// Warnings are what a person should know or do.
	Warnings []string `json:"warnings,omitempty"`

	nameUsed func(name string) (dir string, used bool)
}

// looker looks at one folder.
type looker struct {
	folder   *folder
	options  Options
	warnings []string
	// dataDir is where the project's data goes by convention.
	dataDir string
	// hints are what files say that name no command: ports, variables.
	hints []Candidate
}

func (l *looker) warn(format string, args ...any) {
	if w := fmt.Sprintf(format, args...); !slices.Contains(l.warnings, w) {
		l.warnings = append(l.warnings, w)
	}
}

// program is what to call a program by: its name where a service's PATH has it, its path elsewhere.
func (l *looker) program(name string) (string, bool) {
	if l.options.Program == nil {
		return name, false
	}
	found, ok := l.options.Program(name)
	if !ok {
		return name, false
	}
	return found, true
}

// At looks at a folder. It fails only when there is no folder to look at.
func At(dir string, o Options) (*Look, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the project: %w", err)
	}
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	l := &looker{folder: f, options: o}
	out := &Look{Project: filepath.Base(dir), Dir: dir, Candidates: []Candidate{}, nameUsed: o.NameUsed}
	out.Name, out.Known = l.name(out.Project)
	out.DataDir = filepath.Join(o.Home, "."+out.Name)
	if info, err := os.Stat(out.DataDir); err == nil && info.IsDir() {
		out.DataExists = true
	}

	l.dataDir = out.DataDir
	found := l.all()
	if len(found) == 1 && found[0].Kind == "static" {
		found[0].Confidence = 70 // there is nothing else that it could be
	}
	if !slices.ContainsFunc(found, func(c Candidate) bool { return c.Confidence >= 60 }) {
		found = append(found, l.below()...)
	}
	found = slices.DeleteFunc(found, l.unusable)
	for i := range found {
		l.located(&found[i])
		for j := range found[i].Beside {
			l.located(&found[i].Beside[j])
		}
	}
	byConfidence(found)
	for i := range found {
		l.finish(&found[i], out.Name)
		for j := range found[i].Beside {
			l.finish(&found[i].Beside[j], out.Name)
		}
	}
	for _, c := range distinct(found) {
		// What it says comes from anybody's files: only what the supervisor takes is proposed.
		if _, problems := manifest.Decode("", []byte(out.render(&c))); len(problems) > 0 {
			l.warn("what %s says is left out: %v", c.Reasons[0].Source, problems[0])
			continue
		}
		out.Candidates = append(out.Candidates, c)
	}
	if len(f.cut) > 0 {
		l.warn("not everything was read: %s is too large or too much", f.cut[0])
	}
	if len(out.Candidates) == 0 {
		l.warn("nothing in the folder says how it is run; write a command into a manifest, or a Procfile with the line web: COMMAND")
		out.Reasons, out.Warnings = []Reason{}, l.warnings
		return out, nil
	}
	best := &out.Candidates[0]
	if best.Missing != "" {
		l.warn("%s is not installed, or not where a service would find it", best.Missing)
	}
	if best.Confidence < 50 {
		l.warn("it is not sure that this is how the project is run: look at the command")
	}
	out.Manifest = out.render(best)
	out.Reasons, out.Warnings = best.Reasons, l.warnings
	return out, nil
}

// all asks everybody who knows a kind of project.
func (l *looker) all() []Candidate {
	var found []Candidate
	for _, look := range []func() []Candidate{
		l.procfile, l.units, l.compose, l.dockerfile, l.python, l.node, l.golang, l.rust, l.others, l.scripts, l.site,
	} {
		found = append(found, look()...)
	}
	return found
}

// maxBelow bounds how many folders below are looked at.
const maxBelow = 10

// below looks at the folders of a project that is none itself, but holds some: a backend beside a frontend.
func (l *looker) below() []Candidate {
	var found []Candidate
	looked := 0
	for _, e := range l.folder.list(".") {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || slices.Contains(skipped, strings.ToLower(name)) || looked == maxBelow {
			continue
		}
		root, err := l.folder.root.OpenRoot(name)
		if err != nil {
			continue
		}
		looked++
		inside := &looker{
			folder:  &folder{root: root, dir: filepath.Join(l.folder.dir, name), left: l.folder.left, read: map[string]string{}},
			options: l.options, dataDir: l.dataDir,
		}
		for _, c := range inside.all() {
			c.WorkingDir = name
			c.Confidence -= 6
			for i := range c.Reasons {
				if c.Reasons[i].Source != "" {
					c.Reasons[i].Source = name + "/" + c.Reasons[i].Source
				}
			}
			inside.dotenv(&c)
			found = append(found, c)
		}
		l.folder.left = inside.folder.left
		l.warnings = append(l.warnings, inside.warnings...)
		inside.folder.close()
	}
	return found
}

// unusable reports whether a command is none that could be run.
func (l *looker) unusable(c Candidate) bool {
	if err := command.Check(c.Command); err != nil {
		l.warn("what %s says is left out: %v", c.Reasons[0].Source, err)
		return true
	}
	return slices.ContainsFunc(c.Beside, l.unusable)
}

// distinct leaves out candidates that run the same command as a surer one.
func distinct(all []Candidate) []Candidate {
	var out []Candidate
	for _, c := range all {
		if !slices.ContainsFunc(out, func(o Candidate) bool { return o.Command == c.Command }) {
			out = append(out, c)
		}
	}
	return out[:min(len(out), 8)]
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// safeName makes a name that a manifest may have.
func safeName(text string) string {
	name := strings.Trim(notInName.ReplaceAllString(text, "-"), "-._")
	if name = name[:min(len(name), 50)]; name == "" {
		return "app"
	}
	return name
}

// name is that of the service: the folder's, with a number when a service of another folder has it.
func (l *looker) name(project string) (name string, known bool) {
	base := safeName(project)
	name = base
	if l.options.NameUsed == nil {
		return name, false
	}
	for n := 2; ; n++ {
		dir, used := l.options.NameUsed(name)
		if !used {
			return name, false
		}
		if samePath(dir, l.folder.dir) {
			return name, true
		}
		l.warn("a service named %s runs from %s already", name, dir)
		name = fmt.Sprintf("%s-%d", base, n)
	}
}

func samePath(a, b string) bool {
	if real, err := filepath.EvalSymlinks(a); err == nil {
		a = real
	}
	if real, err := filepath.EvalSymlinks(b); err == nil {
		b = real
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// finish adds what is not of one ecosystem: dotenv files, what containers are told, and a port that is free.
func (l *looker) finish(c *Candidate, service string) {
	for _, h := range l.hints {
		if c.Kind == "static" || c.Kind == "docker" {
			continue
		}
		if h.Port > 1023 && (c.Port == 0 || !namesPort(c)) {
			c.Serves, c.Port = true, h.Port
			c.Reasons = append(c.Reasons, reasonsOf(&h, "port")...)
		}
		if h.Health != "" && c.Health == "" && c.Serves {
			c.Health = h.Health
			c.Reasons = append(c.Reasons, reasonsOf(&h, "probe")...)
		}
	}
	if c.WorkingDir == "" {
		l.dotenv(c)
	}
	if l.options.Port > 0 {
		c.Serves, c.Port = true, l.options.Port
		c.because("port", 100, "", "%d is what was asked for", l.options.Port)
		if !c.PortFree {
			l.warn("nothing tells that the program takes its port from $PORT; make sure that it listens on %d", l.options.Port)
		}
		return
	}
	if !c.Serves || c.Port == 0 || l.options.PortUsed == nil {
		return
	}
	who := l.options.PortUsed(c.Port, service)
	switch {
	case who == "":
	case c.PortFree:
		c.because("port", 90, "", "port %d is used by %s, so Supervisor picks a free one", c.Port, who)
		c.Port = 0
	default:
		l.warn("port %d, on which the program listens, is used by %s: change one of them", c.Port, who)
	}
}

// located calls a program by its path when a service would not find it by its name.
func (l *looker) located(c *Candidate) {
	if l.options.Program == nil {
		return
	}
	first, rest, _ := strings.Cut(c.Command, " ")
	if strings.ContainsAny(first, "/=$'\"`(") {
		return
	}
	found, ok := l.program(first)
	if !ok {
		c.Missing = first
		c.Confidence -= 25
		return
	}
	c.Command = strings.TrimSpace(shellWord(found) + " " + rest)
}

// namesPort reports whether a source has named the candidate's port, and not a convention.
func namesPort(c *Candidate) bool {
	return slices.ContainsFunc(c.Reasons, func(r Reason) bool { return r.What == "port" && r.Source != "" && r.Confidence >= 75 })
}

func reasonsOf(c *Candidate, what string) (out []Reason) {
	for _, r := range c.Reasons {
		if r.What == what {
			out = append(out, r)
		}
	}
	return out
}

var dotenvLine = regexp.MustCompile(`(?m)^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*["']?([^"'\n#]*)`)

// dotenv takes the project's variables. Their values are not shown: only PORT is looked at.
func (l *looker) dotenv(c *Candidate) {
	text, ok := l.folder.text(".env")
	if !ok {
		if name, ok := l.folder.first(".env.example", ".env.sample", ".env.template", "example.env"); ok {
			l.warn("%s is there and .env is not: copy it and fill in what the program needs", name)
		}
		return
	}
	if c.Kind == "static" || slices.Contains(c.EnvFiles, ".env") {
		return
	}
	var names []string
	for _, m := range dotenvLine.FindAllStringSubmatch(text, 500) {
		names = append(names, m[1])
		if port := portNumber(strings.TrimSpace(m[2])); m[1] == "PORT" && port > 0 && c.Serves {
			c.Port = port
			c.because("port", 90, ".env", "PORT is %d there", port)
		}
	}
	c.EnvFiles = append(c.EnvFiles, ".env")
	what := "no variables"
	if len(names) > 0 {
		shown := names[:min(len(names), 6)]
		what = strings.Join(shown, ", ")
		if len(names) > len(shown) {
			what += fmt.Sprintf(" and %d more", len(names)-len(shown))
		}
	}
	c.because("env_file", 92, ".env", "the project keeps its variables there (%s)", what)
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
