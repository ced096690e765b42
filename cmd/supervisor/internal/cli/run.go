package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/settings"
)

func (c *cli) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run", Short: "Run the supervisor in the foreground", Args: noArgs,
		Long: `The supervisor runs until it is told to end:
  Ctrl-C              stops every service, then the supervisor; a second one leaves at once, and what still runs runs on
  SIGTERM, or SIGHUP  leaves: services run on until a supervisor is back
  supervisor shutdown stops every service, then the supervisor

Each setting is a flag, a variable of the environment, or a line in .env in the working directory or the data folder; the
first of these that says something counts. Times are seconds, or have a unit: 500ms, 5s, 2m, 1h.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Load(c.sources(cmd))
			if err != nil {
				return err
			}
			signals := make(chan os.Signal, 4)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			if !signal.Ignored(syscall.SIGHUP) { // as nohup does
				signal.Notify(signals, syscall.SIGHUP)
			}
			defer signal.Stop(signals)
			daemon, err := c.program.Daemon(s)
			if err != nil {
				return err
			}
			return c.supervise(cmd.Context(), daemon, signals)
		},
	}
	for _, d := range settings.Definitions() {
		if d.Flag != dirFlag {
			cmd.Flags().String(d.Flag, "", fmt.Sprintf("%s (default %s)", d.Help, strings.Trim(d.Default, "()")))
		}
	}
	cmd.Flags().SortFlags = false
	return cmd
}

// supervise runs the daemon until it ends, and turns signals into the ways of ending:
//
//	running ──SIGINT──► stopping everything ──done──► leaving
//	running, stopping ──SIGTERM, SIGHUP, second SIGINT──► leaving ──any signal──► killed
func (c *cli) supervise(ctx context.Context, daemon Daemon, signals chan os.Signal) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	ended := make(chan error, 1)
	go func() { ended <- daemon.Run(ctx) }()

	var stopped chan ending // not nil once everything is being stopped
	for {
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("run the supervisor: %w", err)
			}
			leave()
			if stopped != nil { // it ends by itself as soon as all is stopped, and has yet to say how that went
				return c.reportEnding(<-stopped)
			}
			return nil
		case sig := <-signals:
			if sig == os.Interrupt && stopped == nil && ctx.Err() == nil {
				c.notef("\nStopping all services; Ctrl-C again leaves them as they are.\n")
				stopped = make(chan ending, 1)
				go func(done chan<- ending) {
					r, err := daemon.Shutdown(ctx, c.actor())
					done <- ending{r, err}
					leave()
				}(stopped)
				continue
			}
			// From now on signals do what they do to any program: nobody has to wait for a daemon that hangs.
			signal.Stop(signals)
			c.notef("\nLeaving; services run on.\n")
			leave()
		}
	}
}

// ending is how the stop of everything went.
type ending struct {
	report wire.Shutdown
	err    error
}

// reportEnding says how it went. One that was broken off by a second signal has no more to say.
func (c *cli) reportEnding(e ending) error {
	switch {
	case errors.Is(e.err, context.Canceled):
		return errInterrupted
	case e.err != nil:
		return fmt.Errorf("stop all services: %w", e.err)
	}
	return c.reportShutdown(e.report)
}

// actor is who typed Ctrl-C, for the history.
func (c *cli) actor() string { return fmt.Sprintf("user:%d (console)", c.UID) }
