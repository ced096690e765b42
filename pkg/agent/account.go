package agent

import (
	"fmt"
	"os/user"
	"strconv"
	"syscall"
)

// account is who an agent runs as. Its credential is nil for ourselves.
type account struct {
	name       string
	uid        uint32
	credential *syscall.Credential
}

// runsAs decides who an agent runs as: the service's user, else the configured one, else ourselves, but not root unless that is
// allowed. uid is ours.
func runsAs(uid int, wanted, configured string, allowRoot bool, lookup func(string) (account, error)) (account, error) {
	name := wanted
	if name == "" {
		name = configured
	}
	own := account{uid: uint32(uid)} //nolint:gosec // a user's number
	if name == "" {
		if uid == 0 && !allowRoot {
			return own, errRoot
		}
		return own, nil
	}
	a, err := lookup(name)
	switch {
	case err != nil:
		return own, err
	case a.uid == 0 && !allowRoot:
		return own, errRoot
	case int(a.uid) == uid:
		return own, nil
	case uid != 0:
		return own, &UnavailableError{Reason: fmt.Sprintf("it has to run as %s, and only a supervisor that is root can do that", name)}
	}
	return a, nil
}

var errRoot = &UnavailableError{Reason: "it would run as root; say whom else it shall be with AGENT_USER, or allow it with AGENT_ALLOW_ROOT=true"}

// lookupAccount finds a user by name or number.
func lookupAccount(name string) (account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return account{}, fmt.Errorf("user %q does not exist on this machine; create it, or name another", name)
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %q has the number %q: %w", name, u.Uid, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, fmt.Errorf("user %q has the group %q: %w", name, u.Gid, err)
	}
	return account{name: u.Username, uid: uint32(uid), credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}
