// Command supervisor keeps the programs of one machine running: `supervisor run` is the daemon, the other verbs speak to it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/philiporange/supervisor/cmd/supervisor/internal/cli"
	"github.com/philiporange/supervisor/pkg/app"
	"github.com/philiporange/supervisor/pkg/settings"
)

func main() {
	env, err := cli.SystemEnvironment()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
	program := cli.Program{Version: app.Version, Validate: validate, Daemon: daemon}
	os.Exit(cli.Run(context.Background(), program, env, os.Args[1:]))
}

// daemon makes what `supervisor run` runs.
func daemon(s *settings.Settings) (cli.Daemon, error) { return app.New(s) }
