package scan

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"testing"
	"time"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func html(pairs ...string) *page {
	return &page{status: http.StatusOK, header: header(append(pairs, "Content-Type", "text/html")...)}
}

func api(pairs ...string) *page {
	return &page{status: http.StatusOK, header: header(append(pairs, "Content-Type", "application/json")...)}
}

func TestHeaderGrades(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		check func(*page) grade
		page  *page
		want  Status
	}{
		{"csp: none", checkCSP, html(), Red},
		{"csp: none on an API", checkCSP, api(), Green},
		{"csp: self", checkCSP, html("Content-Security-Policy", "default-src 'self'"), Green},
		{"csp: inline", checkCSP, html("Content-Security-Policy", "script-src 'self' 'unsafe-inline'"), Amber},
		{"csp: inline that a nonce overrides", checkCSP, html("Content-Security-Policy", "script-src 'nonce-a' 'unsafe-inline'"), Green},
		{"csp: eval", checkCSP, html("Content-Security-Policy", "script-src 'self' 'unsafe-eval'"), Amber},
		{"csp: anywhere", checkCSP, html("Content-Security-Policy", "script-src *"), Amber},
		{"csp: nothing of scripts", checkCSP, html("Content-Security-Policy", "img-src 'self'"), Amber},
		{"csp: the first of two directives counts", checkCSP, html("Content-Security-Policy", "script-src 'self'; script-src *"), Green},
		{"framing: none", checkFraming, html(), Red},
		{"framing: deny", checkFraming, html("X-Frame-Options", "deny"), Green},
		{"framing: ancestors", checkFraming, html("Content-Security-Policy", "frame-ancestors 'self'"), Green},
		{"framing: all ancestors", checkFraming, html("Content-Security-Policy", "frame-ancestors *"), Red},
		{"framing: an old word", checkFraming, html("X-Frame-Options", "ALLOW-FROM https://x"), Red},
		{"framing: API", checkFraming, api(), Green},
		{"sniffing: yes", checkSniffing, html("X-Content-Type-Options", "NoSniff"), Green},
		{"sniffing: typed", checkSniffing, html(), Amber},
		{"sniffing: untyped", checkSniffing, &page{header: header()}, Red},
		{"referrer: none", checkReferrer, html(), Amber},
		{"referrer: API", checkReferrer, api(), Green},
		{"referrer: unsafe", checkReferrer, html("Referrer-Policy", "no-referrer, unsafe-url"), Red},
		{"referrer: origin", checkReferrer, html("Referrer-Policy", "origin"), Amber},
		{"referrer: same-origin", checkReferrer, html("Referrer-Policy", "same-origin"), Green},
		{"permissions: none", checkPermissions, html(), Amber},
		{"permissions: all", checkPermissions, html("Permissions-Policy", "camera=*"), Amber},
		{"permissions: set", checkPermissions, html("Permissions-Policy", "camera=()"), Green},
		{"banner: name only", checkBanner, html("Server", "Caddy"), Green},
		{"banner: version", checkBanner, html("Server", "nginx/1.18.0"), Amber},
		{"banner: uvicorn", checkBanner, html("Server", "uvicorn"), Green},
		{"banner: powered", checkBanner, html("X-Powered-By", "Express"), Amber},
	} {
		if got := c.check(c.page); got.status != c.want {
			t.Errorf("%s: %s, want %s (%s)", c.name, got.status, c.want, got.detail)
		}
	}
}

func TestTransportGrades(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]Status{
		"": Red, "max-age=31536000": Green, "max-age=60": Amber, "includeSubDomains": Amber, `max-age="31536000"; preload`: Green, "max-age=0": Amber,
	} {
		if got := checkHSTS(header("Strict-Transport-Security", value)); got.status != want {
			t.Errorf("HSTS %q: %s, want %s", value, got.status, want)
		}
	}
	for address, want := range map[string]Status{
		"https://x": Green, "http://x.example": Red, "http://127.0.0.1:80": Amber, "http://localhost": Amber, "http://192.168.1.4": Red, "http://[::1]:8080": Amber,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := checkHTTPS(u); got.status != want {
			t.Errorf("%s: %s, want %s", address, got.status, want)
		}
	}
	redirect := func(status int, to string) *page { return &page{status: status, header: header("Location", to)} }
	for _, c := range []struct {
		name string
		page *page
		want Status
	}{
		{"closed", nil, Green},
		{"moved", redirect(301, "https://x.example/"), Green},
		{"found", redirect(302, "https://X.example/"), Amber},
		{"elsewhere", redirect(301, "https://y.example/"), Red},
		{"to plain", redirect(301, "http://x.example/"), Red},
		{"served", redirect(200, ""), Red},
		{"not found", redirect(404, ""), Amber},
	} {
		if got := checkPlain(c.page, "x.example"); got.status != c.want {
			t.Errorf("plain, %s: %s, want %s", c.name, got.status, c.want)
		}
	}
	now := time.Now()
	for _, c := range []struct {
		name        string
		from, until time.Duration
		want        Status
	}{
		{"90 days, half used", -45 * 24 * time.Hour, 45 * 24 * time.Hour, Green},
		{"90 days, not renewed", -85 * 24 * time.Hour, 5 * 24 * time.Hour, Amber},
		{"half a day, half used", -6 * time.Hour, 6 * time.Hour, Green},
		{"half a day, not renewed", -11*time.Hour - 50*time.Minute, 10 * time.Minute, Amber},
		{"expired", -48 * time.Hour, -time.Hour, Red},
		{"of tomorrow", 24 * time.Hour, 48 * time.Hour, Red},
	} {
		if got := checkExpiry(&x509.Certificate{NotBefore: now.Add(c.from), NotAfter: now.Add(c.until)}, now); got.status != c.want {
			t.Errorf("expiry, %s: %s, want %s", c.name, got.status, c.want)
		}
	}
	for _, c := range []struct {
		version uint16
		old     bool
		want    Status
	}{{tls.VersionTLS13, false, Green}, {tls.VersionTLS12, false, Amber}, {tls.VersionTLS13, true, Red}} {
		if got := checkTLS(&tls.ConnectionState{Version: c.version}, "TLS 1.0", c.old); got.status != c.want {
			t.Errorf("TLS %x: %s, want %s", c.version, got.status, c.want)
		}
	}
}

// TestCertificates are real ones.
func TestCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	now := time.Now()
	state := func(host string) *tls.ConnectionState {
		pair := ca.issue(t, host, now.Add(-time.Hour), now.Add(time.Hour))
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf, ca.cert}}
	}
	for _, c := range []struct {
		name     string
		state    *tls.ConnectionState
		roots    *x509.CertPool
		internal bool
		want     Status
	}{
		{"trusted", state("x.example"), ca.pool, false, Green},
		{"another name", state("y.example"), ca.pool, false, Red},
		{"nobody's", state("x.example"), x509.NewCertPool(), false, Red},
		{"a private authority's, as meant", state("x.example"), x509.NewCertPool(), true, Amber},
		{"none", &tls.ConnectionState{}, ca.pool, false, Red},
	} {
		if got := checkCertificate(c.state, "x.example", c.roots, c.internal, now); got.status != c.want {
			t.Errorf("%s: %s, want %s (%s)", c.name, got.status, c.want, got.detail)
		}
	}
}

func TestCookieGrades(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, cookie           string
		https                  bool
		secure, httpOnly, same Status
	}{
		{"all right", "id=1; Secure; HttpOnly; SameSite=Lax", true, Green, Green, Green},
		{"a bare session", "sessionid=1", true, Red, Red, Amber},
		{"a bare cookie", "theme=1", true, Red, Amber, Amber},
		{"over plain HTTP", "theme=1; HttpOnly; SameSite=Strict", false, Amber, Green, Green},
		{"a CSRF token is for scripts", "XSRF-TOKEN=1; Secure; SameSite=Strict", true, Green, Green, Green},
		{"none without secure", "x=1; SameSite=None; HttpOnly", true, Red, Green, Red},
		{"none with secure", "x=1; SameSite=None; HttpOnly; Secure", true, Green, Green, Amber},
	} {
		cookies := (&http.Response{Header: header("Set-Cookie", c.cookie)}).Cookies()
		got := checkCookies(cookies, c.https)
		if len(got) != 3 || got[0].Status != c.secure || got[1].Status != c.httpOnly || got[2].Status != c.same {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestProbeGrades(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, allow, credentials string
		want                     Status
	}{
		{"none", "", "", Green},
		{"reflected with cookies", evil, "true", Red},
		{"reflected", evil, "", Amber},
		{"all with cookies", "*", "true", Amber},
		{"all", "*", "", Amber},
		{"one of its own", "https://app.example", "true", Green},
	} {
		p := html("Access-Control-Allow-Origin", c.allow, "Access-Control-Allow-Credentials", c.credentials)
		if got := checkCORS(p, evil); got.status != c.want {
			t.Errorf("CORS, %s: %s, want %s", c.name, got.status, c.want)
		}
	}
	for location, want := range map[string]bool{
		"https://evil.example/": true, "//evil.example/..": true, `/\evil.example`: true, `\\evil.example`: true, "/login?next=https://evil.example/": false, "": false,
		"https://evil.example.org/": false, " https://EVIL.example": true,
	} {
		if _, found := checkOpenRedirect(&page{status: 302, header: header("Location", location)}); found != want {
			t.Errorf("redirect to %q: %v, want %v", location, found, want)
		}
	}
}
