package rest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/philiporange/supervisor/api/wire"
)

// via is how a caller proved who it is.
type via int

const (
	viaLoopback via = iota + 1 // a program on this machine, asking for us by name
	viaToken                   // the bearer token
	viaCookie                  // a browser that came by a login link
	viaSocket                  // the unix socket, by the kernel's word
)

// caller is who calls.
type caller struct {
	via   via
	uid   int // over the socket
	agent string
}

// actor is the caller as events and intents name it.
func (c caller) actor() string {
	switch c.via {
	case viaSocket:
		return fmt.Sprintf("user:%d (%s)", c.uid, c.agent)
	case viaToken:
		return "api token (" + c.agent + ")"
	case viaCookie:
		return "dashboard"
	}
	return "local (" + c.agent + ")"
}

// trusted callers may see secrets.
func (c caller) trusted() bool { return c.via == viaSocket || c.via == viaToken }

// Authorizer decides who may call.
//
//	unix socket            the same user, or root
//	Authorization: Bearer  the token
//	cookie                 made by a login link; to change something the request must come from our own page
//	loopback, no token     Host, Origin and Sec-Fetch-Site are ours, nothing forwarded the request, and it is of the same user, or root
//
// A page in the user's browser can send requests to loopback, under its own name (DNS rebinding) or ours (cross-site), and
// a proxy on this machine makes everybody look local. These must show the token.
type Authorizer struct {
	token secret
	login logins
	hosts []string
	uid   int
	log   *slog.Logger
}

// NewAuthorizer returns an Authorizer with a token (see LoadToken). hosts are names beside localhost, 127.0.0.1 and ::1
// under which programs on this machine may ask without a token.
func NewAuthorizer(token string, hosts []string, log *slog.Logger) *Authorizer {
	a := &Authorizer{token: newSecret(token), uid: os.Geteuid(), log: log}
	a.login.key = deriveKey(token, "cookie")
	a.hosts = append(a.hosts, "localhost", "127.0.0.1", "::1")
	for _, h := range hosts {
		a.hosts = append(a.hosts, strings.ToLower(strings.TrimSuffix(h, ".")))
	}
	return a
}

// authorize returns who calls, or an *Error.
func (a *Authorizer) authorize(r *http.Request) (caller, error) {
	c := caller{agent: agentOf(r)}
	if p, ok := r.Context().Value(peerKey{}).(peer); ok {
		return a.authorizePeer(c, p)
	}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || !a.token.matches(strings.TrimSpace(token)) {
			return c, Errorf(wire.CodeUnauthorized, "the token is not valid; it is in the file `token` of the data directory")
		}
		c.via = viaToken
		return c, nil
	}
	if a.login.valid(r) {
		if changes(r.Method) && !sameOrigin(r) {
			return c, Errorf(wire.CodeForbidden, "a page of another site may not change anything here")
		}
		c.via = viaCookie
		return c, nil
	}
	if reason := a.foreign(r); reason != "" {
		return c, Errorf(wire.CodeUnauthorized, "%s, so the token is needed: Authorization: Bearer TOKEN, or a login link from `supervisor login`", reason)
	}
	c.via = viaLoopback
	return c, nil
}

func (a *Authorizer) authorizePeer(c caller, p peer) (caller, error) {
	c.via, c.uid = viaSocket, p.uid
	switch {
	case p.err != nil:
		return c, &Error{Code: wire.CodeForbidden, Detail: "the kernel does not say who is calling", Cause: p.err}
	case p.uid != a.uid && p.uid != 0:
		return c, Errorf(wire.CodeForbidden, "user %d may not control the supervisor of user %d", p.uid, a.uid)
	}
	return c, nil
}

// foreign says what keeps a request from passing as one of a program on this machine; empty when nothing does.
func (a *Authorizer) foreign(r *http.Request) string {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return "the request comes from another machine"
	}
	if reason := a.anothers(r); reason != "" {
		return reason
	}
	for name := range r.Header {
		if forwarding(name) {
			return "the request was forwarded (" + name + ")"
		}
	}
	if !a.ourHost(r) {
		return fmt.Sprintf("the request is for %.100q, which is not a name of this supervisor", r.Host)
	}
	if !sameOrigin(r) && (r.Header.Get("Origin") != "" || r.Header.Get("Referer") != "" || r.Header.Get("Sec-Fetch-Site") != "") {
		return "the request was made by a page of another site"
	}
	return ""
}

// anothers says that the program which asks is another user's: who may ask here may run programs as us. Empty when it is ours.
func (a *Authorizer) anothers(r *http.Request) string {
	owner, ok := r.Context().Value(ownerKey{}).(func() (int, error))
	if !ok {
		return ""
	}
	switch uid, err := owner(); {
	case errors.Is(err, fs.ErrNotExist): // a kernel that does not tell
	case err != nil:
		a.log.Debug("a connection is nobody's", "err", err)
		return "it cannot be told whose program is asking"
	case uid != a.uid && uid != 0:
		return fmt.Sprintf("the request comes from a program of user %d, and this is the supervisor of user %d", uid, a.uid)
	}
	return ""
}

// ourHost reports whether the Host header is one of our names with the port that was called.
func (a *Authorizer) ourHost(r *http.Request) bool {
	host, port := r.Host, "80"
	if h, p, err := net.SplitHostPort(r.Host); err == nil {
		host, port = h, p
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if !slices.Contains(a.hosts, host) {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && port == strconv.Itoa(local.Port)
}

// sameOrigin reports whether a browser says that the request comes from a page of the very host that it is for, or from
// the user's own hand. It is false when nothing is said.
func sameOrigin(r *http.Request) bool {
	said := false
	switch r.Header.Get("Sec-Fetch-Site") {
	case "":
	case "same-origin":
		said = true
	case "none":
		// Typed by the user: enough to look, and never what a script sends to change something.
		said = !changes(r.Method)
	default:
		return false
	}
	for _, name := range []string{"Origin", "Referer"} {
		value := r.Header.Get(name)
		if value == "" {
			continue
		}
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
		said = true
	}
	return said
}

// changes reports whether a method may change something.
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// forwarding reports whether a header is one that a proxy adds.
func forwarding(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "fastly-client-ip", "fly-client-ip", "x-proxyuser-ip":
		return true
	}
	for _, prefix := range []string{"x-forwarded", "cf-", "x-original-", "x-envoy-", "x-amzn-", "x-azure-", "tailscale-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// agentOf is the first word of the User-Agent, for the log and the actor.
func agentOf(r *http.Request) string {
	agent, _, _ := strings.Cut(r.UserAgent(), " ")
	agent = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, agent)
	if agent == "" {
		return "unknown program"
	}
	return agent[:min(len(agent), 60)]
}

// peerKey is the context key of the unix socket's peer.
type peerKey struct{}

// ownerKey is the context key of what finds the user at the other end of a connection within this machine.
type ownerKey struct{}

// peer is who holds the other end of a unix socket.
type peer struct {
	uid int
	err error
}

// withPeer is an http.Server's ConnContext: the kernel is asked once for each connection, of TCP only when somebody wants to know.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if inner, ok := conn.(interface{ Unwrap() net.Conn }); ok {
		conn = inner.Unwrap()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		return context.WithValue(ctx, ownerKey{}, sync.OnceValues(func() (int, error) { return ownerOf(tcp) }))
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerUID(unixConn)
	return context.WithValue(ctx, peerKey{}, peer{uid: uid, err: err})
}
