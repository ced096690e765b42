package caddy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What every route has of a proxy: a request waits for an upstream that refuses it, connections are not kept so long that an
// application closes them under a request (uvicorn does after 5 s), and of several upstreams one that fails is left alone.
const (
	tryDuration  = 5 * time.Second
	tryInterval  = 50 * time.Millisecond
	keepAlive    = 2 * time.Second
	failDuration = time.Second
)

// marker is the variable by which a route is found again in a configuration that was made of text.
const marker = "supervisor_route"

// PathsSnippet is the snippet with the routes below CADDY_DOMAIN, for those who have a site of their own there.
const PathsSnippet = "supervisor_paths"

// Layout is how a Caddyfile is laid out.
type Layout struct {
	// Bind are the addresses at which sites listen; none leaves that to the Caddyfile around ours.
	Bind []string
	// PathsHost and PathsPort are the site whose routes are in the snippet.
	PathsHost string
	PathsPort int
	// OwnSite says that the user has written that site, and imports the snippet there.
	OwnSite bool
}

// Caddyfile is the routes as text: the same routes, the same bytes. The routes must have passed Check.
func Caddyfile(routes []Route, l Layout) string {
	var b text
	b.line("# Made by Supervisor from its manifests; what is written here by hand is overwritten.")
	b.line("# To have the routes below %s in a site of your own there, write `import %s` into it.", l.PathsHost, PathsSnippet)
	b.line("")
	all := sites(routes)
	paths := slices.IndexFunc(all, func(s site) bool { return s.host == l.PathsHost && s.port == l.PathsPort && !s.plain })
	b.line("(%s) {", PathsSnippet)
	if paths >= 0 {
		b.depth++
		b.routes(all[paths].routes)
		b.depth--
	}
	b.line("}")
	for i := range all {
		s := &all[i]
		if i == paths && l.OwnSite {
			continue
		}
		scheme := "https"
		if s.plain {
			scheme = "http"
		}
		b.line("")
		b.line("%s://%s:%d {", scheme, s.host, s.port)
		b.depth++
		if len(l.Bind) > 0 {
			b.line("bind %s", strings.Join(l.Bind, " "))
		}
		if s.internal {
			b.line("tls internal")
		}
		if i == paths {
			b.line("import %s", PathsSnippet)
		} else {
			b.routes(s.routes)
		}
		b.depth--
		b.line("}")
	}
	return b.String()
}

// text is a Caddyfile that grows.
type text struct {
	strings.Builder
	depth int
}

func (b *text) line(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if line != "" {
		b.WriteString(strings.Repeat("\t", b.depth))
	}
	b.WriteString(line + "\n")
}

// routes writes the routes of one site, each taking what its path matches. The outer route keeps the order.
func (b *text) routes(routes []Route) {
	b.line("route {")
	b.depth++
	for i := range routes {
		r := &routes[i]
		if r.Path == "" {
			b.line("route {")
		} else {
			b.line("@supervisor%d path %s %s/*", i, r.Path, r.Path)
			b.line("route @supervisor%d {", i)
		}
		b.depth++
		b.chain(r)
		b.depth--
		b.line("}")
	}
	b.depth--
	b.line("}")
}

// chain writes what happens to a request, step by step. chainJSON says the same.
func (b *text) chain(r *Route) {
	b.line("vars %s %s", marker, quote(r.Name))
	if len(r.BasicAuth) > 0 {
		b.line("basic_auth {")
		for _, user := range keys(r.BasicAuth) {
			b.line("\t%s %s", quote(user), quote(r.BasicAuth[user]))
		}
		b.line("}")
	}
	if r.Strip && r.Path != "" {
		b.line("redir %s %s/ 308", r.Path, r.Path)
	}
	if len(r.Headers) > 0 {
		b.line("header {")
		headers := canonical(r.Headers)
		for _, name := range keys(headers) {
			b.line("\t%s", setOrDelete(name, headers[name]))
		}
		b.line("\tdefer") // after the upstream has set its own
		b.line("}")
	}
	if len(r.Upstreams) == 0 {
		b.line("header Retry-After 10")
		b.line("respond %s 503", quote(stoppedText(r)))
		return
	}
	if r.Strip && r.Path != "" {
		b.line("uri strip_prefix %s", r.Path)
	}
	b.proxy(r)
}

func (b *text) proxy(r *Route) {
	words := make([]string, len(r.Upstreams))
	for i, u := range r.Upstreams {
		words[i] = strings.ReplaceAll(u.dial(), "{http.vars.none}", "{vars.none}")
	}
	b.line("reverse_proxy %s {", strings.Join(words, " "))
	b.depth++
	if len(r.Upstreams) > 1 {
		b.line("lb_policy least_conn")
		b.line("fail_duration %s", failDuration)
	}
	b.line("lb_try_duration %s", tryDuration)
	b.line("lb_try_interval %s", tryInterval)
	if r.StreamTimeout > 0 {
		b.line("stream_timeout %s", r.StreamTimeout)
	}
	if r.StreamCloseDelay > 0 {
		b.line("stream_close_delay %s", r.StreamCloseDelay)
	}
	headers := r.upstreamHeaders()
	for _, name := range keys(headers) {
		b.line("header_up %s", setOrDelete(name, headers[name]))
	}
	b.line("transport http {")
	b.line("\tkeepalive %s", keepAlive)
	b.line("}")
	b.depth--
	b.line("}")
}

// upstreamHeaders are those that the upstream receives beside its own.
func (r *Route) upstreamHeaders() map[string]string {
	out := canonical(r.RequestHeaders)
	if _, said := out[prefixHeader]; !said && r.Strip && r.Path != "" {
		out[prefixHeader] = r.Path
	}
	return out
}

const prefixHeader = "X-Forwarded-Prefix"

func stoppedText(r *Route) string { return "The service " + r.Name + " is stopped.\n" }

func setOrDelete(name, value string) string {
	if value == "" {
		return "-" + name
	}
	return name + " " + quote(value)
}

// quote makes one token of a value. Between backquotes nothing is special, and Check lets none of them in.
func quote(value string) string { return "`" + value + "`" }

// listens are the addresses of a port, as Caddy's JSON has them.
func listens(bind []string, port int) list {
	if len(bind) == 0 {
		return list{":" + strconv.Itoa(port)}
	}
	out := make(list, len(bind))
	for i, address := range bind {
		if strings.Contains(address, ":") {
			address = "[" + address + "]"
		}
		out[i] = address + ":" + strconv.Itoa(port)
	}
	return out
}
