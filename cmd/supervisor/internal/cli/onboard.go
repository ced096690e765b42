package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
)

func (c *cli) onboardCommand() *cobra.Command {
	var r wire.OnboardRequest
	var file string
	cmd := &cobra.Command{
		Use:   "onboard PATH",
		Short: "Make a service of a project's folder",
		Long: `Look at a folder, propose a manifest with the reason of each decision, let a coding agent refine it where there is one,
write it, start it, and see whether it becomes ready. One that does not is revised a few times, and taken back in the end.

PATH is a folder, or the name of one in PROJECTS_DIR.`,
		Example: `  supervisor onboard ~/Code/shop --dry-run --no-agent > shop.yaml
  supervisor onboard ~/Code/shop
  supervisor onboard ~/Code/shop -f shop.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			r.Project = projectPath(args[0])
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("read the manifest: %w", err)
				}
				r.Manifest = string(text)
			}
			if r.DryRun && r.NoAgent && r.Manifest == "" && r.Port == 0 {
				return c.previewOnboard(ctx, api, r.Project)
			}
			return c.onboard(ctx, api, r)
		}),
	}
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "print the manifest, and write nothing")
	cmd.Flags().BoolVar(&r.NoAgent, "no-agent", false, "ask no coding agent")
	cmd.Flags().StringVar(&r.Agent, "agent", "", "ask this coding agent")
	cmd.Flags().StringVar(&r.Model, "model", "", "let it use this model")
	cmd.Flags().IntVar(&r.Port, "port", 0, "port that the service shall have")
	cmd.Flags().StringVarP(&file, "file", "f", "", "try this manifest")
	return cmd
}

// projectPath is an absolute path for what names a folder from here; a name that is none is left to the supervisor.
func projectPath(arg string) string {
	info, err := os.Stat(arg)
	if err != nil || !info.IsDir() {
		return arg
	}
	if abs, err := filepath.Abs(arg); err == nil {
		return abs
	}
	return arg
}

func (c *cli) previewOnboard(ctx context.Context, api *client.Client, project string) error {
	p, err := api.OnboardPreview(ctx, project)
	if err != nil {
		return err
	}
	c.tellWarnings(p.Warnings)
	if p.Manifest == "" {
		return errSaid
	}
	c.printf("%s", p.Manifest)
	for i, candidate := range p.Candidates {
		if i == 1 {
			c.notef("Other ways to run it:\n")
		}
		if i > 0 {
			c.notef("  %3d%%  %s (%s)\n", candidate.Confidence, plain(candidate.Command), plain(candidate.Title))
		}
	}
	return nil
}

func (c *cli) tellWarnings(warnings []string) {
	for _, w := range warnings {
		c.notef("note: %s\n", plain(w))
	}
}

// onboard waits for the job, telling what it does, and then what came of it.
func (c *cli) onboard(ctx context.Context, api *client.Client, r wire.OnboardRequest) error {
	started, err := api.Onboard(ctx, r)
	if err != nil {
		return err
	}
	job, err := c.followJob(ctx, api, started.JobID)
	if err != nil {
		return err
	}
	var result wire.OnboardResult
	if err := decodeResult(&job, &result); err != nil && job.Error == nil {
		return err
	}
	c.tellWarnings(result.Warnings)
	if job.Error != nil {
		for _, a := range result.Attempts {
			c.notef("tried: %s: %s\n", plain(a.Command), plain(a.Trouble))
			for _, line := range a.Log {
				c.notef("    %s\n", plain(line))
			}
		}
		return errors.New(plain(*job.Error))
	}
	c.notef("%s.\n", plain(result.Agent))
	if result.Diff != "" && !result.DryRun {
		c.printf("%s", result.Diff)
	}
	if result.DryRun {
		c.printf("%s", result.Manifest)
		return nil
	}
	c.printf("service/%s is ready: %s\n", result.Service, plain(result.Command))
	if result.URL != "" {
		c.printf("%s\n", plain(result.URL))
	} else if result.Port > 0 {
		c.printf("http://127.0.0.1:%d\n", result.Port)
	}
	return nil
}

// followJob tells what a job does until it has ended.
func (c *cli) followJob(ctx context.Context, api *client.Client, id string) (wire.Job, error) {
	job, err := api.FollowJob(ctx, id, func(l wire.JobLine) error {
		if l.Kind == "progress" && l.Text != "" {
			c.notef("%s …\n", plain(l.Text))
		}
		return nil
	})
	if ctx.Err() != nil {
		c.notef("The job goes on; `supervisor jobs cancel %s` ends it.\n", id)
	}
	return job, err
}

// decodeResult reads the result of a job.
func decodeResult(job *wire.Job, out any) error {
	raw, err := json.Marshal(job.Result)
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		return fmt.Errorf("read the result of job %s: %w", job.ID, err)
	}
	return nil
}

func (c *cli) scanCommand() *cobra.Command {
	var r wire.ScanRequest
	var latest bool
	var form string
	cmd := &cobra.Command{
		Use:   "scan NAME",
		Short: "Look at an exposed service as a stranger would, and say what is weak",
		Long: `Ask the service for what a stranger would ask for, through the address at which it is exposed: transport, headers, cookies,
CORS, redirects, and what should not be there. Nothing is changed by it. A coding agent, where there is one, reads the
source and adds its opinion, marked as such. The command fails when something is red.`,
		Example: "  supervisor scan shop\n  supervisor scan shop --latest -o json",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			name := args[0][strings.LastIndexByte(args[0], '/')+1:]
			if latest {
				return c.latestScan(ctx, api, name, form)
			}
			started, err := api.Scan(ctx, name, r)
			if err != nil {
				return err
			}
			job, err := c.followJob(ctx, api, started.JobID)
			if err != nil {
				return err
			}
			if job.Error != nil {
				return errors.New(plain(*job.Error))
			}
			return c.printScan(job.Result, form)
		}),
	}
	cmd.Flags().BoolVar(&r.NoAgent, "no-agent", false, "ask no coding agent")
	cmd.Flags().StringVar(&r.Agent, "agent", "", "ask this coding agent")
	cmd.Flags().StringVar(&r.Model, "model", "", "let it use this model")
	cmd.Flags().BoolVar(&latest, "latest", false, "show the newest scan again")
	formFlag(cmd, &form, formJSON, formYAML)
	return cmd
}

func (c *cli) latestScan(ctx context.Context, api *client.Client, name, form string) error {
	scan, err := api.LatestScan(ctx, name)
	switch {
	case err != nil:
		return err
	case !scan.HasScan:
		return fmt.Errorf("service %s was never scanned; run `supervisor scan %s`", name, name)
	case scan.Error != nil:
		return errors.New(plain(*scan.Error))
	case scan.CompletedAt == nil:
		return fmt.Errorf("the scan goes on; `supervisor jobs logs -f %s` shows it", *scan.JobID)
	}
	return c.printScan(scan.Result, form)
}

func (c *cli) printScan(result any, form string) error {
	if form != formTable {
		return c.printValue(form, result)
	}
	raw, err := json.Marshal(result)
	var scan wire.ScanResult
	if err == nil {
		err = json.Unmarshal(raw, &scan)
	}
	if err != nil {
		return fmt.Errorf("read the scan: %w", err)
	}
	c.printf("%s  %s\n%d red, %d amber, %d green\n\n", plain(scan.ServiceName), plain(scan.URL), scan.Summary.Red, scan.Summary.Amber, scan.Summary.Green)
	for _, f := range scan.Findings {
		who := ""
		if f.Source == "agent" {
			who = " (the agent's opinion)"
		}
		c.printf("%-5s  %s: %s%s\n       %s\n", f.Status, plain(f.Category), plain(f.Check), who, plain(f.Detail))
		if f.Recommendation != "" {
			c.printf("       → %s\n", plain(f.Recommendation))
		}
	}
	for _, n := range scan.Notes {
		c.notef("note: %s\n", plain(n))
	}
	if scan.Summary.Red > 0 {
		return errSaid
	}
	return nil
}
