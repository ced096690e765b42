package app

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/command"
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

// spec is all but the run's identity: the caller adds ID, Owner, Slot and Labels. files are the env files that the
// program was given, for whoever watches them.
func (p *programs) spec(svc *v1.Service, replica, port int) (spec process.Spec, files []string, err error) {
	sp := &svc.Spec
	account, err := p.accounts.get(sp.User)
	if err != nil {
		return spec, nil, &process.StartError{Reason: process.ReasonBadUser, Detail: err.Error()}
	}
	name := svc.Metadata.Name
	vars := map[string]string{"SUPERVISOR_SERVICE": name, "SUPERVISOR_REPLICA": strconv.Itoa(replica)}
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
	resolved, err := command.Resolve(request)
	if err != nil {
		return spec, resolved.EnvFiles, &process.StartError{Reason: process.ReasonBadSpec, Detail: err.Error()}
	}
	sig, err := v1.ParseSignal(sp.Stop.Signal)
	if err != nil {
		return spec, resolved.EnvFiles, &process.StartError{Reason: process.ReasonBadSpec, Detail: err.Error()}
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
			return spec, resolved.EnvFiles, &process.StartError{Reason: process.ReasonBadSpec, Detail: fmt.Sprintf("umask %q: %v", sp.Umask, err)}
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
	return spec, resolved.EnvFiles, nil
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
	if _, notNumber := strconv.Atoi(name); err != nil && notNumber == nil {
		if u, err = user.LookupId(name); err != nil {
			// A number without an account is allowed, as in containers; it has no home.
			return command.Account{Name: name}, nil
		}
	}
	if err != nil {
		return command.Account{}, fmt.Errorf("user %q does not exist on this machine; create it, or correct spec.user", name)
	}
	return command.Account{Name: u.Username, Home: u.HomeDir}, nil
}
