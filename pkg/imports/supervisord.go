package imports

import (
	"regexp"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Supervisord makes services of the programs of a supervisord.conf.
func Supervisord(text []byte, o Options) (Result, error) {
	b, err := newBuilder(text, o)
	if err != nil {
		return Result{}, err
	}
	for _, p := range ini(string(text), ";#", "\n", false) {
		kind, name, _ := strings.Cut(p.name, ":")
		switch kind {
		case "program":
			b.program(&p, strings.TrimSpace(name))
		case "supervisord", "supervisorctl", "unix_http_server", "inet_http_server", "rpcinterface":
			// They are about supervisord itself.
		case "group":
			b.note(p.line, "["+p.name+"]", "there are no groups; give the services a label, and select them with -l")
		case "include":
			b.note(p.line, "["+p.name+"]", "included files are not read; import each of them")
		default:
			b.drop(p.line, "["+p.name+"]", "there is nothing like it here; it is left out")
		}
	}
	return b.result, nil
}

// program makes a service of one program.
func (b *builder) program(p *part, name string) {
	s := b.service(name, p.line)
	s.Spec.Restart.Policy = v1.RestartOnFailure // autorestart=unexpected
	s.Spec.Restart.Delay = v1.D(0)
	vars := b.expansions(name)
	for _, e := range p.entries {
		value := inline(e.value)
		b.programSetting(s, vars, entry{e.line, e.key, value})
	}
	b.keep(s, p.line)
}

// inline takes a comment off the end of a value.
func inline(value string) string {
	if at := strings.Index(value, " ;"); at >= 0 {
		value = value[:at]
	}
	return strings.TrimSpace(value)
}

func (b *builder) programSetting(s *v1.Service, vars expansions, e entry) {
	what := e.key + "=" + e.value
	switch e.key {
	case "command":
		words, ok := split(e.value)
		if !ok {
			b.note(e.line, what, "a quote is not closed")
		}
		for _, w := range words {
			s.Spec.Command.Argv = append(s.Spec.Command.Argv, vars.expand(b, e.line, w))
		}
	case "directory":
		s.Spec.WorkingDir = vars.expand(b, e.line, e.value)
	case "user":
		s.Spec.User = e.value
	case "umask":
		s.Spec.Umask = e.value
	case "environment":
		b.programEnv(s, vars, e)
	case "autostart":
		if on := truth(e.value); !on {
			s.Spec.Enabled = &on
		}
	case "autorestart":
		switch strings.ToLower(e.value) {
		case "unexpected":
		case "true", "1", "yes", "on":
			s.Spec.Restart.Policy = v1.RestartAlways
		default:
			s.Spec.Restart.Policy = v1.RestartNever
		}
	case "exitcodes":
		if e.value != "0" {
			b.note(e.line, what, "only 0 is a success here")
		}
	case "startretries":
		if n, ok := b.number(e.line, what, e.value); ok {
			s.Spec.Restart.MaxAttempts = &n
		}
	case "startsecs":
		b.note(e.line, what, "a restart counts as one until the service was well for restart.resetAfter; a readiness probe says better when it is up")
	case "stopsignal":
		s.Spec.Stop.Signal = b.signal(e.line, what, e.value)
	case "stopwaitsecs":
		s.Spec.Stop.Timeout = b.seconds(e.line, what, e.value)
	case "numprocs":
		if n, ok := b.number(e.line, what, e.value); ok && n != 1 {
			s.Spec.Replicas = &n
		}
	case "priority":
		b.note(e.line, what, "the order of starts is by spec.dependsOn")
	case "stdout_logfile_maxbytes":
		if n, err := v1.ParseByteSize(strings.NewReplacer("KB", "Ki", "MB", "Mi", "GB", "Gi").Replace(strings.ToUpper(e.value))); err == nil && n > 0 {
			s.Spec.Logs.MaxBytes = n
		}
	case "stdout_logfile_backups":
		if n, ok := b.number(e.line, what, e.value); ok {
			s.Spec.Logs.Backups = &n
		}
	case "stdout_logfile", "stderr_logfile":
		if v := strings.ToUpper(e.value); v != "AUTO" && v != "NONE" {
			b.note(e.line, what, "output goes to the logs folder of the supervisor: supervisor logs %s", s.Metadata.Name)
		}
	case "process_name", "stopasgroup", "killasgroup", "redirect_stderr", "stderr_logfile_maxbytes", "stderr_logfile_backups",
		"stdout_capture_maxbytes", "stderr_capture_maxbytes", "stdout_events_enabled", "stderr_events_enabled", "stdout_syslog", "stderr_syslog":
		// Processes are always stopped with their whole tree, and both streams are kept apart.
	default:
		b.note(e.line, what, "there is nothing like it here; left out")
	}
}

func truth(value string) bool {
	switch strings.ToLower(value) {
	case "true", "1", "yes", "on":
		return true
	}
	return false
}

// environment of supervisord: KEY="value",KEY2=value
var assignment = regexp.MustCompile(`\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^,"'\n]*)\s*(?:,|\n|$)`)

func (b *builder) programEnv(s *v1.Service, vars expansions, e entry) {
	rest := e.value
	for rest != "" {
		m := assignment.FindStringSubmatchIndex(rest)
		if m == nil || m[0] != 0 {
			b.note(e.line, "environment", "%q is not NAME=\"value\", NAME=value; the rest is left out", oneLine(rest))
			return
		}
		name, value := rest[m[2]:m[3]], strings.TrimSpace(rest[m[4]:m[5]])
		if words, ok := split(value); ok && len(words) == 1 && value != "" && (value[0] == '"' || value[0] == '\'') {
			value = words[0]
		}
		value = vars.expand(nil, 0, value)
		switch {
		case name == "PORT" && portNumber(value) > 0:
			s.Spec.Port.Number = portNumber(value)
		case value == "$("+name+")":
			b.note(e.line, name, "services are not given the supervisor's own environment, but for HOME, USER, PATH and their like: set it in spec.env where it is another")
		default:
			if s.Spec.Env == nil {
				s.Spec.Env = map[string]string{}
			}
			s.Spec.Env[name] = value
		}
		rest = rest[m[1]:]
	}
}

// expansions are what %(name)s stands for.
type expansions map[string]string

func (b *builder) expansions(program string) expansions {
	return expansions{
		"program_name": literal(program), "group_name": literal(program), "here": literal(b.options.Dir),
		"process_num": "$(SUPERVISOR_REPLICA)", "host_node_name": "$(HOSTNAME)",
	}
}

var percentExpr = regexp.MustCompile(`%%|%\((\w+)\)(\d*)[sd]`)

// expand replaces %(name)s; everything else is taken as it is. Notes are made when b is not nil.
func (x expansions) expand(b *builder, line int, text string) string {
	return percentExpr.ReplaceAllStringFunc(literal(text), func(m string) string {
		if m == "%%" {
			return "%"
		}
		parts := percentExpr.FindStringSubmatch(m)
		if name, ok := strings.CutPrefix(parts[1], "ENV_"); ok {
			if b != nil {
				b.note(line, m, "services are not given the supervisor's own environment: set %s in spec.env", name)
			}
			return "$(" + name + ")"
		}
		value, ok := x[parts[1]]
		if !ok {
			return m
		}
		if b != nil && parts[1] == "process_num" {
			b.note(line, m, "it becomes $(SUPERVISOR_REPLICA), which begins at 0 and has no leading zeroes")
		}
		return value
	})
}
