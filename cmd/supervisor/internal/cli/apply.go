package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// fileOptions are the flags of commands that take manifests.
type fileOptions struct {
	files     []string
	recursive bool
}

func fileFlags(cmd *cobra.Command, o *fileOptions, verb string) {
	cmd.Flags().StringArrayVarP(&o.files, "filename", "f", nil, "file or folder to "+verb+", - for standard input")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "R", false, "look into the folders of a folder too")
	_ = cmd.RegisterFlagCompletionFunc("filename", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	})
}

func (c *cli) applyCommand() *cobra.Command {
	var files fileOptions
	var form string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE|FOLDER|-",
		Short: "Write manifests into the supervisor's folder, and say what became of them",
		Long: `Each object is created, or its manifest is replaced where it stands; comments of that file are those of the new text.
Nothing is changed when anything that was given is invalid.

Copying a file into the manifest folder does the same, without an answer.`,
		Example: "  supervisor apply -f web.yaml\n  supervisor apply -f deploy/ -R\n  sed s/8000/8001/ web.yaml | supervisor apply -f -",
		Args:    noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			if len(files.files) == 0 {
				return usagef("say what to apply with -f")
			}
			manifests, err := c.readManifests(files.files, files.recursive)
			if err != nil {
				return err
			}
			keys, err := c.checkManifests(ctx, api, manifests)
			if err != nil {
				return err
			}
			if dryRun {
				for _, of := range keys {
					for _, k := range of {
						c.printf("%s is valid (dry run)\n", display(k))
					}
				}
				_, err := c.previewManifests(ctx, api, manifests, formTable, false)
				return err
			}
			var applied []wire.Applied
			for _, m := range manifests {
				items, err := api.Apply(ctx, m.text)
				if err != nil {
					_ = c.printApplied(applied, form) // the rest is told by err
					return fmt.Errorf("%s: %w", m.name, err)
				}
				applied = append(applied, items...)
			}
			return c.printApplied(applied, form)
		}),
	}
	fileFlags(cmd, &files, "apply")
	formFlag(cmd, &form, formYAML, formJSON, formName)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the supervisor check everything and say what it would do, and change nothing")
	return cmd
}

// printApplied says what became of each document. It returns errSaid when one could not be written.
func (c *cli) printApplied(items []wire.Applied, form string) error {
	var failed error
	for _, a := range items {
		if a.Result == wire.ResultFailed {
			failed = errSaid
			c.notef("error: %s: %s\n", display(a.Key), plain(a.Message))
		}
	}
	if form == formYAML || form == formJSON {
		if items == nil {
			items = []wire.Applied{}
		}
		if err := c.printValue(form, wire.ApplyResult{Items: items}); err != nil {
			return err
		}
		return failed
	}
	for _, a := range items {
		switch {
		case a.Result == wire.ResultFailed:
		case form == formName:
			c.printf("%s\n", display(a.Key))
		default:
			c.printf("%s %s%s\n", display(a.Key), a.Result, c.aftermath(a))
		}
	}
	return failed
}

// aftermath is what the reconciler made of an applied object: " (Running, pid 123)".
func (c *cli) aftermath(a wire.Applied) string {
	var parts []string
	if a.Phase != "" {
		parts = append(parts, c.paint(colorOf(string(a.Phase)), string(a.Phase)))
	}
	if a.PID > 0 {
		parts = append(parts, fmt.Sprintf("pid %d", a.PID))
	}
	if a.Message != "" && a.Phase != v1.PhaseRunning {
		parts = append(parts, plain(a.Message))
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
