package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/settings"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	// exitInterrupted is what shells expect of a program that Ctrl-C ended.
	exitInterrupted = 130
)

// Daemon is the running supervisor.
type Daemon interface {
	// Run works until ctx ends, and then leaves: services run on. It returns nil when it was told to end.
	Run(ctx context.Context) error
	// Shutdown stops every service, in reverse order of dependency; Run is ended after it. actor is who asked for it.
	Shutdown(ctx context.Context, actor string) (wire.Shutdown, error)
}

// Program is what the command line is for.
type Program struct {
	// Version is that of this build.
	Version string
	// Daemon makes the supervisor that `run` runs.
	Daemon func(*settings.Settings) (Daemon, error)
	// Validate reads a manifest file, or all of a folder, as the daemon would, and returns the objects in it and all that is
	// wrong, with paths as the user may write them. Its error says that path itself cannot be read.
	Validate func(path string) ([]v1.Key, []v1.Problem, error)
}

// Environment is the world around one call.
type Environment struct {
	In       io.Reader
	Out, Err io.Writer
	// Color allows colours in Out.
	Color bool
	Now   func() time.Time
	// Sources are where settings come from; flags are added to it.
	Sources settings.Sources
	// UID is the user's number.
	UID int
}

// SystemEnvironment is that of this process.
func SystemEnvironment() (Environment, error) {
	src, err := settings.System(nil)
	if err != nil {
		return Environment{}, err
	}
	return Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Color: wantsColor(os.Stdout, os.Getenv),
		Now: time.Now, Sources: src, UID: os.Getuid(),
	}, nil
}

// Run does what args say and returns the exit code.
func Run(ctx context.Context, p Program, env Environment, args []string) int {
	c := &cli{Environment: env, program: p}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case isExit(err) != nil:
		c.complain(err)
		return isExit(err).code
	case errors.Is(err, errSaid):
		return exitError
	}
	c.complain(err)
	var usage usageError
	if errors.As(err, &usage) {
		_, _ = fmt.Fprintf(env.Err, "See `%s --help`.\n", cmd.CommandPath())
	}
	return exitError
}

var (
	// errSaid ends a command whose errors have been printed.
	errSaid = errors.New("failed")
	// errInterrupted ends a command on Ctrl-C.
	errInterrupted = errors.New("interrupted")
)

// usageError is a mistake in the arguments.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// cli is one call.
type cli struct {
	Environment
	program Program
	// server is the value of --server, where the address at which a supervisor was looked for.
	server, where string
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "supervisor",
		Short: "Keeps the programs of this machine running",
		Long: `Supervisor keeps the programs of this machine running: what manifests say is made so, and kept so.

"supervisor run" is the daemon; "supervisor install" makes it a system service. The other commands speak to a
supervisor that runs, the one of SUPERVISOR_DIR (default ~/.supervisor).`,
		SilenceUsage: true, SilenceErrors: true,
		Version: c.program.Version,
	}
	root.PersistentFlags().String(dirFlag, "", "folder of the supervisor's data (default SUPERVISOR_DIR, else ~/.supervisor)")
	root.PersistentFlags().StringVar(&c.server, "server", "", "address of a supervisor elsewhere, such as https://host:9900; its token is taken from SUPERVISOR_TOKEN")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupChange, Title: "Change:"},
		&cobra.Group{ID: groupDaemon, Title: "The supervisor itself:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	add(groupLook, c.statusCommand(), c.getCommand(), c.describeCommand(), c.logsCommand(), c.eventsCommand(), c.routesCommand(), c.validateCommand(), c.envCommand(), c.settingsCommand(), c.loginCommand())
	add(groupChange, c.applyCommand(), c.diffCommand(), c.deleteCommand(), c.startCommand(), c.stopCommand(), c.restartCommand(), c.cronCommand(), c.caddyCommand(), c.importCommand(), c.pruneCommand())
	add(groupLook, c.approvalsCommand(), c.mcpCommand())
	add(groupChange, c.rolloutCommand())
	add(groupChange, c.approveCommand(), c.rejectCommand(), c.fixCommand(), c.fixesCommand())
	add(groupLook, c.chatCommand())
	add(groupChange, c.jobsCommand())
	add(groupDaemon, c.agentsCommand())
	add(groupLook, c.scanCommand())
	add(groupChange, c.onboardCommand())
	add(groupDaemon, c.runCommand(), c.shutdownCommand(), c.alertCommand(), c.installCommand(), c.uninstallCommand(), c.versionCommand())
	return root
}

// The groups of commands in the help text.
const (
	groupLook   = "look"
	groupChange = "change"
	groupDaemon = "daemon"
)

// complain prints an error for people: the first line says what happened, the others follow indented.
func (c *cli) complain(err error) {
	lines := strings.FieldsFunc(c.explain(err), func(r rune) bool { return r == '\n' })
	_, _ = fmt.Fprintf(c.Err, "error: %s\n", strings.TrimSpace(strings.Join(lines, "\n  ")))
}

// printf writes to standard output. An error of it, such as a closed pipe, is left to the kernel's signal.
func (c *cli) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.Out, format, args...) }

// notef writes a remark, which is no result, to standard error.
func (c *cli) notef(format string, args ...any) { _, _ = fmt.Fprintf(c.Err, format, args...) }

// online makes the body of a command that speaks to the supervisor, and that Ctrl-C ends.
func (c *cli) online(body func(ctx context.Context, api *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		api, err := c.connect(cmd)
		if err != nil {
			return err
		}
		defer api.Close()
		err = body(ctx, api, args)
		if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
			return errInterrupted
		}
		return err
	}
}

// minArgs refuses a call without arguments, saying what is missing.
func minArgs(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("name %s", what)
		}
		return nil
	}
}

// noArgs refuses arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q is one argument too many", args[0])
	}
	return nil
}
