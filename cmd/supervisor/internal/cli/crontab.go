package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron/crontab"
)

// importCommand groups what takes over from other programs.
func (c *cli) importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Make manifests of what other programs run", Args: noArgs}
	var dir string
	var system bool
	tab := &cobra.Command{
		Use:   "crontab [FILE]",
		Short: "Make CronJob manifests of a crontab",
		Long: "Make CronJob manifests of a crontab: of FILE, of standard input (-), or of your own crontab.\n" +
			"They are printed, or written into a folder, one file each. What could not be carried over is told on standard error.",
		Example: "  supervisor import crontab\n  supervisor import crontab /etc/crontab --system\n  supervisor import crontab -d ~/.supervisor/manifests/cron",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, name, err := c.crontabText(cmd.Context(), args)
			if err != nil {
				return err
			}
			result, err := crontab.Parse(bytes.NewReader(text), crontab.Options{System: system, File: name})
			if err != nil {
				return err
			}
			notes := make([]string, len(result.Notes))
			for i, n := range result.Notes {
				notes[i] = n.String()
			}
			return c.imported(result.Objects, notes, dir)
		},
	}
	tab.Flags().StringVarP(&dir, "dir", "d", "", "write the manifests into this folder; a file that is there is left alone")
	tab.Flags().BoolVar(&system, "system", false, "lines name a user after the schedule, as in /etc/crontab")
	cmd.AddCommand(tab)
	cmd.AddCommand(c.importCommands()...)
	return cmd
}

func (c *cli) crontabText(ctx context.Context, args []string) (text []byte, name string, err error) {
	switch {
	case len(args) == 0:
		text, err = exec.CommandContext(ctx, "crontab", "-l").Output()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("read your crontab: %s", strings.TrimSpace(string(failed.Stderr)))
		}
		return text, "crontab", err
	case args[0] == "-":
		text, err = io.ReadAll(c.In)
		return text, "stdin", err
	}
	text, err = os.ReadFile(args[0])
	return text, args[0], err
}

// imported prints what was made, or writes it into a folder, and tells the notes.
func (c *cli) imported(objects []v1.Object, notes []string, dir string) error {
	for _, n := range notes {
		c.notef("%s\n", plain(n))
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return fmt.Errorf("write %s: %w", o.Key(), err)
		}
		if dir == "" {
			c.printf("---\n%s", text)
			continue
		}
		path := filepath.Join(dir, manifestName(o))
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			c.notef("%s is there already and was left alone\n", path)
			continue
		}
		if err == nil {
			_, err = f.Write(text)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return err
		}
		c.printf("%s\n", path)
	}
	return nil
}

func manifestName(o v1.Object) string {
	return o.Key().Name + "." + strings.ToLower(o.Key().Kind) + ".yaml"
}
