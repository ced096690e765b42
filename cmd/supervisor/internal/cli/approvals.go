package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
)

func (c *cli) approvalsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "approvals", Short: "Show what programs want to do and you have to allow", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			items, err := api.Approvals(ctx)
			if err != nil {
				return err
			}
			shown := 0
			for i := range items {
				if all || items[i].State == wire.ApprovalWaiting {
					c.printApproval(&items[i])
					shown++
				}
			}
			if shown == 0 {
				c.notef("Nothing waits for you.\n")
			}
			return nil
		}),
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that were decided")
	return cmd
}

func (c *cli) printApproval(a *wire.Approval) {
	c.printf("%s  %s  %s\n  asked by %s at %s\n", a.ID, a.State, plain(a.Summary), plain(a.Actor), a.CreatedAt.Local().Format("15:04:05"))
	for line := range strings.Lines(a.Detail) {
		c.printf("  %s\n", plain(strings.TrimRight(line, "\n")))
	}
}

func (c *cli) approveCommand() *cobra.Command {
	return c.decideCommand("approve", "Allow what a program wants to do, once", true)
}

func (c *cli) rejectCommand() *cobra.Command {
	return c.decideCommand("reject", "Refuse what a program wants to do", false)
}

func (c *cli) decideCommand(name, short string, allow bool) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID...", Short: short, Args: minArgs("at least one approval; `supervisor approvals` shows them"),
		RunE: c.online(func(ctx context.Context, api *client.Client, ids []string) error {
			var failed error
			for _, id := range ids {
				a, err := api.DecideApproval(ctx, id, allow)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				c.printf("%s %s: %s\n", a.ID, a.State, plain(a.Summary))
			}
			return failed
		}),
	}
}
