package app

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/controllers/service"
	"github.com/philiporange/supervisor/pkg/command"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
)

// programs turns what a manifest says about a program into what the keeper starts.
type programs struct {
	manifests string // folder that relative paths of manifests begin at
	logs      string // folder of all services' logs
	maxBytes  int64
	backups   int
	origin    func(v1.Key) string // manifest file of an object, relative to manifests
	accounts  accounts
}

// program is what the keeper is to be given for one replica, but for the run's identity.
func (p *programs) program(svc *v1.Service, replica, port int) (service.Program, error) {
	spec, resolved, account, err := p.spec(svc, replica, port)
	out := service.Program{Spec: spec, EnvFiles: resolved.EnvFiles}
	if err != nil {
		return out, err
	}
	// The base environment is not in the hash: it is the manager's, and a manager that is started from another shell must
	// not restart everything.
	sum := sha256.Sum256([]byte(strings.Join([]string{svc.RunHash(), resolved.EnvSum, resolved.Dir, strconv.Itoa(port)}, "\x00")))
	out.Hash = hex.EncodeToString(sum[:8])
	out.Exec = func(c v1.Command) (probe.Check, error) {
		env := map[string]string{}
		for _, v := range spec.Env {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		r, err := command.Resolve(command.Request{Line: c.Line, Argv: c.Argv, Dir: spec.Dir, Account: account, Vars: env})
		if err != nil {
			return nil, err
		}
		credential, err := credentials(spec.User, spec.Group)
		if err != nil {
			return nil, err
		}
		return probe.Exec{Argv: r.Argv, Env: r.Env, Dir: spec.Dir, Credential: credential}, nil
	}
	return out, nil
}

func (p *programs) spec(svc *v1.Service, replica, port int) (spec process.Spec, resolved command.Resolved, account command.Account, err error) {
	sp, name := &svc.Spec, svc.Metadata.Name
	request, account, err := p.request(svc, replica, port)
	if err != nil {
		return spec, resolved, account, err
	}
	if resolved, err = command.Resolve(request); err != nil {
		return spec, resolved, account, &process.StartError{Reason: process.ReasonBadSpec, Detail: err.Error()}
	}
	sig, err := v1.ParseSignal(sp.Stop.Signal)
	if err != nil {
		return spec, resolved, account, &process.StartError{Reason: process.ReasonBadSpec, Detail: err.Error()}
	}
	spec = process.Spec{
		Argv: resolved.Argv, Env: resolved.Env, Dir: resolved.Dir,
		User: sp.User, Group: sp.Group, Limits: limits(sp.Resources),
		StopSignal: int(sig), StopGrace: sp.Stop.Timeout.Or(v1.DefaultStopTimeout),
		Logs: process.LogSpec{Dir: p.logDir(name, replica), MaxBytes: p.maxBytes, Backups: p.backups},
	}
	if sp.Umask != "" {
		mask, err := strconv.ParseInt(sp.Umask, 8, 32)
		if err != nil {
			return spec, resolved, account, &process.StartError{Reason: process.ReasonBadSpec, Detail: fmt.Sprintf("umask %q: %v", sp.Umask, err)}
		}
		m := int(mask)
		spec.Umask = &m
	}
	if sp.Logs.MaxBytes > 0 {
		spec.Logs.MaxBytes = int64(sp.Logs.MaxBytes)
	}
	if sp.Logs.Backups != nil {
		spec.Logs.Backups = *sp.Logs.Backups
	}
	return spec, resolved, account, nil
}

// request is what a manifest says about the program of one replica.
func (p *programs) request(svc *v1.Service, replica, port int) (command.Request, command.Account, error) {
	sp := &svc.Spec
	account, err := p.accounts.get(sp.User)
	if err != nil {
		return command.Request{}, account, &process.StartError{Reason: process.ReasonBadUser, Detail: err.Error()}
	}
	vars := map[string]string{"SUPERVISOR_SERVICE": svc.Metadata.Name, "SUPERVISOR_REPLICA": strconv.Itoa(replica)}
	if port != 0 {
		vars["PORT"] = strconv.Itoa(port)
	}
	request := command.Request{
		Line: sp.Command.Line, Argv: sp.Command.Argv, Dir: sp.WorkingDir, Base: p.base(svc.Key()),
		Account: account, Env: sp.Env, Vars: vars,
	}
	for _, f := range sp.EnvFile {
		request.EnvFiles = append(request.EnvFiles, command.EnvFile{Path: f.Path, Optional: f.Optional})
	}
	return request, account, nil
}

// base is the folder of an object's manifest.
func (p *programs) base(key v1.Key) string {
	return filepath.Dir(filepath.Join(p.manifests, p.origin(key)))
}

// logDir is logs/NAME for the first replica and logs/NAME/replica-N for the others.
func (p *programs) logDir(name string, replica int) string {
	if replica == 0 {
		return filepath.Join(p.logs, name)
	}
	return filepath.Join(p.logs, name, "replica-"+strconv.Itoa(replica))
}

func limits(r v1.Resources) process.Limits {
	l := process.Limits{MemoryMax: int64(r.MemoryMax), CPUMilli: int64(r.CPUMax), PidsMax: r.PidsMax, OpenFiles: r.OpenFiles}
	if r.CoreSize > 0 {
		core := int64(r.CoreSize)
		l.CoreSize = &core
	}
	return l
}

// accountFor is how long a looked-up account is believed.
const accountFor = time.Minute

// accounts looks up users. Two hundred services ask for the same few, so answers are kept for a while.
type accounts struct {
	mu    sync.Mutex
	known map[string]knownAccount
}

type knownAccount struct {
	account command.Account
	until   time.Time
}

// get returns the account of a name or number; "" is our own.
func (a *accounts) get(name string) (command.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k, ok := a.known[name]; ok && time.Now().Before(k.until) {
		return k.account, nil
	}
	account, err := lookup(name)
	if err != nil {
		return account, err
	}
	if a.known == nil {
		a.known = map[string]knownAccount{}
	}
	a.known[name] = knownAccount{account, time.Now().Add(accountFor)}
	return account, nil
}

func lookup(name string) (command.Account, error) {
	if name == "" {
		account := command.Account{Home: os.Getenv("HOME"), Shell: os.Getenv("SHELL"), Name: os.Getenv("USER")}
		if account.Home != "" && account.Name != "" {
			return account, nil
		}
		u, err := user.Current()
		if err != nil {
			return account, fmt.Errorf("our own account cannot be looked up: %w", err)
		}
		if account.Name = u.Username; account.Home == "" {
			account.Home = u.HomeDir
		}
		return account, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		if _, notNumber := strconv.Atoi(name); notNumber == nil {
			return numbered(name), nil
		}
		return command.Account{}, fmt.Errorf("user %q does not exist on this machine; create it, or correct spec.user", name)
	}
	return command.Account{Name: u.Username, Home: u.HomeDir}, nil
}

// credentials are those of a user and group, nil for our own. They are for probes; the keeper looks up its own.
func credentials(userName, groupName string) (*syscall.Credential, error) {
	if userName == "" && groupName == "" || os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // Our own credentials, and no error.
	}
	c := &syscall.Credential{}
	if userName != "" {
		u, err := user.Lookup(userName)
		if err != nil {
			if u, err = user.LookupId(userName); err != nil {
				return nil, fmt.Errorf("user %q does not exist on this machine", userName)
			}
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		c.Uid, c.Gid = uint32(uid), uint32(gid)
	}
	if groupName != "" {
		g, err := user.LookupGroup(groupName)
		if err != nil {
			if g, err = user.LookupGroupId(groupName); err != nil {
				return nil, fmt.Errorf("group %q does not exist on this machine", groupName)
			}
		}
		gid, _ := strconv.ParseUint(g.Gid, 10, 32)
		c.Gid = uint32(gid)
	}
	return c, nil
}

// workingDir is the folder that a service runs in; what the manifest says when that cannot be told.
func (p *programs) workingDir(svc *v1.Service) string {
	account, err := p.accounts.get(svc.Spec.User)
	if err != nil {
		return svc.Spec.WorkingDir
	}
	dir, err := command.Dir(command.Request{
		Line: svc.Spec.Command.Line, Argv: svc.Spec.Command.Argv, Dir: svc.Spec.WorkingDir, Base: p.base(svc.Key()), Account: account,
	})
	if err != nil {
		return svc.Spec.WorkingDir
	}
	return dir
}

// numbered is the account of a number. One without an entry is allowed, as in containers; it has no home.
func numbered(id string) command.Account {
	u, err := user.LookupId(id)
	if err != nil {
		return command.Account{Name: id}
	}
	return command.Account{Name: u.Username, Home: u.HomeDir}
}
