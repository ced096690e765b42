package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
)

// parallel is how many services are acted on at once: a stop waits for its grace, and those of many need not add up.
const parallel = 16

// verb asks for one thing of one service, and returns what became of it.
type verb func(ctx context.Context, api *client.Client, name string) (string, error)

func (c *cli) startCommand() *cobra.Command {
	cmd := c.verbCommand("start", "Start services, whatever their manifest says of enabled", func(ctx context.Context, api *client.Client, name string) (string, error) {
		s, err := api.Start(ctx, name)
		return became(s.Status, s.PID), err
	})
	cmd.Long = "A service that was started by hand stays so until it is stopped, or until the supervisor starts anew after a shutdown or a\nreboot, when its manifest decides again. Its manifest is not changed."
	return cmd
}

func (c *cli) stopCommand() *cobra.Command {
	cmd := c.verbCommand("stop", "Stop services, and wait until nothing of them is left", func(ctx context.Context, api *client.Client, name string) (string, error) {
		s, err := api.Stop(ctx, name)
		return became(s.Status, 0), err
	})
	cmd.Long = "A service that was stopped stays so until it is started, or until the supervisor starts anew after a shutdown or a reboot,\nwhen its manifest decides again. Its manifest is not changed; `enabled: false` in it is for good."
	return cmd
}

func (c *cli) restartCommand() *cobra.Command {
	return c.verbCommand("restart", "Replace every process of services by a new one", func(ctx context.Context, api *client.Client, name string) (string, error) {
		s, err := api.Restart(ctx, name)
		return became(s.Status, s.PID), err
	})
}

// became renders a status of the API: "already running (pid 12)".
func became(status string, pid int) string {
	text := status
	switch status {
	case "already_running":
		text = "already running"
	case "not_running":
		text = "was not running"
	}
	if pid > 0 {
		text += fmt.Sprintf(" (pid %d)", pid)
	}
	return text
}

func (c *cli) verbCommand(name, short string, do verb) *cobra.Command {
	var s selection
	cmd := &cobra.Command{
		Use: name + " NAME... | -l SELECTOR | --all", Short: short,
		Example:           fmt.Sprintf("  supervisor %[1]s web api\n  supervisor %[1]s -l team=web", name),
		ValidArgsFunction: c.completeNames(v1.KindService),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			keys, err := s.keys(ctx, api, v1.KindService, args)
			if err != nil {
				return err
			}
			if len(keys) == 0 {
				c.notef("Nothing to %s: no service is picked.\n", name)
			}
			return c.each(ctx, keys, func(ctx context.Context, k v1.Key) (string, error) {
				text, err := do(ctx, api, k.Name)
				if isNotFound(err) {
					err = notFound(ctx, api, k, []string{k.Kind})
				}
				return display(k) + " " + text, err
			})
		}),
	}
	selectorFlag(cmd, &s.selector)
	cmd.Flags().BoolVar(&s.all, "all", false, "all services")
	return cmd
}

// each acts on all keys, several at a time, and prints the outcomes in the order of keys, each as soon as those before
// it are known. One that fails does not keep the others from being tried.
func (c *cli) each(ctx context.Context, keys []v1.Key, do func(context.Context, v1.Key) (string, error)) error {
	type outcome struct {
		text string
		err  error
	}
	outcomes := make([]chan outcome, len(keys))
	slots := make(chan struct{}, parallel)
	for i := range outcomes {
		outcomes[i] = make(chan outcome, 1)
	}
	go func() {
		for i, k := range keys {
			slots <- struct{}{}
			go func() {
				text, err := do(ctx, k)
				outcomes[i] <- outcome{text, err}
				<-slots
			}()
		}
	}()
	var failed error
	for i, k := range keys {
		out := <-outcomes[i]
		switch {
		case ctx.Err() != nil && out.err != nil:
			failed = ctx.Err()
		case out.err != nil && len(keys) == 1:
			failed = out.err
		case out.err != nil:
			c.complain(fmt.Errorf("%s: %w", display(k), out.err))
			failed = errSaid
		case out.text != "":
			c.printf("%s\n", out.text)
		}
	}
	return failed
}
