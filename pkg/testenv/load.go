package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Load is clients that ask an URL without a pause, each over a connection that it keeps: every second request is a POST, whose
// body has to come back.
type Load struct {
	URL     string
	Host    string // header, where it is another one
	Clients int
	// Transport makes the transport of each client; nil takes Go's own.
	Transport func() *http.Transport

	cancel  context.CancelFunc
	clients sync.WaitGroup

	mu       sync.Mutex
	took     []time.Duration
	failures []string
	answers  map[string]int // by the header Version
}

// Start lets the clients go.
func (l *Load) Start(ctx context.Context) {
	ctx, l.cancel = context.WithCancel(ctx)
	l.answers = map[string]int{}
	for n := range max(1, l.Clients) {
		transport := &http.Transport{MaxIdleConnsPerHost: 1}
		if l.Transport != nil {
			transport = l.Transport()
		}
		client := &http.Client{Timeout: time.Minute, Transport: transport}
		l.clients.Go(func() {
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				l.ask(ctx, client, n, i)
			}
		})
	}
}

// Stop ends it, and waits for the requests that are under way.
func (l *Load) Stop() {
	l.cancel()
	l.clients.Wait()
}

func (l *Load) ask(ctx context.Context, client *http.Client, n, i int) {
	method, text := http.MethodGet, ""
	if i%2 == 1 {
		method, text = http.MethodPost, fmt.Sprintf("client %d, request %d %s", n, i, strings.Repeat("x", i%4096))
	}
	// A request is not cut short by the end of the load: it would count as a failure.
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, l.URL, strings.NewReader(text))
	if err != nil {
		l.failed(err.Error())
		return
	}
	if l.Host != "" {
		r.Host = l.Host
	}
	r.GetBody = nil // a client that sends a POST again by itself would hide what is looked for
	begun := time.Now()
	resp, err := client.Do(r)
	if err != nil {
		l.failed(fmt.Sprintf("%s %d of client %d: %v", method, i, n, err))
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		l.failed(fmt.Sprintf("%s %d of client %d: %v", method, i, n, err))
	case resp.StatusCode != http.StatusOK:
		l.failed(fmt.Sprintf("%s %d of client %d: %s %.200s", method, i, n, resp.Status, body))
	case method == http.MethodPost && string(body) != text:
		l.failed(fmt.Sprintf("POST %d of client %d: %d bytes came back as %d", i, n, len(text), len(body)))
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.took = append(l.took, time.Since(begun))
		l.answers[resp.Header.Get("Version")]++
	}
}

func (l *Load) failed(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format("15:04:05.000 ")+what)
}

// Failures are the requests that failed.
func (l *Load) Failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failures)
}

// Answers is how many requests a version has answered.
func (l *Load) Answers(version string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[version]
}

// Percentiles is how long requests took: half of them, all but a hundredth, and the longest; and how many there were.
func (l *Load) Percentiles() (p50, p99, longest time.Duration, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := slices.Sorted(slices.Values(l.took))
	if len(took) == 0 {
		return 0, 0, 0, 0
	}
	return took[len(took)/2], took[len(took)*99/100], took[len(took)-1], len(took)
}
