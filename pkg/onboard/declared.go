package onboard

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// What a project itself says of how it is run: a Procfile, a systemd unit, a script.

var procLine = regexp.MustCompile(`^([A-Za-z0-9_-]+)\s*:\s*(\S.*)$`)

// procfile takes the process types of a Procfile: web serves, release is for deployments, the others are beside it.
func (l *looker) procfile() []Candidate {
	text, ok := l.folder.text("Procfile")
	if !ok {
		return nil
	}
	var web *Candidate
	var others []Candidate
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		m := procLine.FindStringSubmatch(line)
		if m == nil || strings.HasPrefix(line, "#") {
			continue
		}
		if m[1] == "release" {
			l.warn("the Procfile's release (%s) is for a deployment and is not run; run it by hand", m[2])
			continue
		}
		c := Candidate{Kind: "procfile", Title: "Procfile", Name: m[1], Command: l.inVenv(m[2]), Confidence: 92}
		c.because("command", 95, at("Procfile", number), "the process type %s", m[1])
		if c.Command != m[2] {
			c.because("command", 85, "", "its program is that of the project's virtual environment")
		}
		if m[1] == "web" || usesPort(m[2]) {
			c.Serves, c.PortFree, c.Port = true, usesPort(m[2]), 8000
			if !c.PortFree {
				c.PortFree = true // such programs are given $PORT by convention
			}
			c.because("port", 85, at("Procfile", number), "a web process is given its port in $PORT")
		}
		if m[1] == "web" {
			web = &c
		} else {
			others = append(others, c)
		}
	}
	switch {
	case web == nil && len(others) == 0:
		return nil
	case web == nil:
		web = &others[0]
		others = others[1:]
	}
	for i := range others {
		web.because("beside", 90, "Procfile", "the process type %s becomes a service of its own", others[i].Name)
	}
	web.Beside = others
	return []Candidate{*web}
}

func usesPort(line string) bool {
	return strings.Contains(line, "$PORT") || strings.Contains(line, "${PORT") || strings.Contains(line, "$(PORT)")
}

// inVenv lets a line that begins with a program of the virtual environment begin with its path.
func (l *looker) inVenv(line string) string {
	first, rest, _ := strings.Cut(line, " ")
	if strings.ContainsAny(first, "/=$'\"") {
		return line
	}
	for _, venv := range []string{".venv", "venv", "env"} {
		if l.folder.has(venv+"/pyvenv.cfg") && l.folder.has(venv+"/bin/"+first) {
			return strings.TrimSpace(venv + "/bin/" + first + " " + rest)
		}
	}
	return line
}

// units takes systemd units that lie in the project.
func (l *looker) units() []Candidate {
	var out []Candidate
	for _, dir := range []string{".", "deploy", "systemd", "etc", "contrib", "packaging", "scripts"} {
		for _, e := range l.folder.list(dir) {
			name := path.Join(dir, e.Name())
			if !strings.HasSuffix(name, ".service") || strings.Contains(name, "@") {
				continue
			}
			if text, ok := l.folder.text(name); ok {
				if c, ok := l.unit(name, text); ok {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// continued is the end of a line that goes on in the next.
var continued = regexp.MustCompile(`[ \t]*\\\r?\n[ \t]*`)

func (l *looker) unit(name, text string) (Candidate, bool) {
	c := Candidate{Kind: "systemd", Title: "systemd unit", Confidence: 88, Name: safeName(strings.TrimSuffix(path.Base(name), ".service"))}
	section, number := "", 0
	for line := range strings.SplitSeq(continued.ReplaceAllString(text, " "), "\n") {
		number++
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section != "[Service]" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch key {
		case "ExecStart":
			if c.Command == "" {
				c.Command = strings.TrimLeft(value, "-@:+!")
				c.because("command", 92, at(name, number), "ExecStart of the unit")
			}
		case "Environment":
			for word := range strings.FieldsSeq(value) {
				if k, v, ok := strings.Cut(strings.Trim(word, `"'`), "="); ok {
					c.setEnv(k, v)
					c.because("env", 90, at(name, number), "the unit sets %s", k)
				}
			}
		case "EnvironmentFile":
			c.EnvFiles = append(c.EnvFiles, strings.TrimPrefix(value, "-"))
			c.because("env_file", 90, at(name, number), "the unit reads this file")
		case "WorkingDirectory":
			if value != "" && path.Clean(value) != path.Clean(l.folder.dir) {
				l.warn("%s runs in %s; here it runs in the project's folder", name, value)
			}
		case "KillSignal":
			c.StopSignal = value
		case "Type":
			if value == "forking" || value == "oneshot" {
				l.warn("%s is of type %s, which is not a program that stays in the foreground; left out", name, value)
				return c, false
			}
		case "User", "Group":
			l.warn("%s runs as %s=%s; set spec.user when the supervisor runs as root", name, key, value)
		}
	}
	if c.Command == "" || strings.Contains(c.Command, "%") {
		return c, false
	}
	l.commandPort(&c, name)
	return c, true
}

var optionPort = regexp.MustCompile(`(?:--?(?:server\.)?port[= ]|-p[= ]?|:)(\d{2,5})(?:\s|$|/|")`)

// commandPort finds the port in a command line.
func (l *looker) commandPort(c *Candidate, source string) {
	if usesPort(c.Command) {
		c.Serves, c.PortFree = true, true
	}
	if value := c.Env["PORT"]; portNumber(value) > 0 {
		c.Serves, c.PortFree, c.Port = true, true, portNumber(value)
		delete(c.Env, "PORT")
		c.because("port", 90, source, "PORT is %s there", value)
		return
	}
	if m := optionPort.FindStringSubmatch(c.Command); m != nil && portNumber(m[1]) > 0 {
		c.Serves, c.Port = true, portNumber(m[1])
		c.because("port", 85, source, "the command names port %s", m[1])
		return
	}
	if c.Serves {
		c.Port = 8000
		return
	}
	c.because("port", 40, "", "nothing tells that it listens on a port")
}

// scripts takes executable scripts whose names say that they start the project.
func (l *looker) scripts() []Candidate {
	var out []Candidate
	for i, name := range []string{"start.sh", "run.sh", "serve.sh", "bin/start", "bin/server", "scripts/start.sh", "scripts/run.sh", "start", "run"} {
		text, ok := l.folder.text(name)
		if !ok || !strings.HasPrefix(text, "#!") {
			continue
		}
		c := Candidate{Kind: "script", Title: "start script", Command: "./" + name, Confidence: 58 - i}
		if !l.folder.executable(name) {
			c.Command = "sh " + name
		}
		c.because("command", 65, name, "a script whose name says that it starts the project")
		if usesPort(text) {
			c.Serves, c.PortFree, c.Port = true, true, 8000
			c.because("port", 75, name, "it reads its port from $PORT")
		} else if m := optionPort.FindStringSubmatch(text); m != nil && portNumber(m[1]) > 0 {
			c.Serves, c.Port = true, portNumber(m[1])
			c.because("port", 70, name, "it names port %s", m[1])
		}
		out = append(out, c)
	}
	if text, ok := l.folder.text("Makefile"); ok {
		for _, target := range []string{"serve", "start", "run"} {
			if regexp.MustCompile(`(?m)^` + target + `\s*:`).MatchString(text) {
				c := Candidate{Kind: "make", Title: "Makefile", Command: "make " + target, Confidence: 38}
				c.because("command", 45, "Makefile", "it has the target %s", target)
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// site takes a folder of pages.
func (l *looker) site() []Candidate {
	for _, dir := range []string{"dist", "build", "public", "_site", "out", "site", "www", "html", "."} {
		if !l.folder.has(path.Join(dir, "index.html")) {
			continue
		}
		c := Candidate{Kind: "static", Title: "static site", Serves: true, PortFree: true, Port: 8080, Confidence: 40, Health: "/"}
		if dir != "." {
			c.Confidence = 45
		}
		for _, private := range []string{".git", ".env", ".ssh"} {
			if _, err := l.folder.root.Lstat(path.Join(dir, private)); err == nil {
				l.warn("%s would be served to everybody: put the pages into a folder of their own, such as public", path.Join(dir, private))
			}
		}
		c.Command = "python3 -m http.server --bind 127.0.0.1 --directory " + shellWord(dir) + " $(PORT)"
		c.because("command", 75, path.Join(dir, "index.html"), "a folder of pages; Python's server is everywhere and serves files")
		c.because("port", 50, "", "8080 is as good as any")
		c.because("probe", 90, path.Join(dir, "index.html"), "the first page answers when it is ready")
		return []Candidate{c}
	}
	return nil
}

// others takes what a file at the top gives away.
func (l *looker) others() []Candidate {
	var out []Candidate
	add := func(file, kind, title, command string, port, confidence int) {
		c := Candidate{Kind: kind, Title: title, Command: command, Serves: true, PortFree: true, Port: port, Confidence: confidence}
		c.because("command", 75, file, "the file gives away %s", title)
		c.because("port", 50, "", "%d is what it takes when nothing else is said", port)
		out = append(out, c)
	}
	switch {
	case l.folder.has("bin/rails"):
		add("bin/rails", "rails", "a Rails application", "bin/rails server -b 127.0.0.1 -p $(PORT)", 3000, 84)
	case l.folder.has("config.ru"):
		add("config.ru", "rack", "a Rack application", "bundle exec rackup -o 127.0.0.1 -p $(PORT)", 9292, 80)
	}
	switch {
	case l.folder.has("artisan"):
		add("artisan", "laravel", "a Laravel application", "php artisan serve --host=127.0.0.1 --port=$(PORT)", 8000, 80)
	case l.folder.has("public/index.php"):
		add("public/index.php", "php", "a PHP application", "php -S 127.0.0.1:$(PORT) -t public", 8000, 66)
	case l.folder.has("index.php"):
		add("index.php", "php", "a PHP application", "php -S 127.0.0.1:$(PORT)", 8000, 60)
	}
	if name, ok := l.folder.first("mix.exs"); ok {
		if text, _ := l.folder.text(name); strings.Contains(text, ":phoenix") {
			add(name, "phoenix", "a Phoenix application", "mix phx.server", 4000, 78)
		}
	}
	return slices.Clip(out)
}
