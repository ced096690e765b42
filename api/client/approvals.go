package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

const approvalsPath = "/api/v1/approvals"

// Approvals returns what programs want to do and a person has to allow, newest first.
func (c *Client) Approvals(ctx context.Context) ([]wire.Approval, error) {
	out, err := get[wire.Approvals](ctx, c, approvalsPath, nil)
	return out.Items, err
}

// AskApproval lays a request on the desk.
func (c *Client) AskApproval(ctx context.Context, r wire.ApprovalRequest) (wire.Approval, error) {
	return sendJSON[wire.Approval](ctx, c, http.MethodPost, approvalsPath, r)
}

// DecideApproval allows or refuses what waits.
func (c *Client) DecideApproval(ctx context.Context, id string, allow bool) (wire.Approval, error) {
	verb := "/reject"
	if allow {
		verb = "/approve"
	}
	return post[wire.Approval](ctx, c, approvalsPath+"/"+url.PathEscape(id)+verb)
}

// UseApproval spends an approval on the change with that digest.
func (c *Client) UseApproval(ctx context.Context, id, digest string) (wire.Approval, error) {
	return sendJSON[wire.Approval](ctx, c, http.MethodPost, approvalsPath+"/"+url.PathEscape(id)+"/use", wire.ApprovalUse{Digest: digest})
}
