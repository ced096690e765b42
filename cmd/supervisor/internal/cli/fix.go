package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

func (c *cli) fixCommand() *cobra.Command {
	var message string
	var wait bool
	cmd := &cobra.Command{
		Use: "fix NAME", Short: "Let a coding agent repair a program",
		Long: `Let a coding agent repair a service or a cron job. Its folder is backed up, the agent works on a copy, and the repaired version
has to show that it runs; otherwise the folder is put back. ` + "`supervisor agents`" + ` shows which agents there are.`,
		Example: "  supervisor fix web -m 'GET /orders answers 500 since yesterday' --wait",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			key, err := oneKey(ctx, api, args[0])
			if err != nil {
				return err
			}
			job, err := api.Fix(ctx, key, message)
			if err != nil {
				return err
			}
			if !wait {
				c.printf("job %s repairs %s; `supervisor fixes %s` shows what becomes of it\n", job.JobID, display(key), key.Name)
				return nil
			}
			return c.watchFix(ctx, api, key, job.JobID)
		}),
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "what is wrong, in your words")
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait until it has ended, and fail when it did not help")
	return cmd
}

// oneKey is the one object that a word names.
func oneKey(ctx context.Context, api *client.Client, word string) (v1.Key, error) {
	refs, err := parseNames([]string{word}, "")
	if err != nil {
		return v1.Key{}, err
	}
	found, err := find(ctx, api, refs[0], "")
	switch {
	case err != nil:
		return v1.Key{}, err
	case len(found) > 1:
		return v1.Key{}, usagef("%s is a service and a cron job; write service/%[1]s or cronjob/%[1]s", refs[0].Name)
	}
	return found[0].Key(), nil
}

// fixLook is the time between two looks at a repair that somebody waits for.
const fixLook = time.Second

// watchFix waits for the end of a repair, saying where it is.
func (c *cli) watchFix(ctx context.Context, api *client.Client, key v1.Key, job string) error {
	look := time.NewTicker(fixLook)
	defer look.Stop()
	said := ""
	for {
		fixes, err := api.Fixes(ctx, key, 20, true)
		if err != nil {
			return err
		}
		for i := range fixes {
			f := &fixes[i]
			if f.JobID != job {
				continue
			}
			if f.State != said {
				c.notef("fix %d: %s\n", f.ID, f.State)
				said = f.State
			}
			if f.EndedAt != nil || f.State == stateProposed {
				return c.ended(f)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

const (
	stateProposed = "Proposed"
	stateApplied  = "Applied"
)

// ended shows a repair that has ended or waits for a person; its error says that it did not help.
func (c *cli) ended(f *wire.FixDetail) error {
	c.showFix(f)
	switch f.State {
	case stateApplied:
		return nil
	case stateProposed:
		c.notef("\n`supervisor fixes approve %d` makes these changes, `supervisor fixes reject %[1]d` drops them.\n", f.ID)
		return nil
	}
	return errSaid
}

func (c *cli) fixesCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "fixes [NAME]", Short: "Show repairs by coding agents; approve, reject and undo them",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			var key v1.Key
			if len(args) > 0 {
				var err error
				if key, err = oneKey(ctx, api, args[0]); err != nil {
					return err
				}
			}
			fixes, err := api.Fixes(ctx, key, limit, true)
			if err != nil {
				return err
			}
			if len(fixes) == 0 {
				c.notef("Nothing has been repaired yet.\n")
				return nil
			}
			w := tabwriter.NewWriter(c.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(w, "ID\tWHEN\tOBJECT\tSTATE\tFILES\tWHAT")
			for i := range fixes {
				f := &fixes[i]
				state := f.State
				if f.RestoredAt != nil {
					state += ", undone"
				}
				_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\n", f.ID, f.Timestamp.Local().Format("2006-01-02 15:04"), display(f.Object), state, len(f.FilesModified), plain(f.ErrorSummary))
			}
			return w.Flush()
		}),
	}
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many of the newest")
	cmd.AddCommand(c.fixesShowCommand(), c.fixesApproveCommand(), c.fixesRejectCommand(), c.fixesRestoreCommand())
	return cmd
}

// fixID reads the ID of a repair.
func fixID(word string) (uint64, error) {
	id, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0, usagef("%q is not the ID of a fix; `supervisor fixes` shows them", word)
	}
	return id, nil
}

// onFix makes a command that is about one repair.
func (c *cli) onFix(use, short string, do func(ctx context.Context, api *client.Client, id uint64) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			id, err := fixID(args[0])
			if err != nil {
				return err
			}
			return do(ctx, api, id)
		}),
	}
}

func (c *cli) fixesShowCommand() *cobra.Command {
	return c.onFix("show", "Show a repair: why, what was changed, what became of it", func(ctx context.Context, api *client.Client, id uint64) error {
		f, err := api.FixOf(ctx, id)
		if err != nil {
			return err
		}
		c.showFix(&f)
		return nil
	})
}

func (c *cli) fixesApproveCommand() *cobra.Command {
	return c.onFix("approve", "Make the changes that a repair proposes, and watch whether they help", func(ctx context.Context, api *client.Client, id uint64) error {
		f, err := api.FixOf(ctx, id)
		if err != nil {
			return err
		}
		job, err := api.ApproveFix(ctx, id)
		if err != nil {
			return err
		}
		return c.watchFix(ctx, api, f.Object, job.JobID)
	})
}

func (c *cli) fixesRejectCommand() *cobra.Command {
	var reason string
	cmd := c.onFix("reject", "Drop the changes that a repair proposes", func(ctx context.Context, api *client.Client, id uint64) error {
		f, err := api.RejectFix(ctx, id, reason)
		if err != nil {
			return err
		}
		c.printf("fix %d of %s is rejected\n", f.ID, display(f.Object))
		return nil
	})
	cmd.Flags().StringVarP(&reason, "message", "m", "", "why")
	return cmd
}

func (c *cli) fixesRestoreCommand() *cobra.Command {
	cmd := c.onFix("restore", "Put a folder back to what it was before a repair", func(ctx context.Context, api *client.Client, id uint64) error {
		r, err := api.RestoreFix(ctx, id)
		if err != nil {
			return err
		}
		c.printf("the folder of %s is as it was before fix %d; %d paths differed\n", r.Service, r.FixID, len(r.Changed))
		c.notef("What was there has been backed up: `supervisor fixes restore %d` undoes this.\n", r.UndoID)
		return nil
	})
	cmd.Long = "Put a folder back to what it was before a repair, exactly: also files that have come, gone or changed since, such as data in\n" +
		"the folder. What is there now is backed up first, and the command says how to go back to it."
	return cmd
}

func (c *cli) showFix(f *wire.FixDetail) {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(w, "%s:\t%s\n", name, value)
		}
	}
	row("Fix", fmt.Sprintf("%d of %s", f.ID, display(f.Object)))
	row("State", f.State)
	row("Reason", plain(f.Reason))
	row("Error", plain(f.ErrorSummary))
	row("Asked by", plain(f.Actor))
	row("Began", f.Timestamp.Local().Format("2006-01-02 15:04:05"))
	if f.EndedAt != nil {
		row("Took", time.Duration(f.DurationSeconds*float64(time.Second)).Round(time.Second).String())
	}
	row("Agent", strings.TrimSpace(plain(f.Agent+" "+f.Model)))
	if f.InputTokens+f.OutputTokens > 0 {
		row("Tokens", fmt.Sprintf("%d in, %d out", f.InputTokens, f.OutputTokens))
	}
	if f.CostUSD > 0 {
		row("Cost", fmt.Sprintf("%.2f USD", f.CostUSD))
	}
	if f.BackupPath != nil {
		row("Backup", *f.BackupPath)
	}
	if f.RestoredAt != nil {
		row("Undone", f.RestoredAt.Local().Format("2006-01-02 15:04:05"))
	}
	row("Job", f.JobID)
	_ = w.Flush() // as printf
	if f.RobotResponse != "" {
		c.printf("\nThe agent says:\n")
		for line := range strings.Lines(f.RobotResponse) {
			c.printf("  %s\n", plain(strings.TrimRight(line, "\n")))
		}
	}
	if f.Diff != "" {
		c.printf("\n")
		c.printDiff(f.Diff)
	}
}
