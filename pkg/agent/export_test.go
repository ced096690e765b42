package agent

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// Hurry makes the steps to the end of an agent short.
func Hurry(c *Config) {
	c.graces = graces{cancel: 200 * time.Millisecond, input: 200 * time.Millisecond, term: 200 * time.Millisecond}
}

// RunsAs is runsAs with accounts root (0) and web (33).
func RunsAs(uid int, wanted, configured string, allowRoot bool) (name string, uidOf uint32, err error) {
	a, err := runsAs(uid, wanted, configured, allowRoot, func(name string) (account, error) {
		switch name {
		case "root":
			return account{name: name}, nil
		case "web":
			return account{name: name, uid: 33, credential: &syscall.Credential{Uid: 33, Gid: 33}}, nil
		}
		return account{}, errors.New("there is no such user")
	})
	return a.name, a.uid, err
}

// Expand fills a template in.
var Expand = expand

// Enter is Runner.enter.
func (r *Runner) Enter(ctx context.Context, home string) (leave func(), err error) {
	return r.enter(ctx, home)
}
