// Command caddy is Caddy itself, with its standard modules and nothing else. It is a module of its own so that the two hundred
// packages Caddy is built from stay out of Supervisor's own go.mod.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() { caddycmd.Main() }
