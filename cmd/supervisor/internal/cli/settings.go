package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
)

func (c *cli) settingsCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use: "settings", Short: "Show how the supervisor is set up, and where each value comes from", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			s, err := api.Settings(ctx)
			if err != nil {
				return err
			}
			if form != formTable {
				return c.printValue(form, s)
			}
			settings := &table{header: []string{"NAME", "VALUE", "FROM"}}
			for _, row := range s.Settings {
				settings.rows = append(settings.rows, []string{row.Name, row.Value, row.Source})
			}
			c.printTable(c.Out, settings, "", true)
			c.printf("\n")
			data := &table{header: []string{"DATA", "SIZE", "WHAT"}}
			for _, d := range s.Data {
				data.rows = append(data.rows, []string{d.Path, v1.ByteSize(d.Bytes).String(), d.About})
			}
			c.printTable(c.Out, data, "", true)
			return nil
		}),
	}
	formFlag(cmd, &form, formYAML, formJSON)
	return cmd
}

func (c *cli) envCommand() *cobra.Command {
	var form string
	var reveal bool
	cmd := &cobra.Command{
		Use: "env SERVICE", Short: "Show the environment that a service is started with, and where each variable comes from",
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			e, err := api.Environment(ctx, args[0], reveal)
			if err != nil {
				return err
			}
			if form != formTable {
				return c.printValue(form, e)
			}
			c.field("Command", strings.Join(e.Argv, " "))
			c.field("Folder", e.Dir)
			c.printf("\n")
			t := &table{header: []string{"NAME", "VALUE", "FROM"}}
			for _, v := range e.Variables {
				t.rows = append(t.rows, []string{v.Name, v.Value, v.Origin})
			}
			c.printTable(c.Out, t, "", true)
			return nil
		}),
	}
	formFlag(cmd, &form, formYAML, formJSON)
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show secrets too")
	return cmd
}
