// Command supervisor-keeper is the parent of everything that the supervisor runs. It is started by the supervisor, or by
// systemd in a unit of its own, and outlives it. See package keeper.
package main

import (
	"os"

	"github.com/philiporange/supervisor/pkg/keeper"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(keeper.Main(os.Args[1:], version)) }
