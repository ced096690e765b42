package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/pkg/mcp"
)

func (c *cli) mcpCommand() *cobra.Command {
	var o mcp.Options
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Let an AI program look at the supervisor, and change it when you agree (MCP)",
		Long: `Speak the Model Context Protocol on standard input and output, for an AI program that starts this command.
It may look at everything but secrets. What changes something asks you first: through the program where that can ask
(elicitation), else it waits for "supervisor approve ID". The same is at /mcp of the HTTP API.`,
		Example: `  claude mcp add supervisor -- supervisor mcp
  supervisor mcp --read-only`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			api, err := c.connectAs(cmd, "mcp")
			if err != nil {
				return err
			}
			defer api.Close()
			o.Version = c.program.Version
			err = mcp.Serve(ctx, mcp.NewServer(api, o), io.NopCloser(c.In), nopWriteCloser{c.Out})
			if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&o.ReadOnly, "read-only", false, "offer only what changes nothing")
	cmd.Flags().BoolVar(&o.Trust, "client-asks", false, "do not ask: the program asks you itself before each call that changes something")
	return cmd
}

// nopWriteCloser is a writer that others close.
type nopWriteCloser struct{ io.Writer }

// Close does nothing.
func (nopWriteCloser) Close() error { return nil }
