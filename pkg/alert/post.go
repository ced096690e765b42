package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// attemptTimeout bounds one request.
const attemptTimeout = 10 * time.Second

// deliveryError says why a request was not taken, and whether it is worth trying again.
type deliveryError struct {
	cause     error
	permanent bool
	// after is how long the other side asked us to wait; 0 when it did not say.
	after time.Duration
}

func (e *deliveryError) Error() string { return e.cause.Error() }
func (e *deliveryError) Unwrap() error { return e.cause }

// post sends one message once. Its errors never hold the URL.
func post(ctx context.Context, client *http.Client, c *Channel, m *message) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := c.request(ctx, m)
	if err != nil {
		return &deliveryError{cause: err, permanent: true}
	}
	res, err := client.Do(req)
	if err != nil {
		return &deliveryError{cause: hideURL(err)}
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	return classify(res)
}

func classify(res *http.Response) error {
	code := res.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	e := &deliveryError{cause: fmt.Errorf("the channel answered %d %s", code, http.StatusText(code))}
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if s, err := strconv.ParseFloat(res.Header.Get("Retry-After"), 64); err == nil && s > 0 && s < 1e6 {
			e.after = min(time.Duration(s*float64(time.Second)), longestWait)
		}
	default:
		e.permanent = true // it will not like the same request better; redirects are not followed, as they could lead anywhere
	}
	return e
}

// hideURL takes the URL out of an error of net/http and net/url.
func hideURL(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	if u.Op == "parse" {
		return errors.New("the channel's url cannot be read") // the reason would quote it
	}
	return u.Err
}

// newClient is a client that follows no redirects and keeps one connection for a while.
func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: attemptTimeout, ForceAttemptHTTP2: true,
		},
	}
}
