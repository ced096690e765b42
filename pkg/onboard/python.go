package onboard

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// pyProject is what is known of a Python project as a whole.
type pyProject struct {
	// python runs modules: ".venv/bin/python", "uv run python", "python3"; how says why.
	python string
	// needs are the names of the packages that it asks for, in lower case, where that is written down.
	needs map[string]bool
	// declared is true when they are.
	declared bool
	scripts  map[string]string // of pyproject.toml: name → module:function
	files    []pyFile
	reasons  []Reason
}

// python proposes ways to run a Python project.
func (l *looker) python() []Candidate {
	sources := l.folder.sources(".py")
	if len(sources) == 0 && !l.folder.has("pyproject.toml") {
		return nil
	}
	p := l.pyProject()
	for _, name := range sources {
		if text, ok := l.folder.text(name); ok {
			p.files = append(p.files, scanPython(name, text))
		}
	}
	var out []Candidate
	out = append(out, l.django(p)...)
	out = append(out, l.pyApps(p)...)
	out = append(out, l.pyTools(p)...)
	out = append(out, l.pyScripts(p)...)
	for i := range out {
		out[i].Reasons = append(out[i].Reasons, p.reasons...)
		for _, f := range p.files {
			if slices.Contains(f.env, "DATA_DIR") {
				out[i].setEnv("DATA_DIR", l.dataDir)
				out[i].because("env", 75, f.path, "it reads DATA_DIR; by convention a project's data is in ~/.NAME")
				break
			}
		}
		out[i].setEnv("PYTHONUNBUFFERED", "1")
		out[i].because("env", 95, "", "Python holds back what it prints when nobody watches; PYTHONUNBUFFERED=1 lets it be seen at once")
	}
	return out
}

func (l *looker) pyProject() *pyProject {
	p := &pyProject{needs: map[string]bool{}, scripts: map[string]string{}}
	l.pyNeeds(p)
	because := func(confidence int, source, why string) {
		p.reasons = append(p.reasons, Reason{What: "python", Why: why, Source: source, Confidence: confidence})
	}
	for _, venv := range []string{".venv", "venv", "env", ".env"} {
		if l.folder.has(venv+"/pyvenv.cfg") && l.folder.has(venv+"/bin/python") {
			p.python = venv + "/bin/python"
			because(95, venv+"/pyvenv.cfg", "the project has a virtual environment of its own")
			return p
		}
	}
	for _, tool := range []struct{ lock, program, run string }{
		{"uv.lock", "uv", "uv run --frozen python"},
		{"poetry.lock", "poetry", "poetry run python"},
		{"pdm.lock", "pdm", "pdm run python"},
		{"Pipfile.lock", "pipenv", "pipenv run python"},
	} {
		if !l.folder.has(tool.lock) {
			continue
		}
		if found, ok := l.program(tool.program); ok {
			p.python = found + strings.TrimPrefix(tool.run, tool.program)
			because(85, tool.lock, "its packages are locked by "+tool.program+", which makes the environment when it is first run")
			return p
		}
		l.warn("%s is there, but %s is not installed: install it, or make a virtual environment in .venv", tool.lock, tool.program)
	}
	p.python = "python3"
	because(50, "", "there is no virtual environment, so it is the system's Python")
	if p.declared {
		l.warn("the project asks for packages and has no virtual environment; where the system's Python lacks them: python3 -m venv .venv && .venv/bin/pip install -r requirements.txt")
	}
	return p
}

var pyRequirement = regexp.MustCompile(`^\s*["']?([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\])?`)

// pyNeeds reads what the project asks for.
func (l *looker) pyNeeds(p *pyProject) {
	need := func(requirement string) {
		if m := pyRequirement.FindStringSubmatch(requirement); m != nil {
			name := strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
			p.needs[name], p.declared = true, true
			if name == "fastapi" && strings.Contains(m[2], "standard") || name == "uvicorn" {
				p.needs["uvicorn"] = true
			}
		}
	}
	for _, name := range []string{"requirements.txt", "requirements/base.txt", "requirements/prod.txt", "requirements/production.txt", "requirements.in"} {
		text, _ := l.folder.text(name)
		for line := range strings.SplitSeq(text, "\n") {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line != "" && line[0] != '-' {
				need(line)
			}
		}
	}
	text, ok := l.folder.text("pyproject.toml")
	if !ok {
		return
	}
	var doc struct {
		Project struct {
			Dependencies []string
			Scripts      map[string]string
		}
		Tool struct {
			Poetry struct {
				Dependencies map[string]any
				Scripts      map[string]any
			}
		}
	}
	if err := toml.Unmarshal([]byte(text), &doc); err != nil {
		l.warn("pyproject.toml cannot be read: %v", err)
		return
	}
	for _, d := range doc.Project.Dependencies {
		need(d)
	}
	for d := range doc.Tool.Poetry.Dependencies {
		if d != "python" {
			need(d)
		}
	}
	for name, target := range doc.Project.Scripts {
		p.scripts[name] = target
	}
	for name, target := range doc.Tool.Poetry.Scripts {
		if target, ok := target.(string); ok {
			p.scripts[name] = target
		}
	}
}

// module is a source as Python imports it, and the folder that must be on its path.
func module(file string) (name, dir string) {
	file = strings.TrimSuffix(file, ".py")
	if rest, ok := strings.CutPrefix(file, "src/"); ok {
		file, dir = rest, "src"
	}
	file = strings.TrimSuffix(file, "/__init__")
	return strings.ReplaceAll(file, "/", "."), dir
}

// conventional names an application module the way most projects do.
var conventional = []string{"app", "main", "api", "server", "asgi", "wsgi", "application"}

// pyApps proposes a server for each application object.
func (l *looker) pyApps(p *pyProject) []Candidate {
	var out []Candidate
	for i := range p.files {
		f := &p.files[i]
		for _, app := range f.apps {
			if app.framework == "" { // a factory that does not say what it makes
				for class, framework := range frameworks {
					if f.imports[strings.ToLower(class)] {
						app.framework = framework
					}
				}
			}
			if app.framework == "" || strings.Contains(f.path, "-") {
				continue
			}
			c := Candidate{Serves: true, PortFree: true, Title: frameworkTitle(app.framework) + " application", Kind: app.framework}
			name, dir := module(f.path)
			target := name + ":" + app.name
			what := "the application object " + app.name
			if app.factory {
				what = "the application factory " + app.name + "()"
			}
			c.because("command", 90, at(f.path, app.line), "%s is there, of %s", what, frameworkTitle(app.framework))
			if !l.pyServer(&c, p, app, target, dir) {
				continue
			}
			c.Confidence = 80
			if slices.Contains(conventional, strings.TrimSuffix(path.Base(f.path), ".py")) || strings.HasSuffix(f.path, "/__init__.py") {
				c.Confidence += 8
			}
			if slices.Contains([]string{"app", "application", "api"}, app.name) {
				c.Confidence += 4
			}
			c.Confidence -= 3 * strings.Count(f.path, "/")
			if app.factory {
				c.Confidence -= 3
			}
			l.pyPort(&c, p, f)
			l.pyHealth(&c, p, f)
			out = append(out, c)
		}
	}
	byConfidence(out)
	return out[:min(len(out), 5)]
}

func frameworkTitle(framework string) string {
	for class, f := range frameworks {
		if f == framework {
			return class
		}
	}
	return framework
}

// pyServer fills in the command that serves an application. It is false for what cannot be served from outside.
func (l *looker) pyServer(c *Candidate, p *pyProject, app pyApp, target, dir string) bool {
	switch app.framework {
	case "fastapi", "starlette", "quart", "litestar", "falcon":
		server := "uvicorn"
		if !p.needs["uvicorn"] && p.needs["hypercorn"] {
			server = "hypercorn"
		}
		if server == "hypercorn" {
			c.Command = p.python + " -m hypercorn --bind 127.0.0.1:$(PORT) " + target
			c.because("command", 80, "", "hypercorn is what it asks for to be served by")
			return !app.factory
		}
		c.Command = p.python + " -m uvicorn"
		if dir != "" {
			c.Command += " --app-dir " + dir
		}
		if app.factory {
			c.Command += " --factory"
		}
		c.Command += " " + target + " --host 127.0.0.1 --port $(PORT)"
		c.because("command", 85, "", "uvicorn serves such applications; on the loopback address, as Caddy is what faces the network")
		if p.declared && !p.needs["uvicorn"] {
			l.warn("uvicorn is not among the packages that the project asks for; install it into its environment")
		}
	case "flask", "bottle":
		if p.needs["gunicorn"] {
			if app.factory {
				target += "()"
			}
			c.Command = p.python + " -m gunicorn --bind 127.0.0.1:$(PORT) " + chdir(dir) + shellWord(target)
			c.because("command", 88, "", "gunicorn is what it asks for to be served by")
			return true
		}
		if p.needs["waitress"] && !app.factory && dir == "" {
			c.Command = p.python + " -m waitress --listen=127.0.0.1:$(PORT) " + target
			c.because("command", 85, "", "waitress is what it asks for to be served by")
			return true
		}
		if app.framework == "bottle" || dir != "" {
			return false
		}
		c.Command = p.python + " -m flask --app " + target + " run --host 127.0.0.1 --port $(PORT)"
		c.because("command", 70, "", "Flask's own server, as the project asks for no other; it is meant for development: gunicorn would be better")
	case "sanic":
		c.Command = p.python + " -m sanic " + target + " --host=127.0.0.1 --port=$(PORT)"
		if app.factory {
			c.Command += " --factory"
		}
	default:
		return false
	}
	return true
}

func chdir(dir string) string {
	if dir == "" {
		return ""
	}
	return "--chdir " + dir + " "
}

// pyPort finds the port that the project is used to.
func (l *looker) pyPort(c *Candidate, p *pyProject, f *pyFile) {
	for _, other := range append([]pyFile{*f}, p.files...) {
		if other.port > 0 {
			c.Port = other.port
			c.because("port", 85, at(other.path, other.portLine), "the source names port %d", other.port)
			return
		}
	}
	c.Port = 8000
	if c.Kind == "flask" {
		c.Port = 5000
	}
	c.because("port", 50, "", "%d is what its server takes when nothing else is said", c.Port)
}

// healthPaths are what a path that says that all is well is called.
var healthPaths = []string{"/healthz", "/health", "/readyz", "/ready", "/livez", "/ping", "/status", "/api/health", "/api/healthz", "/api/v1/health"}

// pyHealth finds a path that answers when all is well.
func (l *looker) pyHealth(c *Candidate, p *pyProject, f *pyFile) {
	files := append([]pyFile{*f}, p.files...)
	for _, want := range healthPaths {
		for i := range files {
			for _, r := range files[i].routes {
				if r.path == want {
					c.Health = want
					c.because("probe", 90, at(files[i].path, r.line), "%s answers when it is ready", want)
					return
				}
			}
		}
	}
	c.because("probe", 60, "", "no route looks like a health check, so an open port has to do")
}

var (
	djangoSettings = regexp.MustCompile(`DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']`)
	djangoHosts    = regexp.MustCompile(`(?m)^ALLOWED_HOSTS\s*=\s*\[\s*\]`)
)

// django proposes servers for a Django project.
func (l *looker) django(p *pyProject) []Candidate {
	text, ok := l.folder.text("manage.py")
	m := djangoSettings.FindStringSubmatch(text)
	if !ok || m == nil {
		return nil
	}
	pkg, _, _ := strings.Cut(m[1], ".settings")
	dir := strings.ReplaceAll(pkg, ".", "/")
	c := Candidate{Kind: "django", Title: "Django project", Serves: true, PortFree: true, Port: 8000, Confidence: 90}
	c.because("command", 95, "manage.py", "manage.py names the settings %s", m[1])
	c.because("port", 50, "", "8000 is what Django takes when nothing else is said")
	c.setEnv("DJANGO_SETTINGS_MODULE", m[1])
	switch {
	case p.needs["gunicorn"] && l.folder.has(dir+"/wsgi.py"):
		c.Command = p.python + " -m gunicorn --bind 127.0.0.1:$(PORT) " + pkg + ".wsgi"
		c.because("command", 90, dir+"/wsgi.py", "gunicorn is what it asks for to be served by")
	case (p.needs["uvicorn"] || p.needs["daphne"]) && l.folder.has(dir+"/asgi.py"):
		c.Command = p.python + " -m uvicorn " + pkg + ".asgi:application --host 127.0.0.1 --port $(PORT)"
		if !p.needs["uvicorn"] {
			c.Command = p.python + " -m daphne -b 127.0.0.1 -p $(PORT) " + pkg + ".asgi:application"
		}
		c.because("command", 85, dir+"/asgi.py", "an ASGI server is what it asks for")
	default:
		c.Command = p.python + " manage.py runserver --noreload 127.0.0.1:$(PORT)"
		c.because("command", 65, "", "Django's own server, as the project asks for no other; it is meant for development: gunicorn would be better")
		c.Confidence -= 5
	}
	if settings, ok := l.folder.text(strings.ReplaceAll(m[1], ".", "/") + ".py"); ok && djangoHosts.MatchString(settings) {
		l.warn("ALLOWED_HOSTS in %s is empty: with DEBUG off Django answers nobody; add the names under which it is reached", m[1])
	}
	return []Candidate{c}
}

// pyTools proposes what is not an application object, but a tool that runs a file.
func (l *looker) pyTools(p *pyProject) []Candidate {
	var out []Candidate
	for i := range p.files {
		f := &p.files[i]
		base := 80 - 4*strings.Count(f.path, "/")
		if !slices.Contains(conventional, strings.TrimSuffix(path.Base(f.path), ".py")) {
			base -= 6
		}
		switch {
		case f.imports["streamlit"] && !strings.Contains(f.path, "pages/"):
			c := Candidate{
				Kind: "streamlit", Title: "Streamlit app", Serves: true, PortFree: true, Port: 8501, Confidence: base, Health: "/_stcore/health",
				Command: p.python + " -m streamlit run " + shellWord(f.path) + " --server.address 127.0.0.1 --server.port $(PORT) --server.headless true",
			}
			c.because("command", 85, f.path, "it imports streamlit")
			c.because("port", 60, "", "8501 is what Streamlit takes when nothing else is said")
			c.because("probe", 90, "", "/_stcore/health is Streamlit's own health check")
			out = append(out, c)
		case f.imports["gradio"] && f.main > 0:
			c := Candidate{
				Kind: "gradio", Title: "Gradio app", Serves: true, PortFree: true, Port: 7860, Confidence: base, Command: p.python + " " + shellWord(f.path),
			}
			c.setEnv("GRADIO_SERVER_PORT", "$(PORT)")
			c.setEnv("GRADIO_SERVER_NAME", "127.0.0.1")
			c.because("command", 85, at(f.path, f.main), "it imports gradio and runs by itself")
			c.because("port", 60, "", "7860 is what Gradio takes when nothing else is said")
			out = append(out, c)
		}
	}
	return out
}

// pyScripts proposes what runs by itself: scripts of pyproject.toml, __main__.py, and files with a main part.
func (l *looker) pyScripts(p *pyProject) []Candidate {
	var out []Candidate
	bin := strings.TrimSuffix(p.python, "python")
	for _, name := range sortedKeys(p.scripts) {
		c := Candidate{Kind: "python-script", Title: "Python program", Confidence: 55}
		switch {
		case strings.HasSuffix(p.python, "/bin/python") && l.folder.has(bin+name):
			c.Command = bin + name
		case strings.Contains(p.python, " run "):
			c.Command = bin + name
		default:
			mod, fn, _ := strings.Cut(p.scripts[name], ":")
			c.Command = p.python + " -c " + shellWord("from "+mod+" import "+fn+"; raise SystemExit("+fn+"())")
			c.Confidence -= 10
		}
		c.because("command", 60, "pyproject.toml", "it declares the program %s (%s)", name, p.scripts[name])
		out = append(out, c)
	}
	for i := range p.files {
		f := &p.files[i]
		base := path.Base(f.path)
		depth := strings.Count(f.path, "/")
		switch {
		case base == "__main__.py" && depth > 0:
			name, dir := module(path.Dir(f.path))
			c := Candidate{Kind: "python-module", Title: "Python module", Confidence: 62 - 3*depth, Command: p.python + " -m " + name}
			if dir != "" {
				c.setEnv("PYTHONPATH", dir)
			}
			c.because("command", 75, f.path, "the package %s runs by itself", name)
			l.serving(&c, f)
			out = append(out, c)
		case f.main > 0 && len(f.apps) == 0 && depth <= 1 && !slices.Contains([]string{"manage.py", "setup.py", "conftest.py"}, base):
			c := Candidate{Kind: "python-script", Title: "Python program", Confidence: 45 - 5*depth, Command: p.python + " " + shellWord(f.path)}
			if slices.Contains([]string{"main.py", "app.py", "run.py", "server.py", "bot.py", "worker.py", "start.py"}, base) {
				c.Confidence += 15
			}
			c.because("command", 60, at(f.path, f.main), "%s runs by itself", f.path)
			l.serving(&c, f)
			out = append(out, c)
		}
	}
	byConfidence(out)
	return out[:min(len(out), 4)]
}

// serving finds out whether a program that runs by itself listens on a port.
func (l *looker) serving(c *Candidate, f *pyFile) {
	if slices.Contains(f.env, "PORT") {
		c.Serves, c.PortFree, c.Port = true, true, 8000
		c.because("port", 80, f.path, "it reads its port from $PORT")
		return
	}
	if f.port > 0 {
		c.Serves, c.Port = true, f.port
		c.because("port", 85, at(f.path, f.portLine), "the source names port %d", f.port)
		return
	}
	text, _ := l.folder.text(f.path)
	if m := pyServerAddress.FindStringSubmatch(text); m != nil {
		c.Serves, c.Port = true, portNumber(m[1])
		c.because("port", 70, f.path, "the source names port %d", c.Port)
		return
	}
	c.because("port", 50, "", "nothing tells that it listens on a port")
}

var pyServerAddress = regexp.MustCompile(`(?:HTTPServer|TCPServer|start_server|create_server)\(\s*[^)]*?["'][\d.a-z]*["']\s*,\s*(\d{2,5})`)

// portNumber is a port, or 0.
func portNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}
