package rest

import (
	"context"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// defaultGrace is what a service gets to stop when its manifest does not say.
const defaultGrace = 10 * time.Second

func (a *API) services() []*v1.Service {
	objects := a.deps.Desired.List(v1.KindService)
	out := make([]*v1.Service, 0, len(objects))
	for _, o := range objects {
		if s, ok := o.(*v1.Service); ok {
			out = append(out, s)
		}
	}
	return out
}

func listServices(c *call) (any, error) {
	services := c.api.services()
	out := make([]wire.Service, len(services))
	for i, s := range services {
		out[i] = c.api.view(s)
	}
	return out, nil
}

func getService(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	return c.api.view(s), nil
}

func status(c *call) (any, error) {
	services := c.api.services()
	out := wire.Status{Services: make([]wire.StatusRow, len(services)), Total: len(services), ServiceHost: c.api.deps.ServiceHost}
	for i, s := range services {
		st := c.api.deps.Observed.Status(s.Key())
		row := wire.StatusRow{Name: s.Metadata.Name, Enabled: enabled(s), Running: running(st), Port: portOf(s, st), Phase: v1.PhasePending}
		if st != nil {
			row.PID, row.Phase = orNull(st.PID), st.Phase
		}
		if s.Spec.Expose != nil {
			row.CaddySubdomain = orNull(s.Spec.Expose.Subdomain)
		}
		if m, ok := c.api.meter(s.Key()); ok {
			row.Metrics = &m
		}
		if row.Running {
			out.Running++
		}
		if row.Enabled {
			out.Enabled++
		}
		out.Services[i] = row
	}
	return out, nil
}

func (a *API) meter(key v1.Key) (wire.Metrics, bool) {
	if a.deps.Metrics == nil {
		return wire.Metrics{}, false
	}
	return a.deps.Metrics.Current(key)
}

func createService(c *call) (any, error) {
	body, err := readFlat(c)
	if err != nil {
		return nil, err
	}
	s := &v1.Service{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}}
	s.Metadata.Name = deref(body.Name)
	body.Name = &s.Metadata.Name
	for _, o := range c.api.deps.Desired.List(v1.KindService) {
		if o.Key().Folded() == s.Key().Folded() {
			return nil, Errorf(wire.CodeConflict, "the name %q is taken by %s; names differ by more than case", s.Metadata.Name, o.Key().Name)
		}
	}
	edit, err := body.edit(s, wire.Service{Enabled: true})
	if err != nil {
		return nil, err
	}
	if err := validateFlat(edit.next); err != nil {
		return nil, err
	}
	revision, err := c.api.deps.Editor.Create(c.Request.Context(), Document{Object: edit.next}, c.caller.actor())
	if err != nil {
		return nil, err
	}
	return c.acted(s.Key(), revision)
}

func updateService(c *call) (any, error) {
	cur, err := c.service()
	if err != nil {
		return nil, err
	}
	body, err := readFlat(c)
	if err != nil {
		return nil, err
	}
	edit, err := body.edit(cur, c.api.view(cur))
	if err != nil {
		return nil, err
	}
	if len(edit.changes) == 0 {
		return c.api.view(cur), nil
	}
	if err := validateFlat(edit.next); err != nil {
		return nil, err
	}
	ifMatch, err := c.ifMatch(cur)
	if err != nil {
		return nil, err
	}
	revision, err := c.api.deps.Editor.Change(c.Request.Context(), cur.Key(), edit.changes, ifMatch, c.caller.actor())
	if err != nil {
		return nil, err
	}
	return c.acted(cur.Key(), revision)
}

func readFlat(c *call) (flatBody, error) {
	data, err := c.body()
	if err != nil {
		return flatBody{}, err
	}
	return decodeFlat(data)
}

// acted waits until the reconciler has acted on the revision, and returns the view of the service then.
func (c *call) acted(key v1.Key, revision string) (any, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.deps.Patience)
	defer cancel()
	c.api.awaitRevision(ctx, key, revision)
	o, ok := c.api.deps.Desired.Get(key)
	if !ok {
		return nil, Errorf(wire.CodeConflict, "%s was deleted again meanwhile", key.Name)
	}
	s, ok := o.(*v1.Service)
	if !ok {
		return nil, notFound(key)
	}
	return c.api.view(s), nil
}

// awaitRevision returns the status once it speaks of the revision, or the last one when ctx ends first: what is shown is
// true either way.
func (a *API) awaitRevision(ctx context.Context, key v1.Key, revision string) *v1.ServiceStatus {
	st, err := a.deps.Observed.WaitStatus(ctx, key, func(st *v1.ServiceStatus) bool {
		return st != nil && st.ObservedRevision == revision && st.Phase != v1.PhaseStopping && st.Phase != ""
	})
	if err != nil {
		a.deps.Log.Debug("the reconciler has not acted yet", "object", key, "revision", revision, "err", err)
	}
	return st
}

func deleteService(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	if err := c.remove(s); err != nil {
		return nil, err
	}
	return wire.Deleted{Status: "deleted", Name: s.Metadata.Name}, nil
}

// remove deletes an object's manifest and waits until nothing of the object is left.
func (c *call) remove(o v1.Object) error {
	ifMatch, err := c.ifMatch(o)
	if err != nil {
		return err
	}
	if err := c.api.deps.Editor.Delete(c.Request.Context(), o.Key(), ifMatch, c.caller.actor()); err != nil {
		return err
	}
	d := c.api.stopPatience(o)
	c.linger(d)
	ctx, cancel := context.WithTimeout(c.Request.Context(), d)
	defer cancel()
	_, err = c.api.deps.Observed.WaitStatus(ctx, o.Key(), func(st *v1.ServiceStatus) bool { return st == nil })
	if err != nil {
		return &Error{Code: wire.CodeTimeout, Detail: "the manifest of " + o.Key().Name + " is deleted, but its processes have not ended yet", Cause: err}
	}
	return nil
}

// stopPatience is how long it may take until an object has stopped.
func (a *API) stopPatience(o v1.Object) time.Duration {
	grace := defaultGrace
	if s, ok := o.(*v1.Service); ok {
		grace = s.Spec.Stop.Timeout.Or(defaultGrace)
	}
	return grace + a.deps.Patience
}

// ifMatch checks the If-Match header against the object, and returns the revision that it must still have when it is
// written; empty when the caller demands none.
func (c *call) ifMatch(o v1.Object) (string, error) {
	header := c.GetHeader("If-Match")
	if header == "" || header == "*" {
		return "", nil
	}
	for tag := range strings.SplitSeq(header, ",") {
		if revision := strings.Trim(strings.TrimSpace(tag), `"`); revision == o.Revision() {
			return revision, nil
		}
	}
	return "", Errorf(wire.CodeStale, "%s was changed since it was read (it is %q now); read it again and repeat the edit", o.Key().Name, etag(o))
}

func etag(o v1.Object) string { return `"` + o.Revision() + `"` }

func serviceMetrics(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	hours, err := c.number("hours")
	if err != nil {
		return nil, err
	}
	rows := []wire.MetricsRow{}
	if c.api.deps.Metrics != nil {
		found, err := c.api.deps.Metrics.History(c.Request.Context(), s.Key(), hours)
		if err != nil {
			return nil, err
		}
		rows = append(rows, found...)
	}
	return rows, nil
}

func serviceMetricsNow(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	m, _ := c.api.meter(s.Key())
	m.WatchDirs = c.api.watchDirs(s)
	if st := c.api.deps.Observed.Status(s.Key()); st != nil {
		m.PID, m.RestartCount = orNull(st.PID), st.Restarts
		if running(st) && st.StartedAt != nil {
			m.UptimeSeconds = time.Since(*st.StartedAt).Seconds()
		}
	}
	return m, nil
}

func noAgent() error {
	return Errorf(wire.CodeUnavailable, "no coding agent is set up, and this needs one")
}
