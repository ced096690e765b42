package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/controllers/route"
	"github.com/philiporange/supervisor/pkg/caddy"
	"github.com/philiporange/supervisor/pkg/reconcile"
	"github.com/philiporange/supervisor/pkg/settings"
)

// routing is everything that has to do with Caddy. It fits it onto the API.
type routing struct {
	app        *App
	mode       string
	client     *caddy.Client // nil in mode off
	reconciler *route.Reconciler
	checker    *route.Checker
	loop       *reconcile.Loop
	// seen is what of each service was seen last; the observer owns it.
	seen map[string]seen
}

// seen is what of a service concerns its routes.
type seen struct {
	phase   v1.Phase
	stopped string // why, when it does not run by somebody's will
	ports   string
	exposed bool // its status says how it is exposed
}

// makeRoutes makes what brings routes to Caddy.
func (a *App) makeRoutes() (*routing, error) {
	s := a.settings
	r := &routing{app: a, mode: s.CaddyMode, seen: map[string]seen{}}
	if r.mode == settings.CaddyAuto {
		r.mode = settings.CaddyAPI
		if caddy.Usable(s.CaddyConfigFile, s.CaddyFile) {
			r.mode = settings.CaddyFile
		}
	}
	domain, domainPort := s.CaddyDomainSite()
	way, err := r.way(caddy.Layout{Bind: s.CaddyBind, PathsHost: domain, PathsPort: domainPort})
	if err != nil {
		return nil, err
	}
	at := "127.0.0.1"
	if len(s.CaddyBind) > 0 {
		at = s.CaddyBind[0]
	}
	r.checker = route.NewChecker(at, func() { r.loop.Add(route.Key) })
	r.reconciler = route.New(route.Config{
		Services: r.services, Ready: a.loaded, Upstream: a.upstreams.Path, Port: r.port, Way: way, Always: r.mode == settings.CaddyFile,
		Sites: route.Sites{
			DomainHost: domain, DomainPort: domainPort, Base: s.CaddyBaseHost(), Port: s.CaddyPort, HTTPPort: s.CaddyHTTPPort,
			CloseDelay: s.CaddyStreamCloseDelay, Dashboard: s.CaddyDashboard, DashboardAt: r.dashboard(),
		},
		Load: r.load, Save: r.save, Record: func(e v1.Event) { a.store.RecordEvent(e) }, Checker: r.checker, Log: a.log,
		Exposed: func(service, url string, c *v1.Condition) bool {
			return a.store.SetExposed(v1.Key{Kind: v1.KindService, Name: service}, url, c)
		},
		Enqueue: func() { r.loop.Add(route.Key) },
	})
	r.loop = reconcile.New(r.reconciler, 1, a.log)
	return r, nil
}

// way is how routes reach Caddy; nil in mode off.
func (r *routing) way(layout caddy.Layout) (caddy.Way, error) {
	s := r.app.settings
	admin := s.CaddyAdminURL
	if r.mode == settings.CaddyManaged {
		admin = "unix/" + r.socket()
	}
	if r.mode == settings.CaddyOff {
		return nil, nil //nolint:nilnil // No way is what is meant.
	}
	var err error
	if r.client, err = caddy.NewClient(admin); err != nil {
		return nil, err
	}
	if r.mode == settings.CaddyFile {
		return &caddy.FileWay{Client: r.client, Main: s.CaddyConfigFile, Fragment: s.CaddyFile, Layout: layout}, nil
	}
	way := &caddy.APIWay{Client: r.client, Owner: caddy.NewOwner(s.Dir), Bind: s.CaddyBind, Layout: layout}
	if r.mode == settings.CaddyManaged {
		r.client.Remedy = "see what `supervisor describe caddy` says, as Caddy is a service here"
		if err := r.prepareCaddy(); err != nil {
			return nil, err
		}
		way.Keep = func(config any) error { return caddy.WriteConfig(r.config(), config) }
	}
	return way, nil
}

// dashboard is where the API listens, for a Caddy on this machine; empty while the kernel has yet to choose a port.
func (r *routing) dashboard() string {
	s := r.app.settings
	if s.CaddyDashboard == "" || s.Port == 0 {
		return ""
	}
	host := s.Host
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(s.Port))
}

func (r *routing) services() []route.Service {
	objects := r.app.desired.List(v1.KindService)
	out := make([]route.Service, 0, len(objects))
	for _, o := range objects {
		if svc, ok := o.(*v1.Service); ok {
			out = append(out, route.Service{Service: svc, Observed: r.app.store.Status(svc.Key())})
		}
	}
	return out
}

// port is the port that a replica has, or had last.
func (r *routing) port(service string, replica int) int {
	key := v1.Key{Kind: v1.KindService, Name: service}
	if st := r.app.store.Status(key); st != nil {
		for i := range st.Replicas {
			if st.Replicas[i].Index == replica && st.Replicas[i].Port != 0 {
				return st.Replicas[i].Port
			}
		}
	}
	port, _ := r.app.store.Port(key.String() + "/" + strconv.Itoa(replica))
	return port
}

// kept is the file that remembers what Caddy was given.
func (r *routing) kept() string { return filepath.Join(r.app.settings.Dir, "caddy-routes.json") }

func (r *routing) load() []caddy.Route {
	text, err := os.ReadFile(r.kept())
	if err != nil {
		return nil
	}
	var routes []caddy.Route
	if err := json.Unmarshal(text, &routes); err != nil {
		r.app.log.Warn("what Caddy was given before cannot be read; it is found out anew", "err", err)
		return nil
	}
	return routes
}

func (r *routing) save(routes []caddy.Route) error { return caddy.WriteConfig(r.kept(), routes) }

// run works until ctx ends. Routes stay as they are then: services run on.
func (r *routing) run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.loop.Run(ctx, r.app.loaded)
	}()
	r.loop.Add(route.Key)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if r.client == nil {
			return
		}
		select {
		case <-r.reconciler.Needed():
			r.client.Watch(ctx, r.reconciler.Moved)
		case <-ctx.Done():
		}
	}()
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		r.checker.Run(ctx)
	}()
	if r.mode == settings.CaddyManaged {
		r.installCaddy(ctx)
	}
	r.observe(ctx)
	for _, part := range []chan struct{}{done, watched, checked} {
		<-part
	}
}

// observe nudges the reconciler whenever something about a service is different.
func (r *routing) observe(ctx context.Context) {
	for ctx.Err() == nil {
		seq, _ := r.app.store.Snapshot()
		changes, err := r.app.store.Subscribe(ctx, seq)
		if errors.Is(err, v1.ErrGap) {
			continue // more has changed between the two calls than is kept
		}
		if err != nil {
			return
		}
		r.reconciler.Nudge()
		for c := range changes { // closed when ctx ends, or when we were too slow
			if c.Key.Kind != v1.KindService {
				continue
			}
			switch c.Kind {
			case v1.ChangeObject:
				delete(r.seen, c.Key.Name)
				r.reconciler.Nudge()
			case v1.ChangeStatus:
				r.look(c.Key, c.Status)
			}
		}
	}
}

// look tells what of a service is different. A service that crashes changes its status all the time, and nothing here.
func (r *routing) look(key v1.Key, st *v1.ServiceStatus) {
	was, known := r.seen[key.Name]
	now := seen{phase: st.Phase, exposed: v1.FindCondition(st.Conditions, v1.ConditionExposed) != nil}
	for i := range st.Replicas {
		now.ports += strconv.Itoa(r.port(key.Name, i)) + " "
	}
	if ready := v1.FindCondition(st.Conditions, v1.ConditionReady); st.Phase == v1.PhaseStopped && ready != nil {
		now.stopped = ready.Reason
	}
	r.seen[key.Name] = now
	if !known || was.phase != now.phase {
		r.checker.Again(key.Name)
	}
	if !known || was.stopped != now.stopped || was.ports != now.ports || was.exposed != now.exposed {
		r.reconciler.Nudge()
	}
}

// Config implements rest.Router.
func (r *routing) Config() wire.CaddyConfig {
	text, routes := r.reconciler.Text()
	out := wire.CaddyConfig{Caddyfile: text, Services: []wire.CaddyService{}}
	urls := map[string]string{}
	for i := range routes {
		if urls[routes[i].Name] == "" {
			urls[routes[i].Name] = routes[i].URL()
		}
	}
	for _, svc := range r.services() {
		if !svc.Exposed() {
			continue
		}
		s := wire.CaddyService{Name: svc.Metadata.Name, URL: urls[svc.Metadata.Name]}
		if port := r.port(s.Name, 0); svc.Spec.Port.Number != 0 || port != 0 {
			if svc.Spec.Port.Number != 0 {
				port = svc.Spec.Port.Number
			}
			s.Port = &port
		}
		if path := svc.Spec.Expose.Path; path != "" {
			s.Path = &path
		}
		out.Services = append(out.Services, s)
	}
	return out
}

// Current implements rest.Router.
func (r *routing) Current(ctx context.Context) (any, error) {
	if r.client == nil {
		return nil, rest.Errorf(wire.CodeUnavailable, "there is no Caddy: CADDY_MODE is off")
	}
	config, _, err := r.client.Config(ctx)
	return config, inRouterWords(err)
}

// Reload implements rest.Router.
func (r *routing) Reload(ctx context.Context, actor string) error {
	err := r.reconciler.Reload(ctx)
	if err == nil {
		r.app.store.RecordEvent(v1.Event{Type: v1.EventNormal, Reason: "CaddyReloaded", Message: "Caddy has loaded its configuration anew", Actor: actor})
	}
	return inRouterWords(err)
}

// inRouterWords puts errors of Caddy into the API's.
func inRouterWords(err error) error {
	var unreachable *caddy.UnreachableError
	var rejected *caddy.RejectedError
	var setup *caddy.SetupError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unreachable), errors.As(err, &setup):
		return rest.Errorf(wire.CodeUnavailable, "%v", err)
	case errors.As(err, &rejected):
		return rest.Errorf(wire.CodeUnprocessed, "%v", err)
	case errors.Is(err, caddy.ErrChanged):
		return rest.Errorf(wire.CodeConflict, "%v; try again", err)
	}
	return err
}

// Routes implements rest.Router.
func (r *routing) Routes() wire.Routes {
	v := r.reconciler.View()
	out := wire.Routes{Mode: r.mode, Reloads: v.Reloads, Healed: v.Healed, LastError: v.LastError, Drift: v.Drift, Routes: []wire.Route{}}
	if r.client != nil {
		out.Admin = r.client.Admin()
	}
	if r.mode == settings.CaddyFile {
		out.File = r.app.settings.CaddyFile
	}
	out.State, out.Message = r.state(&v)
	if !v.LastReload.IsZero() {
		out.LastReload = &v.LastReload
	}
	if !v.LastErrAt.IsZero() {
		out.LastErrorAt = &v.LastErrAt
	}
	if !v.DriftAt.IsZero() {
		out.DriftAt = &v.DriftAt
	}
	for i := range v.Routes {
		view := &v.Routes[i]
		if view.Dashboard() {
			out.Dashboard = view.URL()
		}
		out.Routes = append(out.Routes, routeOf(view))
	}
	return out
}

func (r *routing) state(v *route.View) (state, message string) {
	var unreachable *caddy.UnreachableError
	switch {
	case r.client == nil:
		return wire.CaddyStateOff, "CADDY_MODE is off, so no routes are served"
	case errors.As(v.Failure, &unreachable):
		return wire.CaddyStateUnreachable, v.Failure.Error()
	case v.Failure != nil:
		return wire.CaddyStateRejected, v.Failure.Error()
	case len(v.Routes) == 0:
		return wire.CaddyStateIdle, "no service asks for a route; write `expose: {subdomain: NAME}` into a manifest"
	case !v.Delivered:
		return wire.CaddyStatePending, "the routes are on their way to Caddy"
	case v.LastError != "":
		return wire.CaddyStateRejected, v.LastError
	}
	return wire.CaddyStateServing, fmt.Sprintf("Caddy serves %d routes", len(v.Routes))
}

func routeOf(v *route.RouteView) wire.Route {
	out := wire.Route{
		Service: v.Service, Host: v.Host, Port: v.Port, Path: v.Path, TLS: string(v.TLS), Upstreams: []string{}, Served: v.Served, Exposed: v.Condition,
	}
	if v.Host != "" {
		out.URL = v.URL()
		out.Stopped = len(v.Upstreams) == 0
	}
	for _, u := range v.Upstreams {
		out.Upstreams = append(out.Upstreams, u.String())
	}
	if a := v.Answer; a != nil {
		out.Answers, out.Answer, out.CheckedAt, out.Milliseconds = &a.OK, a.Text, &a.At, float64(a.Took.Microseconds())/1000
	}
	return out
}

var _ rest.Router = (*routing)(nil)
