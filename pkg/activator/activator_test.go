package activator

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// house is an activator with a memory, and what it has woken.
type house struct {
	*Activator
	woken chan string
	mu    sync.Mutex
	ports map[string]int
}

func newHouse(t *testing.T, o Options) *house {
	t.Helper()
	h := &house{woken: make(chan string, 100), ports: map[string]int{}}
	h.open(t, o)
	return h
}

func (h *house) open(t *testing.T, o Options) {
	t.Helper()
	o.Wake = func(name string) { h.woken <- name }
	o.Port = func(name string) int { h.mu.Lock(); defer h.mu.Unlock(); return h.ports[name] }
	o.SetPort = func(name string, port int) { h.mu.Lock(); defer h.mu.Unlock(); h.ports[name] = port }
	h.Activator = New(o)
	t.Cleanup(h.Close)
}

func (h *house) at(t *testing.T, name string) string {
	t.Helper()
	address, err := h.Address(name)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// ask sends a request and returns its answer.
func ask(t *testing.T, method, address, body string) chan string {
	t.Helper()
	out := make(chan string, 1)
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/path?q=1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "web.example.com"
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(r)
		if err != nil {
			out <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		out <- fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Retry-After"), " ", string(text))
	}()
	return out
}

// app answers with what it was asked.
func app(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.Host, r.URL, " ", r.Header.Get("X-Forwarded-Proto"), " ", r.Header.Get("X-Forwarded-For"), " ", string(body))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func is(t *testing.T, answer chan string, want string) {
	t.Helper()
	select {
	case got := <-answer:
		if !strings.Contains(got, want) {
			t.Errorf("answered %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("no answer; want %q", want)
	}
}

// Requests wake a service and wait for it, bodies included.
func TestRequestsWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t, Options{})
	at := h.at(t, "web")
	one, two := ask(t, http.MethodGet, at, ""), ask(t, http.MethodPost, at, strings.Repeat("b", 100_000))
	if name := <-h.woken; name != "web" || !h.Asked("web") || h.Asked("other") {
		t.Errorf("%s was woken, asked %t", name, h.Asked("web"))
	}
	h.Tell("web", []string{app(t)}, "")
	is(t, one, "200  GET web.example.com/path?q=1 https 192.0.2.1")
	is(t, two, "200  POST web.example.com/path?q=1 https 192.0.2.1 bbbbbb")
	<-h.woken // told that nobody asks any more
	if h.Asked("web") {
		t.Error("it is asked for still")
	}
}

// One that went away meanwhile is waited for again.
func TestAReplicaThatIsGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	at := h.at(t, "web")
	h.Tell("web", []string{gone}, "")
	answer := ask(t, http.MethodPost, at, "x")
	<-h.woken
	h.Tell("web", []string{app(t)}, "")
	is(t, answer, "200  POST")
}

// What cannot be had is said, with a time to come again.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t, Options{Queue: 1, Patience: 200 * time.Millisecond})
	at := h.at(t, "web")
	first := ask(t, http.MethodGet, at, "")
	<-h.woken
	for !waits(h, "web") {
		<-time.After(time.Millisecond)
	}
	is(t, ask(t, http.MethodGet, at, ""), "503 5 web is not ready: too many")
	is(t, first, "503 5 web is not ready: it did not become ready")
	h.Tell("web", nil, "exited with code 1")
	is(t, ask(t, http.MethodGet, at, ""), "503 5 web is not ready: exited with code 1")
}

func waits(h *house, name string) bool {
	h.Activator.mu.Lock()
	defer h.Activator.mu.Unlock()
	return h.held[name].waiting > 0
}

// An upgraded connection goes both ways, and counts for as long as it is open.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	h := newHouse(t, Options{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		line, _ := buf.ReadString('\n')
		fmt.Fprint(conn, strings.ToUpper(line))
	}))
	t.Cleanup(s.Close)
	conn, err := net.Dial("tcp", h.at(t, "web"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	<-h.woken
	h.Tell("web", []string{s.Listener.Addr().String()}, "")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	if !h.Asked("web") {
		t.Error("an open stream is not counted")
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := in.ReadString('\n'); line != "HELLO\n" {
		t.Errorf("%q, %v", line, err)
	}
	conn.Close()
	<-h.woken
}

// The address of a service is the same in the next life, unless somebody has taken it.
func TestAddressIsRemembered(t *testing.T) {
	t.Parallel()
	h := newHouse(t, Options{})
	one := h.at(t, "web")
	if h.at(t, "web") != one || h.at(t, "api") == one {
		t.Error("addresses are not one a service")
	}
	h.Close()
	if _, err := h.Address("web"); err == nil {
		t.Error("it is open after Close")
	}
	h.open(t, Options{})
	if got := h.at(t, "web"); got != one {
		t.Errorf("%s became %s", one, got)
	}
	h.Forget("web")
	l, err := net.Listen("tcp", one)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := h.at(t, "web"); got == one {
		t.Error("somebody else's address")
	}
}
