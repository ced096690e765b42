package scan

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func (a *authority) issue(t *testing.T, host string, from, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// site is a server with TLS beside one without.
func site(t *testing.T, cert tls.Certificate, minimum uint16, secure, plain http.Handler) (connect, connectPlain string) {
	t.Helper()
	s := httptest.NewUnstartedServer(secure)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: minimum}
	if minimum < tls.VersionTLS12 {
		s.TLS.MaxVersion = tls.VersionTLS12
		for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			s.TLS.CipherSuites = append(s.TLS.CipherSuites, c.ID)
		}
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what it is for
	s.StartTLS()
	t.Cleanup(s.Close)
	p := httptest.NewServer(plain)
	t.Cleanup(p.Close)
	return s.Listener.Addr().String(), p.Listener.Addr().String()
}

func scan(t *testing.T, target Target, o Options) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Run(ctx, target, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests == 0 || r.Requests > maxRequests {
		t.Errorf("%d requests", r.Requests)
	}
	return r
}

// TestGoodSite: a site that does everything right has nothing but green.
func TestGoodSite(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert := ca.issue(t, "shop.example", time.Now().Add(-24*time.Hour), time.Now().Add(60*24*time.Hour))
	secure := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		h.Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'nonce-x' 'unsafe-inline'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer, strict-origin-when-cross-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=()")
		h.Set("Server", "Caddy")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "x", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.SetCookie(w, &http.Cookie{Name: "csrftoken", Value: "x", Secure: true, SameSite: http.SameSiteStrictMode})
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = fmt.Fprint(w, `<html><a href="http://elsewhere.example">a plain link is no load</a><script src="/app.js"></script></html>`)
	})
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusPermanentRedirect)
	})
	connect, connectPlain := site(t, cert, tls.VersionTLS12, secure, plain)
	r := scan(t, Target{Service: "shop", URL: "https://shop.example", Connect: connect, ConnectPlain: connectPlain}, Options{Roots: ca.pool})
	for _, f := range r.Findings {
		if f.Status != Green || f.Recommendation != "" || f.Detail == "" || f.Source != SourceSupervisor {
			t.Errorf("%+v", f)
		}
	}
	if r.Summary.Green != len(r.Findings) || r.Summary.Green < 20 {
		t.Errorf("%+v", r.Summary)
	}
}

// careless is a server that does everything wrong.
func careless(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Content-Type"] = nil
	h.Set("Server", "Werkzeug/2.0.1 Python/3.8.2")
	h.Set("X-Powered-By", "PHP/5.3")
	h.Set("Referrer-Policy", "unsafe-url")
	h.Set("Permissions-Policy", "camera=*")
	h.Add("Set-Cookie", "sessionid=1; Path=/")
	h.Add("Set-Cookie", "tracker=1; SameSite=None")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Methods", "GET, DELETE")
	}
	if next := r.URL.Query().Get("next"); next != "" && r.URL.Path == "/login" {
		http.Redirect(w, r, next, http.StatusFound)
		return
	}
	body := map[string]string{
		"/":               `<html><title>Index of /</title><script src="http://cdn.example/x.js"></script>`,
		"/.env":           "DB_PASSWORD=x\n",
		"/.git/HEAD":      "ref: refs/heads/main\n",
		"/backup.sql":     "-- PostgreSQL database dump\nCREATE TABLE users",
		"/debug/pprof/":   "<title>/debug/pprof/</title>",
		"/metrics":        "# HELP x y\n",
		"/openapi.json":   `{"openapi": "3.1.0"}`,
		"/docs":           `<div id="swagger-ui">`,
		"/api/items/'":    "Traceback (most recent call last):\n  File \"app.py\", line 3, in f",
		"/config.json":    `{"api_key": "k"}`,
		"/server-status":  "nothing of the kind",
		"/docker-compose": "",
	}[r.URL.Path]
	if body == "" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = fmt.Fprint(w, body)
}

// TestBadSite: each mistake is found, and graded.
func TestBadSite(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert := ca.issue(t, "other.example", time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	connect, connectPlain := site(t, cert, tls.VersionTLS10, http.HandlerFunc(careless), http.HandlerFunc(careless))
	r := scan(t, Target{Service: "shop", URL: "https://shop.example", Connect: connect, ConnectPlain: connectPlain}, Options{})
	want := map[string]Status{
		"HTTPS": Green, "TLS version": Red, "Certificate": Red, "Certificate expiry": Red, "HSTS": Red, "Mixed content": Amber, "HTTP to HTTPS": Red,
		"Content-Security-Policy": Red, "Framing": Red, "X-Content-Type-Options": Red, "Referrer-Policy": Red, "Permissions-Policy": Amber, "Software": Amber,
		"Secure": Red, "HttpOnly": Red, "SameSite": Red, "Reading from other sites": Red, "Changing from other sites": Red, "Open redirects": Red,
		"Files": Red, "Developers' pages": Red, "API documentation": Amber, "Directory listings": Red, "Errors": Red,
	}
	for _, f := range r.Findings {
		if want[f.Check] != f.Status {
			t.Errorf("%s is %s, want %s: %s", f.Check, f.Status, want[f.Check], f.Detail)
		}
		if f.Status != Green && f.Recommendation == "" {
			t.Errorf("%s gives no advice", f.Check)
		}
		delete(want, f.Check)
	}
	if len(want) > 0 {
		t.Errorf("not looked at: %v", want)
	}
	if r.Findings[0].Status != Red || r.Findings[len(r.Findings)-1].Status != Green {
		t.Error("the worst does not come first")
	}
	all := fmt.Sprint(r.Findings)
	for _, part := range []string{"/.env", "/.git/HEAD", "/backup.sql", "/config.json", "/debug/pprof/", "/metrics", "sessionid", "Traceback", "other.example"} {
		if !strings.Contains(all, part) {
			t.Errorf("%s is not told", part)
		}
	}

	over := scan(t, Target{Service: "shop", URL: "http://shop.example/app", Connect: connectPlain}, Options{})
	if f := over.Findings[0]; f.Status != Red {
		t.Errorf("%+v", f)
	}
}

// TestOnePageSite: a site that answers every path with its first page has no .env.
func TestOnePageSite(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "<html>\nNAME=\nCREATE TABLE swagger-ui pprof\n# HELP</html>")
	}))
	t.Cleanup(s.Close)
	r := scan(t, Target{URL: s.URL}, Options{})
	for _, f := range r.Findings {
		if f.Category == "disclosure" && f.Status != Green {
			t.Errorf("%+v", f)
		}
		if f.Check == "HTTPS" && f.Status != Amber {
			t.Errorf("%+v", f)
		}
	}
}

// TestHostileSite: whatever a site does, the scan ends, bounded.
func TestHostileSite(t *testing.T) {
	t.Parallel()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.env" {
			panic(http.ErrAbortHandler) //nolint:forbidigo // This is how net/http is told to drop the connection.
		}
		w.Header().Set("Location", "https://evil.example\t%zz")
		for i := range 200 {
			w.Header().Add("Set-Cookie", fmt.Sprintf("c%d=\"%s", i, strings.Repeat("x", 100)))
		}
		chunk := []byte(strings.Repeat("<a href=\"x\">x</a> ", 4096))
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	r := scan(t, Target{URL: endless.URL}, Options{})
	for _, f := range r.Findings {
		if strings.ContainsAny(f.Detail, "\x00\n") {
			t.Errorf("%q", f.Detail)
		}
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	if _, err := Run(t.Context(), Target{URL: "http://" + address}, Options{}); err == nil || !strings.Contains(err.Error(), "nothing answers") {
		t.Errorf("%v", err)
	}
	for _, u := range []string{"", "ftp://x", "http://", "::"} {
		if _, err := Run(t.Context(), Target{URL: u}, Options{}); err == nil {
			t.Errorf("%q was taken for a site", u)
		}
	}
}
