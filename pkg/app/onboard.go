package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/command"
	"github.com/philiporange/supervisor/pkg/jobs"
	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/onboard"
)

// maxProjects bounds how many folders are listed.
const maxProjects = 1000

// onboardKind is the kind of the job.
const onboardKind = "onboard"

// onboarding makes services of projects. It fits pkg/onboard onto the API and onto the house.
type onboarding struct{ app *App }

// Projects implements rest.Onboarder.
func (o onboarding) Projects(context.Context) ([]wire.Project, error) {
	dir := o.app.settings.ProjectsDir
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, rest.Errorf(wire.CodeUnavailable, "the projects cannot be listed: %v; set PROJECTS_DIR to a folder that can be read", err)
	}
	runsFrom := map[string]string{}
	for _, s := range (serviceView{o.app.desired}).Services() {
		runsFrom[o.app.workingDir(s)] = s.Metadata.Name
	}
	var out []wire.Project
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if out = append(out, wire.Project{Name: e.Name(), Path: path, Service: runsFrom[path]}); len(out) == maxProjects {
			break
		}
	}
	return out, nil
}

// folder is the folder that a request names.
func (o onboarding) folder(project string) (string, error) {
	path := project
	switch {
	case path == "~" || strings.HasPrefix(path, "~/"):
		home, err := os.UserHomeDir()
		if err != nil {
			return "", rest.Errorf(wire.CodeUnprocessed, "%s: there is no home folder here; write an absolute path", project)
		}
		path = filepath.Join(home, path[1:])
	case !strings.Contains(path, "/") && path != "." && path != "..":
		path = filepath.Join(o.app.settings.ProjectsDir, path)
	}
	if !filepath.IsAbs(path) {
		return "", rest.Errorf(wire.CodeUnprocessed, "%q is neither a name in %s nor an absolute path", project, o.app.settings.ProjectsDir)
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", rest.Errorf(wire.CodeNotFound, "there is no folder %s", path)
	}
	return filepath.Clean(path), nil
}

// options are what a look may know of this house.
func (o onboarding) options() (onboard.Options, error) {
	account, err := lookup("")
	if err != nil {
		return onboard.Options{}, err
	}
	return onboard.Options{
		Home: account.Home, PortUsed: o.portUsed, Program: programFinder(account),
		NameUsed: func(name string) (string, bool) {
			svc, ok := o.service(name)
			if !ok {
				return "", false
			}
			return o.app.workingDir(svc), true
		},
	}, nil
}

func (o onboarding) service(name string) (*v1.Service, bool) {
	object, _, _, ok := o.app.desired.Get(v1.Key{Kind: v1.KindService, Name: name})
	svc, isService := object.(*v1.Service)
	return svc, ok && isService
}

// portUsed says who uses a port besides a service.
func (o onboarding) portUsed(port int, service string) string {
	if port == o.app.settings.Port {
		return "the supervisor itself"
	}
	for _, svc := range (serviceView{o.app.desired}).Services() {
		used := svc.Spec.Port.Number
		if st := o.app.store.Status(svc.Key()); st != nil && st.Port > 0 {
			used = st.Port
		}
		switch {
		case used != port:
		case svc.Metadata.Name == service:
			return "" // its own, which it may have open
		default:
			return "service " + svc.Metadata.Name
		}
	}
	for _, host := range []string{"127.0.0.1", "0.0.0.0"} {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return "another program"
		}
		_ = l.Close() //nolint:errcheck // it was only to see
	}
	return ""
}

// programFinder finds programs on the PATH that a service is given, and elsewhere with their path.
func programFinder(account command.Account) func(string) (string, bool) {
	resolved, err := command.Resolve(command.Request{Argv: []string{"true"}, Dir: "/", Account: account})
	var given []string
	if err == nil {
		for _, v := range resolved.Env {
			if path, ok := strings.CutPrefix(v, "PATH="); ok {
				given = filepath.SplitList(path)
			}
		}
	}
	elsewhere := append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/go/bin",
		filepath.Join(account.Home, ".cargo/bin"), filepath.Join(account.Home, "go/bin"), filepath.Join(account.Home, ".bun/bin"))
	return func(name string) (string, bool) {
		for _, dir := range given {
			if _, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return name, true
			}
		}
		for _, dir := range elsewhere {
			if path := filepath.Join(dir, name); filepath.IsAbs(path) {
				if _, err := exec.LookPath(path); err == nil {
					return path, true
				}
			}
		}
		return name, false
	}
}

// Preview implements rest.Onboarder.
func (o onboarding) Preview(_ context.Context, project string) (wire.OnboardPreview, error) {
	dir, err := o.folder(project)
	if err != nil {
		return wire.OnboardPreview{}, err
	}
	options, err := o.options()
	if err != nil {
		return wire.OnboardPreview{}, err
	}
	look, err := onboard.At(dir, options)
	if err != nil {
		return wire.OnboardPreview{}, err
	}
	out := wire.OnboardPreview{
		ProjectName: look.Project, ProjectPath: look.Dir, DataDir: look.DataDir, Exists: look.DataExists, Service: look.Name, Known: look.Known,
		Manifest: look.Manifest, Candidates: []wire.OnboardCandidate{}, Reasons: reasons(look.Reasons), Warnings: append([]string{}, look.Warnings...),
	}
	if before, ok := o.current(look.Name); ok && look.Manifest != "" {
		out.Diff = udiff.Unified("in force", "proposed", before, look.Manifest)
	}
	for i, c := range look.Candidates {
		out.Candidates = append(out.Candidates, wire.OnboardCandidate{
			Kind: c.Kind, Title: c.Title, Command: c.Command, Port: c.Port, Confidence: c.Confidence, Manifest: look.ManifestOf(i), Reasons: reasons(c.Reasons),
		})
	}
	return out, nil
}

func reasons(in []onboard.Reason) []wire.OnboardReason {
	out := make([]wire.OnboardReason, len(in))
	for i, r := range in {
		out[i] = wire.OnboardReason(r)
	}
	return out
}

// current is the text of a service's manifest.
func (o onboarding) current(name string) (string, bool) {
	key := v1.Key{Kind: v1.KindService, Name: name}
	file := o.app.file(key)
	if file == "" {
		return "", false
	}
	text, err := o.app.editor.ReadText(file)
	if err != nil {
		return "", false
	}
	docs, _ := manifest.Decode(file, text.Text)
	for _, d := range docs {
		if d.Key.Folded() == key.Folded() {
			return string(d.Text), true
		}
	}
	return "", false
}

// Onboard implements rest.Onboarder.
func (o onboarding) Onboard(ctx context.Context, r wire.OnboardRequest, actor string) (wire.OnboardStarted, error) {
	dir, err := o.folder(r.Project)
	if err != nil {
		return wire.OnboardStarted{}, err
	}
	request := onboard.Request{Dir: dir, Manifest: r.Manifest, DryRun: r.DryRun}
	if request.Options, err = o.options(); err != nil {
		return wire.OnboardStarted{}, err
	}
	request.Port = r.Port
	ask, why, err := o.app.opinion(ctx, r.NoAgent, agent.Request{Agent: r.Agent, Model: r.Model, Dir: dir, Access: agent.AccessRead, Policy: agent.ReadOnly(dir)})
	if err != nil {
		return wire.OnboardStarted{}, err
	}
	request.NoAgent = why
	id, err := o.app.background.jobs.Start(ctx, jobs.Spec{
		Kind: onboardKind, Name: "onboard " + filepath.Base(dir), Folder: dir, Actor: actor,
		Run: func(ctx context.Context, h *jobs.Handle) (any, error) {
			request.Progress = h.Progress
			if ask != nil {
				request.Agent = func(ctx context.Context, prompt string) (string, error) { return ask(ctx, h, prompt) }
			}
			result, err := onboard.Run(ctx, request, &tryout{onboarding: o, actor: "onboarding, for " + actor})
			if result == nil {
				return nil, err
			}
			return result, err
		},
	})
	if err != nil {
		return wire.OnboardStarted{}, inJobs("", err)
	}
	return wire.OnboardStarted{JobID: id, Status: "started", Project: filepath.Base(dir)}, nil
}

// opinion lets a coding agent answer prompts of a job. It is nil, with the reason, when no agent is wanted or there is none;
// one that was asked for by name must be there.
func (a *App) opinion(ctx context.Context, without bool, q agent.Request) (ask func(context.Context, *jobs.Handle, string) (string, error), why string, err error) {
	if without {
		return nil, "no agent was wanted", nil
	}
	if err := a.agents.runner.Available(ctx, q.Agent); err != nil {
		if q.Agent != "" {
			return nil, "", rest.Errorf(wire.CodeUnavailable, "%v", err)
		}
		return nil, err.Error(), nil
	}
	return func(ctx context.Context, h *jobs.Handle, prompt string) (string, error) {
		h.Log("prompt", prompt, nil)
		outcome, err := a.agents.runner.Run(ctx, q, prompt, func(e agent.Event) {
			e = e.Redacted()
			h.Log(string(e.Kind), e.Text, e)
		})
		return outcome.Text, err
	}, "", nil
}

// interrupted says what an onboarding leaves behind that the end of the supervisor broke off.
func (o onboarding) interrupted(_ context.Context, j jobs.Job) string {
	for _, svc := range (serviceView{o.app.desired}).Services() {
		if o.app.workingDir(svc) == j.Folder {
			return fmt.Sprintf("service %s runs from the folder: look at it with supervisor describe %s, and onboard again", svc.Metadata.Name, svc.Metadata.Name)
		}
	}
	return "no service was made; onboard again"
}

// workingDir is the folder that a service runs in.
func (a *App) workingDir(s *v1.Service) string {
	p := programs{manifests: a.settings.Manifests, origin: a.file}
	return p.workingDir(s)
}

// tryout is the house as one onboarding sees it.
type tryout struct {
	onboarding
	actor string
}

// Current implements onboard.Supervisor.
func (t *tryout) Current(name string) (string, bool) { return t.current(name) }

// Write implements onboard.Supervisor.
func (t *tryout) Write(ctx context.Context, text string) error {
	edit := editing{t.app}
	docs, problems := edit.Decode([]byte(text))
	if len(problems) > 0 {
		return errors.New(problems[0].String())
	}
	for _, d := range docs {
		var err error
		if _, _, _, known := t.app.desired.Get(d.Object.Key()); known {
			_, err = edit.Replace(ctx, d, "", t.actor)
		} else {
			_, err = edit.Create(ctx, d, t.actor)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Remove implements onboard.Supervisor.
func (t *tryout) Remove(ctx context.Context, name string) error {
	key := v1.Key{Kind: v1.KindService, Name: name}
	if err := (editing{t.app}).Delete(ctx, key, "", t.actor); err != nil {
		return err
	}
	_, err := t.app.store.WaitStatus(ctx, key, func(st *v1.ServiceStatus) bool { return st == nil })
	return err
}

// Start implements onboard.Supervisor.
func (t *tryout) Start(ctx context.Context, name string) error {
	key := v1.Key{Kind: v1.KindService, Name: name}
	if st := t.app.store.Status(key); st == nil || st.Phase != v1.PhaseStopped {
		return nil
	}
	_, err := operator{t.app}.Intend(ctx, key, v1.IntentStart, t.actor)
	return err
}

// Wait implements onboard.Supervisor.
func (t *tryout) Wait(ctx context.Context, name string, enough func(onboard.State) bool) (onboard.State, error) {
	key := v1.Key{Kind: v1.KindService, Name: name}
	_, err := t.app.store.WaitStatus(ctx, key, func(st *v1.ServiceStatus) bool { return enough(t.state(key, st)) })
	return t.state(key, t.app.store.Status(key)), err
}

// state is what is known of a service in the revision that is in force.
func (t *tryout) state(key v1.Key, st *v1.ServiceStatus) onboard.State {
	_, revision, _, ok := t.app.desired.Get(key)
	if !ok || st == nil || st.ObservedRevision != revision {
		return onboard.State{Phase: v1.PhasePending}
	}
	out := onboard.State{Phase: st.Phase, Ready: st.Phase == v1.PhaseRunning, Failures: st.Attempts, Port: st.Port, URL: st.URL}
	if c := v1.FindCondition(st.Conditions, v1.ConditionReady); c != nil && c.Status != v1.ConditionTrue {
		out.Message = c.Message
	}
	if out.URL == "" && out.Port > 0 {
		out.URL = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(out.Port))
	}
	return out
}

// Log implements onboard.Supervisor.
func (t *tryout) Log(ctx context.Context, name string, since time.Time, lines int) []string {
	var out []string
	err := t.app.logs.Lines(ctx, []string{name}, wire.LogOptions{Tail: lines, Since: since}, func(l wire.LogLine) error {
		out = append(out, l.Text)
		return nil
	})
	if err != nil {
		t.app.log.Debug("the log of a tried service cannot be read", "service", name, "err", err)
	}
	return slices.Clip(out)
}

var (
	_ rest.Onboarder     = onboarding{}
	_ onboard.Supervisor = (*tryout)(nil)
)
