package route

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/philiporange/supervisor/pkg/caddy"
)

// Times of the checks. A route that answers is asked less and less often, one that does not, soon again.
const (
	checkFirst   = time.Second
	checkAgain   = 2 * time.Second // at most so often, whatever a service does
	checkSilent  = 30 * time.Second
	checkAnswers = 5 * time.Minute
	// checkPatience is longer than Caddy waits for an upstream that refuses.
	checkPatience = 8 * time.Second
	// believed is how many times in a row a route has to be silent.
	believed = 2
	// checksAtOnce bounds what is asked side by side.
	checksAtOnce = 4
)

// Check is a route that is to be asked now and then.
type Check struct {
	caddy.Route
	// Path is asked for, below the route's own.
	Path string
}

// Answer is what a route said.
type Answer struct {
	OK bool
	// Text completes "https://… ".
	Text string
	At   time.Time
	Took time.Duration
}

// Checker asks routes through Caddy whether somebody answers.
type Checker struct {
	at      string // where Caddy listens
	changed func() // a route answers otherwise than before
	client  *http.Client

	mu   sync.Mutex
	now  map[string]*checked
	wake chan struct{}
}

// checked is one route with what is known of it.
type checked struct {
	Check
	answer *Answer
	fails  int // in a row
	asked  time.Time
	due    time.Time
	wait   time.Duration
}

// NewChecker returns a checker for a Caddy that listens at an address of this machine. changed is called when an answer is
// another one than before; it must not block.
func NewChecker(address string, changed func()) *Checker {
	c := &Checker{at: address, changed: changed, now: map[string]*checked{}, wake: make(chan struct{}, 1)}
	c.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, target string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(target)
				if err != nil {
					return nil, err
				}
				return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(c.at, port))
			},
			// Whether a certificate is one that others trust is Caddy's business; here it is asked who answers.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // See above.
		},
	}
	return c
}

func checkID(r *caddy.Route) string { return r.Name + " " + r.Site() + ":" + strconv.Itoa(r.Port) }

// Set says which routes there are. One that is new or has changed is asked soon.
func (c *Checker) Set(checks []Check) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := make(map[string]*checked, len(checks))
	for _, check := range checks {
		id := checkID(&check.Route)
		old := c.now[id]
		if old == nil || !reflect.DeepEqual(old.Check, check) {
			old = &checked{Check: check, due: time.Now(), wait: checkFirst}
			c.poke()
		}
		next[id] = old
	}
	c.now = next
}

// Again asks the routes of a service soon: something about it is different.
func (c *Checker) Again(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, k := range c.now {
		if k.Name != name {
			continue
		}
		k.due, k.wait = now, checkFirst
		if next := k.asked.Add(checkAgain); next.After(now) {
			k.due = next
		}
	}
	c.poke()
}

// poke wakes Run. c.mu is held.
func (c *Checker) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Answer is what a route said last, nil when that is not known.
func (c *Checker) Answer(r *caddy.Route) *Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.now[checkID(r)]; k != nil && reflect.DeepEqual(k.Route, *r) {
		return k.answer
	}
	return nil
}

// Run asks until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
		}
		var group errgroup.Group
		group.SetLimit(checksAtOnce)
		due, next := c.due(time.Now())
		for _, k := range due {
			check := k.Check
			group.Go(func() error {
				answer := c.ask(ctx, &check)
				if ctx.Err() == nil {
					c.put(k, answer)
				}
				return nil
			})
		}
		_ = group.Wait() // nobody returns an error
		if len(due) > 0 {
			_, next = c.due(time.Now())
		}
		timer.Reset(max(next, 0))
	}
}

// due are the routes that are to be asked now, and how long it is until the next.
func (c *Checker) due(now time.Time) (out []*checked, next time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next = checkAnswers
	for _, k := range c.now {
		if wait := k.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		out = append(out, k)
	}
	return out, next
}

// put notes an answer, and says so when it is another one. Silence is believed when it is heard twice: a certificate that is
// being made, or a process that starts, is no news.
func (c *Checker) put(k *checked, a Answer) {
	c.mu.Lock()
	most := checkAnswers
	k.asked = a.At
	k.fails++
	if a.OK {
		k.fails = 0
	} else {
		most = checkSilent
	}
	k.due = a.At.Add(k.wait)
	k.wait = min(2*k.wait, most)
	news := false
	if a.OK || k.fails >= believed {
		news = k.answer == nil || k.answer.OK != a.OK
		k.answer = &a
	}
	if news {
		k.wait = checkFirst
	}
	c.mu.Unlock()
	if news {
		c.changed()
	}
}

// ask asks one route.
func (c *Checker) ask(ctx context.Context, check *Check) Answer {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	begun := time.Now()
	said := func(ok bool, text string) Answer {
		return Answer{OK: ok, Text: text, At: time.Now(), Took: time.Since(begun)}
	}
	u := url.URL{Scheme: "https", Host: strings.Replace(check.Host, "*", "supervisor-check", 1) + ":" + strconv.Itoa(check.Port)}
	if check.TLS == caddy.TLSOff {
		u.Scheme = "http"
	}
	path := check.Path
	if check.Route.Path != "" {
		path = check.Route.Path + path
		if !check.Strip {
			path = check.Route.Path
		}
	}
	u.Path, u.RawQuery, _ = strings.Cut(path, "?")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return said(false, "cannot be asked: "+err.Error())
	}
	r.Header.Set("User-Agent", "supervisor-check")
	resp, err := c.client.Do(r)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return said(false, "does not answer: "+err.Error())
	}
	_ = resp.Body.Close() // the status is all that is wanted
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return said(false, fmt.Sprintf("answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	}
	return said(true, fmt.Sprintf("answers %d", resp.StatusCode))
}
