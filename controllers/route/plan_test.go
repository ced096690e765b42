package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy"
)

var sites = Sites{DomainHost: "apps.test", DomainPort: 8443, Base: "example.test", Port: 443, HTTPPort: 80, CloseDelay: time.Hour}

func service(name string, phase v1.Phase, change func(s *v1.ServiceSpec)) Service {
	s := &v1.Service{Metadata: v1.ObjectMeta{Name: name}}
	s.Spec.Port.Number = 8000
	s.Spec.Expose = &v1.Expose{Subdomain: name}
	if change != nil {
		change(&s.Spec)
	}
	s.Default()
	out := Service{Service: s}
	if phase != "" {
		out.Observed = &v1.ServiceStatus{Phase: phase}
	}
	return out
}

// onDemand is a service that does not run, for a reason.
func onDemand(name, reason string) Service {
	out := service(name, v1.PhaseStopped, func(s *v1.ServiceSpec) { s.Expose.OnDemand = true })
	v1.SetCondition(&out.Observed.Conditions, v1.Condition{Type: v1.ConditionReady, Status: v1.ConditionFalse, Reason: reason})
	return out
}

func upstreamFile(service string, replica int) string {
	return fmt.Sprintf("/up/%s/%d", service, replica)
}

func noPort(string, int) int { return 0 }

// shown is a plan in short: "name: URL -> upstreams" or "name! reason".
func shown(wishes []wish) string {
	var lines []string
	for _, w := range wishes {
		if w.reason != "" {
			lines = append(lines, w.name+"! "+w.reason)
		}
		for i := range w.routes {
			r := &w.routes[i]
			to := make([]string, len(r.Upstreams))
			for j, u := range r.Upstreams {
				to[j] = u.String()
			}
			lines = append(lines, strings.TrimRight(fmt.Sprintf("%s: %s -> %s", w.name, r.URL(), strings.Join(to, " ")), " "))
		}
	}
	return strings.Join(lines, "\n")
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		services []Service
		sites    func(s *Sites)
		port     func(string, int) int
		want     string
	}{
		"nobody asks": {services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose = nil })}},
		"subdomain, host, path": {services: []Service{
			service("a", v1.PhaseRunning, nil),
			service("b", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose = &v1.Expose{Host: "b.test", Path: "/x/"} }),
			service("c", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose = &v1.Expose{Path: "/c"} }),
		}, want: "a: https://a.example.test -> 127.0.0.1:8000\nb: https://b.test/x/ -> 127.0.0.1:8000\nc: https://apps.test:8443/c/ -> 127.0.0.1:8000"},
		"two addresses": {services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose.Host = "a.test" })}, want: "a: https://a.example.test -> 127.0.0.1:8000\na: https://a.test -> 127.0.0.1:8000"},
		"switched off":  {services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { off := false; s.Expose.Enabled = &off })}},
		"plain":         {services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose.TLS = v1.TLSOff })}, want: "a: http://a.example.test -> 127.0.0.1:8000"},
		"plain, and no port for it": {
			services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose.TLS = v1.TLSOff })},
			sites:    func(s *Sites) { s.HTTPPort = s.Port }, want: "a! Invalid",
		},
		"whatever keeps it from running is no reason to touch Caddy": {services: []Service{
			service("a", v1.PhaseBackoff, nil), service("b", v1.PhaseFailed, nil), service("c", v1.PhaseUnready, nil), service("d", v1.PhaseStarting, nil), service("e", v1.PhaseStopping, nil), service("f", "", nil),
		}, want: "a: https://a.example.test -> 127.0.0.1:8000\nb: https://b.example.test -> 127.0.0.1:8000\nc: https://c.example.test -> 127.0.0.1:8000\n" +
			"d: https://d.example.test -> 127.0.0.1:8000\ne: https://e.example.test -> 127.0.0.1:8000\nf: https://f.example.test -> 127.0.0.1:8000"},
		"stopped by somebody's will": {services: []Service{
			service("a", v1.PhaseStopped, nil), service("b", v1.PhaseRunning, func(s *v1.ServiceSpec) { none := 0; s.Replicas = &none }),
			service("c", "", func(s *v1.ServiceSpec) { off := false; s.Enabled = &off }),
		}, want: "a: https://a.example.test ->\nb: https://b.example.test ->\nc: https://c.example.test ->"},
		"a port that is chosen": {
			services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Port = v1.Port{Auto: true} })},
			port:     func(string, int) int { return 4711 }, want: "a: https://a.example.test -> 127.0.0.1:4711",
		},
		"a port that is not chosen yet": {services: []Service{service("a", v1.PhasePending, func(s *v1.ServiceSpec) { s.Port = v1.Port{Auto: true} })}, want: "a! NoPort"},
		"replicas": {
			services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { n := 3; s.Replicas, s.Port = &n, v1.Port{Auto: true} })},
			port:     func(_ string, replica int) int { return []int{1, 0, 3}[replica] }, want: "a: https://a.example.test -> 127.0.0.1:1 127.0.0.1:3",
		},
		"updates without downtime": {
			services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) {
				n := 2
				s.Replicas, s.Port, s.Update.Strategy = &n, v1.Port{Auto: true}, v1.UpdateRolling
			})},
			want: "a: https://a.example.test -> {file./up/a/0} {file./up/a/1}",
		},
		"one that is idle keeps its upstream, one that was stopped does not": {
			services: []Service{onDemand("a", v1.ReasonIdle), onDemand("b", "Stopped")},
			want:     "a: https://a.example.test -> {file./up/a/0}\nb: https://b.example.test ->",
		},
		"one address, two who want it": {services: []Service{
			service("b", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose = &v1.Expose{Host: "a.example.test"} }), service("a", v1.PhaseRunning, nil),
		}, want: "a: https://a.example.test -> 127.0.0.1:8000\nb! AddressTaken"},
		"the supervisor itself comes first": {
			services: []Service{service("sv", v1.PhaseRunning, nil)}, sites: func(s *Sites) { s.Dashboard, s.DashboardAt = "sv", "127.0.0.1:9900" },
			want: "@dashboard: https://sv.example.test -> 127.0.0.1:9900\nsv! AddressTaken",
		},
		"what validation does not know of is refused here": {
			services: []Service{service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) { s.Expose.Headers = map[string]string{"X": "{env.HOME}"} })}, want: "a! Invalid",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, port := sites, noPort
			if tt.sites != nil {
				tt.sites(&s)
			}
			if tt.port != nil {
				port = tt.port
			}
			wishes := plan(tt.services, s, upstreamFile, port)
			if diff := cmp.Diff(tt.want, shown(wishes)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			rand.Shuffle(len(tt.services), func(i, j int) { tt.services[i], tt.services[j] = tt.services[j], tt.services[i] })
			if diff := cmp.Diff(flat(wishes, nil), flat(plan(tt.services, s, upstreamFile, port), nil)); diff != "" {
				t.Errorf("in another order:\n%s", diff)
			}
		})
	}
}

// Everything that a manifest says of a route arrives in it, and what validation lets in, Caddy's last door does too.
func TestPlanCarriesEverything(t *testing.T) {
	t.Parallel()
	strip, timeout := false, v1.Duration(time.Minute)
	svc := service("a", v1.PhaseRunning, func(s *v1.ServiceSpec) {
		s.Expose = &v1.Expose{
			Subdomain: "a", Path: "/p", TLS: v1.TLSInternal, StripPath: &strip, Headers: map[string]string{"X-A": "1", "X-B": ""},
			RequestHeaders: map[string]string{"X-C": `"2\`}, StreamTimeout: &timeout,
			BasicAuth: map[string]string{"bob": "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"},
		}
	})
	svc.TypeMeta = v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}
	svc.Spec.Command = v1.Command{Line: "true"}
	if errs := svc.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	e := svc.Spec.Expose
	want := []caddy.Route{{
		Name: "a", Host: "a.example.test", Port: 443, Path: "/p", TLS: caddy.TLSInternal, Upstreams: []caddy.Upstream{{Address: "127.0.0.1:8000"}},
		Headers: e.Headers, RequestHeaders: e.RequestHeaders, BasicAuth: e.BasicAuth, StreamTimeout: time.Minute, StreamCloseDelay: time.Hour,
	}}
	if diff := cmp.Diff(want, flat(plan([]Service{svc}, sites, upstreamFile, noPort), nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever a manifest says: what its validation lets in, Caddy's last door does too. Otherwise people would be told too late,
// and in other words.
func TestValidationIsEnough(t *testing.T) {
	t.Parallel()
	odd := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9._*/~ {}\\"-]{0,6}`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		svc := service(rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,5}`), odd).Draw(t, "name"), v1.PhaseRunning, func(s *v1.ServiceSpec) {
			s.Command = v1.Command{Line: "true"}
			s.Expose = &v1.Expose{
				Subdomain: rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-z0-9-]{1,4}`), odd).Draw(t, "subdomain"),
				Host:      rapid.OneOf(rapid.Just(""), rapid.StringMatching(`(\*\.)?[a-z0-9.-]{1,6}`), odd).Draw(t, "host"),
				Path:      rapid.OneOf(rapid.Just("/"), rapid.StringMatching(`(/[A-Za-z0-9._~-]{0,3}){1,3}`), odd).Draw(t, "path"),
				Headers:   rapid.MapOfN(rapid.OneOf(rapid.StringMatching(`[Xx]-[aA]`), odd), odd, 0, 2).Draw(t, "headers"),
				BasicAuth: rapid.MapOfN(odd, rapid.SampledFrom([]string{"$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG", "x"}), 0, 1).Draw(t, "accounts"),
			}
		})
		svc.TypeMeta = v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}
		if len(svc.Validate()) > 0 {
			return
		}
		for _, w := range plan([]Service{svc}, sites, upstreamFile, noPort) {
			if w.reason == reasonInvalid {
				t.Fatalf("%+v is valid, and %s", svc.Spec.Expose, w.message)
			}
		}
	})
}
