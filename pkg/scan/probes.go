package scan

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// checkCORS judges what a script of another site may read. origin is what was sent.
func checkCORS(p *page, origin string) grade {
	allow := p.header.Get("Access-Control-Allow-Origin")
	credentials := strings.EqualFold(p.header.Get("Access-Control-Allow-Credentials"), "true")
	const advice = "allow the origins that need it by name, and no others"
	switch {
	case allow == "":
		return good("scripts of other sites may not read answers")
	case allow == origin && credentials:
		return bad("any site ("+origin+") may read answers with the user's cookies", advice)
	case allow == origin:
		return weak("any site that asks ("+origin+") may read answers, without the user's cookies", advice+"; where everything is public, say *")
	case allow == "*" && credentials:
		return weak("the site says that everybody may read answers with cookies; browsers refuse that, and something else was meant", advice)
	case allow == "*":
		return weak("scripts of every site may read answers, without the user's cookies", "that is right for public data only; else "+advice)
	}
	return good("only scripts of " + shown(allow) + " may read answers")
}

// cors asks as a page of another site would, and as one without an origin.
func (v *visitor) cors(ctx context.Context) ([]Finding, error) {
	worst := good("")
	for _, origin := range []string{evil, "null"} {
		p, err := v.ask(ctx, http.MethodGet, "/", map[string]string{"Origin": origin})
		if err != nil {
			return nil, err
		}
		worst = worse(worst, checkCORS(p, origin))
	}
	write := good("scripts of other sites may not send changes")
	p, err := v.ask(ctx, http.MethodOptions, "/", map[string]string{
		"Origin": evil, "Access-Control-Request-Method": http.MethodDelete, "Access-Control-Request-Headers": "authorization",
	})
	if err == nil {
		write = checkPreflight(p)
	}
	return []Finding{worst.of("cors", "Reading from other sites"), write.of("cors", "Changing from other sites")}, nil
}

// checkPreflight judges what a script of another site may send.
func checkPreflight(p *page) grade {
	allow := p.header.Get("Access-Control-Allow-Origin")
	methods := strings.ToUpper(p.header.Get("Access-Control-Allow-Methods"))
	if (allow != evil && allow != "*") || (!strings.Contains(methods, http.MethodDelete) && methods != "*") {
		return good("scripts of other sites may not send changes")
	}
	if allow == evil && strings.EqualFold(p.header.Get("Access-Control-Allow-Credentials"), "true") {
		return bad("any site may send changes (DELETE) with the user's cookies", "allow the origins and methods that are needed by name")
	}
	return weak("scripts of any site may send changes (DELETE), without the user's cookies", "allow the origins and methods that are needed by name")
}

func worse(a, b grade) grade {
	rank := map[Status]int{Red: 2, Amber: 1, Green: 0}
	if a.detail == "" || rank[b.status] > rank[a.status] {
		return b
	}
	return a
}

// redirectNames are parameters in which sites keep where to go next.
var redirectNames = []string{"next", "url", "redirect", "redirect_uri", "redirect_url", "return", "return_to", "returnTo", "continue", "dest", "destination", "goto", "r", "u"}

// checkOpenRedirect judges whether an answer sends people to a site that the request has named.
func checkOpenRedirect(p *page) (grade, bool) {
	to := p.header.Get("Location")
	if to == "" {
		return grade{}, false
	}
	// Browsers take a backslash for a slash.
	u, err := url.Parse(strings.ReplaceAll(strings.TrimSpace(to), `\`, "/"))
	if err == nil && strings.EqualFold(u.Hostname(), "evil.example") {
		return bad(fmt.Sprintf("%s sends people wherever its address says (%s): mails with your name can lead to any site", shown(p.path), shown(to)),
			"take paths of this site only, or names from a list"), true
	}
	return grade{}, false
}

func (v *visitor) openRedirect(ctx context.Context) Finding {
	query := url.Values{}
	for _, name := range redirectNames {
		query.Set(name, evil+"/")
	}
	for _, path := range []string{"/", "/login", "/logout", "/redirect", "/auth/login", "/go"} {
		if p, err := v.ask(ctx, http.MethodGet, path+"?"+query.Encode(), nil); err == nil {
			p.path = path
			if g, found := checkOpenRedirect(p); found {
				return g.of("redirects", "Open redirects")
			}
		}
	}
	if p, err := v.ask(ctx, http.MethodGet, "//evil.example/..", nil); err == nil {
		if g, found := checkOpenRedirect(p); found {
			return g.of("redirects", "Open redirects")
		}
	}
	return good("no address was found that sends people to other sites").of("redirects", "Open redirects")
}

// secretFile is a file that must not be there, and what its text looks like.
type secretFile struct {
	path string
	sign *regexp.Regexp
	what string
}

var secretFiles = []secretFile{
	{"/.env", regexp.MustCompile(`(?m)^\s*(?:export\s+)?[A-Z][A-Z0-9_]+\s*=`), "the environment with its secrets"},
	{"/.git/HEAD", regexp.MustCompile(`^(?:ref: refs/|[0-9a-f]{40}\s*$)`), "the repository: all source, and its history"},
	{"/.git/config", regexp.MustCompile(`(?m)^\[core\]`), "the repository: all source, and its history"},
	{"/.svn/entries", regexp.MustCompile(`^\d+\s*\n`), "the repository"},
	{"/.htpasswd", regexp.MustCompile(`(?m)^[^:\s]+:(?:\$|\{SHA\})`), "hashes of passwords"},
	{"/.aws/credentials", regexp.MustCompile(`aws_access_key_id`), "the keys of a cloud"},
	{"/id_rsa", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY`), "a private key"},
	{"/backup.sql", regexp.MustCompile(`(?i)(?:CREATE TABLE|INSERT INTO|PostgreSQL database dump)`), "a dump of the database"},
	{"/dump.sql", regexp.MustCompile(`(?i)(?:CREATE TABLE|INSERT INTO|PostgreSQL database dump)`), "a dump of the database"},
	{"/db.sqlite3", regexp.MustCompile(`^SQLite format 3`), "the database"},
	{"/database.db", regexp.MustCompile(`^SQLite format 3`), "the database"},
	{"/docker-compose.yml", regexp.MustCompile(`(?m)^services:`), "how the site is put together, often with passwords"},
	{"/config.json", regexp.MustCompile(`(?i)"[^"]*(?:password|secret|api_?key|token)[^"]*"\s*:\s*"[^"]+`), "settings with secrets"},
}

func (f *secretFile) found(p *page) bool {
	return p.status == http.StatusOK && f.sign.MatchString(p.body)
}

// debugPage is a page that is made for developers.
type debugPage struct {
	path  string
	sign  *regexp.Regexp
	what  string
	grade Status
}

var debugPages = []debugPage{
	{"/debug/pprof/", regexp.MustCompile(`(?i)pprof`), "Go's profiler: memory, and what is in it", Red},
	{"/console", regexp.MustCompile(`(?i)werkzeug|interactive console`), "a console that runs code", Red},
	{"/actuator/env", regexp.MustCompile(`"propertySources"`), "the environment (Spring)", Red},
	{"/phpinfo.php", regexp.MustCompile(`(?i)phpinfo\(\)|PHP Version`), "PHP's settings", Red},
	{"/__debug__/", regexp.MustCompile(`(?i)debug.?toolbar|djdt`), "Django's debug toolbar", Red},
	{"/_profiler/", regexp.MustCompile(`(?i)symfony profiler`), "Symfony's profiler", Red},
	{"/server-status", regexp.MustCompile(`(?i)Apache Server Status`), "who is asking for what", Amber},
	{"/metrics", regexp.MustCompile(`(?m)^# (?:HELP|TYPE) `), "figures of the program", Amber},
}

var apiDocs = []debugPage{
	{"/openapi.json", regexp.MustCompile(`"openapi"\s*:`), "the description of the whole API", Amber},
	{"/docs", regexp.MustCompile(`(?i)swagger-ui|scalar|rapidoc`), "the documentation of the API, with a form to try it", Amber},
	{"/redoc", regexp.MustCompile(`(?i)redoc`), "the documentation of the API", Amber},
	{"/swagger.json", regexp.MustCompile(`"swagger"\s*:`), "the description of the whole API", Amber},
	{"/graphql?query=%7B__schema%7Btypes%7Bname%7D%7D%7D", regexp.MustCompile(`"__schema"`), "the whole schema of GraphQL", Amber},
}

func (d *debugPage) found(p *page) bool {
	return p.status == http.StatusOK && d.sign.MatchString(p.body)
}

var listing = regexp.MustCompile(`(?i)<title>\s*(?:Index of|Directory listing for)\s|<h1>\s*(?:Index of|Directory listing for)\s|<pre>\s*<a href="[^"]+">[^<]+</a>\s*<a href=`)

var stackTrace = regexp.MustCompile(`Traceback \(most recent call last\)|File "[^"]+", line \d+, in |\bat [\w.$<>]+ \([^)]*:\d+:\d+\)|\bat [\w.$]+\([\w.]+\.java:\d+\)|goroutine \d+ \[running\]|Werkzeug Debugger|You're seeing this error because you have <code>DEBUG = True|Whoops, looks like something went wrong|ActionController::RoutingError|<b>(?:Fatal error|Warning)</b>:.* on line <b>\d+|SQLSTATE\[|syntax error at or near|sqlite3\.OperationalError`)

// disclosure looks for what is there and should not be.
func (v *visitor) disclosure(ctx context.Context) []Finding {
	// A site that answers everything with its first page (as single-page applications do) gives itself away here.
	nowhere := ""
	if p, err := v.ask(ctx, http.MethodGet, "/no-such-page-7f3a9c", nil); err == nil && p.status == http.StatusOK {
		nowhere = p.body
	}
	look := func(path string) *page {
		p, err := v.ask(ctx, http.MethodGet, path, nil)
		if err != nil || nowhere != "" && p.body == nowhere {
			return nil
		}
		return p
	}
	files := good("no file was found that should not be there")
	var open []string
	for i := range secretFiles {
		f := &secretFiles[i]
		if p := look(f.path); p != nil && f.found(p) {
			open = append(open, f.path+" ("+f.what+")")
		}
	}
	if len(open) > 0 {
		files = bad("everybody can read "+strings.Join(open, ", "), "take them out of what is served, and change every secret that was in them: they must be taken for known")
	}
	pages := v.developers(debugPages, look, "no page for developers was found", "switch it off, or let only yourself in (spec.expose.basicAuth)")
	docs := v.developers(apiDocs, look, "the API is not described to everybody", "that is right for a public API; else switch it off (FastAPI: docs_url=None, openapi_url=None)")
	out := []Finding{files.of("disclosure", "Files"), pages.of("disclosure", "Developers' pages"), docs.of("disclosure", "API documentation")}
	return append(out, v.listings(look).of("disclosure", "Directory listings"), v.traces(ctx).of("disclosure", "Errors"))
}

func (v *visitor) developers(list []debugPage, look func(string) *page, none, advice string) grade {
	worst := good(none)
	var found []string
	for i := range list {
		d := &list[i]
		if p := look(d.path); p != nil && d.found(p) {
			path, _, _ := strings.Cut(d.path, "?")
			found = append(found, path+" ("+d.what+")")
			if worst.status != Red {
				worst.status = d.grade
			}
		}
	}
	if len(found) > 0 {
		worst.detail, worst.advice = "everybody can open "+strings.Join(found, ", "), advice
	}
	return worst
}

func (v *visitor) listings(look func(string) *page) grade {
	for _, path := range []string{"/", "/static/", "/uploads/", "/files/", "/assets/", "/images/"} {
		if p := look(path); p != nil && p.status == http.StatusOK && listing.MatchString(p.body) {
			return bad(path+" lists its files: everything in it is found", "switch the listing of folders off, or put an index.html there")
		}
	}
	return good("no folder lists its files")
}

// maxError is how much of an error page is searched: the trace is what it is about.
const maxError = 16 << 10

// traces gives the site what it does not expect, and looks whether it shows its inside.
func (v *visitor) traces(ctx context.Context) grade {
	for _, path := range []string{"/no-such-page-7f3a9c", "/?id=%27%22%3E%3C", "/%ff%fe", "/?page=NaN&limit=-1&offset=99999999999999999999", "/api/items/%27"} {
		p, err := v.ask(ctx, http.MethodGet, path, nil)
		if err != nil {
			continue
		}
		if m := stackTrace.FindString(p.body[:min(len(p.body), maxError)]); m != "" {
			return bad("an error shows the inside of the program ("+shown(m)+") at "+shown(path), "switch debugging off (Flask: debug=False, Django: DEBUG = False, FastAPI: debug=False)")
		}
	}
	return good("errors do not show the inside of the program")
}
