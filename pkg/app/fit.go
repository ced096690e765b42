package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/controllers/service"
	"github.com/philiporange/supervisor/manifests"
	"github.com/philiporange/supervisor/pkg/dashboard"
	"github.com/philiporange/supervisor/pkg/desired"
	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/status"
)

// lastGood fits the status store onto the desired set.
type lastGood struct{ store *status.Store }

func (l lastGood) LoadLastGood(ctx context.Context) ([]desired.LastGood, error) {
	saved, err := l.store.LoadLastGood(ctx)
	out := make([]desired.LastGood, len(saved))
	for i, g := range saved {
		out[i] = desired.LastGood{Key: g.Key, File: g.File, Text: g.Text, Revision: g.Revision}
	}
	return out, err
}

func (l lastGood) SaveLastGood(ctx context.Context, g desired.LastGood) error {
	return l.store.SaveLastGood(ctx, status.LastGood{Key: g.Key, File: g.File, Text: g.Text, Revision: g.Revision})
}

func (l lastGood) DeleteLastGood(ctx context.Context, key v1.Key) error {
	return l.store.DeleteLastGood(ctx, key)
}

// serviceView fits the desired set onto the service reconciler.
type serviceView struct{ set *desired.Set }

func (v serviceView) Service(name string) (*v1.Service, string, bool) {
	object, revision, _, ok := v.set.Get(v1.Key{Kind: v1.KindService, Name: name})
	svc, isService := object.(*v1.Service)
	if !ok || !isService || svc.Metadata.Name != name {
		return nil, "", false
	}
	return svc, revision, true
}

func (v serviceView) Services() []*v1.Service {
	objects := v.set.List(v1.KindService)
	out := make([]*v1.Service, 0, len(objects))
	for _, o := range objects {
		if svc, ok := o.(*v1.Service); ok {
			out = append(out, svc)
		}
	}
	return out
}

func (v serviceView) Complete() bool { return v.set.Complete() }

func (v serviceView) Problems(name string) []v1.Problem {
	return v.set.ProblemsOf(v1.Key{Kind: v1.KindService, Name: name})
}

// forgetter tells the keeper to forget runs once what was noted of them is in the database.
type forgetter struct {
	store  *status.Store
	keeper process.Keeper
	log    *slog.Logger

	mu   sync.Mutex
	ids  map[process.RunID]bool
	wake chan struct{}
}

func newForgetter(store *status.Store, keeper process.Keeper, log *slog.Logger) *forgetter {
	return &forgetter{store: store, keeper: keeper, log: log, ids: map[process.RunID]bool{}, wake: make(chan struct{}, 1)}
}

// Forget implements service.Forgetter.
func (f *forgetter) Forget(ids ...process.RunID) {
	if len(ids) == 0 {
		return
	}
	f.mu.Lock()
	for _, id := range ids {
		f.ids[id] = true
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// retryForget is how long the keeper goes on remembering when the database cannot be written.
const retryForget = 5 * time.Second

func (f *forgetter) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		}
		f.mu.Lock()
		ids := f.ids
		f.ids = map[process.RunID]bool{}
		f.mu.Unlock()
		err := f.store.Durable(ctx)
		if errors.Is(err, status.ErrDegraded) {
			// What the keeper remembers is all there is: it is kept until the disk is well again.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(retryForget):
			}
			for id := range ids {
				f.Forget(id)
			}
			continue
		}
		if err != nil {
			return err
		}
		for id := range ids {
			if err := f.keeper.Forget(ctx, id); err != nil && !errors.Is(err, process.ErrUnknownRun) && ctx.Err() == nil {
				f.log.Warn("the keeper did not forget a run", "run", id, "err", err)
			}
		}
	}
}

// desiredView fits the desired set onto the API.
type desiredView struct{ a *App }

func (v desiredView) Get(key v1.Key) (v1.Object, bool) {
	object, _, _, ok := v.a.desired.Get(key)
	return object, ok
}
func (v desiredView) List(kind string) []v1.Object { return v.a.desired.List(kind) }
func (v desiredView) File(key v1.Key) string       { return v.a.file(key) }
func (v desiredView) Problems() []v1.Problem       { return v.a.desired.Problems() }
func (v desiredView) Pending() []v1.Key            { return v.a.desired.Pending() }

func (v desiredView) Prune(ctx context.Context, actor string) ([]v1.Key, error) {
	gone := v.a.desired.ConfirmPrune(ctx)
	for _, key := range gone {
		v.a.store.RecordEvent(v1.Event{Key: key, Type: v1.EventNormal, Reason: "Pruned", Message: "its manifest is gone, and that was confirmed", Actor: actor})
	}
	v.a.removed(gone)
	return gone, nil
}

// editing fits the manifest editor onto the API: each edit returns when the desired set has taken it in.
type editing struct{ a *App }

func (e editing) Decode(text []byte) ([]rest.Document, []v1.Problem) {
	docs, problems := manifest.Decode("", text)
	var out []rest.Document
	for _, d := range docs {
		if d.Object != nil {
			out = append(out, rest.Document{Object: d.Object, Text: d.Text})
		}
	}
	return out, problems
}

func (e editing) Create(ctx context.Context, d rest.Document, actor string) (string, error) {
	revision, err := e.a.editor.Create(d.Object, d.Text)
	return revision, e.done(ctx, d.Object.Key(), "created", actor, "", err)
}

func (e editing) Replace(ctx context.Context, d rest.Document, ifMatch, actor string) (string, error) {
	revision, err := e.a.editor.Replace(d.Object, d.Text, ifMatch)
	return revision, e.done(ctx, d.Object.Key(), "replaced", actor, "", err)
}

func (e editing) Change(ctx context.Context, key v1.Key, changes []rest.Change, ifMatch, actor string) (string, error) {
	list := make([]manifest.Change, len(changes))
	for i, c := range changes {
		list[i] = manifest.Change{Path: c.Path, Value: c.Value}
	}
	revision, err := e.a.editor.Change(key, list, ifMatch)
	return revision, e.done(ctx, key, "edited", actor, "", err)
}

func (e editing) Delete(ctx context.Context, key v1.Key, ifMatch, actor string) error {
	gone, err := e.a.editor.Delete(key, ifMatch)
	return e.done(ctx, key, "deleted", actor, gone, err)
}

// done pokes the watcher after an edit, or puts the editor's error into the API's words.
func (e editing) done(ctx context.Context, key v1.Key, verb, actor, gone string, err error) error {
	if err == nil {
		e.a.store.RecordEvent(v1.Event{Key: key, Type: v1.EventNormal, Reason: "ManifestEdited", Message: "its manifest was " + verb, Actor: actor})
		file := gone
		if file == "" {
			file = e.a.file(key) // of what is in force before; a new object's is known after
		}
		err := e.a.watcher.Poke(ctx, gone)
		e.a.commit(ctx, cmp.Or(file, e.a.file(key)), fmt.Sprintf("%s was %s", key, verb), actor)
		return err
	}
	var invalid *manifest.InvalidError
	switch {
	case errors.As(err, &invalid):
		fields := make(v1.FieldErrors, len(invalid.Problems))
		for i, p := range invalid.Problems {
			fields[i] = v1.FieldError{Field: p.Field, Detail: p.Detail}
		}
		return fields
	case errors.Is(err, manifest.ErrExists):
		return rest.Errorf(wire.CodeConflict, "%v", err)
	case errors.Is(err, manifest.ErrNotFound):
		return rest.Errorf(wire.CodeNotFound, "%v", err)
	case errors.Is(err, manifest.ErrStale):
		return rest.Errorf(wire.CodeStale, "%v", err)
	case errors.Is(err, manifest.ErrReadOnly):
		return rest.Errorf(wire.CodeConflict, "%v", err)
	}
	return err
}

// operator takes orders.
type operator struct{ a *App }

func (o operator) Intend(ctx context.Context, key v1.Key, verb v1.IntentVerb, actor string) (string, error) {
	session, err := o.a.session(ctx)
	if err != nil {
		return "", rest.Errorf(wire.CodeUnavailable, "the keeper cannot be reached: %v", err)
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", fmt.Errorf("make an ID: %w", err)
	}
	in := v1.Intent{Key: key, Verb: verb, ID: hex.EncodeToString(id[:]), Time: time.Now(), Actor: actor, Session: session}
	if err := o.a.store.PutIntent(ctx, in); err != nil {
		return "", err
	}
	o.a.loop.Add(key)
	return in.ID, nil
}

func (o operator) Shutdown(ctx context.Context, actor string) (wire.Shutdown, error) {
	report, err := o.a.Shutdown(ctx, actor)
	// The answer has to reach its caller first.
	time.AfterFunc(100*time.Millisecond, o.a.end)
	return report, err
}

// Shutdown stops every service, dependants first, and the keeper when nothing is left. It does not end Run.
func (a *App) Shutdown(ctx context.Context, actor string) (wire.Shutdown, error) {
	a.log.Info("everything is being stopped", "actor", actor)
	before := map[process.RunID]string{}
	for _, run := range a.keeper.All() {
		if run.Live() {
			before[run.ID] = run.Owner
		}
	}
	a.cron.shutdown(ctx, actor)
	left := a.reconciler.Shutdown(ctx, a.changed)
	report := wire.Shutdown{Status: "stopped"}
	for _, owner := range left {
		key, _ := parseKey(owner)
		report.Left = append(report.Left, key)
		report.Status = "incomplete"
	}
	for _, run := range a.keeper.All() {
		if owner, ok := before[run.ID]; ok && run.Exit != nil && run.Exit.Killed {
			key, _ := parseKey(owner)
			report.Killed = append(report.Killed, key)
		}
	}
	report.Stopped = len(before) - len(left)
	if len(left) == 0 {
		if err := a.keeper.Shutdown(ctx); err != nil {
			a.log.Warn("the keeper goes on", "err", err)
		}
	}
	return report, nil
}

// deps fits everything onto the API.
func (a *App) deps(auth *rest.Authorizer) rest.Deps {
	return rest.Deps{
		Desired: desiredView{a}, Files: manifestFiles{a}, Editor: editing{a}, Observed: a.store, Operator: operator{a}, Auth: auth, Log: a.log,
		Logs: a.logs, Metrics: a.measuring, Cron: a.cron, Router: a.routes, Settings: a.effectiveSettings, Environment: a.environment, Templates: templates(), Version: a.version, Unready: a.unready, Schemas: manifests.Schemas(), Dashboard: dashboard.Handler(), LogFile: a.logPath(), ServiceHost: a.settings.ServiceHost,
		Rollouts: a.store,
		Jobs:     a.background, Agents: a.agents, Fixes: a.repairs, Chat: a.chat,
		WorkingDir: func(s *v1.Service) string {
			p := programs{manifests: a.settings.Manifests, origin: a.file}
			return p.workingDir(s)
		},
	}
}

func (a *App) version() wire.Version {
	v := wire.Version{
		Version: Version, Go: runtime.Version(), PID: os.Getpid(), StartedAt: a.started, DataDir: a.settings.Dir, Manifests: a.settings.Manifests,
		ServiceHost: a.settings.ServiceHost,
	}
	if address := a.address.Load(); address != nil {
		v.Address = *address
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if hello, err := a.keeper.Hello(ctx); err == nil {
		v.Keeper = hello.Version
	}
	return v
}

var (
	_ service.Desired   = serviceView{}
	_ service.Forgetter = (*forgetter)(nil)
	_ desired.Store     = lastGood{}
	_ rest.Desired      = desiredView{}
	_ rest.Editor       = editing{}
	_ rest.Operator     = operator{}
	_ rest.Observed     = (*status.Store)(nil)
)
