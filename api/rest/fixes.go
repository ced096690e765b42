package rest

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// FixQuery selects repairs, newest first.
type FixQuery struct {
	// Object without a name selects all.
	Object v1.Key
	// Open selects those that have not ended; Restores takes the undoing of others, too.
	Open, Restores bool
	// Before selects those with a smaller ID, when it is not 0.
	Before uint64
	Limit  int
}

// Fixes lets coding agents repair programs, and knows what became of it. Its errors are *Error.
type Fixes interface {
	// Fix puts a repair on the queue.
	Fix(ctx context.Context, key v1.Key, description, actor string) (job string, err error)
	List(ctx context.Context, q FixQuery) ([]wire.FixDetail, error)
	Get(ctx context.Context, id uint64) (wire.FixDetail, error)
	// Restore puts the folder back to what it was before, and returns when that is done.
	Restore(ctx context.Context, id uint64, actor string) (wire.Restored, error)
	// Approve makes the changes that a repair proposes; Reject drops them.
	Approve(ctx context.Context, id uint64, actor string) (wire.JobStarted, error)
	Reject(ctx context.Context, id uint64, reason, actor string) (wire.FixDetail, error)
	// Transcript writes what the agent has said and done: JSON, one line each.
	Transcript(ctx context.Context, id uint64, to io.Writer) error
}

func fixRoutes() []route {
	const one = "/api/v1/fixes/:id"
	get, post := http.MethodGet, http.MethodPost
	description := []param{{name: "error_description", about: "What is wrong, in your words; or in the body.", schema: ""}}
	return tagged("fixes", []route{
		{
			method: post, path: "/api/services/:name/fix", summary: "Let a coding agent repair a service", query: description,
			request: wire.FixRequest{}, response: wire.JobStarted{}, serve: fixObject(v1.KindService),
		},
		{
			method: post, path: "/api/v1/cronjobs/:name/fix", summary: "Let a coding agent repair a cron job", query: description,
			request: wire.FixRequest{}, response: wire.JobStarted{}, serve: fixObject(v1.KindCronJob),
		},
		{
			method: get, path: "/api/services/:name/fixes", summary: "Repairs of a service, newest first", response: []wire.Fix{}, serve: serviceFixes,
			query: []param{limitParam(100, 20)},
		},
		{method: post, path: "/api/fixes/:id/restore", summary: "Put a folder back to what it was before a repair", response: wire.Restored{}, serve: restoreFix},
		{
			method: get, path: "/api/v1/fixes", summary: "Repairs of everything, newest first, with all that is known of them", response: wire.Fixes{}, serve: listFixes,
			query: []param{
				limitParam(100, 20),
				{name: "kind", about: "Only of this kind.", schema: "", enum: []string{v1.KindService, v1.KindCronJob}},
				{name: "name", about: "Only of the object of this name; kind is Service when it is not given.", schema: ""},
				{name: "open", about: "Only those that have not ended, such as those that wait for approval.", schema: false},
				{name: "restores", about: "Also the undoing of others.", schema: false},
				{name: "before", about: "Only those with a smaller ID.", schema: 0, max: 1 << 30},
			},
		},
		{method: get, path: one, summary: "One repair, with its diff", response: wire.FixDetail{}, serve: getFix},
		{method: get, path: one + "/transcript", summary: "What the agent has said and done: JSON, one line each", stream: true, serve: fixTranscript},
		{method: post, path: one + "/approve", summary: "Make the changes that a repair proposes", response: wire.JobStarted{}, serve: approveFix},
		{method: post, path: one + "/reject", summary: "Drop the changes that a repair proposes", request: wire.FixRejection{}, response: wire.FixDetail{}, serve: rejectFix},
	})
}

// fixes is the part that repairs.
func (c *call) fixes() (Fixes, error) {
	if c.api.deps.Fixes == nil {
		return nil, noAgent()
	}
	return c.api.deps.Fixes, nil
}

// fixID is the repair that the path names.
func (c *call) fixID() (uint64, error) {
	id, err := strconv.ParseUint(c.Param("id"), 10, 63)
	if err != nil || c.api.deps.Fixes == nil {
		return 0, Errorf(wire.CodeNotFound, "there is no fix %.40q", c.Param("id"))
	}
	return id, nil
}

func fixObject(kind string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		if _, err := c.find(kind); err != nil {
			return nil, err
		}
		fixes, err := c.fixes()
		if err != nil {
			return nil, err
		}
		r, err := readJSON[wire.FixRequest](c)
		if err != nil {
			return nil, err
		}
		if text := c.Query("error_description"); text != "" {
			r.ErrorDescription = text
		}
		job, err := fixes.Fix(c.Request.Context(), c.object(kind), r.ErrorDescription, c.caller.actor())
		if err != nil {
			return nil, err
		}
		return wire.JobStarted{JobID: job, Status: "started", Service: c.Param("name")}, nil
	}
}

func serviceFixes(c *call) (any, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	limit, err := c.number("limit")
	if err != nil {
		return nil, err
	}
	if c.api.deps.Fixes == nil {
		return []wire.Fix{}, nil
	}
	found, err := c.api.deps.Fixes.List(c.Request.Context(), FixQuery{Object: s.Key(), Limit: limit})
	if err != nil {
		return nil, err
	}
	out := make([]wire.Fix, len(found))
	for i := range found {
		out[i] = found[i].Fix
	}
	return out, nil
}

func listFixes(c *call) (any, error) {
	if c.api.deps.Fixes == nil {
		return wire.Fixes{Items: []wire.FixDetail{}}, nil
	}
	q := FixQuery{Object: v1.Key{Name: c.Query("name")}}
	var err error
	if q.Object.Kind, err = c.choice("kind"); err != nil {
		return nil, err
	}
	if q.Object.Kind == "" {
		q.Object.Kind = v1.KindService
	}
	if q.Limit, err = c.number("limit"); err != nil {
		return nil, err
	}
	before, err := c.number("before")
	if err != nil {
		return nil, err
	}
	q.Before = uint64(before)
	if q.Open, err = c.flag("open"); err != nil {
		return nil, err
	}
	if q.Restores, err = c.flag("restores"); err != nil {
		return nil, err
	}
	found, err := c.api.deps.Fixes.List(c.Request.Context(), q)
	return wire.Fixes{Items: append([]wire.FixDetail{}, found...)}, err
}

func getFix(c *call) (any, error) {
	id, err := c.fixID()
	if err != nil {
		return nil, err
	}
	return c.api.deps.Fixes.Get(c.Request.Context(), id)
}

func fixTranscript(c *call) (any, error) {
	id, err := c.fixID()
	if err != nil {
		return nil, err
	}
	if _, err := c.api.deps.Fixes.Get(c.Request.Context(), id); err != nil {
		return nil, err
	}
	c.Header("Content-Type", "application/x-ndjson")
	c.Header("Cache-Control", "no-store")
	if err := c.api.deps.Fixes.Transcript(c.Request.Context(), id, c.Writer); err != nil {
		return nil, err
	}
	return answered{}, nil
}

// restorePatience is how long a restore may take before its caller is left alone; it goes on without.
const restorePatience = 10 * time.Minute

// restoreFix answers what is not possible with 400, as scripts expect.
func restoreFix(c *call) (any, error) {
	id, err := c.fixID()
	if err != nil {
		return nil, err
	}
	c.linger(restorePatience)
	return c.api.deps.Fixes.Restore(c.Request.Context(), id, c.caller.actor())
}

func approveFix(c *call) (any, error) {
	id, err := c.fixID()
	if err != nil {
		return nil, err
	}
	return c.api.deps.Fixes.Approve(c.Request.Context(), id, c.caller.actor())
}

func rejectFix(c *call) (any, error) {
	id, err := c.fixID()
	if err != nil {
		return nil, err
	}
	r, err := readJSON[wire.FixRejection](c)
	if err != nil {
		return nil, err
	}
	return c.api.deps.Fixes.Reject(c.Request.Context(), id, r.Reason, c.caller.actor())
}
