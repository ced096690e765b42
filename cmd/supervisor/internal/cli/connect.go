package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/settings"
)

const dirFlag = "supervisor-dir"

// sources adds the flags that were given to the sources of settings.
func (c *cli) sources(cmd *cobra.Command) settings.Sources {
	src := c.Sources
	src.Flags = map[string]string{}
	for _, d := range settings.Definitions() {
		if f := cmd.Flags().Lookup(d.Flag); f != nil && f.Changed {
			src.Flags[d.Name] = f.Value.String()
		}
	}
	return src
}

// connect makes a client of the supervisor that the flags and the environment name. It does not connect yet.
func (c *cli) connect(cmd *cobra.Command) (*client.Client, error) { return c.connectAs(cmd, "cli") }

// connectAs is connect under another name: that of who acts, in the history.
func (c *cli) connectAs(cmd *cobra.Command, agent string) (*client.Client, error) {
	o := client.Options{UserAgent: agent}
	if c.server != "" {
		o.URL, o.Token = c.server, c.getenv("SUPERVISOR_TOKEN")
		c.where = c.server
		return client.New(o)
	}
	dir, err := settings.Dir(c.sources(cmd))
	if err != nil {
		return nil, err
	}
	o.Socket = settings.SocketIn(dir)
	c.where = o.Socket
	return client.New(o)
}

func (c *cli) getenv(name string) string {
	for _, kv := range c.Sources.Environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// explain renders an error with its remedy.
func (c *cli) explain(err error) string {
	var p *wire.Problem
	switch {
	case errors.Is(err, client.ErrNotRunning) && errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("the supervisor at %s belongs to another user; call it as that user, or with sudo", c.where)
	case errors.Is(err, client.ErrNotRunning):
		return fmt.Sprintf("no supervisor is running at %s; start one with `supervisor run`", c.where)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized:
		return err.Error() + "\nPut the token (the file `token` in that supervisor's data folder) into SUPERVISOR_TOKEN."
	}
	return err.Error()
}

// isNotFound reports whether the supervisor does not know what was asked for.
func isNotFound(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Status == http.StatusNotFound
}
