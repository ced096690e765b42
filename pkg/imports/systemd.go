package imports

import (
	"path"
	"regexp"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// Systemd makes a service of a unit.
func Systemd(text []byte, o Options) (Result, error) {
	b, err := newBuilder(text, o)
	if err != nil {
		return Result{}, err
	}
	if o.Name == "" {
		b.options.Name = strings.TrimSuffix(path.Base(o.File), path.Ext(o.File))
	}
	if ext := path.Ext(o.File); ext == ".timer" || ext == ".socket" || ext == ".path" || ext == ".mount" {
		b.drop(0, o.File, "only .service units become services; for a timer, import its service and write a CronJob with that command and a schedule")
		return b.result, nil
	}
	b.unit(ini(string(text), "#;", "", true))
	return b.result, nil
}

// unit makes a service of the sections of a unit.
func (b *builder) unit(parts []part) {
	name := b.options.Name
	s := b.service(strings.ReplaceAll(name, "@", "-"), 0)
	s.Spec.Restart.Policy = v1.RestartNever // systemd's default
	s.Spec.Restart.Delay = v1.D(0)
	specifiers := strings.NewReplacer("%%", "%", "%n", name+".service", "%N", name, "%p", name, "%h", "$(HOME)", "%u", "$(USER)", "%H", "$(HOSTNAME)")
	for _, p := range parts {
		for _, e := range p.entries {
			switch p.name {
			case "Service":
				if !b.unitSetting(s, specifiers, e) {
					return
				}
			case "Unit":
				b.unitOrder(e)
			}
		}
	}
	if s.Spec.Command.IsZero() {
		b.drop(0, name, "it has no ExecStart; it is left out")
		return
	}
	b.keep(s, 0)
}

func (b *builder) unitOrder(e entry) {
	switch e.key {
	case "After", "Requires", "Wants", "BindsTo", "Requisite", "PartOf":
		for unit := range strings.FieldsSeq(e.value) {
			if strings.HasSuffix(unit, ".service") {
				b.note(e.line, e.key+"="+unit, "where that is a service here too, name it in spec.dependsOn")
			}
		}
	case "StartLimitBurst", "StartLimitIntervalSec", "StartLimitInterval":
		b.note(e.line, e.key+"="+e.value, "see spec.restart.maxAttempts and resetAfter")
	case "OnFailure":
		b.note(e.line, e.key+"="+e.value, "set ALERT_CHANNELS, and people are told")
	}
}

// unitSetting carries one setting over. It is false when the unit cannot become a service.
func (b *builder) unitSetting(s *v1.Service, specifiers *strings.Replacer, e entry) bool {
	what := e.key + "=" + e.value
	switch e.key {
	case "ExecStart":
		return b.execStart(s, specifiers, e)
	case "Type":
		switch e.value {
		case "forking":
			b.drop(e.line, what, "a program that goes into the background cannot be supervised; find its option that keeps it in the foreground")
			return false
		case "oneshot":
			b.note(e.line, what, "it runs once, each time the supervisor begins a new session")
		case "notify", "notify-reload", "dbus":
			b.note(e.line, what, "nobody listens to its notifications; write a readiness probe")
		}
	case "WorkingDirectory":
		if s.Spec.WorkingDir = strings.TrimPrefix(specifiers.Replace(e.value), "-"); s.Spec.WorkingDir == "$(HOME)" {
			s.Spec.WorkingDir = "~"
		}
	case "User":
		s.Spec.User = e.value
	case "Group":
		s.Spec.Group = e.value
	case "UMask":
		s.Spec.Umask = e.value
	case "Environment":
		b.unitEnv(s, specifiers, e)
	case "EnvironmentFile":
		file, optional := strings.CutPrefix(specifiers.Replace(e.value), "-")
		s.Spec.EnvFile = append(s.Spec.EnvFile, v1.EnvFile{Path: file, Optional: optional})
	case "Restart":
		b.unitRestart(s, e)
	case "RestartSec":
		s.Spec.Restart.Delay = b.span(e)
	case "TimeoutStopSec", "TimeoutSec":
		s.Spec.Stop.Timeout = b.span(e)
	case "KillSignal":
		s.Spec.Stop.Signal = b.signal(e.line, what, e.value)
	default:
		b.unitLimit(s, e)
	}
	return true
}

// execStart is the command: its prefixes say things that have no meaning here.
func (b *builder) execStart(s *v1.Service, specifiers *strings.Replacer, e entry) bool {
	if e.value == "" {
		s.Spec.Command = v1.Command{} // an empty one resets those before
		return true
	}
	if !s.Spec.Command.IsZero() {
		b.note(e.line, "ExecStart="+e.value, "a service has one command; this one is left out")
		return true
	}
	words, ok := split(strings.TrimLeft(e.value, "-@:+!|"))
	if !ok || len(words) == 0 {
		b.drop(e.line, "ExecStart="+e.value, "it cannot be split into words")
		return false
	}
	for _, w := range words {
		s.Spec.Command.Argv = append(s.Spec.Command.Argv, unitVariables(specifiers.Replace(literal(w))))
	}
	return true
}

var unitVariable = regexp.MustCompile(`\$\{(\w+)\}|^\$(\w+)$|\$\$`)

// unitVariables writes ${NAME} and $NAME as a manifest's list of arguments has them.
func unitVariables(word string) string {
	if strings.Contains(word, "$$(") { // literal has written it
		return word
	}
	return unitVariable.ReplaceAllStringFunc(word, func(m string) string {
		if m == "$$" {
			return "$"
		}
		return "$(" + strings.Trim(m, "${}") + ")"
	})
}

func (b *builder) unitEnv(s *v1.Service, specifiers *strings.Replacer, e entry) {
	words, ok := split(e.value)
	if !ok {
		b.note(e.line, "Environment="+e.value, "a quote is not closed; left out")
		return
	}
	for _, w := range words {
		name, value, found := strings.Cut(w, "=")
		if !found {
			b.note(e.line, "Environment="+w, "it is not NAME=value; left out")
			continue
		}
		b.setEnv(s, e.line, name, specifiers.Replace(value))
	}
}

func (b *builder) unitRestart(s *v1.Service, e entry) {
	switch e.value {
	case "always":
		s.Spec.Restart.Policy = v1.RestartAlways
	case "on-failure", "on-abnormal", "on-abort", "on-watchdog":
		s.Spec.Restart.Policy = v1.RestartOnFailure
		if e.value != "on-failure" {
			b.note(e.line, "Restart="+e.value, "it becomes OnFailure: every exit but that with 0")
		}
	case "on-success":
		b.note(e.line, "Restart="+e.value, "there is nothing like it here; it is not restarted")
	case "no":
	default:
		b.note(e.line, "Restart="+e.value, "it is not known; it is not restarted")
	}
}

var systemdSpan = strings.NewReplacer("min", "m", "sec", "s", " ", "")

// span reads a time of systemd: 5, 5s, 1min 30s, infinity.
func (b *builder) span(e entry) *v1.Duration {
	if e.value == "infinity" {
		b.note(e.line, e.key+"="+e.value, "there is no infinity here; the default is taken")
		return nil
	}
	return b.seconds(e.line, e.key+"="+e.value, systemdSpan.Replace(e.value))
}

// unitLimit carries limits over, and says what is left out.
func (b *builder) unitLimit(s *v1.Service, e entry) {
	what := e.key + "=" + e.value
	if e.value == "infinity" {
		return
	}
	binary := strings.NewReplacer("K", "Ki", "M", "Mi", "G", "Gi", "T", "Ti").Replace(e.value)
	switch e.key {
	case "MemoryMax", "MemoryLimit":
		if n, err := v1.ParseByteSize(binary); err == nil {
			s.Spec.Resources.MemoryMax = n
		} else {
			b.note(e.line, what, "%v", err)
		}
	case "CPUQuota":
		if n, err := v1.ParseCPU(strings.TrimSuffix(e.value, "%")); err == nil {
			s.Spec.Resources.CPUMax = n / 100
		} else {
			b.note(e.line, what, "%v", err)
		}
	case "TasksMax":
		if n, ok := b.number(e.line, what, e.value); ok {
			s.Spec.Resources.PidsMax = int64(n)
		}
	case "LimitNOFILE":
		soft, _, _ := strings.Cut(e.value, ":")
		if n, ok := b.number(e.line, what, soft); ok && n > 0 {
			s.Spec.Resources.OpenFiles = uint64(n)
		}
	case "LimitCORE":
		if n, err := v1.ParseByteSize(binary); err == nil {
			s.Spec.Resources.CoreSize = n
		}
	case "StandardOutput", "StandardError", "SyslogIdentifier", "KillMode", "SendSIGKILL", "RemainAfterExit", "SuccessExitStatus", "NotifyAccess", "TimeoutStartSec":
		b.note(e.line, what, "it has no meaning here")
	case "ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost", "ExecReload":
		b.note(e.line, what, "a service is one program: make a service of it that others depend on (condition: completed), or write a script")
	default:
		b.note(e.line, what, "there is nothing like it here; left out")
	}
}
