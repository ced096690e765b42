package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
)

func (c *cli) diffCommand() *cobra.Command {
	var files fileOptions
	var form string
	var exitStatus bool
	cmd := &cobra.Command{
		Use:   "diff -f FILE|FOLDER|-",
		Short: "Show what an apply would change, and what would restart by it",
		Long: `The difference is that of the manifests' texts; below it stands what would become of each object, by the same rules that the
supervisor itself goes by. Nothing is changed. Secrets are masked.`,
		Example: "  supervisor diff -f web.yaml\n  sed s/8000/8001/ web.yaml | supervisor diff -f -",
		Args:    noArgs,
		RunE: c.online(func(ctx context.Context, api *client.Client, _ []string) error {
			if len(files.files) == 0 {
				return usagef("say what to compare with -f")
			}
			manifests, err := c.readManifests(files.files, files.recursive)
			if err != nil {
				return err
			}
			if _, err := c.checkManifests(ctx, api, manifests); err != nil {
				return err
			}
			differs, err := c.previewManifests(ctx, api, manifests, form, true)
			if err == nil && differs && exitStatus {
				err = errSaid
			}
			return err
		}),
	}
	fileFlags(cmd, &files, "compare")
	formFlag(cmd, &form, formYAML, formJSON)
	cmd.Flags().BoolVar(&exitStatus, "exit-code", false, "exit with 1 when something would change")
	return cmd
}

// previewManifests says what an apply of the texts would do, one by one, and whether it is anything.
func (c *cli) previewManifests(ctx context.Context, api *client.Client, manifests []manifest, form string, texts bool) (differs bool, err error) {
	all := []wire.Preview{}
	for _, m := range manifests {
		text := string(m.text)
		p, err := api.Preview(ctx, wire.PreviewRequest{Text: &text})
		if err != nil {
			return differs, err
		}
		for i := range p.Problems {
			if p.Problems[i].File == "" {
				p.Problems[i].File = m.name
			}
		}
		differs = differs || p.Diff != "" || len(p.Steps) > 0
		all = append(all, p)
	}
	if form != formTable {
		return differs, c.printValue(form, all)
	}
	for _, p := range all {
		if texts {
			c.printDiff(p.Diff)
		}
		for _, problem := range p.Problems {
			c.notef("%s\n", plain(problem.String()))
		}
		for _, s := range p.Steps {
			c.printf("%s %s\n", display(s.Key), c.intention(&s))
		}
	}
	if !differs {
		c.printf("nothing would change\n")
	}
	return differs, nil
}

// printDiff writes a unified difference, coloured like everybody does.
func (c *cli) printDiff(diff string) {
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		color := ""
		switch {
		case strings.HasPrefix(line, "@@"), strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
			color = faint
		case strings.HasPrefix(line, "-"):
			color = red
		case strings.HasPrefix(line, "+"):
			color = green
		}
		c.printf("%s\n", c.paint(color, plain(line)))
	}
}

// intention is a step in words: "would restart: a process cannot be given another spec.command".
func (c *cli) intention(s *wire.PreviewStep) string {
	words := map[string]string{
		wire.EffectStart: "would start", wire.EffectRestart: c.paint(yellow, "would restart"), wire.EffectRoll: "would be rolled out",
		wire.EffectStop: c.paint(red, "would stop"), wire.EffectScale: "would be scaled", wire.EffectInPlace: "would change in place",
		wire.EffectNone: "would change",
	}[s.Effect]
	switch {
	case s.Action == "add" && s.Effect != wire.EffectStart:
		words = "would be added"
	case s.Action == "remove" && s.Effect != wire.EffectStop:
		words = "would be removed"
	}
	out := words + ": " + plain(s.Reason)
	fields := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		fields[i] = f.Field
	}
	if len(fields) > 0 {
		out += " (" + strings.Join(fields, ", ") + ")"
	}
	return out
}
