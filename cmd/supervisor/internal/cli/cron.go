package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
)

// cronCommand groups what is about cron jobs alone.
func (c *cli) cronCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cron", Short: "Run cron jobs, see when they are due and what became of it", Args: noArgs}
	cmd.AddCommand(c.cronNextCommand(), c.cronRunCommand(), c.cronStopCommand(), c.cronHistoryCommand())
	return cmd
}

func (c *cli) cronNextCommand() *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use: "next NAME", Short: "Show when a cron job is due next", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			v, err := api.CronNext(ctx, jobName(args[0]), count)
			if err != nil {
				return err
			}
			if !v.Valid {
				return fmt.Errorf("its schedule cannot be used: %s", v.Message)
			}
			c.printf("%s\n", v.Description)
			now := time.Now()
			for _, at := range v.NextRuns {
				c.printf("%s  in %s\n", at.Format("Mon 2006-01-02 15:04:05 -0700"), at.Sub(now).Round(time.Second))
			}
			if len(v.NextRuns) == 0 {
				c.printf("never\n")
			}
			return nil
		}),
	}
	cmd.Flags().IntVarP(&count, "count", "n", 5, "how many instants")
	return cmd
}

// jobName allows cronjob/NAME for NAME.
func jobName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

func (c *cli) cronRunCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "run NAME",
		Short: "Run a cron job now",
		Long: "Run a cron job now, also a paused one. With --wait its output is shown as it comes, and the command ends with the\n" +
			"exit code of the run; interrupting the command leaves the run alone.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			name := jobName(args[0])
			run, err := api.RunCronJob(ctx, name)
			if err != nil {
				return err
			}
			if run.Status == "already_running" {
				c.notef("%s is running already, as execution %d; its concurrencyPolicy does not allow for another run.\n", name, run.ExecutionID)
			} else if !wait {
				c.printf("cronjob/%s started as execution %d\n", name, run.ExecutionID)
			}
			if !wait {
				return nil
			}
			e, err := api.FollowRun(ctx, name, run.ExecutionID, func(l wire.LogLine) {
				if l.Stream == "stderr" {
					_, _ = fmt.Fprintln(c.Err, l.Text)
				} else {
					c.printf("%s\n", l.Text)
				}
			})
			if err != nil {
				return err
			}
			return ended(&e)
		}),
	}
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "show the output, and end with the exit code of the run")
	return cmd
}

// runError ends the program with the code of a run.
type runError struct {
	code int
	text string
}

func (e *runError) Error() string { return e.text }

// isExit is the exit code that an error carries, or nil.
func isExit(err error) *runError {
	var e *runError
	errors.As(err, &e)
	return e
}

// ended is nil for a success, and else carries the run's exit code.
func ended(e *wire.Execution) error {
	if e.Success != nil && *e.Success {
		return nil
	}
	text := fmt.Sprintf("execution %d %s", e.ID, e.State)
	if e.Message != "" {
		text += ": " + e.Message
	}
	code := 1
	if e.ExitCode != nil && *e.ExitCode > 0 {
		code = *e.ExitCode
	}
	return &runError{code: code, text: text}
}

func (c *cli) cronStopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "stop NAME", Short: "Stop what runs of a cron job", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			out, err := api.StopCronJob(ctx, jobName(args[0]))
			if err != nil {
				return err
			}
			c.printf("cronjob/%s %s\n", out.Name, strings.ReplaceAll(out.Status, "_", " "))
			return nil
		}),
	}
}

func (c *cli) cronHistoryCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "history NAME", Short: "Show what became of each scheduled instant", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			rows, err := api.CronHistory(ctx, jobName(args[0]), limit)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				c.notef("Nothing has been due yet.\n")
				return nil
			}
			w := tabwriter.NewWriter(c.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(w, "ID\tSCHEDULED\tSTATE\tEXIT\tTOOK\tTRY\tWHY")
			for i := range rows {
				r := &rows[i]
				exit, took := "-", "-"
				if r.ExitCode != nil {
					exit = strconv.Itoa(*r.ExitCode)
				} else if r.Signal != "" {
					exit = r.Signal
				}
				if r.StartedAt != nil && r.FinishedAt != nil {
					took = time.Duration(r.DurationSeconds * float64(time.Second)).Round(time.Millisecond).String()
				}
				_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n", r.ID, r.Scheduled.Local().Format("2006-01-02 15:04:05"), r.State, exit, took, r.Attempt, r.Message)
			}
			return w.Flush()
		}),
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many of the newest")
	return cmd
}
