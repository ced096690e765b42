package autofix

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/autofix/history"
	"github.com/philiporange/supervisor/pkg/jobs"
)

// Engine repairs. It is safe for concurrent use.
type Engine struct {
	o      Options
	world  World
	agents Agents
	jobs   Jobs
	store  *history.Store
	log    *slog.Logger

	// backingUp is held to read while a backup is taken, and to write while old ones are deleted.
	backingUp sync.RWMutex
	// admission holds back a second trigger while a first is looked at.
	admission sync.Mutex

	// restart are programs to be started anew when the engine runs: their repair was interrupted.
	restart []v1.Key

	triggers chan Trigger
	entries  chan entry
}

// entry is one of a log.
type entry struct {
	key  v1.Key
	text string
	at   time.Time
}

// New returns an engine. Run is what makes it work.
func New(o Options, w World, a Agents, j Jobs, s *history.Store, log *slog.Logger) *Engine {
	if o.KeepBackups <= 0 {
		o.KeepBackups = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Scratch == "" {
		o.Scratch = os.TempDir()
	}
	return &Engine{o: o, world: w, agents: a, jobs: j, store: s, log: log, triggers: make(chan Trigger, 64), entries: make(chan entry, 64)}
}

// Report hands over a failure. It does not block: when failures come faster than they are looked at, the rest waits for the next time.
func (e *Engine) Report(t Trigger) {
	select {
	case e.triggers <- t:
	default:
		e.log.Warn("too many failures at once; one is not looked at", "object", t.Key.String())
	}
}

// Entry hands over an entry of a log that is an error. It does not block.
func (e *Engine) Entry(key v1.Key, text string, at time.Time) {
	select {
	case e.entries <- entry{key, text, at}:
	default: // it will be logged again
	}
}

// Run looks at what is reported, until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	for _, key := range e.restart {
		if err := errors.Join(e.world.Halt(ctx, key), e.world.Resume(ctx, key)); err != nil && !errors.Is(err, ErrNoObject) {
			e.log.Error("the program was not started again", "object", key.String(), "err", err)
		}
	}
	counted := groups{}
	again := map[v1.Key]postponed{}
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		alarm.Reset(untilNext(again))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case t := <-e.triggers:
			e.consider(ctx, t, again)
		case en := <-e.entries:
			if t, ok := counted.note(en.key, en.text, en.at); ok {
				e.consider(ctx, t, again)
			}
		case now := <-alarm.C:
			for key, p := range again {
				if p.at.After(now) {
					continue
				}
				delete(again, key)
				if e.world.Failing(key) {
					e.consider(ctx, p.trigger, again)
				}
			}
		}
	}
}

// postponed is a failure that is looked at again.
type postponed struct {
	trigger Trigger
	at      time.Time
}

func untilNext(again map[v1.Key]postponed) time.Duration {
	wait := time.Hour
	for _, p := range again {
		wait = min(wait, time.Until(p.at))
	}
	return max(wait, 0)
}

// consider tries a repair that nobody asked for, where that is allowed.
func (e *Engine) consider(ctx context.Context, t Trigger, again map[v1.Key]postponed) {
	t.Actor = "supervisor"
	_, err := e.start(ctx, t)
	var no *notNowError
	var none *agent.UnavailableError
	var busy *jobs.BusyError
	switch {
	case err == nil:
		delete(again, t.Key)
	case errors.As(err, &no):
		if !no.Again.IsZero() {
			again[t.Key] = postponed{t, no.Again}
		}
		e.log.Debug("no repair", "object", t.Key.String(), "reason", no.Reason)
	case errors.As(err, &busy):
		again[t.Key] = postponed{t, time.Now().Add(askAgain)}
	case errors.As(err, &none):
		e.log.Debug("no repair", "object", t.Key.String(), "reason", err)
	default:
		e.log.Info("no repair", "object", t.Key.String(), "reason", err)
	}
}

// notNowError says why a repair is not tried.
type notNowError struct{ verdict }

func (n *notNowError) Error() string { return n.Reason }

// Fix repairs because a person asked for it. Errors are ErrNoObject, ErrState, agent.UnavailableError and jobs.BusyError.
func (e *Engine) Fix(ctx context.Context, key v1.Key, detail, actor string) (job string, err error) {
	t := Trigger{Key: key, Cause: history.Hand, Detail: detail, Actor: actor, Summary: "asked for by " + actor}
	if detail != "" {
		t.Summary = summarise("asked for", detail)
	}
	job, err = e.start(ctx, t)
	var no *notNowError
	if errors.As(err, &no) {
		return "", fmt.Errorf("%w: %s", ErrState, no.Reason)
	}
	return job, err
}

// start puts a repair on the queue.
func (e *Engine) start(ctx context.Context, t Trigger) (job string, err error) {
	e.admission.Lock()
	defer e.admission.Unlock()
	target, err := e.world.Target(t.Key)
	if err != nil {
		return "", err
	}
	past, err := e.store.List(ctx, history.Query{Object: t.Key.String(), Repairs: true, Limit: 50})
	if err != nil {
		return "", err
	}
	if v := admit(time.Now(), e.o.Enabled, target.Autofix, t.Cause, past); !v.Go {
		return "", &notNowError{v}
	}
	if why := unfit(target.Folder, target.Home, e.o.Data, e.o.Manifests); why != "" {
		return "", &notNowError{verdict{Reason: why + "; give the program a folder of its own (spec.workingDir)"}}
	}
	p := policyOf(target.Autofix)
	if err := e.agents.Available(ctx, p.agent); err != nil {
		return "", err
	}
	if target.Blocked != nil {
		return "", target.Blocked
	}
	f := history.Fix{
		Object: t.Key.String(), Folder: target.Folder, Cause: t.Cause, Summary: t.Summary, Detail: t.Detail, Actor: t.Actor,
		State: history.Pending, Propose: p.propose, Run: t.Run, CreatedAt: time.Now(),
	}
	if t.Trace != "" {
		f.Signature = signature(t.Trace)
	}
	if err := e.store.Add(ctx, &f); err != nil {
		return "", err
	}
	job, err = e.enqueue(ctx, &f, "repair "+t.Key.String(), t.Actor, func(ctx context.Context, h *jobs.Handle) (any, error) {
		return e.repair(ctx, h, f.ID, t)
	})
	if err != nil {
		// It was not tried: the folder is another's now.
		return "", errors.Join(err, e.store.Delete(context.WithoutCancel(ctx), f.ID))
	}
	return job, nil
}

// enqueue makes a job that has the folder to itself, and notes which.
func (e *Engine) enqueue(ctx context.Context, f *history.Fix, name, actor string, run func(context.Context, *jobs.Handle) (any, error)) (string, error) {
	noted := make(chan struct{})
	job, err := e.jobs.Start(ctx, jobs.Spec{
		Kind: JobKind, Name: name, Subject: f.Object, Actor: actor, Folder: f.Folder, Timeout: e.o.Timeout + overhead,
		Run: func(ctx context.Context, h *jobs.Handle) (any, error) {
			<-noted // the row belongs to this function until the job is noted in it
			return run(ctx, h)
		},
	})
	defer close(noted)
	if err != nil {
		return "", err
	}
	f.Job = job
	if f.AgentJob == "" {
		f.AgentJob = job
	}
	if err := e.store.Save(context.WithoutCancel(ctx), f); err != nil {
		e.log.Warn("the job of a repair is not on record", "fix", f.ID, "err", err)
	}
	return job, nil
}

// overhead is how long a repair may take beside the agent's work: backups, checks, starting and watching the program.
const overhead = 20 * time.Minute

// end puts on record how a repair ended, and tells of it.
func (e *Engine) end(ctx context.Context, f *history.Fix, s history.State, reason string) {
	ctx = context.WithoutCancel(ctx)
	f.State, f.Reason, f.EndedAt = s, reason, time.Now()
	if err := e.store.Save(ctx, f); err != nil {
		e.log.Error("the end of a repair is not on record", "fix", f.ID, "state", s, "err", err)
	}
	key := keyOf(f.Object)
	e.tell(f, s)
	if f.Run != 0 {
		e.world.Fixed(ctx, key, f.Run, s == history.Applied)
	}
	if err := errors.Join(os.RemoveAll(e.changeDir(f.ID)), e.store.Prune(ctx, f.Object, keepFixes)); err != nil {
		e.log.Warn("old repairs, or what they needed, stay", "err", err)
	}
	e.prune(ctx, e.backups(f.Object))
}

// keepFixes is how many repairs of one object are remembered.
const keepFixes = 200

func (e *Engine) tell(f *history.Fix, s history.State) {
	ev := v1.Event{Key: keyOf(f.Object), Type: v1.EventNormal, Reason: "Fix" + string(s), Actor: f.Actor}
	switch s {
	case history.Working:
		ev.Reason = "FixStarted"
		ev.Message = fmt.Sprintf("fix %d: %s repairs a copy of %s: %s", f.ID, agentName(f.Agent), f.Folder, f.Summary)
	case history.Proposed:
		ev.Message = fmt.Sprintf("fix %d changes %s and waits for approval: supervisor fixes show %d", f.ID, listed(f.Files), f.ID)
	case history.Applied:
		if f.Cause == history.Restore {
			ev.Reason, ev.Message = "FixRestored", f.Reason
			break
		}
		ev.Message = fmt.Sprintf("fix %d: %s changed; %s", f.ID, listed(f.Files), f.Reason)
	default:
		ev.Message = fmt.Sprintf("fix %d: %s", f.ID, f.Reason)
		if s != history.Rejected {
			ev.Type = v1.EventWarning
		}
	}
	e.world.Tell(ev)
}

func agentName(id string) string {
	if id == "" {
		return "a coding agent"
	}
	return id
}

func listed(files []string) string {
	switch len(files) {
	case 0:
		return "nothing"
	case 1:
		return files[0]
	}
	return fmt.Sprintf("%s and %d more", files[0], len(files)-1)
}

func keyOf(object string) v1.Key {
	dir, name := filepath.Split(object)
	return v1.Key{Kind: filepath.Clean(dir), Name: name}
}

// backups is the folder of an object's backups.
func (e *Engine) backups(object string) string {
	key := keyOf(object)
	if key.Kind == v1.KindCronJob {
		return filepath.Join(e.o.Backups, "cronjobs", key.Name) // there may be a service of the same name
	}
	return filepath.Join(e.o.Backups, key.Name)
}

// changeDir holds what a repair changes, from the check until the repair is forgotten.
func (e *Engine) changeDir(id uint64) string {
	return filepath.Join(e.o.Dir, "changes", fmt.Sprint(id))
}

// journal is where a change of a folder is written down.
func (e *Engine) journal(id uint64) string {
	return filepath.Join(e.o.Dir, "journal", fmt.Sprintf("%d.json", id))
}

// Well notes that a program has run well with a commit.
func (e *Engine) Well(ctx context.Context, key v1.Key, commit string, at time.Time) {
	if commit == "" {
		return
	}
	if err := e.store.SetWell(ctx, key.String(), history.Well{Revision: commit, At: at}); err != nil {
		e.log.Debug("what runs well is not on record", "object", key.String(), "err", err)
	}
}
