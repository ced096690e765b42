package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// versionPatience is how long a program may take to tell its version.
const versionPatience = 10 * time.Second

// Info is what is known of an agent on this machine.
type Info struct {
	ID, Name, Licence string
	Installed         bool
	Version, Path     string
	// Ready is true when it can be used; Reason says what is missing.
	Ready  bool
	Reason string
	// Default is true for the one that is taken when nobody names one.
	Default bool
	// Install is what people type to install it.
	Install string
	// Models are the names that can be given besides the models' own.
	Models []string
}

// choice is an agent that can be used.
type choice struct {
	spec Spec
	path string
}

// Agents tells of all agents that are known, in the order in which they are preferred. It starts those that are installed, to hear
// their versions, once.
func (r *Runner) Agents(ctx context.Context) []Info {
	out := make([]Info, len(r.config.Specs))
	var all sync.WaitGroup
	for i := range r.config.Specs {
		spec := r.spec(i)
		out[i] = Info{ID: spec.ID, Name: spec.Name, Licence: spec.Licence, Install: spec.Install, Models: names(&spec)}
		path, err := r.find(&spec)
		if err != nil {
			out[i].Reason = reasonOf(err)
			continue
		}
		out[i].Installed, out[i].Path = true, path
		if err := r.ready(&spec); err != nil {
			out[i].Reason = reasonOf(err)
		} else {
			out[i].Ready = true
			if _, err := runsAs(os.Getuid(), "", r.config.User, r.config.AllowRoot, lookupAccount); err != nil {
				out[i].Reason = "only for services that run as another user: " + reasonOf(err)
			}
		}
		all.Go(func() { out[i].Version = r.version(ctx, &spec, path) })
	}
	all.Wait()
	if c, err := r.choose(ctx, "", ""); err == nil {
		at := slices.IndexFunc(out, func(i Info) bool { return i.ID == c.spec.ID })
		out[at].Default = true
	}
	return out
}

// Available is nil when some agent can be used, or an UnavailableError. agent is an ID, or empty for the default.
func (r *Runner) Available(ctx context.Context, agent string) error {
	_, err := r.choose(ctx, agent, "")
	return err
}

// AvailableTo is Available for an agent that is to run as a user; empty takes the configured one.
func (r *Runner) AvailableTo(ctx context.Context, agent, user string) error {
	c, err := r.choose(ctx, agent, "")
	if err == nil {
		_, err = r.account(&c.spec, user)
	}
	return err
}

func reasonOf(err error) string {
	var u *UnavailableError
	if errors.As(err, &u) {
		return u.Reason
	}
	return err.Error()
}

// names are the aliases that mean something.
func names(s *Spec) []string {
	var out []string
	for _, name := range []string{"opus", "sonnet", "haiku"} {
		if id, ok := s.Models[name]; ok && id != "" {
			out = append(out, name)
		}
	}
	for name, id := range s.Models {
		if id != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// spec is a Spec, with what is configured for the default agent.
func (r *Runner) spec(i int) Spec {
	s := r.config.Specs[i]
	if r.config.Default == "" || s.ID == r.config.Default {
		for _, f := range []struct {
			field *string
			value string
		}{{&s.Model, r.config.Model}, {&s.KeyFile, r.config.KeyFile}, {&s.BaseURL, r.config.BaseURL}} {
			if *f.field == "" {
				*f.field = f.value
			}
		}
	}
	return s
}

// choose finds the agent to take. Without a name it is the configured one, else the first that is ready.
func (r *Runner) choose(ctx context.Context, id string, access Access) (choice, error) {
	if err := ctx.Err(); err != nil {
		return choice{}, context.Cause(ctx)
	}
	if id == "" {
		id = r.config.Default
	}
	var reasons, install []string
	for i := range r.config.Specs {
		spec := r.spec(i)
		if id != "" && spec.ID != id {
			continue
		}
		path, err := r.find(&spec)
		if err == nil {
			err = r.ready(&spec)
		} else {
			install = append(install, spec.Install)
		}
		if err == nil && access != "" && !spec.Can(access) {
			err = fmt.Errorf("it cannot be held to access %q", access)
		}
		if err == nil {
			return choice{spec, path}, nil
		}
		if id != "" {
			return choice{}, &UnavailableError{Agent: id, Reason: reasonOf(err)}
		}
		if path != "" {
			reasons = append(reasons, spec.ID+": "+reasonOf(err))
		}
	}
	switch {
	case id != "":
		return choice{}, &UnavailableError{Agent: id, Reason: "there is none of that name; `supervisor agents` lists those that are known"}
	case len(reasons) > 0:
		return choice{}, &UnavailableError{Reason: strings.Join(reasons, "; ")}
	case len(install) > 0:
		return choice{}, &UnavailableError{Reason: "none is installed; install one, such as by `npm install -g opencode-ai`"}
	}
	return choice{}, &UnavailableError{Reason: "none is known here"}
}

// find finds an agent's program.
func (r *Runner) find(s *Spec) (string, error) {
	program := s.Argv[0]
	if s.Path != "" {
		program = s.Path
	}
	path, err := r.config.LookPath(program)
	if err == nil {
		return path, nil
	}
	if s.Install == "" {
		return "", &UnavailableError{Agent: s.ID, Reason: fmt.Sprintf("%s is not installed", program)}
	}
	return "", &UnavailableError{Agent: s.ID, Reason: fmt.Sprintf("not installed; install it with `%s`", s.Install)}
}

// findProgram looks on the PATH, and where people's own programs are.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	home := os.Getenv("HOME")
	if filepath.IsAbs(name) || home == "" {
		return "", err
	}
	for _, dir := range []string{".local/bin", ".npm-global/bin", ".opencode/bin", "bin"} {
		candidate := filepath.Join(home, dir, name)
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", err
}

// ready says what an installed agent lacks.
func (r *Runner) ready(s *Spec) error {
	who, err := runsAs(os.Getuid(), "", r.config.User, r.config.AllowRoot, lookupAccount)
	if err != nil && !errors.Is(err, errRoot) {
		return err
	}
	// As root it may still run as a service's user, which is known only then.
	_, key, err := r.key(s, s.ModelID(""))
	if err != nil {
		return err
	}
	if key != "" || s.NoKey || (len(s.Keys) == 0 && s.KeyEnv == "") {
		return nil
	}
	home := r.homePath(s, who)
	for _, name := range s.Login {
		if _, err := os.Stat(filepath.Join(home, name)); err == nil {
			return nil
		}
	}
	reason := "not configured: set AGENT_KEY_FILE to a file with its key"
	if len(s.Keys) > 0 {
		reason += ", or " + s.Keys[0] + " for the supervisor"
	}
	if len(s.LoginArgv) > 0 {
		reason += fmt.Sprintf(", or log in with `HOME=%s %s`", home, strings.Join(s.LoginArgv, " "))
	}
	return &UnavailableError{Agent: s.ID, Reason: reason}
}

// key is the agent's key and the variable that takes it; empty when there is none.
func (r *Runner) key(s *Spec, model string) (name, value string, err error) {
	if s.KeyFile != "" {
		value, err := readKey(s.KeyFile)
		if err != nil {
			return "", "", &UnavailableError{Agent: s.ID, Reason: err.Error()}
		}
		return keyName(s, model), value, nil
	}
	names := s.Keys
	if name := keyName(s, model); name != s.KeyEnv {
		names = append([]string{name}, names...)
	}
	for _, name := range names {
		if value := r.config.Getenv(name); value != "" {
			if s.BaseURL != "" {
				name = s.KeyEnv
			}
			return name, value, nil
		}
	}
	return "", "", nil
}

// keyName is the variable that takes a key. With a base URL there is one provider; without, the model's name may begin with its.
func keyName(s *Spec, model string) string {
	if provider, _, ok := strings.Cut(model, "/"); ok && s.BaseURL == "" {
		if name := strings.ToUpper(strings.ReplaceAll(provider, "-", "_")) + "_API_KEY"; slices.Contains(s.Keys, name) {
			return name
		}
	}
	return s.KeyEnv
}

// maxKey bounds a file with a key, in bytes.
const maxKey = 16 << 10

// readKey reads a key that nobody else can read.
func readKey(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the file with its key cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the file with its key, %s, can be read by others; protect it with `chmod 600 %s`", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the file with its key cannot be read: %w", err)
	}
	key := strings.TrimSpace(string(text))
	if key == "" || len(key) > maxKey || strings.ContainsAny(key, "\n\x00") {
		return "", fmt.Errorf("the file with its key, %s, does not hold one line with a key", path)
	}
	return key, nil
}

// version is what a program said its version is.
type version struct{ text string }

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?[\w.+-]*`)

// version asks a program for its version, once for each version of its file.
func (r *Runner) version(ctx context.Context, s *Spec, path string) string {
	info, err := os.Stat(path)
	if err != nil || len(s.Version) == 0 {
		return ""
	}
	id := fmt.Sprint(path, info.Size(), info.ModTime().UnixNano())
	r.mu.Lock()
	known, ok := r.versions[id]
	r.mu.Unlock()
	if ok {
		return known.text
	}
	text := r.askVersion(ctx, s, path)
	if ctx.Err() == nil {
		r.mu.Lock()
		r.versions[id] = version{text}
		r.mu.Unlock()
	}
	return text
}

func (r *Runner) askVersion(ctx context.Context, s *Spec, path string) string {
	home := filepath.Join(r.config.Dir, s.ID, "home")
	if makeHome(home, account{}) != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, versionPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, s.Version...)
	cmd.Env = baseEnv(path, home)
	if vars, err := s.variables(&Setup{Home: home, Dir: home, Access: AccessRead}); err == nil {
		cmd.Env = append(cmd.Env, vars...)
	}
	cmd.Dir = home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &limited{to: &out, left: 4 << 10}
	if err := cmd.Run(); err != nil {
		r.config.Log.Debug("an agent does not tell its version", "agent", s.ID, "err", err)
		return ""
	}
	return versionNumber.FindString(out.String())
}

// limited takes what fits, and drops the rest.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	l.to.Write(b[:n])
	return len(b), nil
}

// baseEnv is what every agent's environment begins with. It is made from nothing: ours holds secrets.
func baseEnv(program, home string) []string {
	path := "/usr/local/bin:/usr/bin:/bin"
	// Beside a program of npm there is the node that it was installed with.
	if dir := filepath.Dir(program); !slices.Contains(strings.Split(path, ":"), dir) {
		path = dir + ":" + path
	}
	return []string{"PATH=" + path, "HOME=" + home, "LANG=C.UTF-8", "TERM=dumb", "NO_COLOR=1"}
}
