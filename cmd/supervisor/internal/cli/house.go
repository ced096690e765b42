package cli

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

func (c *cli) versionCommand() *cobra.Command {
	var form string
	var clientOnly bool
	type build struct {
		Version string `json:"version"`
		Go      string `json:"go"`
	}
	type versions struct {
		Client build         `json:"client"`
		Server *wire.Version `json:"server,omitempty"`
	}
	cmd := &cobra.Command{
		Use: "version", Short: "Say which version this is, and which one runs", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			v := versions{Client: build{c.program.Version, runtime.Version()}}
			var failed error // told after what is known
			if !clientOnly {
				server, err := api.Version(ctx)
				if err == nil {
					v.Server = &server
				}
				failed = err
			}
			if form != formTable {
				if err := c.printValue(form, v); err != nil {
					return err
				}
				return failed
			}
			c.printf("client: %s (%s)\n", v.Client.Version, v.Client.Go)
			if v.Server != nil {
				c.printf("server: %s (%s), pid %d, keeper %s\n", v.Server.Version, v.Server.Go, v.Server.PID, keeperVersion(v.Server.Keeper))
			}
			return failed
		}),
	}
	formFlag(cmd, &form, formYAML, formJSON)
	cmd.Flags().BoolVar(&clientOnly, "client", false, "ask no supervisor")
	return cmd
}

func keeperVersion(v string) string {
	if v == "" {
		return "not reachable"
	}
	return v
}

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show at a glance what runs and what does not", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			v, err := api.Version(ctx)
			if err != nil {
				return err
			}
			services, err := api.Objects(ctx, v1.KindService, "")
			if err != nil {
				return err
			}
			jobs, err := api.Objects(ctx, v1.KindCronJob, "")
			if err != nil {
				return err
			}
			problems, err := api.Problems(ctx)
			if err != nil {
				return err
			}
			pending, err := api.Prune(ctx, false)
			if err != nil {
				return err
			}
			c.printf("Supervisor %s, pid %d, up %s; keeper %s\n", v.Version, v.PID, span(c.Now().Sub(v.StartedAt)), keeperVersion(v.Keeper))
			c.printf("Manifests in %s\n\n", v.Manifests)
			c.printf("%s%s\n", count(len(services), "service"), phases(services))
			c.printf("%s\n", count(len(jobs), "cron job"))
			if n := len(problems); n > 0 {
				c.printf("%s: see `supervisor get problems`\n", c.paint(red, count(n, "problem")+" in manifests"))
			}
			if n := len(pending.Pending); n > 0 {
				c.printf("%s: see `supervisor prune`\n", c.paint(yellow, count(n, "object")+" without a manifest, waiting for confirmation"))
			}
			c.unwell(services)
			return nil
		}),
	}
}

// phases renders ": 3 Running, 1 Failed", in the order of a service's life.
func phases(services []v1.Object) string {
	n := map[v1.Phase]int{}
	for _, o := range services {
		if s, ok := o.(*v1.Service); ok {
			n[statusOf(s).Phase]++
		}
	}
	var parts []string
	for _, p := range []v1.Phase{
		v1.PhaseRunning, v1.PhaseStarting, v1.PhasePending, v1.PhaseUnready, v1.PhaseBackoff, v1.PhaseFailed,
		v1.PhaseStopping, v1.PhaseStopped, v1.PhaseComplete,
	} {
		if n[p] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[p], p))
		}
	}
	if parts == nil {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// unwell lists the services that are not as their manifests want them.
func (c *cli) unwell(services []v1.Object) {
	t := &table{header: []string{"NAME", "STATUS", "REASON"}}
	for _, o := range services {
		s, ok := o.(*v1.Service)
		if !ok {
			continue
		}
		st := statusOf(s)
		content := st.Phase == v1.PhaseRunning || st.Phase == v1.PhaseComplete
		if st.Phase == v1.PhaseStopped || (content && reason(st) == "") {
			continue
		}
		t.rows = append(t.rows, []string{s.Metadata.Name, string(st.Phase), reason(st)})
	}
	if len(t.rows) > 0 {
		c.printf("\n")
		c.printTable(c.Out, t, "", true)
	}
}

func (c *cli) pruneCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Confirm that services whose manifests vanished all at once are to be stopped", Args: noArgs,
		Long: `When most manifests vanish in one change, such as a folder that was not mounted or an empty checkout, their services
run on until this confirms that it was meant. Without --yes it only lists them.`,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			p, err := api.Prune(ctx, yes)
			if err != nil {
				return err
			}
			if yes {
				for _, k := range p.Pruned {
					c.printf("%s pruned\n", display(k))
				}
			}
			for _, k := range p.Pending {
				c.printf("%s has no manifest any more, and waits for confirmation\n", display(k))
			}
			switch {
			case len(p.Pending) > 0 && !yes:
				c.notef("Stop and remove %s with: supervisor prune --yes\n", count(len(p.Pending), "object"))
			case len(p.Pending)+len(p.Pruned) == 0:
				c.notef("Nothing to prune: everything that runs has its manifest.\n")
			}
			return nil
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "stop and remove them")
	return cmd
}

func (c *cli) shutdownCommand() *cobra.Command {
	return &cobra.Command{
		Use: "shutdown", Short: "Stop every service, and then the supervisor", Args: noArgs,
		Long: "Services are stopped in reverse order of their dependencies. To end the supervisor and let services run on, send it SIGTERM\n(or `systemctl stop supervisor`).",
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			r, err := api.Shutdown(ctx)
			if err != nil {
				return err
			}
			return c.reportShutdown(r)
		}),
	}
}

// reportShutdown says how the end of everything went; it is an error when something is left.
func (c *cli) reportShutdown(r wire.Shutdown) error {
	for _, k := range r.Killed {
		c.notef("%s did not stop in its time and was killed\n", display(k))
	}
	for _, k := range r.Left {
		c.notef("error: %s could not be stopped\n", display(k))
	}
	c.printf("%s stopped\n", count(r.Stopped, "service"))
	if len(r.Left) > 0 {
		return errSaid
	}
	return nil
}
