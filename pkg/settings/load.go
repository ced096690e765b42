package settings

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// maxSocketPath is what fits into a unix socket's address, in bytes.
const maxSocketPath = 107

// Sources are where settings come from.
type Sources struct {
	// Flags are those that were given, by the name of their variable.
	Flags map[string]string
	// Environ is the environment as NAME=value.
	Environ []string
	// WorkingDir and Home are absolute paths. Home may be empty when there is none.
	WorkingDir, Home string
	// Executable is this program; the keeper is looked for beside it.
	Executable string
	// DetectHost finds the address by which people reach this machine.
	DetectHost func() string
}

// System returns the sources of this process. flags are those that were given, by the name of their variable.
func System(flags map[string]string) (Sources, error) {
	wd, err := os.Getwd()
	if err != nil {
		return Sources{}, fmt.Errorf("find the working directory: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return Sources{}, fmt.Errorf("find this program: %w", err)
	}
	if resolved, err := filepath.EvalSymlinks(exe); err == nil {
		exe = resolved // a link in ~/bin must not hide the keeper that lies beside the program itself
	}
	home, _ := os.UserHomeDir() // without one, ~ cannot be used, and that is said where it is used
	return Sources{Flags: flags, Environ: os.Environ(), WorkingDir: wd, Home: home, Executable: exe, DetectHost: DetectHost}, nil
}

// ValueError is one setting that cannot be used.
type ValueError struct {
	Name   string
	Value  string // masked where it may hold a secret
	Source string
	// Detail says what is wrong and what is allowed.
	Detail string
}

// Error renders `SUPERVISOR_PORT: "abc" (/home/me/.env:3) is not a port; write ...`.
func (e ValueError) Error() string {
	return fmt.Sprintf("%s: %q (%s) %s", e.Name, e.Value, e.Source, e.Detail)
}

// Errors is everything that is wrong with the settings.
type Errors []ValueError

// Error joins all errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, v := range e {
		lines[i] = v.Error()
	}
	return strings.Join(lines, "\n")
}

// Dir finds the data folder alone, for those who only want to talk to the supervisor that lives there.
func Dir(src Sources) (string, error) {
	l, err := newLookup(src)
	if err != nil {
		return "", err
	}
	dir, verr := l.dir()
	if verr != nil {
		return "", Errors{*verr}
	}
	return dir.text, nil
}

// Load reads all settings. Its error is Errors when values are at fault.
func Load(src Sources) (*Settings, error) {
	l, err := newLookup(src)
	if err != nil {
		return nil, err
	}
	dir, verr := l.dir()
	if verr != nil {
		return nil, Errors{*verr} // all else may stand in the .env file of that folder
	}
	if err := l.addFile(filepath.Join(dir.text, ".env")); err != nil {
		return nil, err
	}
	s := &Settings{Dir: dir.text}
	errs := l.misplacedDir(dir.text)
	for _, d := range definitions() {
		found := dir
		if d.name != dirName {
			found = l.find(d.name, s)
		}
		shown, def := found.text, d.def
		if d.mask != nil {
			shown = d.mask(shown)
		}
		if strings.HasPrefix(def, "(") {
			def = l.derived(d.name, s)
		}
		s.all = append(s.all, Setting{Name: d.name, Value: shown, Default: def, Source: found.source, Help: d.help})
		if err := d.set(s, found.text); err != nil {
			errs = append(errs, ValueError{Name: d.name, Value: shown, Source: found.source, Detail: err.Error()})
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return s, nil
}

// found is the text of a setting and where it was.
type found struct{ text, source string }

// lookup finds settings in the sources, best source first.
type lookup struct {
	src   Sources
	env   map[string]string
	files []dotenv
}

func newLookup(src Sources) (*lookup, error) {
	l := &lookup{src: src, env: make(map[string]string, len(src.Environ))}
	for _, kv := range src.Environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			l.env[name] = value
		}
	}
	return l, l.addFile(filepath.Join(src.WorkingDir, ".env"))
}

func (l *lookup) addFile(path string) error {
	if len(l.files) > 0 && l.files[0].path == path {
		return nil // the working directory is the data folder
	}
	f, err := readDotenv(path)
	if err != nil || f == nil {
		return err
	}
	l.files = append(l.files, *f)
	return nil
}

// given finds what somebody said. An empty value is nothing said: `SUPERVISOR_PORT= supervisor run` takes the default.
func (l *lookup) given(name string) (found, string, bool) {
	if text, ok := l.src.Flags[name]; ok {
		return found{strings.TrimSpace(text), "flag --" + flagName(name)}, l.src.WorkingDir, true
	}
	if text := strings.TrimSpace(l.env[name]); text != "" {
		return found{text, "environment"}, l.src.WorkingDir, true
	}
	for _, f := range l.files {
		if text := strings.TrimSpace(f.values[name]); text != "" {
			return found{text, f.source(name)}, filepath.Dir(f.path), true
		}
	}
	return found{}, "", false
}

// find returns what was said, else the default. Paths are expanded: ~ is the home folder, a relative path is relative
// to the .env file that says it, else to the working directory.
func (l *lookup) find(name string, s *Settings) found {
	f, base, ok := l.given(name)
	if !ok {
		def := defaultOf(name)
		if !strings.HasPrefix(def, "(") {
			return found{def, "default"}
		}
		return found{l.derived(name, s), cmp.Or(map[string]string{hostName: "detected"}[name], "default")}
	}
	switch name {
	case dirName, manifestsName, projectsName, upstreamsName, caddyFileName, caddyConfigName, caddyProgramName:
		f.text = l.expand(f.text, base)
	case agentKeyFileName:
		if f.text != nobody {
			f.text = l.expand(f.text, base)
		}
	case keeperName:
		if f.text != KeeperExternal {
			f.text = l.expand(f.text, base)
		}
	}
	return f
}

// derived is a default that depends on the machine or on SUPERVISOR_DIR.
func (l *lookup) derived(name string, s *Settings) string {
	switch name {
	case dirName:
		return l.expand("~/.supervisor", "")
	case manifestsName:
		return filepath.Join(s.Dir, "manifests")
	case projectsName:
		if l.src.Home == "" {
			return filepath.Join(s.Dir, "projects") // somewhere must be said, and nobody keeps code without a home
		}
		return l.expand("~/Code", "")
	case keeperName:
		return filepath.Join(filepath.Dir(l.src.Executable), "supervisor-keeper")
	case upstreamsName:
		return upstreamsDir()
	case caddyProgramName:
		return l.caddyProgram()
	default:
		return l.src.DetectHost()
	}
}

func (l *lookup) expand(path, base string) string {
	rest, tilde := strings.CutPrefix(path, "~")
	switch {
	case tilde && (rest == "" || rest[0] == '/'):
		if l.src.Home == "" {
			return path // refused by absolute, which says what to write
		}
		return filepath.Join(l.src.Home, rest)
	case filepath.IsAbs(path) || tilde:
		return path
	}
	return filepath.Join(base, path)
}

// dir finds the data folder, without the .env file that lies in it.
func (l *lookup) dir() (found, *ValueError) {
	s := &Settings{}
	f := l.find(dirName, s)
	fail := func(detail string) (found, *ValueError) {
		return f, &ValueError{Name: dirName, Value: f.text, Source: f.source, Detail: detail}
	}
	if err := absolute(func(s *Settings) *string { return &s.Dir })(s, f.text); err != nil {
		return fail(err.Error())
	}
	// The keeper's socket is the deepest.
	if longest := filepath.Join(s.KeeperDir(), "keeper.sock"); len(longest) > maxSocketPath {
		return fail(fmt.Sprintf("is too long for the unix sockets in it; write a path of at most %d bytes", maxSocketPath-len(longest)+len(s.Dir)))
	}
	f.text = s.Dir
	return f, nil
}

// misplacedDir refuses a .env file in the data folder that says that the data folder is another one.
func (l *lookup) misplacedDir(dir string) Errors {
	for _, f := range l.files {
		text := f.values[dirName]
		if filepath.Dir(f.path) == dir && text != "" && l.expand(text, dir) != dir {
			return Errors{{Name: dirName, Value: text, Source: f.source(dirName), Detail: "has no effect here, as this file was found by it; say it in the environment or as a flag"}}
		}
	}
	return nil
}

func defaultOf(name string) string {
	for _, d := range definitions() {
		if d.name == name {
			return d.def
		}
	}
	return ""
}

// DetectHost returns the machine's first IPv4 address that others can reach, else "localhost".
func DetectHost() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "localhost"
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			return n.IP.String()
		}
	}
	return "localhost"
}
