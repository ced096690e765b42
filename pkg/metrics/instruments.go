package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Instruments are the figures that are counted as things happen, and the registry that shows everything. It is safe for
// concurrent use.
type Instruments struct {
	registry  *prometheus.Registry
	requests  *prometheus.HistogramVec
	reconcile *prometheus.HistogramVec
}

// NewInstruments makes a registry with our own process, the Go runtime, the build, and the given collectors.
func NewInstruments(version string, more ...prometheus.Collector) (*Instruments, error) {
	i := &Instruments{
		registry: prometheus.NewPedanticRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "http", Name: "request_duration_seconds",
			Help:    "Time to answer a request to the API, by route, method and status code.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route", "method", "code"}),
		reconcile: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "reconcile", Name: "duration_seconds",
			Help:    "Time of one reconcile, by kind and result: done, waiting, error, terminal.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"kind", "result"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the version is in the label.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	for _, c := range append([]prometheus.Collector{
		i.requests, i.reconcile, build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, more...) {
		if err := i.registry.Register(c); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// Gatherer gives access to everything that is registered.
func (i *Instruments) Gatherer() prometheus.Gatherer { return i.registry }

// Handler serves the exposition.
func (i *Instruments) Handler() http.Handler {
	return promhttp.HandlerFor(i.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 2 * scrapeBudget,
	})
}

// ObserveRequest counts an answered request. route is the pattern that matched ("/api/services/:name"), never the path, of
// which there is no end; an empty one is counted as "other".
func (i *Instruments) ObserveRequest(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "other"
	}
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // a client may send any word
	}
	i.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

// ObserveReconcile counts a reconcile. result is one of done, waiting, error, terminal.
func (i *Instruments) ObserveReconcile(kind, result string, took time.Duration) {
	i.reconcile.WithLabelValues(kind, result).Observe(took.Seconds())
}
