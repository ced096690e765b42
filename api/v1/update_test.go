package v1_test

import (
	"strings"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// What an update without downtime and a service on demand need, and what is refused without it.
func TestUpdateAndDemandNeed(t *testing.T) {
	t.Parallel()
	type edit = func(*v1.ServiceSpec)
	rolls := func(s *v1.ServiceSpec) {
		s.Port.Auto, s.Update.Strategy = true, v1.UpdateRolling
		s.Probes.Readiness = &v1.Probe{TCPSocket: &v1.TCPSocket{}}
		s.Expose = &v1.Expose{Subdomain: "web"}
	}
	onDemand := func(s *v1.ServiceSpec) {
		rolls(s)
		s.Update.Strategy, s.Expose.OnDemand = "", true
	}
	for name, tt := range map[string]struct {
		edits []edit
		want  string // empty: it is fine
	}{
		"rolling":                 {[]edit{rolls}, ""},
		"rolling, a fixed port":   {[]edit{rolls, func(s *v1.ServiceSpec) { s.Port = v1.Port{Number: 8000} }}, "port: auto"},
		"rolling, no probe":       {[]edit{rolls, func(s *v1.ServiceSpec) { s.Probes = v1.Probes{} }}, "spec.probes.readiness"},
		"rolling, not exposed":    {[]edit{rolls, func(s *v1.ServiceSpec) { s.Expose = nil }}, "without Caddy in front"},
		"rolling, not now":        {[]edit{rolls, func(s *v1.ServiceSpec) { s.Expose.Enabled = new(bool) }}, "without Caddy in front"},
		"a drain of weeks":        {[]edit{rolls, func(s *v1.ServiceSpec) { s.Update.Drain = v1.D(500 * time.Hour) }}, "too long"},
		"no time to become ready": {[]edit{rolls, func(s *v1.ServiceSpec) { s.Update.ProgressDeadline = v1.D(0) }}, "too short"},
		"a drain of Recreate":     {[]edit{func(s *v1.ServiceSpec) { s.Update.Drain = v1.D(time.Second) }}, "strategy: Rolling"},
		"on demand":               {[]edit{onDemand}, ""},
		"on demand, no probe":     {[]edit{onDemand, func(s *v1.ServiceSpec) { s.Probes = v1.Probes{} }}, "spec.probes.readiness"},
		"on demand, never idle":   {[]edit{onDemand, func(s *v1.ServiceSpec) { s.Expose.Idle = v1.D(time.Millisecond) }}, "too short"},
		"idle, and always there":  {[]edit{rolls, func(s *v1.ServiceSpec) { s.Expose.Idle = v1.D(time.Minute) }}, "onDemand: true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &v1.Service{
				TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService},
				Metadata: v1.ObjectMeta{Name: "web"}, Spec: v1.ServiceSpec{Command: v1.Command{Line: "run"}},
			}
			for _, e := range tt.edits {
				e(&s.Spec)
			}
			s.Default()
			errs := s.Validate()
			switch {
			case tt.want == "" && len(errs) > 0:
				t.Errorf("refused: %v", errs)
			case tt.want != "" && !strings.Contains(errs.Error(), tt.want):
				t.Errorf("%v does not say %q", errs, tt.want)
			}
		})
	}
}
