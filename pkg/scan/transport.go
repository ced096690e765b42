package scan

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// checkHTTPS judges the scheme.
func checkHTTPS(u *url.URL) grade {
	if u.Scheme == "https" {
		return good("the site is served over https")
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return weak("the site is served over plain HTTP, on an address of this machine only", "expose it through Caddy, which gets a certificate by itself")
	}
	return bad("the site is served over plain HTTP: everybody on the way reads and changes what goes over it, passwords too",
		"expose it through Caddy with tls: auto, which gets a certificate by itself")
}

// checkTLS judges the version that was agreed on, and whether a broken one is spoken too.
func checkTLS(state *tls.ConnectionState, old string, oldSpoken bool) grade {
	switch name := tls.VersionName(state.Version); {
	case oldSpoken:
		return bad("the site still speaks "+old+", which is broken", "allow TLS 1.2 and 1.3 only")
	case state.Version < tls.VersionTLS13:
		return weak("the site speaks "+name+" at best", "allow TLS 1.3 too: it is faster, and has no weak choices")
	default:
		return good("the site speaks " + name + ", and nothing older than TLS 1.2")
	}
}

// checkCertificate judges whether browsers trust the certificate for this name.
func checkCertificate(state *tls.ConnectionState, host string, roots *x509.CertPool, internal bool, now time.Time) grade {
	if len(state.PeerCertificates) == 0 {
		return bad("the site shows no certificate", "let Caddy get one")
	}
	leaf := state.PeerCertificates[0]
	if err := leaf.VerifyHostname(host); err != nil {
		return bad("the certificate is for other names: "+shown(strings.Join(names(leaf), ", ")), "get a certificate for "+host)
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return good("browsers trust the certificate for " + host)
	case errors.As(err, &unknown) && internal:
		return weak("the certificate is of a private authority ("+shown(leaf.Issuer.String())+"): only machines that were told of it trust it",
			"tls: internal is for private networks; use tls: auto where others come in")
	case errors.As(err, &unknown):
		return bad("browsers do not know who issued the certificate ("+shown(leaf.Issuer.String())+")", "let Caddy get one of a public authority (tls: auto)")
	}
	if now.After(leaf.NotAfter) {
		return good("the certificate is for " + host + "; its expiry is another finding") // said once
	}
	return bad("browsers refuse the certificate: "+shown(err.Error()), "let Caddy get a new one (tls: auto)")
}

func names(leaf *x509.Certificate) []string {
	out := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// checkExpiry judges how long the certificate is still good. Short-lived ones are judged by what is left of their own life.
func checkExpiry(leaf *x509.Certificate, now time.Time) grade {
	left, life := leaf.NotAfter.Sub(now), leaf.NotAfter.Sub(leaf.NotBefore)
	when := leaf.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	switch {
	case now.Before(leaf.NotBefore):
		return bad("the certificate is not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339), "look at the machine's clock")
	case left <= 0:
		return bad("the certificate has expired at "+when, "find out why Caddy could not renew it: supervisor logs caddy, and whether port 80 or 443 can be reached from outside")
	case left < life/10:
		return weak(fmt.Sprintf("the certificate expires at %s, in %s, and should have been renewed by now", when, roughly(left)), "find out why it is not renewed")
	}
	return good("the certificate is good until " + when)
}

func roughly(d time.Duration) string {
	if d > 48*time.Hour {
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	}
	return d.Round(time.Minute).String()
}

// minHSTS is half a year, in seconds.
const minHSTS = 15_552_000

// checkHSTS judges whether browsers are told to come back over https only.
func checkHSTS(h http.Header) grade {
	value := h.Get("Strict-Transport-Security")
	if value == "" {
		return bad("Strict-Transport-Security is not sent: a first visit, or a typed address, goes over plain HTTP and can be taken over",
			"send Strict-Transport-Security: max-age=31536000 (spec.expose.headers)")
	}
	for part := range strings.SplitSeq(strings.ToLower(value), ";") {
		if age, ok := strings.CutPrefix(strings.TrimSpace(part), "max-age="); ok {
			if n, err := strconv.ParseInt(strings.Trim(age, `"`), 10, 64); err == nil && n >= minHSTS {
				return good("browsers are told to come over https only (" + shown(value) + ")")
			}
		}
	}
	return weak("Strict-Transport-Security is for a short time only: "+shown(value), "send max-age=31536000")
}

// checkPlain judges what answers without TLS; p is nil when nothing does.
func checkPlain(p *page, host string) grade {
	if p == nil {
		return good("nothing answers over plain HTTP")
	}
	to, err := url.Parse(p.header.Get("Location"))
	switch {
	case p.status < 300 || p.status > 399:
		if p.status >= 400 {
			return weak(fmt.Sprintf("plain HTTP answers %d and does not send people to https", p.status), "redirect plain HTTP to https; Caddy does it by itself when it has port 80")
		}
		return bad("the site is there over plain HTTP too", "redirect plain HTTP to https; Caddy does it by itself when it has port 80")
	case err == nil && to.Scheme == "https" && strings.EqualFold(to.Hostname(), host):
		if p.status == http.StatusMovedPermanently || p.status == http.StatusPermanentRedirect {
			return good("plain HTTP sends people to https")
		}
		return weak(fmt.Sprintf("plain HTTP sends people to https, but for now only (%d)", p.status), "redirect with 301 or 308")
	}
	return bad("plain HTTP sends people to "+shown(p.header.Get("Location")), "redirect to https and the same name")
}
