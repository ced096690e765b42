package scan

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// maxRequests bounds a scan; budget is its whole time, patience that of one request.
	maxRequests = 80
	budget      = 90 * time.Second
	patience    = 8 * time.Second
	// maxBody is how much of an answer is read.
	maxBody = 64 << 10
	// evil is an origin that is nobody's.
	evil = "https://evil.example"
)

// Target is what is looked at.
type Target struct {
	Service string
	// URL is where the service is exposed.
	URL string
	// Connect is the address to connect to in place of the URL's host, HOST:PORT; empty to look the host up.
	Connect string
	// ConnectPlain is the same for plain HTTP, for the redirect to https; empty takes the host's port 80, "off" leaves that out.
	ConnectPlain string
	// Internal says that the certificate is meant to be one of a private authority.
	Internal bool
}

// page is an answer.
type page struct {
	path   string
	status int
	header http.Header
	body   string
	tls    *tls.ConnectionState
}

// visitor makes requests, a bounded number of them.
type visitor struct {
	target Target
	base   *url.URL
	client *http.Client
	made   int
}

var errEnough = errors.New("the bound of requests is met")

func newVisitor(t Target) (*visitor, error) {
	base, err := url.Parse(t.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the address of a site", t.URL)
	}
	if base.Path == "" {
		base.Path = "/"
	}
	transport := &http.Transport{
		DialContext: dialTo(t.Connect), MaxIdleConnsPerHost: 4, IdleConnTimeout: patience, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{
			ServerName: base.Hostname(), MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: true, //nolint:gosec // What it shows is judged by a check of its own.
		},
	}
	return &visitor{target: t, base: base, client: &http.Client{
		Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (v *visitor) close() { v.client.CloseIdleConnections() }

// dialTo connects to an address whatever the host is; empty connects to the host.
func dialTo(address string) func(ctx context.Context, network, host string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: patience}
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		if address != "" {
			host = address
		}
		return dialer.DialContext(ctx, network, host)
	}
}

// ask makes a request for a path below the site, with "?query" where there is one.
func (v *visitor) ask(ctx context.Context, method, path string, header map[string]string) (*page, error) {
	u := *v.base
	ref, err := url.Parse(path)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", path, err)
	}
	u.Path, u.RawPath, u.RawQuery = joinPath(v.base.Path, ref.Path), "", ref.RawQuery
	if ref.RawPath != "" {
		u.RawPath = joinPath(v.base.EscapedPath(), ref.RawPath)
	}
	return v.do(ctx, v.client, method, u.String(), path, header)
}

func (v *visitor) do(ctx context.Context, client *http.Client, method, address, path string, header map[string]string) (*page, error) {
	if v.made++; v.made > maxRequests {
		return nil, errEnough
	}
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", path, err)
	}
	req.Header.Set("User-Agent", "supervisor-scan")
	req.Header.Set("Accept", "text/html,application/json;q=0.9,*/*;q=0.8")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil && len(body) == 0 {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return &page{path: path, status: resp.StatusCode, header: resp.Header, body: string(body), tls: resp.TLS}, nil
}

// joinPath puts a path below the site's own.
func joinPath(base, path string) string {
	for base != "" && base[len(base)-1] == '/' {
		base = base[:len(base)-1]
	}
	return base + path
}

// plain asks for the site without TLS. ok is false when nothing answers there.
func (v *visitor) plain(ctx context.Context) (p *page, ok bool) {
	address := v.target.ConnectPlain
	if address == "" {
		address = net.JoinHostPort(v.base.Hostname(), "80")
	}
	transport := &http.Transport{DialContext: dialTo(address), DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: patience, CheckRedirect: v.client.CheckRedirect}
	u := url.URL{Scheme: "http", Host: v.base.Hostname(), Path: v.base.Path}
	p, err := v.do(ctx, client, http.MethodGet, u.String(), "http", nil)
	return p, err == nil
}

// oldTLS reports whether the site still speaks a version of TLS that is broken.
func (v *visitor) oldTLS(ctx context.Context) (version string, spoken bool) {
	address := v.target.Connect
	if address == "" {
		port := v.base.Port()
		if port == "" {
			port = strconv.Itoa(443)
		}
		address = net.JoinHostPort(v.base.Hostname(), port)
	}
	suites := append(tls.CipherSuites(), tls.InsecureCipherSuites()...)
	ids := make([]uint16, len(suites))
	for i, s := range suites {
		ids[i] = s.ID
	}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{
		ServerName: v.base.Hostname(), CipherSuites: ids,
		MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, //nolint:gosec // It is asked whether they are still spoken.
		InsecureSkipVerify: true, //nolint:gosec // As above.
	}}
	v.made++
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", false
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	if c, ok := conn.(*tls.Conn); ok {
		return tls.VersionName(c.ConnectionState().Version), true
	}
	return "", false
}
