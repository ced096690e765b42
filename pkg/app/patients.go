package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix"
	"github.com/philiporange/supervisor/pkg/autofix/tree"
	"github.com/philiporange/supervisor/pkg/command"
)

const (
	// repairer is who gives orders during a repair.
	repairer = "autofix"
	// readyPatience is how long a repaired program may take to become ready, and stopPatience how long beyond its own timeout an end.
	readyPatience = 2 * time.Minute
	stopPatience  = 30 * time.Second
	// checkPatience bounds a project's own check.
	checkPatience = 10 * time.Minute
	// maxCheckOutput bounds what is kept of it, in bytes.
	maxCheckOutput = 256 << 10
	// logRows is how many entries of a log an agent may be shown.
	logRows = 200
	// leastSecret is the shortest value of an env file that is hidden: shorter ones are in every text.
	leastSecret = 8
)

// patients fits services and cron jobs onto the repair.
type patients struct {
	app      *App
	programs *programs
}

// resolved is a path without links, as far as it exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return filepath.Clean(path)
}

// order is what the manifest of an object says about its program.
type order struct {
	request     command.Request
	account     command.Account
	user, group string
	autofix     *v1.Autofix
	spec        any // to show
	env         map[string]string
}

func (p *patients) order(key v1.Key) (order, error) {
	object, _, _, ok := p.app.desired.Get(key)
	if !ok {
		return order{}, fmt.Errorf("%s: %w", key, autofix.ErrNoObject)
	}
	switch o := object.(type) {
	case *v1.Service:
		request, account, err := p.programs.request(o, 0, p.port(key))
		spec := o.Spec
		spec.Env = hidden(spec.Env)
		return order{request, account, o.Spec.User, o.Spec.Group, o.Spec.Autofix, spec, o.Spec.Env}, err
	case *v1.CronJob:
		request, account, err := p.programs.jobRequest(o)
		spec := o.Spec
		spec.Env = hidden(spec.Env)
		return order{request, account, o.Spec.User, o.Spec.Group, o.Spec.Autofix, spec, o.Spec.Env}, err
	}
	return order{}, fmt.Errorf("%s: %w", key, autofix.ErrNoObject)
}

func (p *patients) port(key v1.Key) int {
	if st := p.app.store.Status(key); st != nil {
		return st.Port
	}
	return 0
}

// hidden keeps the names of variables.
func hidden(env map[string]string) map[string]string {
	out := map[string]string{}
	for name := range env {
		out[name] = "(not shown)"
	}
	return out
}

// Target implements autofix.World.
func (p *patients) Target(key v1.Key) (autofix.Target, error) {
	o, err := p.order(key)
	if err != nil {
		return autofix.Target{}, err
	}
	o.request.Origins = map[string]string{}
	done, err := command.Resolve(o.request)
	if err != nil {
		return autofix.Target{}, fmt.Errorf("find the folder of %s: %w", key, err)
	}
	folder, err := tree.Resolve(done.Dir)
	if err != nil {
		return autofix.Target{}, fmt.Errorf("find the folder of %s: %w", key, err)
	}
	shown, err := json.MarshalIndent(o.spec, "", "  ")
	if err != nil {
		return autofix.Target{}, err
	}
	t := autofix.Target{
		Key: key, Folder: folder, Home: resolved(o.account.Home), Autofix: o.autofix, Manifest: string(shown), EnvFiles: done.EnvFiles,
		Secrets: secrets(done.Env, o.request.Origins),
	}
	t.User, t.UID, t.GID, t.Blocked = p.agentUser(o.user)
	t.OwnUser = o.user != "" && t.UID != os.Geteuid()
	return t, nil
}

// agentUser is who an agent works as: as pkg/agent decides it, and earlier, for the copy has to belong to that user.
func (p *patients) agentUser(wanted string) (name string, uid, gid int, blocked error) {
	own := os.Geteuid()
	if name = wanted; name == "" {
		name = p.app.settings.Agent.User
	}
	if name == "" || own != 0 {
		if own == 0 && !p.app.settings.Agent.AllowRoot {
			blocked = &agent.UnavailableError{Reason: "it would run as root; give the service a user (spec.user), or say whom agents shall be with AGENT_USER, or allow root with AGENT_ALLOW_ROOT=true"}
		}
		return "", own, os.Getegid(), blocked
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return name, own, own, fmt.Errorf("user %q does not exist on this machine", name)
		}
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	if uid == 0 && !p.app.settings.Agent.AllowRoot {
		blocked = &agent.UnavailableError{Reason: "it would run as root; say whom agents shall be with AGENT_USER, or allow root with AGENT_ALLOW_ROOT=true"}
	}
	return name, uid, gid, blocked
}

// secretVariable is what the name of a variable that holds a secret looks like.
var secretVariable = regexp.MustCompile(`(?i)passw|passphrase|secret|token|credential|private|auth|cookie|dsn|key|_url$`)

// secrets are values of the environment that nobody may be told: those of variables that sound like it, and all of dotenv files.
func secrets(env []string, origins map[string]string) []string {
	var out []string
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		switch origins[name] {
		case command.OriginBase, command.OriginSupervisor:
			continue
		case command.OriginManifest, command.OriginCommand:
			if !secretVariable.MatchString(name) {
				continue
			}
		}
		if len(value) >= leastSecret {
			out = append(out, value)
		}
	}
	return out
}

// Log implements autofix.World.
func (p *patients) Log(ctx context.Context, key v1.Key, run uint64, most int) string {
	var text string
	if key.Kind == v1.KindCronJob {
		if run == 0 {
			found, err := p.app.cron.Executions(ctx, rest.CronQuery{Job: key.Name, Limit: 1})
			if err != nil || len(found) == 0 {
				return ""
			}
			run = found[0].ID
		}
		lines, err := p.app.cron.lines(key.Name, run, 0)
		if err != nil {
			return ""
		}
		text = textOf(lines)
	} else {
		page, err := p.app.logs.Rows(ctx, rest.LogQuery{Services: []string{key.Name}, Limit: logRows})
		if err != nil {
			return ""
		}
		var b strings.Builder
		for i := range slices.Backward(page.Rows) {
			b.WriteString(page.Rows[i].Text + "\n")
		}
		text = b.String()
	}
	if len(text) > most {
		text = strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return text
}

// Check implements autofix.World.
func (p *patients) Check(ctx context.Context, key v1.Key, line, dir string) (string, error) {
	o, err := p.order(key)
	if err != nil {
		return "", err
	}
	request := o.request
	request.Line, request.Argv, request.Dir = line, nil, dir
	done, err := command.Resolve(request)
	if err != nil {
		return "", err
	}
	credential, err := credentials(o.user, o.group)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, checkPatience, fmt.Errorf("it took longer than %s", checkPatience))
	defer cancel()
	cmd := exec.CommandContext(ctx, done.Argv[0], done.Argv[1:]...)
	if path, err := lookPath(done.Argv[0], done.Env, dir); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	out := &limitedOutput{}
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = done.Env, dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	}
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	return out.String(), err
}

// lookPath finds a program in the PATH of its own environment; a relative one is one of its folder.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	for _, v := range env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			for _, d := range filepath.SplitList(path) {
				if found, err := exec.LookPath(filepath.Join(d, name)); err == nil && filepath.IsAbs(d) {
					return found, nil
				}
			}
		}
	}
	return "", exec.ErrNotFound
}

// limitedOutput keeps the end of what is printed.
type limitedOutput struct{ bytes.Buffer }

func (l *limitedOutput) Write(b []byte) (int, error) {
	n, err := l.Buffer.Write(b)
	if extra := l.Len() - maxCheckOutput; extra > maxCheckOutput/4 {
		l.Next(extra)
	}
	return n, err
}

// Wanted implements autofix.World.
func (p *patients) Wanted(key v1.Key) bool {
	st := p.app.store.Status(key)
	return key.Kind == v1.KindService && st != nil && st.Phase != v1.PhaseStopped && st.Phase != v1.PhaseStopping && st.Phase != v1.PhaseComplete
}

// Halt implements autofix.World.
func (p *patients) Halt(ctx context.Context, key v1.Key) error {
	if key.Kind == v1.KindCronJob {
		_, err := p.app.cron.Stop(ctx, key.Name, repairer)
		if errors.Is(err, rest.ErrNoCronJob) {
			err = autofix.ErrNoObject
		}
		return err
	}
	object, _, _, ok := p.app.desired.Get(key)
	svc, isService := object.(*v1.Service)
	if !ok || !isService {
		return fmt.Errorf("%s: %w", key, autofix.ErrNoObject)
	}
	if p.app.store.Status(key) == nil {
		return nil
	}
	id, err := operator{p.app}.Intend(ctx, key, v1.IntentStop, repairer)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, svc.Spec.Stop.Timeout.Or(v1.DefaultStopTimeout)+stopPatience)
	defer cancel()
	_, err = p.app.store.WaitStatus(ctx, key, func(st *v1.ServiceStatus) bool {
		return st == nil || st.ObservedIntent == id && st.Phase != v1.PhaseStopping && !slices.ContainsFunc(st.Replicas, func(r v1.ReplicaStatus) bool { return r.PID != 0 })
	})
	if err != nil {
		return fmt.Errorf("it does not stop: %w", err)
	}
	return nil
}

// Resume implements autofix.World.
func (p *patients) Resume(ctx context.Context, key v1.Key) error {
	if key.Kind == v1.KindCronJob {
		return nil
	}
	if _, _, _, ok := p.app.desired.Get(key); !ok {
		return autofix.ErrNoObject
	}
	_, err := operator{p.app}.Intend(ctx, key, v1.IntentStart, repairer)
	return err
}

// Verify implements autofix.World.
func (p *patients) Verify(ctx context.Context, key v1.Key) error {
	if key.Kind == v1.KindCronJob {
		return p.verifyRun(ctx, key.Name)
	}
	begun := time.Now()
	id, err := operator{p.app}.Intend(ctx, key, v1.IntentStart, repairer)
	if err != nil {
		return err
	}
	ended := func(st *v1.ServiceStatus) bool {
		return st == nil || st.ObservedIntent == id && (st.LastExit != nil && st.LastExit.At.After(begun) || st.Phase == v1.PhaseFailed || st.Phase == v1.PhaseBackoff)
	}
	ready := func(st *v1.ServiceStatus) bool {
		c := v1.FindCondition(st.Conditions, v1.ConditionReady)
		return st.ObservedIntent == id && c != nil && c.Status == v1.ConditionTrue
	}
	start, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	st, err := p.app.store.WaitStatus(start, key, func(st *v1.ServiceStatus) bool { return ended(st) || ready(st) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("it is not ready after %s", readyPatience)
	case ended(st):
		return ill(st)
	}
	watch, stop := context.WithTimeout(ctx, p.app.settings.AutofixHealthy)
	defer stop()
	st, err = p.app.store.WaitStatus(watch, key, func(st *v1.ServiceStatus) bool { return ended(st) || !ready(st) })
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return nil // nothing has happened to it for long enough
	}
	return ill(st)
}

// ill says what is wrong with a service.
func ill(st *v1.ServiceStatus) error {
	switch {
	case st == nil:
		return errors.New("its manifest was removed meanwhile")
	case st.LastExit != nil && st.PID == 0 || st.LastExit != nil && st.Attempts > 0:
		text := "it " + st.LastExit.Reason
		if len(st.LastExit.LastLines) > 0 {
			text += ":\n" + strings.Join(st.LastExit.LastLines, "\n")
		}
		return errors.New(text)
	}
	if c := v1.FindCondition(st.Conditions, v1.ConditionReady); c != nil {
		return fmt.Errorf("it is not ready: %s", c.Message)
	}
	return fmt.Errorf("it is %s", st.Phase)
}

// verifyRun runs a cron job once.
func (p *patients) verifyRun(ctx context.Context, name string) error {
	id, started, err := p.app.cron.Run(ctx, name, repairer)
	switch {
	case err != nil:
		return err
	case !started:
		return fmt.Errorf("it is running already, as execution %d", id)
	}
	for skip := 0; ; {
		out, err := p.app.cron.Output(ctx, name, id, skip)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if skip += len(out.Lines); out.Done {
			break
		}
	}
	e, ok, err := p.app.cron.Execution(ctx, name, id)
	switch {
	case err != nil:
		return err
	case !ok || e.Success == nil || !*e.Success:
		return fmt.Errorf("execution %d %s: %s", id, e.State, e.Message)
	}
	return nil
}

// Failing implements autofix.World.
func (p *patients) Failing(key v1.Key) bool {
	if key.Kind == v1.KindCronJob {
		st := p.app.cron.Status(key.Name)
		return st != nil && st.LastSuccess != nil && !*st.LastSuccess
	}
	st := p.app.store.Status(key)
	return st != nil && (st.Phase == v1.PhaseFailed || st.Phase == v1.PhaseBackoff)
}

// Fixed implements autofix.World.
func (p *patients) Fixed(ctx context.Context, _ v1.Key, run uint64, success bool) {
	if err := p.app.cron.ledger.SetFix(ctx, run, success); err != nil {
		p.app.log.Warn("that a run was repaired is not on record", "execution", run, "err", err)
	}
}

// Tell implements autofix.World.
func (p *patients) Tell(e v1.Event) { p.app.store.RecordEvent(e) }

var _ autofix.World = (*patients)(nil)
