package v1_test

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
)

const bcrypt = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"

func TestExposeIsValidated(t *testing.T) {
	t.Parallel()
	short := v1.Duration(-1)
	for name, tt := range map[string]struct {
		e    v1.Expose
		want string // part of the errors; empty for none
	}{
		"a subdomain":         {v1.Expose{Subdomain: "web"}, ""},
		"everything":          {v1.Expose{Host: "*.a.test", Path: "/a/b.c~d/", Headers: map[string]string{"X-A": `"\ ';`, "X-B": ""}, BasicAuth: map[string]string{"me@a": bcrypt}}, ""},
		"all of the domain":   {v1.Expose{Path: "/"}, ""},
		"nothing":             {v1.Expose{}, "spec.expose: says nothing"},
		"no DNS label":        {v1.Expose{Subdomain: "my_app"}, "spec.expose.subdomain"},
		"a host with a port":  {v1.Expose{Host: "a.test:80"}, "spec.expose.host"},
		"a host that injects": {v1.Expose{Host: "a.test {\n}"}, "spec.expose.host"},
		"a path that climbs":  {v1.Expose{Path: "/a/../b"}, "spec.expose.path"},
		"a path with a star":  {v1.Expose{Path: "/a*"}, "spec.expose.path"},
		"a double slash":      {v1.Expose{Path: "//a"}, "spec.expose.path"},
		"a TLS mode":          {v1.Expose{Subdomain: "a", TLS: "on"}, "auto, internal, off"},
		"a header's name":     {v1.Expose{Subdomain: "a", Headers: map[string]string{"-X": "1"}}, "spec.expose.headers"},
		"a placeholder":       {v1.Expose{Subdomain: "a", Headers: map[string]string{"X": "{env.HOME}"}}, "spec.expose.headers.X"},
		"a line break":        {v1.Expose{Subdomain: "a", RequestHeaders: map[string]string{"X": "1\r\nY: 2"}}, "spec.expose.requestHeaders.X"},
		"a password":          {v1.Expose{Subdomain: "a", BasicAuth: map[string]string{"bob": "hunter2"}}, "caddy hash-password"},
		"a user's name":       {v1.Expose{Subdomain: "a", BasicAuth: map[string]string{"a b": bcrypt}}, "spec.expose.basicAuth"},
		"one header, twice":   {v1.Expose{Subdomain: "a", Headers: map[string]string{"X-A": "1", "x-a": "2"}}, "one header"},
		"a negative time":     {v1.Expose{Subdomain: "a", StreamTimeout: &short}, "spec.expose.streamTimeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &v1.Service{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}, Metadata: v1.ObjectMeta{Name: "a"}}
			s.Spec.Command, s.Spec.Port.Number, s.Spec.Expose = v1.Command{Line: "true"}, 80, &tt.e
			s.Default()
			got := s.Validate().Error()
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("the password is shown: %s", got)
			}
		})
	}
}

func TestSites(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]v1.Expose{
		"[web.base.test]":            {Subdomain: "web"},
		"[web.base.test/p]":          {Subdomain: "web", Path: "/p/"},
		"[apps.test/p]":              {Path: "/p"},
		"[apps.test]":                {Path: "/"},
		"[web.base.test h.test]":     {Subdomain: "web", Host: "h.test"},
		"[web.base.test/a h.test/a]": {Subdomain: "web", Host: "h.test", Path: "/a"},
		"[h.test]":                   {Host: "h.test"},
		"[x.base.test]":              {Host: "x.base.test", Subdomain: "x"},
	} {
		if got := fmt.Sprint(e.Sites("apps.test", "base.test")); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
