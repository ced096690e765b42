package caddy

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What is generated reads as somebody would have written it, and the same routes are the same bytes in whatever order.
func TestGolden(t *testing.T) {
	for name, tt := range map[string]struct {
		routes []Route
		layout Layout
	}{
		"empty": {},
		"everything": {
			layout: Layout{Bind: []string{"127.0.0.1", "::1"}},
			routes: []Route{
				{Name: "web", Host: "web.example.test", Port: 443, TLS: TLSAuto, Upstreams: []Upstream{{Address: "127.0.0.1:8000"}}, StreamCloseDelay: 24 * time.Hour},
				{
					Name: "admin", Host: "web.example.test", Port: 443, Path: "/admin", TLS: TLSInternal, Strip: true, Upstreams: []Upstream{{File: "/run/supervisor/upstreams/ab/admin/0"}, {File: "/run/supervisor/upstreams/ab/admin/1"}},
					Headers: map[string]string{"x-frame-options": "DENY", "Server": ""}, RequestHeaders: map[string]string{"X-Quote": `say "hi" \ # no comment`},
					BasicAuth: map[string]string{"bob": hash}, StreamTimeout: time.Hour,
				},
				{Name: "docs", Host: "apps.test", Port: 443, Path: "/docs", TLS: TLSAuto, Strip: true, Upstreams: []Upstream{{Address: "127.0.0.1:8001"}}},
				{Name: "old", Host: "old.example.test", Port: 80, TLS: TLSOff},
				{Name: "any", Host: "*.example.test", Port: 443, TLS: TLSAuto, Upstreams: []Upstream{{Address: "127.0.0.1:8002"}}},
			},
		},
		"own-site": {
			layout: Layout{OwnSite: true},
			routes: []Route{{Name: "docs", Host: "apps.test", Port: 443, Path: "/docs", TLS: TLSAuto, Upstreams: []Upstream{{Address: "127.0.0.1:8001"}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.layout.PathsHost, tt.layout.PathsPort = "apps.test", 443
			for i := range tt.routes {
				if err := tt.routes[i].Check(); err != nil {
					t.Fatal(err)
				}
			}
			got := Caddyfile(tt.routes, tt.layout)
			path := filepath.Join("testdata", name+".caddyfile")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got); -update writes it anew:\n%s", path, diff)
			}
			slices.Reverse(tt.routes)
			if Caddyfile(tt.routes, tt.layout) != got {
				t.Error("in another order it is another text")
			}
		})
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Route{
		"https://a.test":       {Host: "a.test", Port: 443, TLS: TLSAuto},
		"https://a.test:8443":  {Host: "a.test", Port: 8443, TLS: TLSInternal},
		"http://a.test":        {Host: "a.test", Port: 80, TLS: TLSOff},
		"http://a.test:443/p":  {Host: "a.test", Port: 443, TLS: TLSOff, Path: "/p"},
		"https://a.test:80/p/": {Host: "a.test", Port: 80, TLS: TLSAuto, Path: "/p", Strip: true},
	} {
		if got := r.URL(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
