package imports

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	v1 "github.com/philiporange/supervisor/api/v1"
)

type composeService struct {
	Image       string          `json:"image"`
	Build       json.RawMessage `json:"build"`
	Command     json.RawMessage `json:"command"`
	Entrypoint  json.RawMessage `json:"entrypoint"`
	WorkingDir  string          `json:"working_dir"`
	Environment json.RawMessage `json:"environment"`
	EnvFile     json.RawMessage `json:"env_file"`
	DependsOn   json.RawMessage `json:"depends_on"`
	Ports       []any           `json:"ports"`
	Expose      []any           `json:"expose"`
	Restart     string          `json:"restart"`
	StopSignal  string          `json:"stop_signal"`
	StopGrace   string          `json:"stop_grace_period"`
	User        string          `json:"user"`
	MemLimit    any             `json:"mem_limit"`
	Scale       int             `json:"scale"`
	Volumes     []any           `json:"volumes"`
	Healthcheck *struct {
		Test     json.RawMessage `json:"test"`
		Interval string          `json:"interval"`
		Timeout  string          `json:"timeout"`
		Retries  int             `json:"retries"`
		Disable  bool            `json:"disable"`
	} `json:"healthcheck"`
	Deploy struct {
		Replicas  *int `json:"replicas"`
		Resources struct {
			Limits struct {
				CPUs   any `json:"cpus"`
				Memory any `json:"memory"`
			} `json:"limits"`
		} `json:"resources"`
	} `json:"deploy"`
}

// Compose makes services of a compose file. Those that are built from source and say what they run become programs; the
// others stay containers, which Docker runs in the foreground of a service.
func Compose(text []byte, o Options) (Result, error) {
	b, err := newBuilder(text, o)
	if err != nil {
		return Result{}, err
	}
	var file struct {
		Services map[string]composeService `json:"services"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return Result{}, fmt.Errorf("%s is no compose file: %w", o.File, err)
	}
	if len(file.Services) == 0 {
		return Result{}, fmt.Errorf("%s holds no services", o.File)
	}
	for _, name := range sortedKeys(file.Services) {
		c := file.Services[name]
		b.composed(name, &c)
	}
	return b.result, nil
}

func (b *builder) composed(name string, c *composeService) {
	s := b.service(name, 0)
	s.Spec.WorkingDir = b.options.Dir
	argv := append(list(c.Entrypoint), list(c.Command)...)
	native := len(c.Build) > 0 && len(argv) > 0
	b.composedPort(s, name, c, native)
	if native {
		s.Spec.Command.Argv = dollars(argv)
		b.composedProgram(s, c)
	} else {
		s.Spec.Command.Argv = []string{"docker", "compose", "-f", b.options.File, "up", "--no-color", "--no-deps", "--abort-on-container-exit", name}
		s.Spec.Stop.Signal = "SIGINT"
		why := "it is an image"
		if len(c.Build) > 0 {
			why = "the file does not say what it runs"
		}
		b.note(0, name, "%s: it stays a container, run by docker compose in the foreground; install the program itself to have its output, limits and restarts here", why)
	}
	b.composedRestart(s, c)
	b.composedNeeds(s, c)
	if c.StopGrace != "" {
		s.Spec.Stop.Timeout = b.seconds(0, name+": stop_grace_period", c.StopGrace)
	}
	b.keep(s, 0)
}

// composeVariable is what compose does something with, and what a manifest would: $$, ${NAME}, $NAME, $(NAME).
var composeVariable = regexp.MustCompile(`\$\$\(\w+\)|\$\$|\$\{(\w+)(?::?[-?+][^}]*)?\}|\$([A-Za-z_]\w*)|\$\([A-Za-z_]\w*\)`)

// dollars writes compose's variables as a manifest has them.
func dollars(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = composeVariable.ReplaceAllStringFunc(w, func(m string) string {
			parts := composeVariable.FindStringSubmatch(m)
			switch {
			case parts[1]+parts[2] != "":
				return "$(" + parts[1] + parts[2] + ")"
			case m == "$$":
				return "$"
			case strings.HasPrefix(m, "$$"):
				return m // $$(date) is $(date) to both
			}
			return "$" + m
		})
	}
	return out
}

// composedProgram carries over what is about a program.
func (b *builder) composedProgram(s *v1.Service, c *composeService) {
	name := s.Metadata.Name
	if build := buildContext(c.Build); build != "" && b.options.Dir != "" {
		s.Spec.WorkingDir = filepath.Join(b.options.Dir, build)
	}
	if c.WorkingDir != "" {
		b.note(0, name, "working_dir %s is one inside of the image; here it is the build context", c.WorkingDir)
	}
	env := environment(c.Environment)
	for _, k := range sortedKeys(env) {
		v := env[k]
		if strings.Contains(v, "${") {
			b.note(0, name, "%s takes a value from the shell's environment or .env: write it into spec.env or spec.envFile", k)
		}
		b.setEnv(s, 0, k, strings.ReplaceAll(v, "$$", "$"))
	}
	for _, f := range list(c.EnvFile) {
		s.Spec.EnvFile = append(s.Spec.EnvFile, v1.EnvFile{Path: f})
	}
	if c.User != "" {
		b.note(0, name, "user %s is one inside of the image; set spec.user where it is needed", c.User)
	}
	if c.StopSignal != "" {
		s.Spec.Stop.Signal = b.signal(0, name+": stop_signal", c.StopSignal)
	}
	if len(c.Volumes) > 0 {
		b.note(0, name, "volumes: the program sees the machine's own folders; look whether its paths exist")
	}
	limits := c.Deploy.Resources.Limits
	for _, memory := range []any{limits.Memory, c.MemLimit} {
		if memory == nil {
			continue
		}
		if n, err := v1.ParseByteSize(strings.NewReplacer("K", "Ki", "M", "Mi", "G", "Gi", "B", "").Replace(strings.ToUpper(fmt.Sprint(memory)))); err == nil {
			s.Spec.Resources.MemoryMax = n
		}
	}
	if limits.CPUs != nil {
		if n, err := v1.ParseCPU(fmt.Sprint(limits.CPUs)); err == nil {
			s.Spec.Resources.CPUMax = n
		}
	}
	if n := c.Deploy.Replicas; n != nil && *n != 1 && *n >= 0 && *n <= 64 {
		b.replicas(s, *n)
	}
	b.composedHealth(s, c)
}

func buildContext(raw json.RawMessage) string {
	var dir string
	if json.Unmarshal(raw, &dir) == nil {
		return dir
	}
	var build struct {
		Context string `json:"context"`
	}
	if json.Unmarshal(raw, &build) != nil {
		return ""
	}
	return build.Context
}

func environment(raw json.RawMessage) map[string]string {
	out := map[string]string{}
	var byName map[string]any
	if json.Unmarshal(raw, &byName) == nil {
		for k, v := range byName {
			if v != nil {
				out[k] = fmt.Sprint(v)
			}
		}
		return out
	}
	for _, kv := range list(raw) {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out[k] = v
		}
	}
	return out
}

var mapping = regexp.MustCompile(`^(?:[\d.]+:)?(?:(\d{1,5}):)?(\d{1,5})(?:/tcp)?$`)

// composedPort takes the first port: of a program that which it listens on, of a container that of the machine.
func (b *builder) composedPort(s *v1.Service, name string, c *composeService, native bool) {
	for _, spec := range append(append([]any{}, c.Ports...), c.Expose...) {
		m := mapping.FindStringSubmatch(fmt.Sprint(spec))
		if m == nil {
			b.note(0, name, "port %v is not carried over", spec)
			continue
		}
		inside, outside := portNumber(m[2]), portNumber(m[1])
		port := inside
		if !native {
			port = outside
		}
		if port == 0 || !s.Spec.Port.IsZero() {
			continue
		}
		s.Spec.Port.Number = port
		if native && outside > 0 && outside != inside {
			b.note(0, name, "it was reached at port %d; without a container it is at %d", outside, inside)
		}
	}
}

func (b *builder) composedRestart(s *v1.Service, c *composeService) {
	s.Spec.Restart.Policy = v1.RestartNever // compose's default
	switch policy, retries, _ := strings.Cut(c.Restart, ":"); policy {
	case "always", "unless-stopped":
		s.Spec.Restart.Policy = v1.RestartAlways
	case "on-failure":
		s.Spec.Restart.Policy = v1.RestartOnFailure
		if n := portNumber(retries); n > 0 {
			s.Spec.Restart.MaxAttempts = &n
		}
	}
}

// composedNeeds carries depends_on over.
func (b *builder) composedNeeds(s *v1.Service, c *composeService) {
	conditions := map[string]v1.DependencyCondition{
		"service_started": v1.DependStarted, "service_healthy": v1.DependReady, "service_completed_successfully": v1.DependCompleted,
	}
	var detailed map[string]struct {
		Condition string `json:"condition"`
	}
	if json.Unmarshal(c.DependsOn, &detailed) == nil {
		for _, name := range sortedKeys(detailed) {
			condition, ok := conditions[detailed[name].Condition]
			if !ok {
				condition = v1.DependStarted
			}
			s.Spec.DependsOn = append(s.Spec.DependsOn, v1.Dependency{Name: safeName(name), Condition: condition})
		}
		return
	}
	for _, name := range list(c.DependsOn) {
		s.Spec.DependsOn = append(s.Spec.DependsOn, v1.Dependency{Name: safeName(name), Condition: v1.DependStarted})
	}
}

var healthURL = regexp.MustCompile(`https?://(?:localhost|127\.0\.0\.1)(?::(\d+))?(/[^\s"'|]*)?`)

// composedHealth makes a readiness probe of a health check: of a URL where there is one, else of the command.
func (b *builder) composedHealth(s *v1.Service, c *composeService) {
	h := c.Healthcheck
	if h == nil || h.Disable {
		return
	}
	words := list(h.Test)
	var line string
	if json.Unmarshal(h.Test, &line) == nil {
		words = []string{"CMD-SHELL", line}
	}
	if len(words) < 2 {
		return
	}
	probe := &v1.Probe{FailureThreshold: h.Retries}
	switch m := healthURL.FindStringSubmatch(strings.Join(words[1:], " ")); {
	case m != nil:
		probe.HTTPGet = &v1.HTTPGet{Path: m[2], Port: portNumber(m[1])}
		if probe.HTTPGet.Port == s.Spec.Port.Number {
			probe.HTTPGet.Port = 0
		}
	case words[0] == "CMD-SHELL":
		probe.Exec = &v1.ExecProbe{Command: v1.Command{Argv: []string{"/bin/sh", "-c", literal(words[1])}}}
	default:
		probe.Exec = &v1.ExecProbe{Command: v1.Command{Argv: dollars(words[1:])}}
	}
	if h.Interval != "" {
		probe.Period = b.seconds(0, "healthcheck.interval", h.Interval)
	}
	if h.Timeout != "" {
		probe.Timeout = b.seconds(0, "healthcheck.timeout", h.Timeout)
	}
	s.Spec.Probes.Readiness = probe
}
