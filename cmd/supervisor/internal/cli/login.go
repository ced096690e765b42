package cli

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
)

// loginCommand prints a link that logs a browser in once.
func (c *cli) loginCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "login",
		Short: "Print a link that logs a browser in, once",
		Long:  "Print a link that logs a browser in to the dashboard. It works once and for a short time; whoever has it may do everything.",
		Args:  noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			link, err := api.LoginLink(ctx)
			if err != nil {
				return err
			}
			c.printf("%s%s\n", c.dashboard(ctx, api), link.Path)
			c.notef("It works once, within %s.\n", time.Duration(link.ExpiresIn)*time.Second)
			return nil
		}),
	}
}

// dashboard is the address of the dashboard as a browser on this machine reaches it.
func (c *cli) dashboard(ctx context.Context, api *client.Client) string {
	v, err := api.Version(ctx)
	if err != nil || v.Address == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(v.Address)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if n, err := strconv.Atoi(port); err != nil || n <= 0 {
		return ""
	}
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}).String()
}
