package command

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// maxEnvFile bounds a dotenv file in bytes.
const maxEnvFile = 1 << 20

// Account is the user that the program runs as.
type Account struct {
	Name, Home, Shell string
}

// EnvFile is one dotenv file. A relative Path is relative to the program's folder.
type EnvFile struct {
	Path     string
	Optional bool
}

// Request is what a manifest says about a program.
type Request struct {
	// Line is a command line; Argv, when it is not empty, is taken instead, as it stands but for $(NAME).
	Line string
	Argv []string
	// Dir is the folder to run in: absolute, below ~, or relative to Base. Empty takes that of the first .py file of the
	// command, else the account's home.
	Dir string
	// Base is the folder of the manifest.
	Base string
	// Account is who the program runs as.
	Account Account
	// Variables win in this order: Env, Vars (what the supervisor gives: PORT and its like), EnvFiles (the last one first),
	// and a sane base. $(NAME) in a value of Env refers to any other variable, $$(NAME) is a literal $(NAME).
	Env      map[string]string
	Vars     map[string]string
	EnvFiles []EnvFile
	// Origins, when it is not nil, is filled with where each variable comes from.
	Origins map[string]string
}

// Where a variable comes from, when it is not from a dotenv file, whose path is its origin.
const (
	OriginBase       = "base"       // what a login would give
	OriginSupervisor = "supervisor" // PORT and its like
	OriginManifest   = "manifest"
	OriginCommand    = "command" // NAME=value before the program
)

// Resolved is what the kernel is given.
type Resolved struct {
	Argv []string
	// Env is sorted NAME=value.
	Env []string
	Dir string
	// Shell is true when the line is run by /bin/sh.
	Shell bool
	// EnvFiles are the absolute paths of the dotenv files that were asked for, there or not; EnvSum is a hash of what they
	// say, empty when there are none.
	EnvFiles []string
	EnvSum   string
}

// Resolve turns a request into what the kernel is given. It reads the dotenv files and nothing else.
func Resolve(r Request) (Resolved, error) {
	var out Resolved
	var err error
	if out.Dir, err = r.dir(); err != nil {
		return out, err
	}
	env, err := r.environment(out.Dir, &out)
	if err != nil {
		return out, err
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }

	if len(r.Argv) > 0 {
		for _, a := range r.Argv {
			out.Argv = append(out.Argv, substitute(a, lookup))
		}
		out.Env = list(env)
		return out, nil
	}
	file, err := parse(r.Line)
	if err != nil {
		return out, err
	}
	if assigns, argv, ok := simple(file, lookup, r.Account.Home); ok {
		for _, a := range assigns {
			name, value, _ := strings.Cut(a, "=")
			env[name] = value
			note(r.Origins, map[string]string{name: value}, OriginCommand)
		}
		out.Argv, out.Env = argv, list(env)
		return out, nil
	}
	out.Argv, out.Env, out.Shell = []string{"/bin/sh", "-c", forShell(r.Line, file, lookup)}, list(env), true
	return out, nil
}

func (r Request) dir() (string, error) {
	dir := r.Dir
	if dir == "" {
		words := r.Argv
		if len(words) == 0 {
			words = Words(r.Line)
		}
		if dir = DefaultDir(words); dir == "" {
			dir = r.Account.Home
		}
	}
	return absolute(dir, r.Base, r.Account.Home)
}

// absolute expands ~ and makes a path absolute.
func absolute(path, base, home string) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") {
		if home == "" {
			return "", fmt.Errorf("folder %s: the account has no home folder; write an absolute path", path)
		}
		return filepath.Join(home, path[1:]), nil
	}
	if !filepath.IsAbs(path) {
		if base == "" {
			return "", fmt.Errorf("folder %q is relative, and there is nothing that it could be relative to; write an absolute path", path)
		}
		path = filepath.Join(base, path)
	}
	return filepath.Clean(path), nil
}

// environment composes all variables.
func (r Request) environment(dir string, out *Resolved) (map[string]string, error) {
	env := baseEnv(r.Account)
	note(r.Origins, env, OriginBase)
	sum := sha256.New()
	var problems []error
	for _, f := range r.EnvFiles {
		path, err := absolute(f.Path, dir, r.Account.Home)
		if err != nil {
			problems = append(problems, fmt.Errorf("env file %s: %w", f.Path, err))
			continue
		}
		out.EnvFiles = append(out.EnvFiles, path)
		values, err := readEnvFile(path)
		if errors.Is(err, fs.ErrNotExist) && f.Optional {
			continue
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		maps.Copy(env, values)
		note(r.Origins, values, path)
		for _, v := range list(values) {
			fmt.Fprintf(sum, "%d:%s", len(v), v)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(r.EnvFiles) > 0 {
		out.EnvSum = hex.EncodeToString(sum.Sum(nil)[:8])
	}
	maps.Copy(env, r.Vars)
	note(r.Origins, r.Vars, OriginSupervisor)
	maps.Copy(env, r.Env)
	note(r.Origins, r.Env, OriginManifest)
	// Values of the manifest may refer to others; those of files and of the machine are taken as they are.
	expanded := map[string]string{}
	for name := range r.Env {
		value, err := expandValue(name, r.Env, env, nil)
		if err != nil {
			return nil, err
		}
		expanded[name] = value
	}
	maps.Copy(env, expanded)
	return env, nil
}

// note puts down where variables come from, unless nobody asks.
func note(origins, variables map[string]string, origin string) {
	if origins == nil {
		return
	}
	for name := range variables {
		origins[name] = origin
	}
}

// baseEnv is what a login would give, and nothing of the supervisor's own.
func baseEnv(a Account) map[string]string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	env := map[string]string{"LANG": "C.UTF-8"}
	if a.Home != "" {
		path = filepath.Join(a.Home, ".local/bin") + ":" + filepath.Join(a.Home, "bin") + ":" + path
		env["HOME"] = a.Home
	}
	env["PATH"] = path
	if a.Name != "" {
		env["USER"], env["LOGNAME"] = a.Name, a.Name
	}
	env["SHELL"] = a.Shell
	if a.Shell == "" {
		env["SHELL"] = "/bin/sh"
	}
	// The machine's language and zone, where they are set for us.
	for _, name := range []string{"LANG", "LC_ALL", "TZ"} {
		if v := os.Getenv(name); v != "" {
			env[name] = v
		}
	}
	return env
}

func readEnvFile(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("env file %s is missing; create it, or mark it {path: %s, optional: true}: %w", path, path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("env file %s cannot be read: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("env file %s is no file", path)
	case info.Size() > maxEnvFile:
		return nil, fmt.Errorf("env file %s is larger than %d bytes", path, maxEnvFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("env file %s cannot be read: %w", path, err)
	}
	values, err := godotenv.UnmarshalBytes(text)
	if err != nil {
		// The parser's message quotes the text, which may hold a secret.
		return nil, fmt.Errorf("env file %s is not NAME=value lines; quote values with blanks or '#'", path)
	}
	for name, value := range values {
		if !isName(name) || strings.IndexByte(value, 0) >= 0 {
			return nil, fmt.Errorf("env file %s: %q is not a variable that a program can be given", path, name)
		}
	}
	return values, nil
}

var reference = regexp.MustCompile(`\$?\$\([A-Za-z_][A-Za-z0-9_]*\)`)

// substitute replaces $(NAME) of known variables; $$(NAME) is a literal $(NAME).
func substitute(text string, lookup func(string) (string, bool)) string {
	if !strings.Contains(text, "$(") {
		return text
	}
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		if strings.HasPrefix(ref, "$$") {
			return ref[1:]
		}
		if value, ok := lookup(ref[2 : len(ref)-1]); ok {
			return value
		}
		return ref
	})
}

// expandValue resolves the references in one variable of the manifest, and in those that it refers to.
func expandValue(name string, own, all map[string]string, path []string) (string, error) {
	if slices.Contains(path, name) {
		return "", fmt.Errorf("variables refer to each other in a circle: %s", strings.Join(append(path, name), " → "))
	}
	var failed error
	value := substitute(own[name], func(ref string) (string, bool) {
		if _, isOwn := own[ref]; !isOwn || ref == name {
			v, ok := all[ref]
			if ref == name {
				return "", false // itself: left as it stands
			}
			return v, ok
		}
		v, err := expandValue(ref, own, all, append(slices.Clone(path), name))
		if err != nil {
			failed = err
		}
		return v, true
	})
	return value, failed
}

func list(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// Dir is the folder that a request's program runs in.
func Dir(r Request) (string, error) { return r.dir() }
