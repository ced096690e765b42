// Command supervisor keeps the programs of one machine running: `supervisor run` is the daemon, the other verbs speak to it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/philiporange/supervisor/cmd/supervisor/internal/cli"
	"github.com/philiporange/supervisor/pkg/app"
)

func main() {
	env, err := cli.SystemEnvironment()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
	os.Exit(cli.Run(context.Background(), cli.Program{Version: app.Version, Validate: validate}, env, os.Args[1:]))
}
