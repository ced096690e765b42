package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/philiporange/supervisor/api/wire"
)

// mcpRoutes is the door for AI programs: the Model Context Protocol, streamable HTTP. Who may call is decided as for every
// other call, before the protocol is spoken.
func mcpRoutes() []route {
	return tagged("mcp", []route{
		{method: http.MethodPost, path: "/mcp", summary: "Model Context Protocol: messages of a client", serve: serveMCP},
		{method: http.MethodGet, path: "/mcp", summary: "Model Context Protocol: messages to a client", serve: serveMCP},
		{method: http.MethodDelete, path: "/mcp", summary: "Model Context Protocol: end a session", serve: serveMCP},
	})
}

func serveMCP(c *call) (any, error) {
	if c.api.deps.MCP == nil {
		return nil, Errorf(wire.CodeUnavailable, "no MCP server runs here")
	}
	if c.Request.Method != http.MethodDelete {
		// Both may wait for a person, and both end with the server.
		select {
		case c.api.open <- struct{}{}:
			defer func() { <-c.api.open }()
		default:
			return nil, Errorf(wire.CodeTooMany, "%d streams are open, which is the most there can be; close one", cap(c.api.open))
		}
		rc := http.NewResponseController(c.Writer)
		// A recorder in a test has no deadlines to lift.
		_ = rc.SetReadDeadline(time.Time{})  //nolint:errcheck // see above
		_ = rc.SetWriteDeadline(time.Time{}) //nolint:errcheck // see above
	}
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(c.api.streams, cancel)()
	c.api.deps.MCP.ServeHTTP(c.Writer, c.Request.WithContext(ctx))
	return answered{}, nil
}
