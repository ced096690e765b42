package rest

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// shutdownPatience is how long the end of everything may take before the answer is cut off.
const shutdownPatience = 10 * time.Minute

func events(c *call) (any, error) {
	f := v1.EventFilter{Key: v1.Key{Kind: c.Query("kind"), Name: c.Query("name")}}
	var err error
	if f.Limit, err = c.number("limit"); err != nil {
		return nil, err
	}
	if f.SinceID, err = c.sinceID(); err != nil {
		return nil, err
	}
	if _, err := c.choice("kind"); err != nil {
		return nil, err
	}
	if _, err := c.choice("type"); err != nil {
		return nil, err
	}
	for _, t := range c.QueryArray("type") {
		f.Types = append(f.Types, v1.EventType(t))
	}
	found, err := c.api.deps.Observed.Events(c.Request.Context(), f)
	if err != nil {
		return nil, err
	}
	return wire.Events{Items: append([]v1.Event{}, found...)}, nil
}

func (c *call) sinceID() (uint64, error) {
	text := c.Query("since")
	if text == "" {
		return 0, nil
	}
	var id uint64
	if n, err := fmt.Sscanf(text, "%d", &id); err != nil || n != 1 {
		return 0, badParam("since", "%.40q is not the ID of an event", text)
	}
	return id, nil
}

func problems(c *call) (any, error) {
	return wire.Problems{Items: append([]v1.Problem{}, c.api.deps.Desired.Problems()...)}, nil
}

func pending(c *call) (any, error) {
	return wire.Prune{Pending: append([]v1.Key{}, c.api.deps.Desired.Pending()...)}, nil
}

func prune(c *call) (any, error) {
	pruned, err := c.api.deps.Desired.Prune(c.Request.Context(), c.caller.actor())
	if err != nil {
		return nil, err
	}
	return wire.Prune{Pending: append([]v1.Key{}, c.api.deps.Desired.Pending()...), Pruned: pruned}, nil
}

func shutdown(c *call) (any, error) {
	c.linger(shutdownPatience)
	return c.api.deps.Operator.Shutdown(c.Request.Context(), c.caller.actor())
}

func version(c *call) (any, error) { return c.api.deps.Version(), nil }

func healthz(*call) (any, error) { return wire.Health{Status: "ok"}, nil }

func readyz(c *call) (any, error) {
	if missing := c.api.deps.Unready(); len(missing) > 0 {
		return nil, Errorf(wire.CodeUnavailable, "not ready: %s", strings.Join(missing, "; "))
	}
	return wire.Health{Status: "ok"}, nil
}

// supervisorLogs is the end of our own log.
func supervisorLogs(c *call) (any, error) {
	n, err := c.number("lines")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(c.api.deps.LogFile)
	if errors.Is(err, fs.ErrNotExist) || c.api.deps.LogFile == "" {
		return wire.SupervisorLogs{Lines: []string{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the supervisor's log: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing is written
	lines, total, err := tail(f, n)
	if err != nil {
		return nil, fmt.Errorf("read the supervisor's log: %w", err)
	}
	return wire.SupervisorLogs{Lines: lines, Total: total}, nil
}

// tail returns the last n lines and how many there are. It holds no more than what it returns and a block.
func tail(r io.ReadSeeker, n int) (lines []string, total int, err error) {
	block := make([]byte, 64<<10)
	last := byte('\n')
	for {
		k, err := r.Read(block)
		total += bytes.Count(block[:k], []byte{'\n'})
		if k > 0 {
			last = block[k-1] //nolint:gosec // k is at least 1.
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if last != '\n' {
		total++
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	lines = make([]string, 0, min(n, total))
	var line []byte
	number := 0
	for {
		k, err := r.Read(block)
		for rest := block[:k]; len(rest) > 0; {
			part, after, whole := bytes.Cut(rest, []byte{'\n'})
			if number >= total-n && number < total {
				line = append(line, part...)
			}
			rest = after
			if whole {
				if number >= total-n && number < total {
					lines, line = append(lines, string(line)), line[:0]
				}
				number++
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if len(line) > 0 {
		lines = append(lines, string(line))
	}
	return lines, total, nil
}

// schema serves one JSON Schema.
func schema(c *call) (any, error) {
	name := strings.TrimPrefix(path.Clean("/"+c.Param("file")), "/")
	if c.api.deps.Schemas != nil {
		if data, err := fs.ReadFile(c.api.deps.Schemas, name); err == nil {
			c.Data(http.StatusOK, "application/schema+json", data)
			return answered{}, nil
		}
	}
	return nil, Errorf(wire.CodeNotFound, "there is no schema %q", name)
}

func openAPIDocument(c *call) (any, error) {
	doc, err := c.api.document()
	if err != nil {
		return nil, fmt.Errorf("make the OpenAPI document: %w", err)
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", doc)
	return answered{}, nil
}

// loginLink makes a one-time login link.
func loginLink(c *call) (any, error) {
	if !c.caller.trusted() {
		return nil, Errorf(wire.CodeForbidden, "a login link is made over the unix socket or with the token only")
	}
	return wire.LoginLink{Path: c.api.deps.Auth.LoginPath(), ExpiresIn: int(codeLife / time.Second)}, nil
}

// login turns a login link into a cookie.
func login(c *call) (any, error) {
	auth := c.api.deps.Auth
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Security-Policy", "default-src 'none'")
	if !auth.login.redeem(c.Query("code")) {
		c.Data(http.StatusUnauthorized, "text/html; charset=utf-8", []byte("<!doctype html><title>Supervisor</title><p>"+
			html.EscapeString("This login link was used before, or is older than 15 minutes. Make a new one on the machine: supervisor login")))
		return answered{}, nil
	}
	http.SetCookie(c.Writer, auth.login.cookie(c.Request))
	c.Redirect(http.StatusSeeOther, "/")
	return answered{}, nil
}
