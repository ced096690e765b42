package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// Fix lets a coding agent repair an object, in a job.
func (c *Client) Fix(ctx context.Context, key v1.Key, description string) (wire.JobStarted, error) {
	path := "/api/services/" + url.PathEscape(key.Name) + "/fix"
	if key.Kind == v1.KindCronJob {
		path = "/api/v1/cronjobs/" + url.PathEscape(key.Name) + "/fix"
	}
	return sendJSON[wire.JobStarted](ctx, c, http.MethodPost, path, wire.FixRequest{ErrorDescription: description})
}

// Fixes returns repairs, newest first; of everything when key has no name. restores takes the undoing of others, too.
func (c *Client) Fixes(ctx context.Context, key v1.Key, limit int, restores bool) ([]wire.FixDetail, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}, "restores": {strconv.FormatBool(restores)}}
	if key.Name != "" {
		q.Set("kind", key.Kind)
		q.Set("name", key.Name)
	}
	out, err := get[wire.Fixes](ctx, c, "/api/v1/fixes", q)
	return out.Items, err
}

// FixOf returns one repair.
func (c *Client) FixOf(ctx context.Context, id uint64) (wire.FixDetail, error) {
	return get[wire.FixDetail](ctx, c, fixPath(id, ""), nil)
}

// ApproveFix makes the changes that a repair proposes, in a job.
func (c *Client) ApproveFix(ctx context.Context, id uint64) (wire.JobStarted, error) {
	return post[wire.JobStarted](ctx, c, fixPath(id, "/approve"))
}

// RejectFix drops the changes that a repair proposes.
func (c *Client) RejectFix(ctx context.Context, id uint64, reason string) (wire.FixDetail, error) {
	return sendJSON[wire.FixDetail](ctx, c, http.MethodPost, fixPath(id, "/reject"), wire.FixRejection{Reason: reason})
}

// RestoreFix puts a folder back to what it was before a repair.
func (c *Client) RestoreFix(ctx context.Context, id uint64) (wire.Restored, error) {
	return post[wire.Restored](ctx, c, "/api/fixes/"+strconv.FormatUint(id, 10)+"/restore")
}

func fixPath(id uint64, verb string) string {
	return "/api/v1/fixes/" + strconv.FormatUint(id, 10) + verb
}
