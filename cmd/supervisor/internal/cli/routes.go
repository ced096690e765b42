package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

func (c *cli) routesCommand() *cobra.Command {
	var form string
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Show how services are reached through Caddy, and whether they answer",
		Args:  noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			r, err := api.Routes(ctx)
			if err != nil {
				return err
			}
			if form == formYAML || form == formJSON {
				return c.printValue(form, r)
			}
			return c.printRoutes(&r, form == formWide)
		}),
	}
	formFlag(cmd, &form, formWide, formYAML, formJSON)
	return cmd
}

func (c *cli) printRoutes(r *wire.Routes, wide bool) error {
	t := &table{header: []string{"SERVICE", "STATUS", "URL", "MESSAGE"}}
	if wide {
		t.header = []string{"SERVICE", "STATUS", "URL", "UPSTREAMS", "TLS", "MS", "CHECKED", "MESSAGE"}
	}
	for i := range r.Routes {
		t.rows = append(t.rows, c.routeRow(&r.Routes[i], wide))
	}
	if len(t.rows) > 0 {
		c.printTable(c.Out, t, "", true)
	}
	if r.State != wire.CaddyStateServing {
		c.notef("%s\n", r.Message)
	}
	if r.State == wire.CaddyStateUnreachable || r.State == wire.CaddyStateRejected {
		return errSaid
	}
	return nil
}

// How a route is, in one word.
const (
	routeAnswers = "Answers"
	routeSilent  = "Silent"
	routeRefused = "NotServed"
)

func (c *cli) routeRow(r *wire.Route, wide bool) []string {
	state, message := string(v1.PhasePending), ""
	switch {
	case r.Exposed != nil && r.Exposed.Status != v1.ConditionTrue:
		state, message = routeRefused, r.Exposed.Message
	case r.Stopped:
		state = string(v1.PhaseStopped)
	case r.Answers != nil && *r.Answers:
		state = routeAnswers
	case r.Answers != nil:
		state, message = routeSilent, "it "+r.Answer
	}
	if !wide {
		return []string{r.Service, state, r.URL, message}
	}
	took, checked := "", ""
	if r.CheckedAt != nil {
		took, checked = number(int(r.Milliseconds+0.5)), ago(c.Now(), *r.CheckedAt)
	}
	return []string{r.Service, state, r.URL, strings.Join(r.Upstreams, " "), r.TLS, took, checked, message}
}

// caddyCommand groups what is about Caddy itself.
func (c *cli) caddyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "caddy", Short: "See what Caddy is given, and have it load that anew", Args: noArgs}
	var current bool
	config := &cobra.Command{
		Use: "config", Short: "Print the Caddyfile that is generated", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			if current {
				running, err := api.CaddyCurrent(ctx)
				if err != nil {
					return err
				}
				return c.printValue(formJSON, running)
			}
			generated, err := api.CaddyConfig(ctx)
			if err != nil {
				return err
			}
			c.printf("%s", generated.Caddyfile)
			return nil
		}),
	}
	config.Flags().BoolVar(&current, "current", false, "print Caddy's running configuration instead, as JSON")
	reload := &cobra.Command{
		Use: "reload", Short: "Have Caddy load its configuration although nothing has changed", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			r, err := api.ReloadCaddy(ctx)
			if err != nil {
				return err
			}
			c.printf("%s\n", r.Message)
			return nil
		}),
	}
	cmd.AddCommand(config, reload)
	return cmd
}
