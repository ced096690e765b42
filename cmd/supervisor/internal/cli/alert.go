package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
)

// alertCommand groups what is about telling people.
func (c *cli) alertCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "alert", Short: "See whether alerts arrive", Args: noArgs}
	var channel string
	test := &cobra.Command{
		Use:     "test",
		Short:   "Send a test message to the channels of ALERT_CHANNELS",
		Example: "  supervisor alert test --channel phone",
		Args:    noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			results, err := api.TestAlerts(ctx, channel)
			if err != nil {
				return err
			}
			var failed error
			for _, r := range results {
				if r.OK {
					c.printf("%s: sent\n", r.Channel)
					continue
				}
				c.printf("%s: failed: %s\n", r.Channel, r.Error)
				failed = errSaid
			}
			return failed
		}),
	}
	test.Flags().StringVar(&channel, "channel", "", "only this one")
	cmd.AddCommand(test)
	return cmd
}
