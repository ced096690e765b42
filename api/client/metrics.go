package client

import (
	"context"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

// TestAlerts sends a test message to every alert channel, or to one.
func (c *Client) TestAlerts(ctx context.Context, channel string) ([]wire.AlertTest, error) {
	path := "/api/v1/alerts/test"
	if channel != "" {
		path += "?" + url.Values{"channel": {channel}}.Encode()
	}
	out, err := post[wire.AlertTests](ctx, c, path)
	return out.Results, err
}
