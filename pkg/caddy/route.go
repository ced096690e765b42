package caddy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TLS says where a site's certificate comes from.
type TLS string

// The values of TLS.
const (
	TLSAuto     TLS = "auto"
	TLSInternal TLS = "internal"
	TLSOff      TLS = "off"
)

// Route is one address, and where requests to it go.
type Route struct {
	// Name is whose route it is: what errors name, and what finds it again in a configuration.
	Name string `json:"name"`
	// Host and Port are the site. A host may begin with "*.".
	Host string `json:"host"`
	Port int    `json:"port"`
	// Path is empty for all of the site, else such as /myapp.
	Path string `json:"path,omitempty"`
	TLS  TLS    `json:"tls"`
	// Upstreams are where requests go. Without one the route answers that Name is stopped.
	Upstreams []Upstream `json:"upstreams,omitempty"`
	// Strip takes Path off before the upstream sees it.
	Strip bool `json:"strip,omitempty"`
	// Headers are put on responses, RequestHeaders on what the upstream receives; an empty value removes.
	Headers        map[string]string `json:"headers,omitempty"`
	RequestHeaders map[string]string `json:"requestHeaders,omitempty"`
	// BasicAuth maps users to bcrypt hashes.
	BasicAuth map[string]string `json:"basicAuth,omitempty"`
	// StreamTimeout bounds the life of a WebSocket, 0 does not. StreamCloseDelay is how long one outlives a reload.
	StreamTimeout    time.Duration `json:"streamTimeout,omitempty"`
	StreamCloseDelay time.Duration `json:"streamCloseDelay,omitempty"`
}

// Upstream is one place that requests go to: an address, or a file that holds one and is read at each request.
type Upstream struct {
	Address string `json:"address,omitempty"`
	File    string `json:"file,omitempty"`
}

// dial is the upstream as Caddy dials it. The second placeholder is always empty: without it Caddy's adapter takes what
// stands before the first slash for a network, what follows for a host, and adds a port to it.
func (u Upstream) dial() string {
	if u.File != "" {
		return "{file." + u.File + "}{http.vars.none}"
	}
	return u.Address
}

// String is the upstream as people are shown it.
func (u Upstream) String() string {
	if u.File != "" {
		return "{file." + u.File + "}"
	}
	return u.Address
}

// Site is the host and path, as "host/path".
func (r *Route) Site() string { return r.Host + r.Path }

// URL is what people open.
func (r *Route) URL() string {
	scheme, port := "https", 443
	if r.TLS == TLSOff {
		scheme, port = "http", 80
	}
	at := r.Host
	if r.Port != port {
		at = net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	}
	if r.Path != "" && r.Strip {
		return scheme + "://" + at + r.Path + "/"
	}
	return scheme + "://" + at + r.Path
}

var (
	namePattern   = regexp.MustCompile(`^@?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	hostPattern   = regexp.MustCompile(`^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	pathPattern   = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
	headerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
	userPattern   = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)
	bcryptPattern = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$`)
	filePattern   = regexp.MustCompile(`^(/[A-Za-z0-9._@+-]+)+$`)
)

// Check refuses what cannot be written into a configuration as it stands. Whoever asks for a route has validated it in the
// words of its manifest; this is the last door before the text.
func (r *Route) Check() error {
	var errs []error
	bad := func(what, value, allowed string) {
		errs = append(errs, fmt.Errorf("the %s %.80q cannot be written into Caddy's configuration; %s", what, value, allowed))
	}
	if !namePattern.MatchString(r.Name) {
		bad("name", r.Name, "it holds letters, digits, '.', '_' and '-'")
	}
	if len(r.Host) > 253 || !hostPattern.MatchString(r.Host) {
		bad("host", r.Host, "it is lower-case DNS labels joined by '.'")
	}
	if r.Port < 1 || r.Port > 65535 {
		bad("port", strconv.Itoa(r.Port), "it is from 1 to 65535")
	}
	if r.Path != "" && (len(r.Path) > 1024 || !pathPattern.MatchString(r.Path) || r.dotted()) {
		bad("path", r.Path, "it is such as /myapp")
	}
	if r.TLS != TLSAuto && r.TLS != TLSInternal && r.TLS != TLSOff {
		bad("TLS mode", string(r.TLS), "it is auto, internal or off")
	}
	for _, u := range r.Upstreams {
		if !u.valid() {
			bad("upstream", u.String(), "it is an IP address and a port, or a file whose path has letters, digits, '.', '_', '@', '+' and '-'")
		}
	}
	for what, headers := range map[string]map[string]string{"header": r.Headers, "request header": r.RequestHeaders} {
		seen := map[string]bool{}
		for name, value := range headers {
			if folded := http.CanonicalHeaderKey(name); !headerPattern.MatchString(name) || seen[folded] {
				bad(what, name, "it holds letters, digits, '-' and '_', and is there once")
			} else {
				seen[folded] = true
			}
			if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' || strings.ContainsRune("{}`", c) }) || strings.TrimSpace(value) != value {
				bad("value of the "+what, value, "it is printable ASCII without { } and `, and without spaces around it")
			}
		}
	}
	for user, hash := range r.BasicAuth {
		if !userPattern.MatchString(user) || !bcryptPattern.MatchString(hash) {
			bad("account of the user", user, "a user holds letters, digits, '.', '_', '@' and '-', and its secret is a bcrypt hash")
		}
	}
	if r.StreamTimeout < 0 || r.StreamCloseDelay < 0 {
		bad("stream's time", min(r.StreamTimeout, r.StreamCloseDelay).String(), "it is not negative")
	}
	return errors.Join(errs...)
}

func (r *Route) dotted() bool {
	return slices.ContainsFunc(strings.Split(r.Path, "/"), func(part string) bool { return part == "." || part == ".." })
}

func (u Upstream) valid() bool {
	if u.File != "" {
		return u.Address == "" && filePattern.MatchString(u.File) && filepath.Clean(u.File) == u.File
	}
	addr, err := netip.ParseAddrPort(u.Address)
	return err == nil && addr.Port() != 0 && addr.Addr().Zone() == "" && addr.String() == u.Address
}

// sorted is the routes in the order in which they are matched: of one site the longest path first, and a host before a
// wildcard that covers it.
func sorted(routes []Route) []Route {
	out := slices.Clone(routes)
	slices.SortStableFunc(out, func(a, b Route) int {
		return cmp.Or(
			wild(a.Host)-wild(b.Host), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port),
			cmp.Compare(len(b.Path), len(a.Path)), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Name, b.Name),
		)
	})
	return out
}

func wild(host string) int {
	if strings.HasPrefix(host, "*.") {
		return 1
	}
	return 0
}

// site is the routes of one host and port, in their order.
type site struct {
	host     string
	port     int
	plain    bool
	internal bool
	routes   []Route
}

// sites groups routes. One route that asks for Caddy's own authority decides for its site.
func sites(routes []Route) []site {
	var out []site
	for _, r := range sorted(routes) {
		i := len(out) - 1
		if i < 0 || out[i].host != r.Host || out[i].port != r.Port {
			out = append(out, site{host: r.Host, port: r.Port, plain: r.TLS == TLSOff})
			i++
		}
		out[i].internal = out[i].internal || r.TLS == TLSInternal
		out[i].routes = append(out[i].routes, r)
	}
	return out
}

func keys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
