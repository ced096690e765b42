package testenv_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// benchRouted is a supervisor behind Caddy, with a service that answers as fast as a program can.
func benchRouted(b *testing.B) *routed {
	b.Helper()
	r := routedEnv(b, caddytest.Start(b, ""), "SUPERVISOR_LOG_LEVEL=info")
	r.fast("steady", "steady")
	r.StartManager()
	r.answers("http://steady.example.test/", 200, "ok")
	return r
}

// fast is a service that answers ok, at a subdomain.
func (r *routed) fast(name, subdomain string) {
	r.t.Helper()
	r.Service(name, fmt.Sprintf("command: [%s, respond, --listen, 127.0.0.1:$(PORT), --body, ok]\nport: auto\nexpose: {subdomain: %s, tls: \"off\"}", caddytest.Program(r.t), subdomain))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// From the rename of an edited manifest to the first answer under the new address: with one route, and among a hundred. The
// changes are as far apart as a person's: what comes faster is gathered.
func BenchmarkRouteChange(b *testing.B) {
	for _, others := range []int{0, 100} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			r := benchRouted(b)
			for i := range others {
				// Services that need not run to have a route.
				r.Service(fmt.Sprintf("other%d", i), fmt.Sprintf("command: sleep 1000\nenabled: false\nport: %d\nexpose: {subdomain: other%d, tls: \"off\"}", 20000+i, i))
			}
			r.Wait("all routes", func() bool { return len(r.routes().Routes) == others+1 && r.routes().State == "serving" })
			r.fast("moving", "before")
			r.answers("http://before.example.test/", 200, "ok")
			var took []time.Duration
			b.ResetTimer()
			for i := range b.N {
				address := fmt.Sprintf("moved%d", i)
				b.StopTimer()
				testenv.Poll(2*time.Second, func() bool { return false })
				b.StartTimer()
				begun := time.Now()
				r.fast("moving", address)
				if !testenv.Poll(time.Minute, func() bool { _, _, body := r.get("http://" + address + ".example.test/"); return body == "ok" }) {
					b.Fatal("the route does not answer")
				}
				took = append(took, time.Since(begun))
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(milliseconds(took[len(took)/2]), "p50-ms")
			b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
		})
	}
}

// Requests a second through Caddy, while nothing changes and while manifests change routes ten times a second: one
// iteration is one second.
func BenchmarkRequestsWhileRoutesChange(b *testing.B) {
	for _, changes := range []int{0, 10} {
		b.Run(fmt.Sprintf("changes=%d", changes), func(b *testing.B) {
			r := benchRouted(b)
			before := r.routes().Reloads
			var mu sync.Mutex
			var took []time.Duration
			var failed []string
			end := time.Now().Add(time.Duration(b.N) * time.Second)
			b.ResetTimer()
			var clients sync.WaitGroup
			for range 8 {
				clients.Go(func() {
					client := &http.Client{Transport: caddytest.Transport()}
					defer client.CloseIdleConnections()
					url := fmt.Sprintf("http://steady.example.test:%d/", r.caddy.HTTP)
					for time.Now().Before(end) {
						begun := time.Now()
						resp, err := client.Get(url) //nolint:noctx // It ends with the benchmark.
						status := ""
						if err != nil {
							status = err.Error()
						} else if resp.Body.Close(); resp.StatusCode != http.StatusOK {
							status = resp.Status
						}
						mu.Lock()
						took = append(took, time.Since(begun))
						if status != "" {
							failed = append(failed, status)
						}
						mu.Unlock()
					}
				})
			}
			if changes > 0 {
				tick := time.NewTicker(time.Second / time.Duration(changes))
				defer tick.Stop()
				for i := 0; time.Now().Before(end); i++ {
					<-tick.C
					r.Service("moving", fmt.Sprintf("command: sleep 1000\nenabled: false\nport: 20000\nexpose: {subdomain: moved%d, tls: \"off\"}", i))
				}
			}
			clients.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(len(took))/float64(b.N), "requests/s")
			b.ReportMetric(float64(len(failed)), "failed")
			b.ReportMetric(milliseconds(took[len(took)/2]), "p50-ms")
			b.ReportMetric(milliseconds(took[len(took)*99/100]), "p99-ms")
			b.ReportMetric(float64(r.routes().Reloads-before)/float64(b.N), "reloads/s")
			if len(failed) > 0 {
				b.Logf("failed: %s", strings.Join(failed[:min(5, len(failed))], "; "))
			}
		})
	}
}
