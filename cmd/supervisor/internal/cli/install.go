package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/cmd/supervisor/internal/systemd"
	"github.com/philiporange/supervisor/pkg/settings"
)

// installOptions are the flags of install and uninstall.
type installOptions struct {
	user, dryRun bool
	prefix       string
}

func (o *installOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.user, "user", false, "for this user's service manager, which needs no root")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would be done, and do nothing")
	cmd.Flags().StringVar(&o.prefix, "prefix", "", "folder that takes the place of /, for building packages")
}

// folder is where the units go. Only root may write those of the machine.
func (c *cli) folder(o installOptions) (string, error) {
	if !o.user && !o.dryRun && o.prefix == "" && c.UID != 0 {
		return "", fmt.Errorf("only root may write to %s; use sudo, or --user for a service of your own", systemd.Folder(false, "", ""))
	}
	config := c.getenv("XDG_CONFIG_HOME")
	if config == "" {
		if o.user && c.Sources.Home == "" {
			return "", fmt.Errorf("there is no home folder to put units into; set HOME or XDG_CONFIG_HOME")
		}
		config = filepath.Join(c.Sources.Home, ".config")
	}
	return systemd.Folder(o.user, o.prefix, config), nil
}

func (c *cli) installCommand() *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use: "install", Short: "Write systemd units that run the supervisor", Args: noArgs,
		Long: `Three units are written: the supervisor, its keeper, which has a unit of its own so that nothing that happens to the
supervisor touches a service, and one that stops services in good order when the machine goes down. Nothing is started.
Settings go into .env in the data folder.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := settings.Load(c.sources(cmd))
			if err != nil {
				return err
			}
			folder, err := c.folder(o)
			if err != nil {
				return err
			}
			keeper := s.Keeper
			if keeper == settings.KeeperExternal {
				keeper = filepath.Join(filepath.Dir(c.Sources.Executable), "supervisor-keeper")
			}
			if _, err := os.Stat(keeper); err != nil {
				return fmt.Errorf("the keeper is not there: %w; put supervisor-keeper beside supervisor, or name it with --supervisor-keeper", err)
			}
			units, err := systemd.Render(systemd.Options{
				User: o.user, Supervisor: c.Sources.Executable, Keeper: keeper, Dir: s.Dir, Home: c.Sources.Home,
			})
			if err != nil {
				return err
			}
			outcomes, err := systemd.Place(folder, units, o.dryRun)
			if err != nil {
				return err
			}
			c.reportInstall(outcomes, units, s, o)
			return nil
		},
	}
	o.flags(cmd)
	cmd.Flags().String("supervisor-keeper", "", "the keeper's program (default beside this one)")
	return cmd
}

func (c *cli) reportInstall(outcomes []systemd.Outcome, units []systemd.Unit, s *settings.Settings, o installOptions) {
	for i, out := range outcomes {
		if o.dryRun {
			c.printf("# %s would be %s:\n%s\n", out.Path, out.Result, units[i].Text)
			continue
		}
		c.printf("%s %s\n", out.Path, out.Result)
	}
	if o.dryRun {
		return
	}
	ctl := "systemctl"
	if o.user {
		ctl += " --user"
	}
	c.printf("\nData is in %s, settings in %s, manifests in %s.\n\nNext:\n", s.Dir, filepath.Join(s.Dir, ".env"), s.Manifests)
	c.printf("  %s daemon-reload\n", ctl)
	c.printf("  %s enable --now %s %s %s\n", ctl, systemd.Keeper, systemd.Manager, systemd.Poweroff)
	if o.user {
		c.printf("  loginctl enable-linger   # else all of it ends when you log out\n")
	}
	c.printf("  supervisor status\n")
}

func (c *cli) uninstallCommand() *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Remove the systemd units that install wrote", Args: noArgs,
		Long: "Data stays where it is, and what runs runs on: stop it first with `supervisor shutdown` if that is what you want.",
		RunE: func(*cobra.Command, []string) error {
			folder, err := c.folder(o)
			if err != nil {
				return err
			}
			removed, err := systemd.Remove(folder, o.dryRun)
			for _, path := range removed {
				if o.dryRun {
					c.printf("%s would be removed\n", path)
				} else {
					c.printf("%s removed\n", path)
				}
			}
			if err != nil {
				return err
			}
			if len(removed) == 0 {
				c.notef("Nothing to remove: there are no units of ours in %s.\n", folder)
				return nil
			}
			ctl := "systemctl"
			if o.user {
				ctl += " --user"
			}
			if !o.dryRun {
				c.printf("\nNext:\n  supervisor shutdown     # only to stop every service as well\n  %s stop %s %s\n  %s daemon-reload\n", ctl, systemd.Manager, systemd.Keeper, ctl)
			}
			return nil
		},
	}
	o.flags(cmd)
	return cmd
}
