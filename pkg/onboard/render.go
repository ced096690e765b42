package onboard

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// render writes the manifest of a candidate: what was decided, with the reason beside it.
func (l *Look) render(c *Candidate) string {
	text := l.document(c, l.Name)
	for i := range c.Beside {
		text += "---\n" + l.document(&c.Beside[i], l.beside(c.Beside[i].Name))
	}
	return text
}

// beside is the name of a further service, with a number when a service of another folder has it.
func (l *Look) beside(of string) string {
	base := safeName(l.Name + "-" + of)
	name := base
	for n := 2; l.another(name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// ManifestOf is the manifest of one of the candidates.
func (l *Look) ManifestOf(candidate int) string { return l.render(&l.Candidates[candidate]) }

// writer writes lines of YAML with comments.
type writer struct{ strings.Builder }

func (w *writer) line(indent int, text string, why string) {
	w.WriteString(strings.Repeat("  ", indent) + text)
	if why != "" {
		w.WriteString("  # " + why)
	}
	w.WriteByte('\n')
}

func (l *Look) document(c *Candidate, name string) string {
	w := &writer{}
	w.line(0, fmt.Sprintf("# %s: %s. Made by `supervisor onboard`; yours to change.", oneLine(l.Project), c.Title), "")
	for _, r := range c.Reasons {
		if r.What == "command" {
			w.line(0, "# "+r.comment(), "")
		}
	}
	w.line(0, "apiVersion: "+v1.APIVersion, "")
	w.line(0, "kind: "+v1.KindService, "")
	w.line(0, "metadata:", "")
	w.line(1, "name: "+scalar(name), "")
	w.line(0, "spec:", "")
	w.line(1, "command: "+scalar(c.Command), "")
	dir := l.Dir
	if c.WorkingDir != "" {
		dir += "/" + c.WorkingDir
	}
	w.line(1, "workingDir: "+scalar(dir), "")
	if c.Serves {
		port := strconv.Itoa(c.Port)
		if c.Port == 0 {
			port = "auto"
		}
		w.line(1, "port: "+port, c.why("port"))
	}
	if len(c.Env) > 0 {
		w.line(1, "env:", "")
		for _, name := range sortedKeys(c.Env) {
			w.line(2, scalar(name)+": "+quoted(c.Env[name]), "")
		}
	}
	if len(c.EnvFiles) > 0 {
		w.line(1, "envFile:", c.why("env_file"))
		for _, f := range c.EnvFiles {
			w.line(2, "- {path: "+scalar(f)+", optional: true}", "")
		}
	}
	l.probes(w, c)
	if c.StopSignal != "" {
		w.line(1, "stop: {signal: "+scalar(c.StopSignal)+"}", "")
	}
	if l.DataExists {
		w.line(1, "watchDirs: ["+quoted(dir)+", "+quoted(l.DataDir)+"]", "its data is in "+oneLine(l.DataDir))
	}
	return w.String()
}

// probes let a service be ready when it answers, and give one that is built first the time for it.
func (l *Look) probes(w *writer, c *Candidate) {
	if !c.Serves {
		return
	}
	check := "tcpSocket: {}"
	if c.Health != "" {
		check = "httpGet: {path: " + quoted(c.Health) + "}"
	}
	w.line(1, "probes:", "")
	if c.SlowStart {
		w.line(2, "startup:", "it builds itself first")
		w.line(3, check, "")
		w.line(3, "period: 2s", "")
		w.line(3, "failureThreshold: 300", "")
	}
	w.line(2, "readiness:", "")
	w.line(3, check, c.why("probe"))
	w.line(3, "period: 5s", "")
}

// why is the surest reason for one decision, for a comment.
func (c *Candidate) why(what string) string {
	best := -1
	for i, r := range c.Reasons {
		if r.What == what && (best < 0 || r.Confidence >= c.Reasons[best].Confidence) {
			best = i
		}
	}
	if best < 0 {
		return ""
	}
	return c.Reasons[best].comment()
}

func (r *Reason) comment() string {
	if r.Source == "" {
		return oneLine(r.Why)
	}
	return oneLine(r.Source + ": " + r.Why)
}

// oneLine keeps what is in a file's name or line from ending a comment.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// plainScalar is text that YAML takes as it stands.
var plainScalar = regexp.MustCompile(`^(?:[A-Za-z_/]|\./|~/)[A-Za-z0-9 ./~_$()=@%+,:-]*$`)

// scalar writes a text so that YAML reads it as that very text.
func scalar(s string) string {
	words := []string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
	if !plainScalar.MatchString(s) || strings.Contains(s, ": ") || strings.HasSuffix(s, ":") || strings.HasSuffix(s, " ") || slices.Contains(words, strings.ToLower(s)) {
		return quoted(s)
	}
	return s
}

// quoted is a text in double quotes: JSON is YAML.
func quoted(s string) string {
	out, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(out))
}
