package onboard

import (
	"regexp"
	"strings"
)

// pyFile is what a look at one Python source tells. It is no parser: it knows strings, comments, brackets and indentation,
// which is enough to see what is assigned at the top of a module, and not to fall for what is written in a comment.
type pyFile struct {
	path string
	// imports are the names of modules that are imported, first parts only.
	imports map[string]bool
	// apps are the objects that a server can be given.
	apps []pyApp
	// routes are the paths of GET handlers, with their lines.
	routes []pyRoute
	// main is the line of `if __name__ == "__main__"`, runs that of a call in it that serves.
	main int
	// port is the port that the source names in a call that serves, and its line.
	port, portLine int
	// env are the environment variables that it reads.
	env []string
}

type pyApp struct {
	name, framework string
	line            int
	factory         bool
}

type pyRoute struct {
	path string
	line int
}

// frameworks by the name of the class whose object is an application.
var frameworks = map[string]string{
	"FastAPI": "fastapi", "Flask": "flask", "Starlette": "starlette", "Quart": "quart", "Litestar": "litestar", "Sanic": "sanic",
	"Robyn": "robyn", "Bottle": "bottle", "Falcon": "falcon",
}

var (
	pyAssign  = regexp.MustCompile(`^([A-Za-z_]\w*)\s*(?::\s*[\w.\[\]"' ]+)?=\s*(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*)\s*\(`)
	pyFactory = regexp.MustCompile(`^(?:async\s+)?def\s+(create_app|make_app|get_app|build_app|app_factory)\s*\(([^)]*)\)(?:\s*->\s*["']?(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*))?`)
	pyRouteRE = regexp.MustCompile(`^\s*@[\w.]+\.(?:get|route|api_route)\(\s*["']([^"'\s{<]*)["']`)
	pyImport  = regexp.MustCompile(`^\s*(?:import|from)\s+([A-Za-z_]\w*)`)
	pyMain    = regexp.MustCompile(`^if\s+__name__\s*==\s*["']__main__["']`)
	pyPort    = regexp.MustCompile(`\bport\s*=\s*(\d{2,5})\b`)
	pyEnv     = regexp.MustCompile(`(?:environ(?:\.get\(|\[)|getenv\()\s*["']([A-Z][A-Z0-9_]*)["']`)
	pyServes  = regexp.MustCompile(`(?:\brun|\brun_app|\bserve|\bserve_forever|\brun_forever|HTTPServer|\blaunch|create_server|start_server)\s*\(`)
)

// scanPython looks at one source.
func scanPython(path, text string) pyFile {
	f := pyFile{path: path, imports: map[string]bool{}}
	for _, l := range pyLines(text) {
		if m := pyImport.FindStringSubmatch(l.code); m != nil {
			f.imports[m[1]] = true
		}
		if l.top {
			f.atTop(l)
		}
		if m := pyRouteRE.FindStringSubmatch(l.raw); m != nil && strings.HasPrefix(strings.TrimSpace(l.code), "@") {
			f.routes = append(f.routes, pyRoute{m[1], l.number})
		}
		if m := pyPort.FindStringSubmatch(l.code); m != nil && f.port == 0 && (pyServes.MatchString(l.code) || l.inCall) {
			f.port, f.portLine = portNumber(m[1]), l.number
		}
		for _, m := range pyEnv.FindAllStringSubmatch(l.raw, -1) {
			if strings.Contains(l.code, "env") {
				f.env = append(f.env, m[1])
			}
		}
	}
	return f
}

func (f *pyFile) atTop(l pyLine) {
	if m := pyAssign.FindStringSubmatch(l.code); m != nil {
		if framework, ok := frameworks[m[2]]; ok {
			f.apps = append(f.apps, pyApp{name: m[1], framework: framework, line: l.number})
		}
	}
	if m := pyFactory.FindStringSubmatch(l.code); m != nil && !requires(m[2]) {
		framework := frameworks[m[3]]
		f.apps = append(f.apps, pyApp{name: m[1], framework: framework, line: l.number, factory: true})
	}
	if pyMain.MatchString(l.raw) && f.main == 0 {
		f.main = l.number
	}
}

// requires reports whether a list of parameters has one without a default, which a server could not give.
func requires(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ",") {
		p = strings.TrimSpace(p)
		if p != "" && !strings.Contains(p, "=") && !strings.HasPrefix(p, "*") && p != "/" {
			return true
		}
	}
	return false
}

// pyLine is a line of a source.
type pyLine struct {
	number int
	// raw is the line as it is, code the line without comments and with the text of strings blanked.
	raw, code string
	// top is true for the first line of a statement that is not indented; inCall for one within brackets that a call which
	// serves has opened.
	top, inCall bool
}

// pyLines splits a source, keeping track of strings over several lines and of brackets.
func pyLines(text string) []pyLine {
	var out []pyLine
	quote := "" // the string that is open at the begin of the line
	depth := 0  // open brackets
	serving := false
	number := 0
	for raw := range strings.SplitSeq(text, "\n") {
		number++
		raw = strings.TrimSuffix(raw, "\r")
		if len(raw) > 4096 {
			raw = raw[:4096] // no line of code
		}
		startsFresh := quote == "" && depth == 0
		var code string
		code, quote, depth = blank(raw, quote, depth)
		l := pyLine{number: number, raw: raw, code: code, inCall: serving}
		l.top = startsFresh && code != "" && code[0] != ' ' && code[0] != '\t'
		out = append(out, l)
		if pyServes.MatchString(code) {
			serving = true
		}
		if depth == 0 {
			serving = false
		}
	}
	return out
}

// blank takes the comment off a line and the text out of its strings. quote and depth are what is open before and after.
func blank(raw, quote string, depth int) (code, open string, brackets int) {
	var b strings.Builder
	for i := 0; i < len(raw); {
		if quote != "" {
			switch {
			case raw[i] == '\\':
				i += 2
			case strings.HasPrefix(raw[i:], quote):
				b.WriteString(quote)
				i += len(quote)
				quote = ""
			default:
				i++
			}
			continue
		}
		switch c := raw[i]; c {
		case '#':
			i = len(raw)
		case '"', '\'':
			quote = string(c)
			if strings.HasPrefix(raw[i:], strings.Repeat(quote, 3)) {
				quote = strings.Repeat(quote, 3)
			}
			b.WriteString(quote)
			i += len(quote)
		default:
			switch c {
			case '(', '[', '{':
				depth++
			case ')', ']', '}':
				depth = max(0, depth-1)
			}
			b.WriteByte(c)
			i++
		}
	}
	if len(quote) == 1 && !strings.HasSuffix(raw, "\\") {
		quote = "" // such a string ends with its line
	}
	return b.String(), quote, depth
}
