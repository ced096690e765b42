package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
)

// jobsCommand shows the work in the background.
func (c *cli) jobsCommand() *cobra.Command {
	var status string
	var limit int
	cmd := &cobra.Command{
		Use: "jobs", Short: "See and end work in the background: repairs, onboarding, scans", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			found, err := api.Jobs(ctx, status, limit)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				c.notef("There is no job.\n")
				return nil
			}
			w := tabwriter.NewWriter(c.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(w, "ID\tSTATUS\tTOOK\tCREATED\tWHAT")
			for i := range found {
				j := &found[i]
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", j.ID, jobState(j), jobTook(j), j.CreatedAt.Local().Format("2006-01-02 15:04:05"), plain(j.Name))
			}
			return w.Flush()
		}),
	}
	cmd.Flags().StringVar(&status, "status", "", "only those that are pending, running, completed or failed")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many of the newest")
	cmd.AddCommand(c.jobsShowCommand(), c.jobsLogsCommand(), c.jobsCancelCommand())
	return cmd
}

func jobState(j *wire.Job) string {
	if j.Reason != "" && j.Reason != "error" {
		return j.Status + " (" + j.Reason + ")"
	}
	return j.Status
}

func jobTook(j *wire.Job) string {
	if j.DurationSeconds == nil {
		return "-"
	}
	return time.Duration(*j.DurationSeconds * float64(time.Second)).Round(time.Second / 10).String()
}

func (c *cli) jobsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one job and what it brought", Args: cobra.ExactArgs(1),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			j, err := api.Job(ctx, args[0])
			if err != nil {
				return err
			}
			c.showJob(&j)
			return nil
		}),
	}
}

func (c *cli) showJob(j *wire.Job) {
	c.printf("%s  %s\n", j.ID, plain(j.Name))
	c.printf("Status:   %s\n", jobState(j))
	c.printf("Took:     %s\n", jobTook(j))
	if j.Actor != "" {
		c.printf("For:      %s\n", plain(j.Actor))
	}
	if j.Progress != nil && j.CompletedAt == nil {
		c.printf("Progress: %s (%.0f%%)\n", plain(*j.Progress), 100*j.Fraction)
	}
	if j.Error != nil {
		c.printf("Error:    %s\n", plain(*j.Error))
	}
	if j.Result != nil {
		if text, err := json.MarshalIndent(j.Result, "", "  "); err == nil {
			c.printf("Result:\n%s\n", text)
		}
	}
}

func (c *cli) jobsLogsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "logs ID", Short: "Show what a job did, step by step", Args: cobra.ExactArgs(1),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			p := jobPrinter{c: c}
			if !follow {
				err := api.JobTranscript(ctx, args[0], p.line)
				p.end()
				return err
			}
			j, err := api.FollowJob(ctx, args[0], p.line)
			p.end()
			if err != nil {
				return err
			}
			if j.Error != nil {
				return fmt.Errorf("the job failed: %s", plain(*j.Error))
			}
			c.notef("The job is %s.\n", j.Status)
			return nil
		}),
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the job ends")
	return cmd
}

// jobPrinter prints the lines of a transcript. The pieces of an agent's answer are put together again.
type jobPrinter struct {
	c    *cli
	text bool // the last line was a piece of text without an end
}

func (p *jobPrinter) line(l wire.JobLine) error {
	switch l.Kind {
	case "text":
		p.text = !strings.HasSuffix(l.Text, "\n")
		for i, line := range strings.Split(l.Text, "\n") {
			if i > 0 {
				p.c.printf("\n")
			}
			p.c.printf("%s", plain(line))
		}
		return nil
	case "thought", "usage", "session":
		return nil
	}
	p.end()
	what := plain(l.Text)
	if what == "" {
		what = toolTitle(l.Data)
	}
	p.c.printf("%s  %-10s %s\n", l.Time.Local().Format("15:04:05"), l.Kind, what)
	return nil
}

// end ends a line of text.
func (p *jobPrinter) end() {
	if p.text {
		p.c.printf("\n")
		p.text = false
	}
}

// toolTitle is what the data of a line says of a tool call or a decision.
func toolTitle(data json.RawMessage) string {
	var e struct {
		Tool struct {
			Kind, Title, Status string
			Paths               []string
		}
		Permission struct {
			Allowed bool
			Why     string
		}
		Stop string
	}
	if json.Unmarshal(data, &e) != nil {
		return ""
	}
	words := []string{e.Tool.Title, e.Tool.Status}
	words = append(words, e.Tool.Paths...)
	if e.Permission.Why != "" {
		answer := "refused: "
		if e.Permission.Allowed {
			answer = "allowed: "
		}
		words = append(words, answer+e.Permission.Why)
	}
	return plain(strings.Join(strings.Fields(strings.Join(append(words, e.Stop), " ")), " "))
}

func (c *cli) jobsCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID...", Short: "End jobs", Args: cobra.MinimumNArgs(1),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			for _, id := range args {
				j, err := api.CancelJob(ctx, id)
				if err != nil {
					return err
				}
				c.printf("%s %s\n", j.ID, jobState(&j))
			}
			return nil
		}),
	}
}

// agentsCommand lists coding agents.
func (c *cli) agentsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agents", Short: "List the coding agents that are known, and what each lacks", Args: noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			found, err := api.Agents(ctx)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(w, "AGENT\tREADY\tVERSION\tLICENCE\tPATH, OR WHAT IT LACKS")
			for i := range found {
				a := &found[i]
				ready, where := "no", a.Reason
				if a.Ready {
					ready, where = "yes", a.Path
				}
				if a.Default {
					ready += ", default"
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.ID, ready, cmp.Or(a.Version, "-"), cmp.Or(a.Licence, "-"), plain(where))
			}
			return w.Flush()
		}),
	}
}
