package caddy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// ErrChanged says that somebody else has changed the configuration between our look and our change. Look again.
var ErrChanged = errors.New("Caddy's configuration was changed by somebody else meanwhile") //nolint:revive,staticcheck // A name begins it.

// UnreachableError says that nobody answers at Caddy's admin API.
type UnreachableError struct {
	Admin, Remedy string
	Err           error
}

// Error names the place, the cause and the remedy.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("Caddy does not answer at %s: %v; %s", e.Admin, e.Err, e.Remedy)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// RejectedError is Caddy's answer to what it does not take. What it served before, it serves on.
type RejectedError struct {
	Status int
	// Detail is Caddy's own text.
	Detail string
}

// Error is Caddy's own text, and what to do where that is known.
func (e *RejectedError) Error() string { return e.Detail }

// oldest is the oldest Caddy that knows all that we write.
const oldest = "2.8"

// unknownWord finds the complaint of a Caddy that is too old.
var unknownWord = regexp.MustCompile(`unknown field|unrecognized (sub)?directive|unknown module`)

const (
	// loadPatience bounds a change: Caddy starts the new configuration, certificates and all, before it answers.
	loadPatience = time.Minute
	// lookPatience bounds everything else.
	lookPatience = 10 * time.Second
	// callTries and callPause are for calls that were cut off.
	callTries = 6
	callPause = 10 * time.Millisecond
	// maxAnswer bounds what is read of an answer; a configuration of a thousand sites has one megabyte.
	maxAnswer = 64 << 20
)

// Client speaks to Caddy's admin API.
type Client struct {
	// Remedy is what to do when Caddy does not answer.
	Remedy string

	admin string // as it was given, without a password
	base  *url.URL
	dial  func(ctx context.Context) (net.Conn, error)
	http  *http.Client
}

// NewClient returns a client for http://HOST:PORT or unix//PATH.
func NewClient(admin string) (*Client, error) {
	c := &Client{Remedy: "start Caddy, set CADDY_ADMIN_URL, or set CADDY_MODE=managed to have Supervisor run one"}
	network, address := "tcp", ""
	if path, ok := strings.CutPrefix(admin, "unix/"); ok {
		network, address = "unix", path
		c.base, c.admin = &url.URL{Scheme: "http", Host: "localhost"}, admin
	} else {
		u, err := url.Parse(admin)
		if err != nil || u.Host == "" {
			return nil, errors.New("the address of Caddy's admin API cannot be read; write it like http://localhost:2019 or unix//run/caddy/admin.sock")
		}
		c.base, c.admin, address = u, u.Redacted(), u.Host
		if u.Port() == "" {
			address = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
	}
	c.dial = func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, network, address) }
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
			// Each change closes all connections: one that waits would be found closed by the next request.
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Admin is the address of the admin API, for people.
func (c *Client) Admin() string { return c.admin }

// do makes one call. Its error is an *UnreachableError, a *RejectedError, ErrChanged, or ctx's.
//
// Caddy exchanges its admin API with each change of its configuration, and calls that come just then are cut off. They are
// made again: each of ours may be made twice, as a change says by an ETag what it changes, or holds all there is.
func (c *Client) do(ctx context.Context, method, path, contentType string, body []byte, headers map[string]string, patience time.Duration) (answer []byte, etag string, err error) {
	for try := 1; ; try++ {
		answer, etag, err = c.once(ctx, method, path, contentType, body, headers, patience)
		if try == callTries || !cutOff(err) {
			return answer, etag, err
		}
		select {
		case <-ctx.Done():
			return nil, "", c.lost(ctx, err)
		case <-time.After(time.Duration(try) * callPause):
		}
	}
}

// cutOff reports whether somebody answered and then hung up.
func cutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (c *Client) once(ctx context.Context, method, path, contentType string, body []byte, headers map[string]string, patience time.Duration) (answer []byte, etag string, err error) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := *c.base
	u.Path = path
	r, err := http.NewRequestWithContext(bounded, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, "", fmt.Errorf("call Caddy: %w", err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, "", c.lost(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, "", c.lost(ctx, err)
	}
	switch {
	case resp.StatusCode == http.StatusPreconditionFailed:
		return nil, "", ErrChanged
	case resp.StatusCode != http.StatusOK:
		return nil, "", &RejectedError{Status: resp.StatusCode, Detail: detailOf(answer, resp.Status)}
	}
	return answer, resp.Header.Get("Etag"), nil
}

// lost is an error of the connection; the caller's own end is told as such.
func (c *Client) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("call Caddy: %w", ctx.Err())
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the URL, which may hold a password
	}
	return &UnreachableError{Admin: c.admin, Remedy: c.Remedy, Err: err}
}

// detailOf is Caddy's own text of an error.
func detailOf(answer []byte, status string) string {
	var body struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(answer, &body); err == nil && body.Error != "" {
		if unknownWord.MatchString(body.Error) {
			return body.Error + " (Supervisor needs Caddy " + oldest + " or newer)"
		}
		return body.Error
	}
	if text := strings.TrimSpace(string(answer)); text != "" && len(text) < 1000 {
		return text
	}
	return "Caddy answered " + status
}

// Config is the running configuration and its ETag. A Caddy without one has nil.
func (c *Client) Config(ctx context.Context) (config any, etag string, err error) {
	answer, etag, err := c.do(ctx, http.MethodGet, "/config/", "", nil, nil, lookPatience)
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		return nil, "", &SetupError{Detail: fmt.Sprintf("the admin API at %s does not let us in: %s; see `admin` in Caddy's configuration, and CADDY_ADMIN_URL", c.admin, rejected.Detail)}
	}
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(answer, &config); err != nil {
		return nil, "", &UnreachableError{Admin: c.admin, Remedy: c.Remedy, Err: fmt.Errorf("what answers there is not Caddy: %w", err)}
	}
	return config, etag, nil
}

// Replace puts a whole configuration in place of the one that has the ETag; ErrChanged when that is not the running one.
func (c *Client) Replace(ctx context.Context, config any, etag string) error {
	body, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("write Caddy's configuration: %w", err)
	}
	_, _, err = c.do(ctx, http.MethodPost, "/config/", "application/json", body, map[string]string{"If-Match": etag}, loadPatience)
	return err
}

// Load puts a whole configuration in place of whatever runs. With force Caddy loads it although it is the same.
func (c *Client) Load(ctx context.Context, contentType string, body []byte, force bool) error {
	headers := map[string]string{}
	if force {
		headers["Cache-Control"] = "must-revalidate"
	}
	_, _, err := c.do(ctx, http.MethodPost, "/load", contentType, body, headers, loadPatience)
	return err
}

// The content types of Load.
const (
	TypeJSON      = "application/json"
	TypeCaddyfile = "text/caddyfile"
)

// Adapt makes JSON of a Caddyfile, and changes nothing.
func (c *Client) Adapt(ctx context.Context, caddyfile string) (config any, err error) {
	answer, _, err := c.do(ctx, http.MethodPost, "/adapt", TypeCaddyfile, []byte(caddyfile), nil, lookPatience)
	if err != nil {
		return nil, err
	}
	var body struct {
		Result any `json:"result"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return nil, fmt.Errorf("read what Caddy made of a Caddyfile: %w", err)
	}
	return body.Result, nil
}
