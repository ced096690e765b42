package onboard

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

type packageJSON struct {
	Name            string            `json:"name"`
	Main            string            `json:"main"`
	Scripts         map[string]string `json:"scripts"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
}

var (
	// plainNode is a script that only starts node on a file: it can be run without npm, which would stand between us and it.
	plainNode = regexp.MustCompile(`^node((?: --?[\w=./-]+)*) ([\w./-]+)((?: [\w=./-]+)*)$`)
	nodePort  = regexp.MustCompile(`\.listen\(\s*(?:\{\s*port:\s*)?(\d{2,5})\b|\bport\s*[:=]\s*(\d{2,5})\b|\|\|\s*["']?(\d{4,5})\b|\?\?\s*["']?(\d{4,5})\b`)
	nodeEnv   = regexp.MustCompile(`process\.env\.PORT\b|process\.env\[["']PORT["']\]|\bPORT\b[^=\n]*\}\s*=\s*process\.env|Bun\.env\.PORT|Deno\.env\.get\(["']PORT["']\)`)
	nodeRoute = regexp.MustCompile(`\.(?:get|all|use)\(\s*["'\x60](/[\w/-]*)["'\x60]|(?:url|pathname|path)\s*===?\s*["'\x60](/[\w/-]*)["'\x60]`)
)

// node proposes ways to run a package of Node.
func (l *looker) node() []Candidate {
	text, ok := l.folder.text("package.json")
	if !ok {
		return nil
	}
	var pkg packageJSON
	if err := json.Unmarshal([]byte(text), &pkg); err != nil {
		l.warn("package.json cannot be read: %v", err)
		return nil
	}
	if len(pkg.Dependencies) > 0 && !l.folder.hasDir("node_modules") {
		l.warn("node_modules is not there: run %s first", installLine(l.folder))
	}
	var out []Candidate
	if c, ok := l.nodeFramework(&pkg); ok {
		out = append(out, c)
	}
	for _, s := range []struct {
		name       string
		confidence int
	}{{"start:prod", 84}, {"start", 82}, {"serve", 65}, {"server", 62}, {"preview", 50}, {"dev", 40}} {
		script, ok := pkg.Scripts[s.name]
		if !ok {
			continue
		}
		c := l.nodeScript(s.name, script)
		c.Confidence = s.confidence
		out = append(out, c)
	}
	if len(out) == 0 {
		if main, ok := l.folder.first(append(nonEmpty(pkg.Main), "server.js", "index.js", "app.js", "server.mjs", "index.mjs", "src/server.js", "src/index.js")...); ok {
			c := Candidate{Kind: "node", Title: "Node program", Command: "node " + shellWord(main), Confidence: 60}
			c.because("command", 65, "package.json", "%s is its main file", main)
			l.nodeServes(&c, main)
			out = append(out, c)
		}
	}
	for i := range out {
		out[i].setEnv("NODE_ENV", "production")
		out[i].because("env", 70, "", "NODE_ENV=production is what libraries expect of a program that is not being developed")
		if strings.HasPrefix(out[i].Command, "npm ") || strings.HasPrefix(out[i].Command, "npx ") {
			out[i].because("command", 60, "", "npm stands between the supervisor and the program")
		}
	}
	return out
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// runner is how scripts of a package are run, by its lock file.
func runner(f *folder) (run, source string) {
	for _, t := range []struct{ lock, run string }{
		{"pnpm-lock.yaml", "pnpm run"}, {"yarn.lock", "yarn run"}, {"bun.lock", "bun run"}, {"bun.lockb", "bun run"}, {"package-lock.json", "npm run"},
	} {
		if f.has(t.lock) {
			return t.run, t.lock
		}
	}
	return "npm run", ""
}

func installLine(f *folder) string {
	run, _ := runner(f)
	tool, _, _ := strings.Cut(run, " ")
	if tool == "npm" && f.has("package-lock.json") {
		return "npm ci"
	}
	return tool + " install"
}

// nodeScript runs a script of package.json.
func (l *looker) nodeScript(name, script string) Candidate {
	c := Candidate{Kind: "node", Title: "Node program"}
	if m := plainNode.FindStringSubmatch(script); m != nil {
		c.Command = script
		c.because("command", 88, "package.json", "its script %q only starts node, so it is started without npm in between", name)
		l.nodeServes(&c, m[2])
		return c
	}
	run, source := runner(l.folder)
	c.Command = run + " --silent " + name
	if !strings.HasPrefix(run, "npm") {
		c.Command = run + " " + name
	}
	c.because("command", 80, "package.json", "its script %q is %q", name, script)
	if source != "" {
		c.because("command", 85, source, "the lock file is that of %s", strings.Fields(run)[0])
	}
	l.nodeServes(&c, "")
	return c
}

// nodeFramework knows how to serve what a framework has built, on a port of our choice.
func (l *looker) nodeFramework(pkg *packageJSON) (Candidate, bool) {
	for _, f := range []struct {
		dependency, title, command, built string
		port                              int
	}{
		{"next", "Next.js application", "node_modules/.bin/next start -H 127.0.0.1 -p $(PORT)", ".next", 3000},
		{"nuxt", "Nuxt application", "node .output/server/index.mjs", ".output", 3000},
		{"@remix-run/serve", "Remix application", "node_modules/.bin/remix-serve build/server/index.js", "build", 3000},
		{"astro", "Astro site", "node dist/server/entry.mjs", "dist/server", 4321},
		{"@sveltejs/adapter-node", "SvelteKit application", "node build", "build", 3000},
	} {
		if pkg.Dependencies[f.dependency] == "" && pkg.DevDependencies[f.dependency] == "" {
			continue
		}
		if f.dependency == "astro" && !l.folder.hasDir(f.built) {
			continue
		}
		c := Candidate{
			Kind: "node", Title: f.title, Command: f.command, Port: f.port, PortFree: true, Serves: true, Confidence: 86, Env: map[string]string{"HOST": "127.0.0.1"},
		}
		c.because("command", 88, "package.json", "it depends on %s", f.dependency)
		c.because("port", 60, "", "%d is what it takes when nothing else is said", f.port)
		if !l.folder.hasDir(f.built) {
			run, _ := runner(l.folder)
			c.Command = run + " build && exec " + f.command
			c.SlowStart = true
			c.because("command", 70, "", "%s is not there, so it is built at each start; build it once and take that out", f.built)
		}
		return c, true
	}
	return Candidate{}, false
}

// nodeServes finds the port that a program listens on. Without a file it looks at those that are usual.
func (l *looker) nodeServes(c *Candidate, file string) {
	files := append(nonEmpty(file), "server.js", "index.js", "app.js", "server.mjs", "index.mjs", "src/server.js", "src/index.js", "src/app.js", "src/main.ts", "src/index.ts", "src/server.ts", "server.ts", "index.ts")
	for _, name := range files {
		text, ok := l.folder.text(name)
		if !ok {
			if text, ok = l.folder.text(name + ".js"); !ok {
				continue
			}
		}
		code := uncommented(text)
		if loc := nodeEnv.FindStringIndex(code); loc != nil {
			c.Serves, c.PortFree, c.Port = true, true, 3000
			c.because("port", 88, at(name, lineOf(code, loc[0])), "it reads its port from $PORT")
		}
		if m := nodePort.FindStringSubmatchIndex(code); m != nil {
			for g := 2; g < len(m); g += 2 {
				if m[g] >= 0 && portNumber(code[m[g]:m[g+1]]) > 0 {
					c.Serves, c.Port = true, portNumber(code[m[g]:m[g+1]])
					c.because("port", 80, at(name, lineOf(code, m[0])), "the source names port %d", c.Port)
					break
				}
			}
		}
		for _, m := range nodeRoute.FindAllStringSubmatchIndex(code, 200) {
			route := ""
			for g := 2; g < len(m); g += 2 {
				if m[g] >= 0 {
					route = code[m[g]:m[g+1]]
				}
			}
			if slices.Contains(healthPaths, route) && c.Health == "" {
				c.Health = route
				c.because("probe", 85, at(name, lineOf(code, m[0])), "%s answers when it is ready", route)
			}
		}
		if c.Serves || file != "" && name == file {
			break
		}
	}
	switch {
	case c.Serves && c.Health == "":
		c.because("probe", 60, "", "no route looks like a health check, so an open port has to do")
	case !c.Serves:
		c.because("port", 40, "", "nothing tells that it listens on a port")
	}
}

var comment = regexp.MustCompile(`(?m)(^|\s)//.*$|/\*[\s\S]*?\*/`)

// uncommented blanks comments of C's form, keeping the lines.
func uncommented(text string) string {
	return comment.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Repeat("\n", strings.Count(s, "\n")) + strings.Repeat(" ", len(s)-strings.Count(s, "\n"))
	})
}

func lineOf(text string, offset int) int { return 1 + strings.Count(text[:offset], "\n") }
