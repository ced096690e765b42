package route

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/philiporange/supervisor/pkg/caddy"
)

// delivery is what became of a set of routes.
type delivery struct {
	caddy.Outcome
	// served is what Caddy has of ours now; known is false when nothing can be said.
	served []caddy.Route
	known  bool
	// refused are the names whose routes Caddy does not take, with its own words. What it had of them before, it has still.
	refused map[string]string
	// leftOut are the names with a route that cannot be put, with the reason.
	leftOut map[string]string
	// changes is how often Caddy's configuration was changed.
	changes int
}

// deliver makes Caddy serve want, in place of last. When Caddy refuses that, it goes on from what was served before and adds
// what is new in ever smaller parts, until those at fault are alone. Each part that Caddy takes is a step forward, so that
// nothing that was served before is missing in between.
func deliver(ctx context.Context, way caddy.Way, last, want []caddy.Route, fresh, force bool) (delivery, error) {
	d := delivery{refused: map[string]string{}}
	known := last
	if fresh {
		known = nil // of another life: what has changed since is no drift
	}
	err := d.put(ctx, way, known, want, force)
	var rejected *caddy.RejectedError
	if !errors.As(err, &rejected) {
		return d, err
	}

	wanted := namesOf(want)
	base := slices.DeleteFunc(slices.Clone(last), func(r caddy.Route) bool { return !slices.Contains(wanted, r.Name) })
	suspects := slices.DeleteFunc(slices.Clone(wanted), func(name string) bool { return reflect.DeepEqual(only(last, name), only(want, name)) })
	if len(suspects) > 0 {
		if err := d.put(ctx, way, known, base, false); err != nil && !errors.As(err, &rejected) {
			return d, err
		} else if err != nil {
			suspects = nil
		}
	}
	if len(suspects) == 0 {
		base, suspects = nil, wanted // something around them has changed: each may be at fault
	}
	return d, d.sift(ctx, way, &base, want, suspects, rejected)
}

// sift adds what can be added of some names to base. All of them together are known to be refused, for a reason.
func (d *delivery) sift(ctx context.Context, way caddy.Way, base *[]caddy.Route, want []caddy.Route, names []string, reason *caddy.RejectedError) error {
	if len(names) == 1 {
		d.refused[names[0]] = reason.Detail
		return nil
	}
	for _, part := range [][]string{names[:len(names)/2], names[len(names)/2:]} {
		next := with(*base, want, part)
		err := d.put(ctx, way, nil, next, false)
		var rejected *caddy.RejectedError
		switch {
		case err == nil:
			*base = next
		case !errors.As(err, &rejected):
			return err
		default:
			if err := d.sift(ctx, way, base, want, part, rejected); err != nil {
				return err
			}
		}
	}
	return nil
}

// put is one try.
func (d *delivery) put(ctx context.Context, way caddy.Way, last, routes []caddy.Route, force bool) error {
	out, err := way.Put(ctx, last, routes, force)
	d.Drift = append(d.Drift, out.Drift...)
	if out.Changed {
		d.Changed = true
		d.changes++
	}
	if err != nil {
		return err
	}
	d.served, d.known, d.leftOut = routes, true, map[string]string{}
	for i, reason := range out.LeftOut {
		d.leftOut[routes[i].Name] = reason
	}
	return nil
}
