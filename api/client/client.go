package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/philiporange/supervisor/api/wire"
)

// ErrNotRunning says that no supervisor answers where the client looked.
var ErrNotRunning = errors.New("supervisor is not running")

// maxAnswer bounds what is read of one answer, in bytes.
const maxAnswer = 64 << 20

// Options say where the supervisor is. With a Socket the kernel tells it who is calling, and no token is needed.
type Options struct {
	// Socket is the path of the unix socket.
	Socket string
	// URL is the base address, such as http://127.0.0.1:9900, when Socket is empty.
	URL string
	// Token is the bearer token, needed for all but local addresses.
	Token string
	// UserAgent names the caller; it shows in the actor of intents and events.
	UserAgent string
}

// Client speaks to one supervisor. It is safe for concurrent use.
type Client struct {
	http  *http.Client
	base  string
	where string
	token string
	agent string
}

// New returns a client. It does not connect yet.
func New(o Options) (*Client, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     10 * time.Second,
		DisableCompression:  true,
	}
	// Following a redirect could hand the token to another host; this API has none to follow.
	hc := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c := &Client{http: hc, token: o.Token, agent: o.UserAgent}
	if o.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", o.Socket)
		}
		c.base, c.where = "http://localhost", o.Socket
		return c, nil
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the address of a supervisor; write it like http://127.0.0.1:9900", o.URL)
	}
	transport.Proxy = http.ProxyFromEnvironment
	c.base, c.where = strings.TrimSuffix(o.URL, "/"), o.URL
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one call.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	contentType  string
	header       map[string]string
}

// send returns the answer to r when its status is below 400, else a *wire.Problem.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	u := c.base + r.path
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.connectError(ctx, err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close() //nolint:errcheck // the answer has been read
		return nil, readProblem(resp)
	}
	return resp, nil
}

// connectError tells "nobody answers" from "the answer broke off".
func (c *Client) connectError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w (no answer at %s: %w); start it with: supervisor run", ErrNotRunning, c.where, op.Err)
	}
	return fmt.Errorf("call supervisor at %s: %w", c.where, err)
}

// readProblem makes the error of an answer that is one, whatever its form.
func readProblem(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) //nolint:errcheck // what could be read is shown
	p := &wire.Problem{}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) //nolint:errcheck // empty means another form
	if media != wire.ProblemType || json.Unmarshal(body, p) != nil {
		p = &wire.Problem{Detail: fmt.Sprintf("the answer is %s, and not of a supervisor: %.200s", resp.Status, bytes.TrimSpace(body))}
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	return p
}

// call sends r and decodes the answer into out, unless out is nil.
func (c *Client) call(ctx context.Context, r request, out any) (http.Header, error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been read
	if out == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	} else {
		err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer to %s %s: %w", r.method, r.path, err)
	}
	return resp.Header, nil
}

// get returns the decoded answer to a GET.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	_, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query}, &out)
	return out, err
}

// post returns the decoded answer to a POST without a body.
func post[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	_, err := c.call(ctx, request{method: http.MethodPost, path: path}, &out)
	return out, err
}

// sendJSON returns the decoded answer to a request with in as its body.
func sendJSON[T any](ctx context.Context, c *Client, method, path string, in any) (T, error) {
	var out T
	body, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("write the body of %s %s: %w", method, path, err)
	}
	_, err = c.call(ctx, request{method: method, path: path, body: body, contentType: "application/json"}, &out)
	return out, err
}
