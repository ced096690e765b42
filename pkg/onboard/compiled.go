package onboard

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

var (
	goModule = regexp.MustCompile(`(?m)^module\s+(\S+)`)
	goMain   = regexp.MustCompile(`(?m)^package main\b`)
	goFunc   = regexp.MustCompile(`(?m)^func main\(\)`)
	goEnv    = regexp.MustCompile(`(?:Getenv|LookupEnv)\("PORT"\)`)
	goPort   = regexp.MustCompile(`(?:ListenAndServe(?:TLS)?|Listen|Run|Start)\(\s*(?:"tcp",\s*)?"[\w.]*:(\d{2,5})"|\bAddr:\s*"[\w.]*:(\d{2,5})"|"[\w.]*:(\d{4,5})"`)
	goRoute  = regexp.MustCompile(`"(?:GET )?(/[\w/-]*)"`)
)

// golang proposes the programs of a Go module.
func (l *looker) golang() []Candidate {
	text, ok := l.folder.text("go.mod")
	m := goModule.FindStringSubmatch(text)
	if !ok || m == nil {
		return nil
	}
	mains := map[string][]string{} // folder → its sources
	for _, name := range l.folder.sources(".go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if text, ok := l.folder.text(name); ok && goMain.MatchString(text) {
			mains[path.Dir(name)] = append(mains[path.Dir(name)], name)
		}
	}
	goProgram, hasGo := l.program("go")
	var out []Candidate
	for _, dir := range sortedKeys(mains) {
		if !slices.ContainsFunc(mains[dir], func(f string) bool { t, _ := l.folder.text(f); return goFunc.MatchString(t) }) {
			continue
		}
		name := path.Base(dir)
		if dir == "." {
			name = path.Base(m[1])
		}
		c := Candidate{Kind: "go", Title: "Go program", Confidence: 78 - 4*strings.Count(dir, "/"), Name: safeName(name)}
		if dir == "." {
			c.Confidence += 4
		}
		c.because("command", 85, mains[dir][0], "package main of the module %s", m[1])
		if !l.compiled(&c, "bin/"+name, name) {
			if !hasGo {
				l.warn("Go is not installed, and the program is not built: install Go, or put the program into bin/%s", name)
			}
			target := "./" + dir
			if dir == "." {
				target = "."
			}
			c.Command = goProgram + " build -o bin/" + shellWord(name) + " " + shellWord(target) + " && exec bin/" + shellWord(name)
			c.SlowStart = true
			c.because("command", 75, "", "it is not built, so it is built at each start, which costs little when nothing has changed; exec makes it take the place of the shell")
		}
		l.sourcePort(&c, mains[dir], goEnv, goPort, goRoute)
		c.Confidence += goMainBonus(dir, path.Base(m[1]), c.Serves)
		out = append(out, c)
	}
	byConfidence(out)
	return out[:min(len(out), 5)]
}

// goMainBonus tells a module's own program from its tools.
func goMainBonus(dir, module string, serves bool) int {
	bonus := 0
	if path.Base(dir) == module {
		bonus += 4
	}
	if serves {
		bonus += 3
	}
	for part := range strings.SplitSeq(dir, "/") {
		if slices.Contains([]string{"internal", "conformance", "tools", "hack", "scripts", "bench", "gen", "e2e", "integration"}, part) {
			bonus -= 20
		}
	}
	return bonus
}

// compiled takes a program that has been built already.
func (l *looker) compiled(c *Candidate, names ...string) bool {
	for _, n := range names {
		if l.folder.executable(n) {
			c.Command = "./" + shellWord(n)
			c.Confidence += 4
			c.because("command", 85, n, "the program is built")
			return true
		}
	}
	return false
}

// sourcePort finds the port in the sources of a program.
func (l *looker) sourcePort(c *Candidate, files []string, env, port, route *regexp.Regexp) {
	for _, name := range files {
		text, _ := l.folder.text(name)
		code := uncommented(text)
		if loc := env.FindStringIndex(code); loc != nil && !c.PortFree {
			c.Serves, c.PortFree = true, true
			c.because("port", 85, at(name, lineOf(code, loc[0])), "it reads its port from $PORT")
		}
		if m := port.FindStringSubmatchIndex(code); m != nil && c.Port == 0 {
			for g := 2; g < len(m); g += 2 {
				if m[g] >= 0 && portNumber(code[m[g]:m[g+1]]) > 0 {
					c.Serves, c.Port = true, portNumber(code[m[g]:m[g+1]])
					c.because("port", 80, at(name, lineOf(code, m[0])), "the source names port %d", c.Port)
					break
				}
			}
		}
		for _, m := range route.FindAllStringSubmatchIndex(code, 500) {
			if r := code[m[2]:m[3]]; slices.Contains(healthPaths, r) && c.Health == "" {
				c.Health = r
				c.because("probe", 85, at(name, lineOf(code, m[0])), "%s answers when it is ready", r)
			}
		}
	}
	switch {
	case c.Serves && c.Port == 0:
		c.Port = 8080
		c.because("port", 50, "", "8080 is what such programs often take")
	case !c.Serves:
		c.Health = ""
		c.because("port", 40, "", "nothing tells that it listens on a port")
	}
	if c.Serves && c.Health == "" {
		c.because("probe", 60, "", "no route looks like a health check, so an open port has to do")
	}
}

var (
	rustEnv   = regexp.MustCompile(`env::var(?:_os)?\("PORT"\)`)
	rustPort  = regexp.MustCompile(`"[\d.]+:(\d{2,5})"|\(\s*\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]\s*,\s*(\d{2,5})\s*\)|\("[\d.]+",\s*(\d{2,5})\)`)
	rustRoute = regexp.MustCompile(`(?:route|get)\("(/[\w/-]*)"`)
)

// rust proposes the programs of a Cargo package.
func (l *looker) rust() []Candidate {
	text, ok := l.folder.text("Cargo.toml")
	if !ok {
		return nil
	}
	var doc struct {
		Package struct{ Name string }
		Bin     []struct{ Name, Path string }
	}
	if err := toml.Unmarshal([]byte(text), &doc); err != nil {
		l.warn("Cargo.toml cannot be read: %v", err)
		return nil
	}
	programs := map[string]string{}
	if l.folder.has("src/main.rs") && doc.Package.Name != "" {
		programs[doc.Package.Name] = "src/main.rs"
	}
	for _, b := range doc.Bin {
		if b.Name != "" && b.Path != "" {
			programs[b.Name] = path.Clean(b.Path)
		}
	}
	cargo, hasCargo := l.program("cargo")
	var out []Candidate
	for _, name := range sortedKeys(programs) {
		c := Candidate{Kind: "rust", Title: "Rust program", Confidence: 78, Name: safeName(name)}
		c.because("command", 85, "Cargo.toml", "the package makes the program %s", name)
		if !l.compiled(&c, "target/release/"+name) {
			if !hasCargo {
				l.warn("Cargo is not installed, and the program is not built: build target/release/%s", name)
			}
			c.Command = cargo + " build --release --bin " + shellWord(name) + " && exec target/release/" + shellWord(name)
			c.SlowStart = true
			c.because("command", 75, "", "it is not built, so it is built at each start, which costs little when nothing has changed; exec makes it take the place of the shell")
		}
		l.sourcePort(&c, []string{programs[name]}, rustEnv, rustPort, rustRoute)
		out = append(out, c)
	}
	return out
}
