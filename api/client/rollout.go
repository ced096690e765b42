package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

func rolloutPath(name, rest string) string {
	return "/api/v1/services/" + url.PathEscape(name) + "/rollout" + rest
}

// Rollout tells how the update of a service does.
func (c *Client) Rollout(ctx context.Context, name string) (wire.Rollout, error) {
	return get[wire.Rollout](ctx, c, rolloutPath(name, ""), nil)
}

// RolloutHistory is the revisions of a service that were rolled out, newest first.
func (c *Client) RolloutHistory(ctx context.Context, name string) ([]wire.RolloutRevision, error) {
	out, err := get[wire.RolloutHistory](ctx, c, rolloutPath(name, "/history"), nil)
	return out.Revisions, err
}

// UndoRollout writes an earlier revision back into the manifest; 0 is the last one that was complete.
func (c *Client) UndoRollout(ctx context.Context, name string, to int) (wire.RolloutUndone, error) {
	return sendJSON[wire.RolloutUndone](ctx, c, http.MethodPost, rolloutPath(name, "/undo"), wire.RolloutUndo{To: to})
}

// RetryRollout tries an update again that was given up.
func (c *Client) RetryRollout(ctx context.Context, name string) (wire.RolloutRetried, error) {
	return post[wire.RolloutRetried](ctx, c, rolloutPath(name, "/retry"))
}
