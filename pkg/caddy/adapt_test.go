package caddy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
)

// adapter is a real Caddy, asked for nothing but what it makes of text.
func adapter(t testing.TB) *Client {
	t.Helper()
	c, err := NewClient(caddytest.Start(t, "").Admin)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// adapted is the whole of what a Caddyfile of routes must come to: sites by address and host, and the hosts with a
// certificate of Caddy's own.
type adapted struct {
	Sites    map[string]any
	Internal []string
	Rest     []string
}

// asked is what the routes ask for, from their JSON.
func asked(routes []Route, l Layout) adapted {
	out := adapted{Sites: map[string]any{}}
	for _, s := range sites(routes) {
		inner := list{}
		for i := range s.routes {
			r := &s.routes[i]
			one := object{"handle": list{object{"handler": "subroute", "routes": chainJSON(r)}}}
			if r.Path != "" {
				one["match"] = list{object{"path": list{r.Path, r.Path + "/*"}}}
			}
			inner = append(inner, one)
		}
		block := object{"handler": "subroute", "routes": inner}
		out.Sites[fmt.Sprint(listens(l.Bind, s.port))+" "+s.host] = object{
			"match": list{object{"host": list{s.host}}}, "terminal": true,
			"handle": list{object{"handler": "subroute", "routes": list{object{"handle": list{block}}}}},
		}
		if s.internal && !s.plain && !slices.Contains(out.Internal, s.host) {
			out.Internal = append(out.Internal, s.host)
		}
	}
	slices.Sort(out.Internal)
	return out
}

// got is what Caddy's adapter made of a text.
func got(config any) adapted {
	out := adapted{Sites: map[string]any{}}
	odd := func(format string, args ...any) { out.Rest = append(out.Rest, fmt.Sprintf(format, args...)) }
	only := func(where string, v any, allowed ...string) {
		o, _ := v.(object)
		for key, item := range o {
			if !slices.Contains(allowed, key) {
				odd("%s.%s: %v", where, key, item)
			}
		}
	}
	only("", config, "apps")
	only("apps", at(config, "apps"), "http", "tls")
	only("http", at(config, "apps", "http"), "servers")
	for _, server := range servers(config) {
		only("server", server, "listen", "routes", "automatic_https", "tls_connection_policies")
		only("automatic_https", server["automatic_https"], "skip")
		for _, r := range asList(server["routes"]) {
			var host string
			if match := asList(at(r, "match")); len(match) == 1 {
				if hosts := asList(at(match[0], "host")); len(hosts) == 1 {
					host = asText(hosts[0])
				}
			}
			key := fmt.Sprint(server["listen"]) + " " + host
			if out.Sites[key] != nil {
				odd("%s is there twice", key)
			}
			out.Sites[key] = r
		}
	}
	only("tls", at(config, "apps", "tls"), "automation")
	only("automation", at(config, "apps", "tls", "automation"), "policies")
	for _, p := range asList(at(config, "apps", "tls", "automation", "policies")) {
		only("policy", p, "subjects", "issuers")
		if issuers := asList(at(p, "issuers")); len(issuers) == 1 && asText(at(issuers[0], "module")) == "internal" {
			for _, s := range asList(at(p, "subjects")) {
				out.Internal = append(out.Internal, asText(s))
			}
		} else if issuers != nil {
			odd("issuers: %v", issuers)
		}
	}
	slices.Sort(out.Internal)
	return out
}

// checkAdapts fails unless Caddy makes of the text exactly what the routes ask for.
func checkAdapts(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, ctx func() (any, error), text string, want adapted,
) {
	t.Helper()
	config, err := ctx()
	if err != nil {
		t.Fatalf("Caddy refuses it: %v\n%s", err, text)
	}
	if diff := cmp.Diff(want, got(config)); diff != "" {
		t.Fatalf("adapted (-asked +got):\n%s\n%s", diff, text)
	}
}

// anyRoute draws routes that Check lets in, with everything a manifest may say.
func anyRoute(i int) *rapid.Generator[Route] {
	return rapid.Custom(func(t *rapid.T) Route {
		r := Route{
			Name:             fmt.Sprintf("%s%d", rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,8}`).Draw(t, "name"), i),
			Host:             rapid.StringMatching(`(\*\.)?[a-z0-9]{1,5}(-[a-z0-9]{1,3})?\.(test|example\.com)`).Draw(t, "host"),
			Port:             rapid.SampledFrom([]int{443, 8443, 60443}).Draw(t, "port"),
			TLS:              rapid.SampledFrom([]TLS{TLSAuto, TLSInternal, TLSOff}).Draw(t, "tls"),
			Strip:            rapid.Bool().Draw(t, "strip"),
			StreamTimeout:    time.Duration(rapid.IntRange(0, 7200).Draw(t, "timeout")) * time.Second,
			StreamCloseDelay: time.Duration(rapid.IntRange(0, 100000).Draw(t, "delay")) * time.Millisecond,
		}
		if r.TLS == TLSOff {
			r.Port = rapid.SampledFrom([]int{80, 8080}).Draw(t, "plain port")
		}
		if rapid.Bool().Draw(t, "with path") {
			r.Path = rapid.StringMatching(`(/[A-Za-z0-9._~-]{1,6}){1,3}`).Draw(t, "path")
		}
		for range rapid.IntRange(0, 3).Draw(t, "upstreams") {
			if rapid.Bool().Draw(t, "by file") {
				r.Upstreams = append(r.Upstreams, Upstream{File: rapid.StringMatching(`(/[A-Za-z0-9_@+-]{1,6}){1,4}`).Draw(t, "file")})
			} else {
				r.Upstreams = append(r.Upstreams, Upstream{Address: fmt.Sprintf("127.0.0.1:%d", rapid.IntRange(1, 65535).Draw(t, "at"))})
			}
		}
		value := rapid.OneOf(rapid.StringMatching(`[!-z|~]([ -z|~]{0,20}[!-z|~])?`), rapid.SampledFrom([]string{
			"", `"`, `\`, `"\`, `\"`, "# no comment", "import /etc/passwd", "<<EOF", "a\\", "$HOME", `default-src 'self'; img-src *`,
		}))
		names := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9_-]{0,10}`)
		r.Headers = rapid.MapOfN(names, value, 0, 3).Draw(t, "headers")
		r.RequestHeaders = rapid.MapOfN(names, value, 0, 3).Draw(t, "request headers")
		r.BasicAuth = rapid.MapOfN(rapid.StringMatching(`[A-Za-z0-9._@-]{1,8}`), rapid.Just(hash), 0, 2).Draw(t, "accounts")
		return r
	})
}

// Whatever routes: Caddy's adapter makes of the text what the JSON says, no more and no less.
func TestTextAndJSONAreOne(t *testing.T) {
	c := adapter(t)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		l := Layout{PathsHost: "apps.test", PathsPort: 443}
		if rapid.Bool().Draw(t, "bound") {
			l.Bind = []string{"127.0.0.1"}
		}
		var routes []Route
		seen := map[string]bool{}
		for i := range rapid.IntRange(0, 5).Draw(t, "routes") {
			r := anyRoute(i).Draw(t, "route")
			if rapid.IntRange(0, 3).Draw(t, "of the domain") == 0 {
				r.Host, r.Port = l.PathsHost, l.PathsPort
				if r.TLS == TLSOff {
					r.TLS = TLSAuto
				}
			}
			// The builder of routes sees to it that an address is there once.
			address := strings.ToLower(fmt.Sprint(r.Host, r.Port, r.Path))
			if r.Check() != nil || seen[address] {
				continue
			}
			seen[address] = true
			routes = append(routes, r)
		}
		text := Caddyfile(routes, l)
		checkAdapts(t, func() (any, error) { return c.Adapt(ctx, text) }, text, asked(routes, l))
	})
}

// Whatever strings: a route is refused, or it adapts to exactly what it says.
func FuzzHostileRoute(f *testing.F) {
	for _, hostile := range []string{
		"x", "a b", "a\nrespond hacked", "x {\n}\nevil.test {\n respond 1\n}", "}", "{", "`", "\"", "\\", "#", "{$HOME}", "{env.HOME}",
		"{file./etc/passwd}", "import /etc/passwd", "<<EOF\nx\nEOF", "*", "*.x.test", "/x", "/x/../y", "//", "/{path}", "/x`y", "\x00", "é", "a,b", "127.0.0.1:80",
		"-X", "+X", ">X", "?X", "$2a$14$short", hash, "@m", "a:b", "::1", strings.Repeat("a", 300), "x;y", "(x)", "&(x)", "\u2028", "\r\nX: 1", "/a/b", "X-Frame-Options",
	} {
		f.Add(hostile, hostile, hostile, hostile, hostile, hostile)
		f.Add("web", "web.test", "", "X-A", hostile, "bob")
		f.Add("web", "web.test", hostile, "X-A", "v", "bob")
		f.Add("web", hostile, "/p", "X-A", "v", "bob")
		f.Add(hostile, "web.test", "/p", "X-A", "v", "bob")
		f.Add("web", "web.test", "/p", hostile, "v", hostile)
		f.Add("web", "web.test", "/p", hostile, "v", "bob")
	}
	c := adapter(f)
	ctx := f.Context()
	f.Fuzz(func(t *testing.T, name, host, path, header, value, user string) {
		r := Route{
			Name: name, Host: host, Port: 443, Path: path, TLS: TLSInternal, Strip: true, Upstreams: []Upstream{{Address: "127.0.0.1:1"}},
			Headers: map[string]string{header: value}, RequestHeaders: map[string]string{header: value}, BasicAuth: map[string]string{user: hash},
		}
		for _, r := range []Route{r, {Name: name, Host: host, Port: 80, Path: path, TLS: TLSOff}, {Name: "web", Host: "web.test", Port: 443, TLS: TLSAuto, Upstreams: []Upstream{{File: path}}}} {
			if r.Check() != nil {
				continue
			}
			l := Layout{PathsHost: "apps.test", PathsPort: 443}
			text := Caddyfile([]Route{r}, l)
			checkAdapts(t, func() (any, error) { return c.Adapt(ctx, text) }, text, asked([]Route{r}, l))
		}
	})
}
