package scan

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Options are for tests and for progress.
type Options struct {
	// Roots are the authorities that browsers trust; nil takes the machine's.
	Roots *x509.CertPool
	// Progress is told what is looked at, and how far the scan is, from 0 to 1. It may be nil.
	Progress func(step string, fraction float64)
	// Now is the clock; nil takes the machine's.
	Now func() time.Time
}

// Run looks at a target. It fails when nothing answers there.
func Run(ctx context.Context, t Target, o Options) (*Report, error) {
	if o.Progress == nil {
		o.Progress = func(string, float64) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	v, err := newVisitor(t)
	if err != nil {
		return nil, err
	}
	defer v.close()
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	r := &Report{ServiceName: t.Service, URL: t.URL, ScanTime: o.Now(), Findings: []Finding{}}

	o.Progress("asking for the first page", 0.05)
	first, err := v.arrive(ctx)
	if err != nil {
		return nil, fmt.Errorf("nothing answers at %s: %w", t.URL, err)
	}
	if first.status >= http.StatusInternalServerError {
		r.Notes = append(r.Notes, fmt.Sprintf("the first page answers %d: what was seen may not be what is there when the service is well", first.status))
	}
	o.Progress("looking at transport", 0.15)
	r.Add(v.transport(ctx, first, o)...)
	o.Progress("looking at headers and cookies", 0.3)
	r.Add(v.headers(first)...)
	o.Progress("asking as another site would", 0.4)
	cors, err := v.cors(ctx)
	if err != nil {
		r.Notes = append(r.Notes, "what other sites may do was not looked at: "+err.Error())
	}
	r.Add(cors...)
	o.Progress("looking for open redirects", 0.55)
	r.Add(v.openRedirect(ctx))
	o.Progress("looking for what should not be there", 0.7)
	r.Add(v.disclosure(ctx)...)
	if err := ctx.Err(); err != nil {
		return r, fmt.Errorf("the scan was not finished: %w", context.Cause(ctx))
	}
	r.Requests = v.made
	return r, nil
}

// certificateIn is how long a site that was just exposed may take to get its certificate.
const certificateIn = 15 * time.Second

// arrive asks for the first page. A site that has no certificate yet refuses the handshake, and is asked again.
func (v *visitor) arrive(ctx context.Context) (*page, error) {
	deadline := time.After(certificateIn)
	for {
		first, err := v.ask(ctx, http.MethodGet, "/", nil)
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "remote error" {
			return first, err
		}
		v.made--
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-deadline:
			return nil, err
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (v *visitor) transport(ctx context.Context, first *page, o Options) []Finding {
	out := []Finding{checkHTTPS(v.base).of("transport", "HTTPS")}
	if first.tls == nil {
		return out
	}
	old, spoken := v.oldTLS(ctx)
	host := v.base.Hostname()
	out = append(
		out,
		checkTLS(first.tls, old, spoken).of("transport", "TLS version"),
		checkCertificate(first.tls, host, o.Roots, v.target.Internal, o.Now()).of("transport", "Certificate"),
		checkHSTS(first.header).of("transport", "HSTS"),
		checkMixed(first).of("transport", "Mixed content"),
	)
	if len(first.tls.PeerCertificates) > 0 {
		out = append(out, checkExpiry(first.tls.PeerCertificates[0], o.Now()).of("transport", "Certificate expiry"))
	}
	if v.target.ConnectPlain != "off" {
		plain, ok := v.plain(ctx)
		if !ok {
			plain = nil
		}
		out = append(out, checkPlain(plain, host).of("redirects", "HTTP to HTTPS"))
	}
	return out
}

func (v *visitor) headers(first *page) []Finding {
	out := []Finding{
		checkCSP(first).of("headers", "Content-Security-Policy"),
		checkFraming(first).of("headers", "Framing"),
		checkSniffing(first).of("headers", "X-Content-Type-Options"),
		checkReferrer(first).of("headers", "Referrer-Policy"),
		checkPermissions(first).of("headers", "Permissions-Policy"),
		checkBanner(first).of("disclosure", "Software"),
	}
	cookies := (&http.Response{Header: first.header}).Cookies()
	return append(out, checkCookies(cookies, v.base.Scheme == "https")...)
}
