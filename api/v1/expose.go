package v1

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	dnsLabelPattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	hostPattern      = regexp.MustCompile(`^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	pathPattern      = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)
	headerPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)
	basicUserPattern = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,64}$`)
	bcryptPattern    = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$`)
)

// maxHeaderValue is far beyond what a header holds, and far below what a server refuses.
const maxHeaderValue = 4096

// Site is one address that a service claims: a host, and the part of it below a path.
type Site struct {
	Host string
	// Path is empty for the whole host, else such as /myapp, without a slash at its end.
	Path string
}

// String renders "host/path".
func (s Site) String() string { return s.Host + s.Path }

// Sites are the addresses that the service claims, where paths are below domain and subdomains below base. Both are host
// names without a port.
func (e *Expose) Sites(domain, base string) []Site {
	path := strings.TrimSuffix(e.Path, "/")
	var sites []Site
	if e.Subdomain != "" {
		sites = append(sites, Site{e.Subdomain + "." + base, path})
	}
	if e.Host != "" && !slices.Contains(sites, Site{e.Host, path}) {
		sites = append(sites, Site{e.Host, path})
	}
	if len(sites) == 0 && e.Path != "" {
		sites = append(sites, Site{domain, path})
	}
	return sites
}

func (c *checker) expose(e *Expose, port Port) {
	if e == nil {
		return
	}
	if e.Subdomain != "" && !dnsLabelPattern.MatchString(e.Subdomain) {
		c.add("spec.expose.subdomain", "%q is not a DNS label; write lower-case letters, digits and '-', up to 63", e.Subdomain)
	}
	if e.Host != "" && (len(e.Host) > 253 || !hostPattern.MatchString(e.Host)) {
		c.add("spec.expose.host", "%q is not a host name; write lower-case DNS labels joined by '.'", e.Host)
	}
	if e.Path != "" && e.Path != "/" && (len(e.Path) > 1024 || !pathPattern.MatchString(e.Path) || dotSegment(e.Path)) {
		c.add("spec.expose.path", "%q is not a path; write one such as /myapp, of letters, digits, '.', '_', '~', '-' and single '/'", e.Path)
	}
	if e.TLS != "" {
		oneOf(c, "spec.expose.tls", e.TLS, TLSAuto, TLSInternal, TLSOff)
	}
	c.headers("spec.expose.headers", e.Headers)
	c.headers("spec.expose.requestHeaders", e.RequestHeaders)
	c.basicAuth(e.BasicAuth)
	if e.StreamTimeout != nil && *e.StreamTimeout < 0 {
		c.add("spec.expose.streamTimeout", "%s is negative; write how long a stream may live, or 0s for no limit", e.StreamTimeout)
	}
	if e.StreamCloseDelay != nil && *e.StreamCloseDelay < 0 {
		c.add("spec.expose.streamCloseDelay", "%s is negative; write how long a stream may go on, or 0s to close it at once", e.StreamCloseDelay)
	}
	if enabled := e.Enabled == nil || *e.Enabled; enabled {
		if e.Subdomain == "" && e.Host == "" && e.Path == "" {
			c.add("spec.expose", "says nothing; write a subdomain, a host or a path")
		} else if port.IsZero() {
			c.add("spec.expose", "needs spec.port, for Caddy to send requests to")
		}
	}
}

// dotSegment reports whether a path has a part that browsers and servers resolve away.
func dotSegment(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return part == "." || part == ".." })
}

func (c *checker) headers(field string, headers map[string]string) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value, folded := headers[name], strings.ToLower(name)
		if other, ok := seen[folded]; ok {
			c.add(field, "%s and %s are one header; keep one of them", other, name)
		}
		seen[folded] = name
		if !headerPattern.MatchString(name) {
			c.add(field, "%q is not a header's name; write letters, digits, '-' and '_', such as X-Frame-Options", name)
		}
		bad := strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("{}`", r) })
		switch {
		case bad >= 0:
			c.add(field+"."+name, "%.60q cannot be written into Caddy's configuration as it stands; write printable ASCII without { } and `", value)
		case len(value) > maxHeaderValue:
			c.add(field+"."+name, "has %d bytes; write at most %d", len(value), maxHeaderValue)
		case strings.TrimSpace(value) != value:
			c.add(field+"."+name, "%.60q begins or ends with a space, which HTTP takes away; remove it", value)
		}
	}
}

func (c *checker) basicAuth(accounts map[string]string) {
	for _, user := range slices.Sorted(maps.Keys(accounts)) {
		if !basicUserPattern.MatchString(user) {
			c.add("spec.expose.basicAuth", "%q is not a user's name; write up to 64 letters, digits, '.', '_', '@' and '-'", user)
		}
		// The value is not shown: what is no hash may well be the password.
		if !bcryptPattern.MatchString(accounts[user]) {
			c.add("spec.expose.basicAuth."+user, "is not a bcrypt hash; make one with `caddy hash-password` or `htpasswd -nB`, never write the password itself")
		}
	}
}
