package app

import (
	"errors"
	"net/http"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/rest"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/approval"
	"github.com/philiporange/supervisor/pkg/mcp"
)

// approvals fits the desk of approvals onto the API.
type approvals struct{ *approval.Desk }

// Decide implements rest.Approvals.
func (a approvals) Decide(id string, allow bool, actor string) (wire.Approval, error) {
	return translated(a.Desk.Decide(id, allow, actor))
}

// Use implements rest.Approvals.
func (a approvals) Use(id, digest string) (wire.Approval, error) {
	return translated(a.Desk.Use(id, digest))
}

func translated(a wire.Approval, err error) (wire.Approval, error) {
	switch {
	case errors.Is(err, approval.ErrUnknown):
		err = rest.Errorf(wire.CodeNotFound, "%v", err)
	case errors.Is(err, approval.ErrState):
		err = rest.Errorf(wire.CodeConflict, "%v", err)
	}
	return a, err
}

// mcpHandler answers AI programs over HTTP. Its hands are our own API, over the unix socket: so that it can do what every
// caller can, and no more.
func (a *App) mcpHandler() (handler http.Handler, closer func(), err error) {
	api, err := client.New(client.Options{Socket: a.settings.Socket(), UserAgent: "mcp"})
	if err != nil {
		return nil, nil, err
	}
	server := mcp.NewServer(api, mcp.Options{Version: Version})
	return mcp.Handler(server), func() {
		if err := mcp.Close(server); err != nil {
			a.log.Debug("a session of an AI program did not end well", "err", err)
		}
		api.Close()
	}, nil
}

var _ rest.Approvals = approvals{}
