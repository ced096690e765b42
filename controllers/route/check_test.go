package route

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/caddy"
)

// A route is asked by its host and path; what it says is news when it is another thing, and silence when it is heard twice.
func TestChecker(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	status.Store(http.StatusUnauthorized)
	var mu sync.Mutex
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, strings.Split(r.Host, ":")[0]+r.URL.String())
		mu.Unlock()
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(s.Close)
	_, portText, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	news := make(chan struct{}, 10)
	c := NewChecker("127.0.0.1", func() { news <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	heard := func() {
		t.Helper()
		select {
		case <-news:
		case <-time.After(30 * time.Second):
			t.Fatal("no news")
		}
	}
	web := caddy.Route{Name: "web", Host: "*.web.test", Port: port, Path: "/app", TLS: caddy.TLSOff, Strip: true}
	if c.Answer(&web) != nil {
		t.Error("a route that nobody asked has an answer")
	}
	c.Set([]Check{{Route: web, Path: "/health?x=1"}})
	heard()
	if a := c.Answer(&web); a == nil || !a.OK || a.Text != "answers 401" {
		t.Errorf("a service that wants a password answers too: %+v", a)
	}
	mu.Lock()
	if asked[0] != "supervisor-check.web.test/app/health?x=1" {
		t.Errorf("asked %s", asked[0])
	}
	mu.Unlock()

	status.Store(http.StatusBadGateway)
	c.Again("web")
	heard()
	if a := c.Answer(&web); a.OK || a.Text != "answers 502 Bad Gateway" {
		t.Errorf("silence: %+v", a)
	}
	status.Store(http.StatusOK)
	c.Again("web")
	heard()
	moved := web
	moved.Path = ""
	c.Set([]Check{{Route: moved, Path: "/"}})
	if c.Answer(&web) != nil {
		t.Error("a route that has changed has the answer of the old one")
	}
	heard()
	// Nobody listens there.
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Closed at once.
	if err != nil {
		t.Fatal(err)
	}
	dead := web
	dead.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	c.Set([]Check{{Route: dead, Path: "/"}})
	heard()
	if a := c.Answer(&dead); a == nil || a.OK || !strings.Contains(a.Text, "connection refused") {
		t.Errorf("nobody there: %+v", a)
	}
}
