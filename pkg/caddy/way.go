package caddy

import (
	"context"
	"fmt"
)

// Way is how routes reach Caddy.
type Way interface {
	// Put makes Caddy serve exactly the routes of want, beside what others have configured. last is what it served by our
	// doing, nil when that is not known. It is a no-op when nothing is to be changed; with force Caddy loads its
	// configuration all the same. Errors are *UnreachableError, *RejectedError (Caddy serves what it did), *SetupError,
	// ErrChanged, or ctx's.
	Put(ctx context.Context, last, want []Route, force bool) (Outcome, error)
	// Text is the routes as a Caddyfile.
	Text(want []Route) string
}

// Outcome is what a Put came to.
type Outcome struct {
	// Changed is whether Caddy's configuration was changed.
	Changed bool
	// Drift says what of ours was not as we had left it.
	Drift []string
	// LeftOut are the routes of want that were not put, by their index, with the reason.
	LeftOut map[int]string
}

// SetupError is something around Caddy that only its owner can mend.
type SetupError struct{ Detail string }

// Error says what to do.
func (e *SetupError) Error() string { return e.Detail }

func takenReason(r *Route) string {
	return fmt.Sprintf("Caddy's own configuration has a site for %s already, which is not touched; choose another address, or remove that site", r.Host)
}

// APIWay exchanges our routes in the running configuration.
type APIWay struct {
	Client *Client
	Owner  Owner
	// Bind are the addresses at which a server that we make listens.
	Bind []string
	// Layout is for Text.
	Layout Layout
	// Keep, if it is there, is given each configuration that Caddy is found or left with.
	Keep func(config any) error
}

// putTries bounds how often somebody else may be faster.
const putTries = 5

// Put implements Way.
func (w *APIWay) Put(ctx context.Context, last, want []Route, force bool) (Outcome, error) {
	for try := 1; ; try++ {
		current, etag, err := w.Client.Config(ctx)
		if err != nil {
			return Outcome{}, err
		}
		next, taken := Merge(current, want, w.Owner, w.Bind)
		out := Outcome{LeftOut: map[int]string{}}
		for _, i := range taken {
			out.LeftOut[i] = takenReason(&want[i])
		}
		if last != nil {
			expected, _ := Merge(current, last, w.Owner, w.Bind)
			out.Drift = differences(ours(expected, w.Owner), ours(current, w.Owner))
		}
		switch {
		case force:
			err = w.load(ctx, next)
		case Unchanged(current, next):
			return out, w.keep(current)
		default:
			err = w.Client.Replace(ctx, next, etag)
		}
		if err == ErrChanged && try < putTries { //nolint:errorlint // It is returned as it stands.
			continue
		}
		if err != nil {
			return out, err
		}
		out.Changed = true
		return out, w.keep(next)
	}
}

func (w *APIWay) keep(config any) error {
	if w.Keep == nil {
		return nil
	}
	if err := w.Keep(config); err != nil {
		return &SetupError{Detail: fmt.Sprintf("Caddy has the routes, and would not have them after a restart: %v", err)}
	}
	return nil
}

func (w *APIWay) load(ctx context.Context, config any) error {
	body, err := encode(config)
	if err != nil {
		return err
	}
	return w.Client.Load(ctx, TypeJSON, body, true)
}

// Text implements Way.
func (w *APIWay) Text(want []Route) string { return Caddyfile(want, w.Layout) }

var (
	_ Way = (*APIWay)(nil)
	_ Way = (*FileWay)(nil)
)
