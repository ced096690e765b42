package route

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy"
)

// Service is a service that may ask for routes, and what is known of it.
type Service struct {
	*v1.Service
	// Status may be nil.
	Observed *v1.ServiceStatus
}

// Sites says where routes are.
type Sites struct {
	// DomainHost and DomainPort are the site below which services have a path. Base is the domain below which they have a
	// subdomain; Port is theirs, HTTPPort that of sites without TLS.
	DomainHost string
	DomainPort int
	Base       string
	Port       int
	HTTPPort   int
	// CloseDelay is how long a WebSocket outlives a reload where the manifest does not say.
	CloseDelay time.Duration
	// Dashboard is the subdomain or host of the supervisor itself, and DashboardAt where it listens; empty for none.
	Dashboard, DashboardAt string
}

// dashboardName is the name of the supervisor's own route, which no service can have.
const dashboardName = "@dashboard"

// Reasons of the condition Exposed.
const (
	reasonAnswers     = "Answers"
	reasonSilent      = "NotAnswering"
	reasonServed      = "Served"
	reasonStopped     = "Stopped"
	reasonNoPort      = "NoPort"
	reasonTaken       = "AddressTaken"
	reasonInvalid     = "Invalid"
	reasonRejected    = "Rejected"
	reasonSetup       = "CaddySetup"
	reasonUnreachable = "CaddyUnreachable"
	reasonOff         = "CaddyOff"
)

// wish is what one service asks for: routes, or the reason why there cannot be any.
type wish struct {
	name            string
	routes          []caddy.Route
	reason, message string
	// checkPath is asked for when a check goes through Caddy; empty for none.
	checkPath string
}

// plan says what should be served. upstream is the file that Caddy reads where a replica is; port is the port of a replica,
// 0 when it has none yet. It is pure, and the same for the same services in whatever order.
func plan(services []Service, s Sites, upstream func(service string, replica int) string, port func(service string, replica int) int) []wish {
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b Service) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
	var out []wish
	taken := map[string]string{}
	claim := func(w *wish) {
		for i := range w.routes {
			r := &w.routes[i]
			address := strings.ToLower(r.Site())
			if holder, ok := taken[address]; ok {
				w.routes, w.reason, w.message = nil, reasonTaken, fmt.Sprintf("%s is the address of %s; choose another", r.Site(), holder)
				return
			}
			if err := r.Check(); err != nil {
				w.routes, w.reason, w.message = nil, reasonInvalid, err.Error()
				return
			}
		}
		for i := range w.routes {
			taken[strings.ToLower(w.routes[i].Site())] = strings.TrimPrefix(w.name, "@")
		}
	}
	if s.Dashboard != "" && s.DashboardAt != "" {
		w := wish{name: dashboardName, routes: []caddy.Route{dashboard(s)}, checkPath: "/healthz"}
		claim(&w)
		out = append(out, w)
	}
	for _, svc := range services {
		if !svc.Exposed() {
			continue
		}
		w := wish{name: svc.Metadata.Name, checkPath: checkPath(svc.Service)}
		upstreams, reason, message := upstreamsOf(svc, upstream, port)
		if reason == "" && svc.Spec.Expose.TLS == v1.TLSOff && s.Port == s.HTTPPort {
			reason, message = reasonInvalid, fmt.Sprintf("tls: off needs a port of its own, and CADDY_HTTP_PORT is CADDY_PORT, %d; change one of them", s.Port)
		}
		if reason != "" {
			w.reason, w.message = reason, message
		} else {
			w.routes = routesOf(svc.Service, s, upstreams)
			claim(&w)
		}
		out = append(out, w)
	}
	return out
}

func dashboard(s Sites) caddy.Route {
	host := s.Dashboard
	if !strings.Contains(host, ".") {
		host += "." + s.Base
	}
	return caddy.Route{
		Name: dashboardName, Host: host, Port: s.Port, TLS: caddy.TLSAuto, Upstreams: []caddy.Upstream{{Address: s.DashboardAt}}, StreamCloseDelay: s.CloseDelay,
	}
}

// upstreamsOf are where requests for a service go; none and no reason means that it is stopped.
func upstreamsOf(svc Service, upstream func(string, int) string, port func(string, int) int) (out []caddy.Upstream, reason, message string) {
	name := svc.Metadata.Name
	if stopped(svc) {
		return nil, "", ""
	}
	byFile := svc.RoutedByFile()
	for replica := range max(1, svc.ReplicaCount()) {
		if byFile {
			out = append(out, caddy.Upstream{File: upstream(name, replica)})
			continue
		}
		n := svc.Spec.Port.Number
		if svc.Spec.Port.Auto {
			n = port(name, replica)
		}
		if n != 0 {
			out = append(out, caddy.Upstream{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(n))})
		}
	}
	if len(out) == 0 {
		return nil, reasonNoPort, "its port is chosen when it starts for the first time"
	}
	return out, "", ""
}

// stopped reports whether a service does not run because somebody wants it so. Whatever else keeps it from running is no
// reason to touch Caddy.
func stopped(svc Service) bool {
	if svc.ReplicaCount() == 0 {
		return true
	}
	if svc.Observed == nil {
		return !svc.IsEnabled()
	}
	// One that is idle runs at the next request.
	ready := v1.FindCondition(svc.Observed.Conditions, v1.ConditionReady)
	return svc.Observed.Phase == v1.PhaseStopped && (ready == nil || ready.Reason != v1.ReasonIdle)
}

func routesOf(svc *v1.Service, s Sites, upstreams []caddy.Upstream) []caddy.Route {
	e := svc.Spec.Expose
	var out []caddy.Route
	for _, site := range e.Sites(s.DomainHost, s.Base) {
		r := caddy.Route{
			Name: svc.Metadata.Name, Host: site.Host, Port: s.Port, Path: site.Path, TLS: caddy.TLSAuto, Upstreams: upstreams,
			Strip: e.StripPath == nil || *e.StripPath, Headers: maps.Clone(e.Headers), RequestHeaders: maps.Clone(e.RequestHeaders),
			BasicAuth: maps.Clone(e.BasicAuth), StreamTimeout: e.StreamTimeout.Or(0), StreamCloseDelay: e.StreamCloseDelay.Or(s.CloseDelay),
		}
		if e.Host == "" && e.Subdomain == "" {
			r.Port = s.DomainPort
		}
		switch e.TLS {
		case v1.TLSInternal:
			r.TLS = caddy.TLSInternal
		case v1.TLSOff:
			r.TLS, r.Port = caddy.TLSOff, s.HTTPPort
		}
		out = append(out, r)
	}
	return out
}

// checkPath is what a check asks for: what the readiness probe does, where there is one. A service that runs on demand is not
// asked: that would start it.
func checkPath(svc *v1.Service) string {
	if svc.OnDemand() {
		return ""
	}
	if p := svc.Spec.Probes.Readiness; p != nil && p.HTTPGet != nil && (p.HTTPGet.Port == 0 || p.HTTPGet.Port == svc.Spec.Port.Number) {
		return p.HTTPGet.Path
	}
	return "/"
}

// flat are the routes of all wishes, but for those of some names.
func flat(wishes []wish, without map[string]bool) []caddy.Route {
	out := []caddy.Route{}
	for _, w := range wishes {
		if !without[w.name] {
			out = append(out, w.routes...)
		}
	}
	return out
}

// with is base with the routes of some names replaced by those of want.
func with(base, want []caddy.Route, names []string) []caddy.Route {
	out := slices.DeleteFunc(slices.Clone(base), func(r caddy.Route) bool { return slices.Contains(names, r.Name) })
	for _, r := range want {
		if slices.Contains(names, r.Name) {
			out = append(out, r)
		}
	}
	return out
}

// namesOf are the names in some routes, in order.
func namesOf(routes []caddy.Route) []string {
	names := make([]string, len(routes))
	for i := range routes {
		names[i] = routes[i].Name
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func only(routes []caddy.Route, name string) []caddy.Route {
	var out []caddy.Route
	for _, r := range routes {
		if r.Name == name {
			out = append(out, r)
		}
	}
	return out
}
