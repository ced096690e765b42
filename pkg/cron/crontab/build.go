package crontab

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// add makes an object of a line.
func (p *parser) add(e entry) {
	command, dir := p.command(e.command)
	env := maps.Clone(p.env)
	for _, name := range []string{"MAILTO", "CRON_TZ", "SHELL", "RANDOM_DELAY"} {
		delete(env, name)
	}
	if shell := p.env["SHELL"]; shell != "" {
		env["SHELL"] = shell
	}
	for name, value := range env {
		env[name] = escape(value) // cron takes values as they are
	}
	if len(env) == 0 {
		env = nil
	}
	meta := v1.ObjectMeta{Annotations: p.annotations()}
	no := v1.D(0)
	if e.reboot {
		meta.Name = p.name(v1.KindService, e.command)
		svc := &v1.Service{
			TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}, Metadata: meta,
			Spec: v1.ServiceSpec{Command: command, Env: env, User: e.user, WorkingDir: dir, Restart: v1.Restart{Policy: v1.RestartNever}},
		}
		p.note("@reboot", "it becomes service %s, which runs each time the supervisor begins a new session, not only when the machine boots", meta.Name)
		p.keep(svc)
		return
	}
	meta.Name = p.name(v1.KindCronJob, e.command)
	job := &v1.CronJob{
		TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindCronJob}, Metadata: meta,
		Spec: v1.CronJobSpec{
			Command: command, Schedule: e.schedule, TimeZone: p.env["CRON_TZ"], Env: env, User: e.user, WorkingDir: dir,
			// As cron does it.
			Timeout: no, ConcurrencyPolicy: v1.ConcurrencyAllow, CatchUp: v1.CatchUpSkip,
		},
	}
	if delay := p.env["RANDOM_DELAY"]; delay != "" {
		if d, err := v1.ParseDuration(delay + "m"); err == nil {
			j := v1.Duration(d)
			job.Spec.Jitter = &j
		} else {
			p.note("RANDOM_DELAY="+delay, "it is not a number of minutes; it is left out")
		}
	}
	p.keep(job)
}

// keep adds an object, unless it says what no manifest may.
func (p *parser) keep(o v1.Object) {
	o.Default()
	if errs := o.Validate(); len(errs) > 0 {
		p.drop(o.Meta().Name, "%s", strings.ReplaceAll(errs.Error(), "\n", "; "))
		return
	}
	p.result.Objects = append(p.result.Objects, o)
}

func (p *parser) annotations() map[string]string {
	source := "line " + strconv.Itoa(p.line)
	if p.options.File != "" {
		source = p.options.File + ":" + strconv.Itoa(p.line)
	}
	notes := map[string]string{AnnotationSource: source}
	if to := p.env["MAILTO"]; to != "" {
		notes[AnnotationMailTo] = to
	}
	if len(p.comment) > 0 {
		notes[AnnotationDescription] = strings.Join(p.comment, " ")
	}
	return notes
}

// simple is a command line that means the same with and without a shell.
var simple = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+, -]+$`)

// command gives a command line to the shell that cron would give it to, with the input that follows an unescaped %.
func (p *parser) command(line string) (command v1.Command, dir string) {
	text, input, hasInput := percent(line)
	dir = "~"
	if home := p.env["HOME"]; home != "" {
		dir = home
	}
	shell := p.env["SHELL"]
	if shell == "" {
		shell = "/bin/sh"
	}
	first, _, _ := strings.Cut(text, " ")
	if !hasInput && simple.MatchString(text) && !strings.Contains(first, "=") && strings.HasPrefix(first, "/") {
		return v1.Command{Line: text}, dir
	}
	if hasInput {
		end := "END"
		for strings.Contains(input, end) {
			end += "_"
		}
		if !strings.HasSuffix(input, "\n") {
			input += "\n"
		}
		text = "{\n" + text + "\n} <<'" + end + "'\n" + input + end + "\n"
	}
	return v1.Command{Argv: []string{shell, "-c", escape(text)}}, dir
}

// percent splits a command at its first unescaped %: what follows is its input, with each further % a new line.
func percent(line string) (command, input string, hasInput bool) {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line) && line[i+1] == '%':
			part.WriteByte('%')
			i++
		case line[i] == '%':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(line[i])
		}
	}
	parts = append(parts, part.String())
	return strings.TrimRight(parts[0], " \t"), strings.Join(parts[1:], "\n"), len(parts) > 1
}

// reference is what a manifest takes for a variable, and a shell for a command.
var reference = regexp.MustCompile(`\$\([A-Za-z_][A-Za-z0-9_]*\)`)

// escape writes $(date) as $$(date), which a manifest gives on as $(date).
func escape(text string) string {
	return reference.ReplaceAllStringFunc(text, func(s string) string { return "$" + s })
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// maxName leaves room for a number.
const maxName = 50

// name derives a name from the program that a command runs.
func (p *parser) name(kind, command string) string {
	base := "job"
	for part := range strings.FieldsFuncSeq(command, func(r rune) bool { return strings.ContainsRune(";&|\n", r) }) {
		if program := programOf(part); program != "" {
			base = program
			break
		}
	}
	name := base
	for n := 2; p.used[kind+strings.ToLower(name)] || p.options.Taken != nil && p.options.Taken(kind, name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	p.used[kind+strings.ToLower(name)] = true
	return name
}

// programOf is the name of the program that one part of a command line runs; empty when it only prepares for others.
func programOf(part string) string {
	words := strings.FieldsFunc(part, func(r rune) bool { return strings.ContainsRune(" \t()<>{}\"'`", r) })
	for _, word := range words {
		w := path.Base(word)
		switch {
		case w == "cd" || w == "test" || w == "[" || w == "export" || w == ".":
			return ""
		case strings.Contains(word, "=") || strings.HasPrefix(word, "-") || strings.HasPrefix(word, "$") || wrapper(w):
			continue
		}
		w = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(w, ".sh"), ".py"), ".pl")
		w = strings.Trim(notInNames.ReplaceAllString(w, "-"), "-._")
		if w != "" && (w[0] < '0' || w[0] > '9') {
			return w[:min(len(w), maxName)]
		}
	}
	return ""
}

// wrapper reports a program that runs another one.
func wrapper(name string) bool {
	switch name {
	case "env", "nice", "ionice", "sudo", "nohup", "sh", "bash", "zsh", "dash", "python", "python3", "perl", "ruby", "node", "php", "php7",
		"time", "timeout", "flock", "chronic", "exec", "run-parts", "if", "then", "..", "/", "setpriv", "runuser", "su":
		return true
	}
	return false
}
