package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/pkg/imports"
)

// maxImport bounds what is read from another manager, in bytes.
const maxImport = 4 << 20

// importTold ends the help of each of them.
const importTold = "\nThey are printed, or written into a folder, one file each. What could not be carried over is told on standard error."

// importCommands take over from other managers.
func (c *cli) importCommands() []*cobra.Command {
	return []*cobra.Command{
		c.importFrom("supervisord", "supervisord.conf", "Make manifests of the programs of a supervisord.conf.", "  supervisor import supervisord /etc/supervisor/conf.d/web.conf", imports.Supervisord),
		c.importFrom("pm2", "dump.pm2", "Make manifests of what PM2 runs: of ~/.pm2/dump.pm2 (pm2 save), of `pm2 jlist`, or of an ecosystem file in JSON.",
			"  pm2 save && supervisor import pm2 ~/.pm2/dump.pm2\n  node -p 'JSON.stringify(require(\"./ecosystem.config.js\"))' | supervisor import pm2 -", imports.PM2),
		c.importFrom("systemd", "NAME.service", "Make a manifest of a systemd unit.", "  systemctl cat web | supervisor import systemd - --name web", imports.Systemd),
		c.importFrom("compose", "compose.yaml", "Make manifests of a compose file: of what is built from source and says what it runs, programs; of the rest, containers that docker compose runs in the foreground.",
			"  supervisor import compose ~/Code/shop/compose.yaml -d ~/.supervisor/manifests/shop", imports.Compose),
	}
}

func (c *cli) importFrom(what, file, about, example string, read func([]byte, imports.Options) (imports.Result, error)) *cobra.Command {
	var dir, name string
	cmd := &cobra.Command{
		Use: what + " FILE", Short: "Make manifests of " + file, Long: about + importTold, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, o, err := c.foreign(args[0])
			if err != nil {
				return err
			}
			o.Name = name
			if name == "" && args[0] == "-" {
				o.Name = "app"
			}
			result, err := read(text, o)
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
	cmd.Flags().StringVarP(&dir, "dir", "d", "", "write the manifests into this folder; a file that is there is left alone")
	if what == "systemd" {
		cmd.Flags().StringVar(&name, "name", "", "name of the service (default: that of the file)")
	}
	return cmd
}

// foreign reads the file of another manager; - is standard input.
func (c *cli) foreign(arg string) ([]byte, imports.Options, error) {
	if arg == "-" {
		dir, err := os.Getwd()
		if err != nil {
			return nil, imports.Options{}, fmt.Errorf("find the working folder: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(c.In, maxImport+1))
		return text, imports.Options{File: "stdin", Dir: dir}, err
	}
	path, err := filepath.Abs(arg)
	if err != nil {
		return nil, imports.Options{}, fmt.Errorf("read %s: %w", arg, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, imports.Options{}, fmt.Errorf("read what is to be imported: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	return text, imports.Options{File: path, Dir: filepath.Dir(path)}, err
}
