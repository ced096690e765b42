package imports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// pm2App is an application as PM2's ecosystem files, dump.pm2 and `pm2 jlist` write it.
type pm2App struct {
	Name             string          `json:"name"`
	Script           string          `json:"script"`
	ExecPath         string          `json:"pm_exec_path"`
	Args             json.RawMessage `json:"args"`
	Cwd              string          `json:"cwd"`
	PMCwd            string          `json:"pm_cwd"`
	Interpreter      string          `json:"interpreter"`
	ExecInterpreter  string          `json:"exec_interpreter"`
	InterpreterArgs  json.RawMessage `json:"interpreter_args"`
	NodeArgs         json.RawMessage `json:"node_args"`
	Instances        any             `json:"instances"`
	ExecMode         string          `json:"exec_mode"`
	Env              map[string]any  `json:"env"`
	EnvProduction    map[string]any  `json:"env_production"`
	AutoRestart      *bool           `json:"autorestart"`
	MaxRestarts      *int            `json:"max_restarts"`
	RestartDelay     float64         `json:"restart_delay"`
	KillTimeout      float64         `json:"kill_timeout"`
	MaxMemoryRestart any             `json:"max_memory_restart"`
	CronRestart      any             `json:"cron_restart"`
	Watch            any             `json:"watch"`
	WaitReady        bool            `json:"wait_ready"`
	UID              any             `json:"uid"`
	User             string          `json:"user"`
	// PM2Env holds most of it in the output of jlist.
	PM2Env *pm2App `json:"pm2_env"`
}

// PM2 makes services of the applications in JSON of PM2: ~/.pm2/dump.pm2 (pm2 save), pm2 jlist, or an ecosystem file.
func PM2(text []byte, o Options) (Result, error) {
	b, err := newBuilder(text, o)
	if err != nil {
		return Result{}, err
	}
	var apps []pm2App
	var file struct {
		Apps []pm2App `json:"apps"`
	}
	text = bytes.TrimSpace(text)
	if len(text) > 0 && text[0] == '{' {
		err = json.Unmarshal(text, &file)
		apps = file.Apps
	} else {
		err = json.Unmarshal(text, &apps)
	}
	if err != nil {
		return Result{}, fmt.Errorf("%s is not JSON of PM2: %w; of an ecosystem.config.js make it with: node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))'", o.File, err)
	}
	seen := map[string]int{}
	for i := range apps {
		app := &apps[i]
		if app.PM2Env != nil {
			name := app.Name
			if app = app.PM2Env; app.Name == "" {
				app.Name = name
			}
		}
		if app.Name == "" {
			app.Name = strings.TrimSuffix(path.Base(app.script()), path.Ext(app.script()))
		}
		// A dump has an entry for each instance.
		if at, ok := seen[app.Name]; ok && app.ExecPath != "" {
			if s, isService := b.result.Objects[at].(*v1.Service); isService {
				n := s.ReplicaCount() + 1
				b.replicas(s, n)
			}
			continue
		}
		before := len(b.result.Objects)
		b.pm2(app)
		if len(b.result.Objects) > before {
			seen[app.Name] = before
		}
	}
	return b.result, nil
}

func (a *pm2App) script() string {
	if a.ExecPath != "" {
		return a.ExecPath
	}
	return a.Script
}

func (b *builder) pm2(a *pm2App) {
	s := b.service(a.Name, 0)
	name := s.Metadata.Name
	if s.Spec.WorkingDir = a.Cwd; a.Cwd == "" {
		s.Spec.WorkingDir = a.PMCwd
	}
	if dir := s.Spec.WorkingDir; !filepath.IsAbs(dir) && b.options.Dir != "" {
		s.Spec.WorkingDir = filepath.Join(b.options.Dir, dir)
	}
	s.Spec.Command.Argv = literals(a.argv())
	b.pm2Env(s, a)
	s.Spec.Restart = v1.Restart{Policy: v1.RestartAlways, Delay: v1.D(0)}
	if a.AutoRestart != nil && !*a.AutoRestart {
		s.Spec.Restart.Policy = v1.RestartNever
	}
	if a.RestartDelay > 0 {
		s.Spec.Restart.Delay = b.milliseconds(a.RestartDelay)
	}
	if a.MaxRestarts != nil {
		s.Spec.Restart.MaxAttempts = a.MaxRestarts
	}
	if a.KillTimeout > 0 {
		s.Spec.Stop.Timeout = b.milliseconds(a.KillTimeout)
	}
	s.Spec.Stop.Signal = "SIGINT" // as PM2 does it
	if a.MaxMemoryRestart != nil {
		b.pm2Memory(s, fmt.Sprint(a.MaxMemoryRestart))
	}
	if v, ok := a.CronRestart.(string); ok && v != "" {
		b.note(0, name, "cron_restart %q: make a CronJob whose command is: supervisor restart %s", v, name)
	}
	if on, ok := a.Watch.(bool); ok && on || !ok && a.Watch != nil {
		b.note(0, name, "watch: a service is not restarted when its files change; supervisor restart %s does it", name)
	}
	if a.WaitReady {
		b.note(0, name, "wait_ready: write a readiness probe instead")
	}
	if s.Spec.User = a.User; s.Spec.User == "" && a.UID != nil {
		s.Spec.User = fmt.Sprint(a.UID)
	}
	b.instances(s, a)
	b.keep(s, 0)
}

// argv is what PM2 runs.
func (a *pm2App) argv() []string {
	script := a.script()
	interpreter := a.Interpreter
	if a.ExecInterpreter != "" {
		interpreter = a.ExecInterpreter
	}
	if interpreter == "" {
		interpreter = map[string]string{
			".js": "node", ".mjs": "node", ".cjs": "node", ".py": "python3", ".sh": "bash", ".rb": "ruby", ".php": "php", ".pl": "perl",
		}[path.Ext(script)]
	}
	var out []string
	if interpreter != "" && interpreter != "none" {
		out = append(append(append(out, interpreter), list(a.InterpreterArgs)...), list(a.NodeArgs)...)
	}
	if script != "" {
		out = append(out, script)
	}
	return append(out, list(a.Args)...)
}

// list is a list of words, or a line of them.
func list(raw json.RawMessage) []string {
	var words []string
	if json.Unmarshal(raw, &words) == nil {
		return words
	}
	var line string
	if json.Unmarshal(raw, &line) == nil {
		words, _ = split(line)
	}
	return words
}

func (b *builder) milliseconds(ms float64) *v1.Duration {
	return b.seconds(0, "milliseconds", fmt.Sprintf("%g", ms/1000))
}

// shellVariables are those of the shell in which somebody once ran PM2: a dump holds them all.
var shellVariables = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "TERM", "COLORTERM", "LANG", "LANGUAGE", "LS_COLORS", "MAIL", "EDITOR", "VISUAL", "PAGER", "_",
	"DISPLAY", "HOSTNAME", "LESSOPEN", "LESSCLOSE", "TMUX", "TMUX_PANE", "STY", "PS1", "unique_id", "NODE_APP_INSTANCE", "instance_var", "name", "namespace", "status",
	"exit_code", "created_at", "restart_time", "unstable_restarts", "version", "vizion", "km_link", "windowsHide", "username", "treekill", "filter_env", "automation",
	"autostart", "autorestart", "instances", "pmx", "merge_logs", "watch", "env", "args", "node_args", "exec_mode", "exec_interpreter", "node_version",
}

var shellPrefixes = []string{"SSH_", "XDG_", "PM2_", "pm_", "axm_", "LC_", "NVM_", "DBUS_", "GPG_", "SUDO_", "npm_", "VSCODE_", "WSL_", "BASH_", "prev_"}

func (b *builder) pm2Env(s *v1.Service, a *pm2App) {
	env := maps.Clone(a.Env)
	if env == nil {
		env = map[string]any{}
	}
	maps.Copy(env, a.EnvProduction)
	left := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fromShell := slices.Contains(shellVariables, name) || slices.ContainsFunc(shellPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		switch value := env[name].(type) {
		case nil:
		case map[string]any, []any:
			left++
		default:
			if fromShell {
				left++
				continue
			}
			b.setEnv(s, 0, name, fmt.Sprint(value))
		}
	}
	if left > 0 {
		b.note(0, s.Metadata.Name, "%d variables of PM2 and of the shell that it was started from are left out", left)
	}
	if len(a.EnvProduction) > 0 {
		b.note(0, s.Metadata.Name, "its environment is that of env_production")
	}
}

func (b *builder) pm2Memory(s *v1.Service, value string) {
	size, err := v1.ParseByteSize(strings.NewReplacer("K", "Ki", "M", "Mi", "G", "Gi").Replace(strings.ToUpper(value)))
	if err != nil {
		b.note(0, s.Metadata.Name, "max_memory_restart: %v; left out", err)
		return
	}
	s.Spec.Resources.MemoryMax = size
	b.note(0, s.Metadata.Name, "max_memory_restart becomes resources.memoryMax: the kernel ends a program that needs more, at once")
}

func (b *builder) instances(s *v1.Service, a *pm2App) {
	switch n := a.Instances.(type) {
	case float64:
		if n > 1 && n <= 64 && a.ExecPath == "" {
			b.replicas(s, int(n))
		}
	case string:
		b.note(0, s.Metadata.Name, "instances: %s: write how many in spec.replicas", n)
	}
}

// replicas lets several copies run, each with a port of its own.
func (b *builder) replicas(s *v1.Service, n int) {
	s.Spec.Replicas = &n
	if s.Spec.Port.Number > 0 {
		s.Spec.Port = v1.Port{Auto: true}
		b.note(0, s.Metadata.Name, "its %d instances shared a port; here each has its own in $PORT (port: auto), and Caddy spreads requests", n)
	}
}
