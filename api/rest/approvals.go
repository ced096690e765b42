package rest

import (
	"encoding/json"
	"net/http"

	"github.com/philiporange/supervisor/api/wire"
)

// Approvals is what programs want to do and a person has to allow first. Its errors are *Error.
type Approvals interface {
	Ask(r wire.ApprovalRequest, actor string) wire.Approval
	List() []wire.Approval
	Decide(id string, allow bool, actor string) (wire.Approval, error)
	Use(id, digest string) (wire.Approval, error)
}

func approvalRoutes() []route {
	const all, one = "/api/v1/approvals", "/api/v1/approvals/:id"
	post := http.MethodPost
	return tagged("approvals", []route{
		{method: http.MethodGet, path: all, summary: "What programs want to do and a person has to allow, newest first", response: wire.Approvals{}, serve: listApprovals},
		{method: post, path: all, summary: "Ask for an approval", request: wire.ApprovalRequest{}, response: wire.Approval{}, serve: askApproval},
		{method: post, path: one + "/approve", summary: "Allow it, once", response: wire.Approval{}, serve: decide(true)},
		{method: post, path: one + "/reject", summary: "Refuse it", response: wire.Approval{}, serve: decide(false)},
		{method: post, path: one + "/use", summary: "Spend an approval on the change that it is for", request: wire.ApprovalUse{}, response: wire.Approval{}, serve: useApproval},
	})
}

func (c *call) approvals() (Approvals, error) {
	if c.api.deps.Approvals == nil {
		return nil, Errorf(wire.CodeUnavailable, "nothing can be approved here")
	}
	return c.api.deps.Approvals, nil
}

func listApprovals(c *call) (any, error) {
	desk, err := c.approvals()
	if err != nil {
		return nil, err
	}
	return wire.Approvals{Items: append([]wire.Approval{}, desk.List()...)}, nil
}

func askApproval(c *call) (any, error) {
	desk, err := c.approvals()
	if err != nil {
		return nil, err
	}
	r, err := readJSON[wire.ApprovalRequest](c)
	if err != nil {
		return nil, err
	}
	if r.Action == "" || r.Summary == "" || r.Digest == "" {
		return nil, Errorf(wire.CodeUnprocessed, "action, summary and digest must be there")
	}
	return desk.Ask(r, c.caller.actor()), nil
}

func decide(allow bool) func(*call) (any, error) {
	return func(c *call) (any, error) {
		desk, err := c.approvals()
		if err != nil {
			return nil, err
		}
		return desk.Decide(c.Param("id"), allow, c.caller.actor())
	}
}

func useApproval(c *call) (any, error) {
	desk, err := c.approvals()
	if err != nil {
		return nil, err
	}
	r, err := readJSON[wire.ApprovalUse](c)
	if err != nil {
		return nil, err
	}
	return desk.Use(c.Param("id"), r.Digest)
}

// readJSON reads a body of JSON; an absent one is that of zero values, and fields that are not known are left out.
func readJSON[T any](c *call) (T, error) {
	var out T
	data, err := c.body()
	if err != nil {
		return out, err
	}
	if len(data) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, &Error{Code: wire.CodeInvalid, Detail: "the body is not the JSON that is expected here: " + err.Error()}
	}
	return out, nil
}
