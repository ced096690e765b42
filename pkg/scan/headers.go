package scan

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// isPage reports whether a browser would show an answer as a page.
func isPage(p *page) bool {
	kind := strings.ToLower(p.header.Get("Content-Type"))
	return strings.Contains(kind, "html") || kind == "" && strings.Contains(strings.ToLower(p.body[:min(len(p.body), 1024)]), "<html")
}

// policy is a Content-Security-Policy by directive.
func policy(h http.Header) map[string][]string {
	out := map[string][]string{}
	for _, value := range h.Values("Content-Security-Policy") {
		for directive := range strings.SplitSeq(value, ";") {
			words := strings.Fields(strings.ToLower(directive))
			if len(words) == 0 {
				continue
			}
			if _, there := out[words[0]]; !there {
				out[words[0]] = words[1:]
			}
		}
	}
	return out
}

// checkCSP judges what a page may load and run.
func checkCSP(p *page) grade {
	csp := policy(p.header)
	if len(csp) == 0 {
		if !isPage(p) {
			return good("the answer is no page, and needs no Content-Security-Policy")
		}
		return bad("there is no Content-Security-Policy: a script that gets into a page runs", "send one, such as default-src 'self'; it can be tried with Content-Security-Policy-Report-Only")
	}
	scripts, ok := csp["script-src"]
	if !ok {
		if scripts, ok = csp["default-src"]; !ok {
			return weak("the Content-Security-Policy says nothing of scripts", "add script-src 'self', or default-src 'self'")
		}
	}
	nonced := slices.ContainsFunc(scripts, func(s string) bool { return strings.HasPrefix(s, "'nonce-") || strings.HasPrefix(s, "'sha") })
	for _, s := range scripts {
		switch {
		case s == "'unsafe-inline'" && !nonced, s == "'unsafe-eval'", s == "*", s == "http:", s == "https:", s == "data:":
			return weak("the Content-Security-Policy lets scripts come by "+shown(s), "leave it out; name the places that scripts come from, and give inline ones a nonce")
		}
	}
	return good("the Content-Security-Policy says where scripts may come from")
}

// checkFraming judges whether other sites may put the page into theirs.
func checkFraming(p *page) grade {
	ancestors, ok := policy(p.header)["frame-ancestors"]
	frame := strings.ToUpper(strings.TrimSpace(p.header.Get("X-Frame-Options")))
	switch {
	case ok && !slices.Contains(ancestors, "*") && !slices.Contains(ancestors, "https:") && !slices.Contains(ancestors, "http:"):
		return good("other sites may not frame the page (frame-ancestors)")
	case frame == "DENY" || frame == "SAMEORIGIN":
		return good("other sites may not frame the page (X-Frame-Options)")
	case !isPage(p):
		return good("the answer is no page that could be framed")
	}
	return bad("any site may put the page into a frame, and get clicks for it", "send Content-Security-Policy: frame-ancestors 'none' (or 'self'), or X-Frame-Options: DENY")
}

// checkSniffing judges whether browsers may guess what an answer is.
func checkSniffing(p *page) grade {
	if strings.EqualFold(strings.TrimSpace(p.header.Get("X-Content-Type-Options")), "nosniff") {
		return good("browsers may not guess types (nosniff)")
	}
	if p.header.Get("Content-Type") == "" {
		return bad("there is neither a Content-Type nor nosniff: browsers guess, and may run what is only data", "send Content-Type, and X-Content-Type-Options: nosniff")
	}
	return weak("X-Content-Type-Options is not sent: browsers may take data for scripts", "send X-Content-Type-Options: nosniff")
}

// checkReferrer judges what other sites learn of addresses here.
func checkReferrer(p *page) grade {
	value := p.header.Get("Referrer-Policy")
	last := value[strings.LastIndexByte(value, ',')+1:]
	switch strings.ToLower(strings.TrimSpace(last)) {
	case "unsafe-url":
		return bad("Referrer-Policy: unsafe-url gives whole addresses to every other site", "send strict-origin-when-cross-origin, or no-referrer")
	case "no-referrer-when-downgrade", "origin", "origin-when-cross-origin":
		return weak("Referrer-Policy: "+shown(value)+" gives more away than it must", "send strict-origin-when-cross-origin, or no-referrer")
	case "":
		if !isPage(p) {
			return good("the answer is no page with links to others")
		}
		return weak("Referrer-Policy is not sent; old browsers give whole addresses to other sites", "send Referrer-Policy: strict-origin-when-cross-origin, or no-referrer")
	}
	return good("Referrer-Policy is " + shown(value))
}

// checkPermissions judges whether the page gives the machine's sensors away.
func checkPermissions(p *page) grade {
	value := p.header.Get("Permissions-Policy")
	switch {
	case strings.Contains(strings.ReplaceAll(value, " ", ""), "=*"):
		return weak("Permissions-Policy lets every frame use "+shown(value), "name who may use camera, microphone and location")
	case value != "":
		return good("Permissions-Policy is " + shown(value))
	case !isPage(p):
		return good("the answer is no page that could ask for the camera")
	}
	return weak("Permissions-Policy is not sent: a script that gets into a page may ask for camera, microphone and location",
		"send Permissions-Policy: camera=(), microphone=(), geolocation=()")
}

var plainReference = regexp.MustCompile(`(?i)<(?:script|iframe|link|img|form)\b[^>]*\b(?:src|href|action)\s*=\s*["']?http://[^"'\s>]+`)

// checkMixed judges whether a page of https loads over plain HTTP.
func checkMixed(p *page) grade {
	if m := plainReference.FindString(p.body); m != "" && isPage(p) {
		return weak("the page of https refers to plain HTTP: "+shown(m), "write https:// there")
	}
	return good("the page loads nothing over plain HTTP")
}

var version = regexp.MustCompile(`\d`)

// telltale are headers that say what a site is made of.
var telltale = []string{"Server", "X-Powered-By", "X-AspNet-Version", "X-AspNetMvc-Version", "X-Generator", "X-Runtime", "X-Debug-Token-Link", "X-Drupal-Cache"}

// checkBanner judges what headers tell of the software.
func checkBanner(p *page) grade {
	var said []string
	for _, name := range telltale {
		value := p.header.Get(name)
		if value != "" && (name != "Server" || version.MatchString(value)) {
			said = append(said, name+": "+value)
		}
	}
	if len(said) == 0 {
		return good("headers do not tell which software in which version answers")
	}
	return weak("headers tell what runs here: "+shown(strings.Join(said, ", ")), "take them out, so that nobody can look up what is broken in that version (spec.expose.headers, or the program's settings)")
}

var sessionName = regexp.MustCompile(`(?i)sess|sid$|auth|token|login|jwt|remember|csrf|xsrf`)

// checkCookies judges the cookies that were set. A cookie of no flag is judged by what its name says that it is for.
func checkCookies(cookies []*http.Cookie, https bool) []Finding {
	if len(cookies) == 0 {
		return []Finding{good("the site sets no cookies to somebody who only looks").of("cookies", "Cookies")}
	}
	var insecure, readable, session, cross, loose []string
	for _, c := range cookies {
		name := shown(c.Name)
		if !c.Secure {
			insecure = append(insecure, name)
		}
		isCSRF := strings.Contains(strings.ToLower(c.Name), "csrf") || strings.Contains(strings.ToLower(c.Name), "xsrf")
		if !c.HttpOnly && !isCSRF { // a script has to read a CSRF token
			readable = append(readable, name)
			if sessionName.MatchString(c.Name) {
				session = append(session, name)
			}
		}
		switch {
		case c.SameSite == http.SameSiteNoneMode && !c.Secure:
			loose = append(loose, name)
		case c.SameSite == 0 || c.SameSite == http.SameSiteDefaultMode || c.SameSite == http.SameSiteNoneMode:
			cross = append(cross, name)
		}
	}
	list := func(names []string) string { return strings.Join(slices.Compact(names), ", ") }
	secure := good("every cookie is for https only (Secure)")
	switch {
	case len(insecure) > 0 && https:
		secure = bad("cookies also go over plain HTTP: "+list(insecure), "set them Secure")
	case len(insecure) > 0:
		secure = weak("cookies are not for https only, as the site is not: "+list(insecure), "serve the site over https, and set them Secure")
	}
	http1 := good("scripts cannot read cookies that they need not (HttpOnly)")
	switch {
	case len(session) > 0:
		http1 = bad("a script that gets into a page can read the session: "+list(session), "set them HttpOnly")
	case len(readable) > 0:
		http1 = weak("scripts can read cookies: "+list(readable), "set them HttpOnly unless a script needs them")
	}
	same := good("cookies stay on this site (SameSite)")
	switch {
	case len(loose) > 0:
		same = bad("cookies are SameSite=None without Secure: "+list(loose), "set them Secure, and SameSite=Lax unless other sites need them")
	case len(cross) > 0:
		same = weak("cookies may go along when other sites ask: "+list(cross), "set SameSite=Lax, or Strict")
	}
	return []Finding{secure.of("cookies", "Secure"), http1.of("cookies", "HttpOnly"), same.of("cookies", "SameSite")}
}
