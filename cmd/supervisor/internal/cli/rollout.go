package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// rolloutCommand groups what is about updates.
func (c *cli) rolloutCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rollout", Short: "Watch the update of a service, go back to an earlier version, or try again", Args: noArgs}
	cmd.AddCommand(c.rolloutStatusCommand(), c.rolloutHistoryCommand(), c.rolloutUndoCommand(), c.rolloutRetryCommand())
	return cmd
}

// serviceName allows service/NAME for NAME.
func serviceName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func (c *cli) rolloutStatusCommand() *cobra.Command {
	watch := true
	cmd := &cobra.Command{
		Use: "status NAME", Short: "Show how the update of a service does, and wait for its end",
		Long: "Show how the update of a service does, and wait for its end. The command fails when the update was given up.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeNames(v1.KindService),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			return c.followRollout(ctx, api, serviceName(args[0]), watch)
		}),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", true, "wait for the end")
	return cmd
}

// errSettled ends the watching.
var errSettled = errors.New("settled")

// followRollout prints each step of an update until it has ended.
func (c *cli) followRollout(ctx context.Context, api *client.Client, name string, watch bool) error {
	said := ""
	look := func() error {
		r, err := api.Rollout(ctx, name)
		if err != nil {
			return err
		}
		line := rolloutLine(&r)
		if line != said {
			c.printf("%s\n", line)
			said = line
		}
		switch {
		case r.Current != nil && r.Current.Phase == v1.RolloutFailed && r.Settled:
			return &runError{code: exitError, text: "the update of " + name + " was given up; `supervisor rollout undo " + name + "` takes the manifest back"}
		case r.Settled || !watch:
			return errSettled
		}
		return nil
	}
	err := look()
	if err == nil {
		// The first look may be older than the stream.
		err = api.Watch(ctx, 0, client.Watcher{
			Snapshot: func(wire.Snapshot) error { return look() },
			Change: func(ch v1.Change) error {
				if ch.Key.Kind != v1.KindService || !strings.EqualFold(ch.Key.Name, name) {
					return nil
				}
				return look()
			},
		})
	}
	if errors.Is(err, errSettled) {
		return nil
	}
	return err
}

func rolloutLine(r *wire.Rollout) string { return "service/" + r.Name + ": " + plain(r.Message) }

func (c *cli) rolloutHistoryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history NAME", Short: "Show the versions of a service that were rolled out", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeNames(v1.KindService),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			rows, err := api.RolloutHistory(ctx, serviceName(args[0]))
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				c.notef("No version of it has run yet.\n")
				return nil
			}
			w := tabwriter.NewWriter(c.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(w, "NUMBER\tWHEN\tOUTCOME\tBY\tCHANGED\tWHY")
			for i := range rows {
				r := &rows[i]
				number := fmt.Sprint(r.Number)
				if r.Current {
					number += "*"
				}
				why := r.Message
				if r.Phase == v1.RolloutComplete {
					why = ""
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", number, r.StartedAt.Local().Format(time.DateTime), r.Phase, plain(r.Actor), strings.Join(r.Changes, ","), plain(why))
			}
			return w.Flush()
		}),
	}
}

func (c *cli) rolloutUndoCommand() *cobra.Command {
	var to int
	cmd := &cobra.Command{
		Use: "undo NAME", Short: "Write an earlier version back into the manifest",
		Long: "Write an earlier version back into the manifest: the last one that was complete, or the one of --to. Comments stay where\nthe fields beside them do. The supervisor then rolls it out like any other edit.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeNames(v1.KindService),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			out, err := api.UndoRollout(ctx, serviceName(args[0]), to)
			if err != nil {
				return err
			}
			c.printf("service/%s: its manifest is that of revision %d again\n", out.Name, out.To)
			return nil
		}),
	}
	cmd.Flags().IntVar(&to, "to", 0, "number of the version, as history shows it")
	return cmd
}

func (c *cli) rolloutRetryCommand() *cobra.Command {
	return &cobra.Command{
		Use: "retry NAME", Short: "Try an update again that was given up", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeNames(v1.KindService),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			out, err := api.RetryRollout(ctx, serviceName(args[0]))
			if err != nil {
				return err
			}
			c.printf("service/%s is %s\n", out.Name, out.Status)
			return nil
		}),
	}
}
