package activator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"time"
)

const (
	// defaultPatience is how long a request waits for a service to become ready.
	defaultPatience = time.Minute
	// defaultQueue is how many requests wait for one service.
	defaultQueue = 256
	// again is the answer's word on when to come again, in seconds.
	again = "5"
)

// Options of an Activator; the zero value takes the defaults but for Wake.
type Options struct {
	// Wake is called when the first request for a service comes, and when nobody asks for it any more. It must not block.
	Wake func(service string)
	// Port and SetPort remember the port of a service, so that an address that was given away stays good.
	Port    func(service string) int
	SetPort func(service string, port int)
	// Patience and Queue bound how long a request waits, and how many do.
	Patience time.Duration
	Queue    int
	Log      *slog.Logger
}

// Activator holds requests. It is safe for concurrent use.
type Activator struct {
	o Options

	mu     sync.Mutex
	held   map[string]*held
	closed bool
}

// held is one service.
type held struct {
	name    string
	address string
	server  *http.Server
	served  chan struct{}

	// What follows is guarded by the Activator's lock.
	asked   int // requests that wait or are under way
	waiting int
	ready   []string
	next    int
	failed  string
	told    chan struct{} // closed and replaced when ready or failed have changed
}

// New returns an activator that holds nothing.
func New(o Options) *Activator {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Activator{o: o, held: map[string]*held{}}
}

// Address is where requests for a service are held. The first call opens it, at the port of the last life where that is free.
func (a *Activator) Address(service string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return "", fmt.Errorf("hold requests for %s: %w", service, net.ErrClosed)
	}
	if h := a.held[service]; h != nil {
		return h.address, nil
	}
	l, err := a.listen(service)
	if err != nil {
		return "", fmt.Errorf("hold requests for %s: %w", service, err)
	}
	h := &held{name: service, address: l.Addr().String(), served: make(chan struct{}), told: make(chan struct{})}
	h.server = &http.Server{Handler: a.handler(h), ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(a.o.Log.Handler(), slog.LevelDebug)}
	a.held[service] = h
	go func() {
		defer close(h.served)
		if err := h.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.o.Log.Error("requests are not held any more", "service", service, "err", err)
		}
	}()
	return h.address, nil
}

func (a *Activator) listen(service string) (net.Listener, error) {
	port := a.o.Port(service)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // At once, on loopback.
	if err != nil && port != 0 {
		l, err = net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // As above.
	}
	if err != nil {
		return nil, err
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok && at.Port != port {
		a.o.SetPort(service, at.Port)
	}
	return l, nil
}

// Asked reports whether requests for a service wait, or are under way.
func (a *Activator) Asked(service string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	h := a.held[service]
	return h != nil && h.asked > 0
}

// Tell says where a service is ready, or else why it will not be.
func (a *Activator) Tell(service string, ready []string, failed string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.held[service]; h != nil {
		h.ready, h.failed = ready, failed
		close(h.told)
		h.told = make(chan struct{})
	}
}

// Forget ends the holding of a service's requests.
func (a *Activator) Forget(service string) {
	a.mu.Lock()
	h := a.held[service]
	delete(a.held, service)
	a.mu.Unlock()
	if h != nil {
		h.close()
	}
}

// Close ends all holding. Requests that wait are dropped: the web server in front tries again.
func (a *Activator) Close() {
	a.mu.Lock()
	a.closed = true
	all := a.held
	a.held = map[string]*held{}
	a.mu.Unlock()
	for _, h := range all {
		h.close()
	}
}

func (h *held) close() {
	_ = h.server.Close() // what it says of connections that are closed already is no news
	<-h.served
}

// errBusy and failedError are why a request is not passed on.
var errBusy = errors.New("too many requests wait for it")

type failedError struct{ why string }

func (e failedError) Error() string { return e.why }

// handler passes requests on. The waiting is in the dialing: a request's body is not touched before there is somebody to
// read it.
func (a *Activator) handler(h *held) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
			if r.Out.URL.Host == "" {
				r.Out.URL.Host = h.name
			}
			// Who is before us has said this already.
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values, ok := r.In.Header[name]; ok {
					r.Out.Header[name] = values
				}
			}
		},
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.dial(ctx, h) },
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // nobody listens any more
			}
			w.Header().Set("Retry-After", again)
			http.Error(w, fmt.Sprintf("%s is not ready: %v", h.name, err), http.StatusServiceUnavailable)
		},
		ErrorLog: slog.NewLogLogger(a.o.Log.Handler(), slog.LevelDebug),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.count(h, 1)
		defer a.count(h, -1)
		proxy.ServeHTTP(w, r)
	})
}

// count keeps the number of requests, and tells when the first comes and when the last has gone.
func (a *Activator) count(h *held, n int) {
	a.mu.Lock()
	h.asked += n
	tell := n > 0 && h.asked == 1 || h.asked == 0
	a.mu.Unlock()
	if tell {
		a.o.Wake(h.name)
	}
}

// dial connects to a replica that is ready, as soon as there is one.
func (a *Activator) dial(ctx context.Context, h *held) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.o.Patience)
	defer cancel()
	a.mu.Lock()
	if h.waiting >= a.o.Queue {
		a.mu.Unlock()
		return nil, errBusy
	}
	h.waiting++
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		h.waiting--
		a.mu.Unlock()
	}()
	for {
		a.mu.Lock()
		told, address, failed := h.told, "", h.failed
		if len(h.ready) > 0 {
			address = h.ready[h.next%len(h.ready)]
			h.next++
		}
		a.mu.Unlock()
		if address != "" {
			var d net.Dialer
			if conn, err := d.DialContext(ctx, "tcp", address); err == nil {
				return conn, nil
			}
		} else if failed != "" {
			return nil, failedError{failed}
		}
		// It is not there yet, or was a moment ago.
		select {
		case <-told:
		case <-ctx.Done():
			return nil, fmt.Errorf("it did not become ready within %s", a.o.Patience)
		}
	}
}
