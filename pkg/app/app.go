package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/controllers/service"
	"github.com/philiporange/supervisor/pkg/activator"
	"github.com/philiporange/supervisor/pkg/approval"
	"github.com/philiporange/supervisor/pkg/desired"
	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/reconcile"
	"github.com/philiporange/supervisor/pkg/sdnotify"
	"github.com/philiporange/supervisor/pkg/settings"
	"github.com/philiporange/supervisor/pkg/status"
	"github.com/philiporange/supervisor/pkg/upstream"
	"github.com/philiporange/supervisor/pkg/worktree"
)

// workers is how many services are reconciled side by side. Most of a reconcile is waiting for the keeper.
const workers = 8

// App is one supervisor.
type App struct {
	settings *settings.Settings
	log      *slog.Logger
	logFile  interface{ Close() error }
	started  time.Time

	keeper  *process.Client
	watcher *manifest.Watcher
	editor  *manifest.Editor
	// worktree is the git work tree that the manifests may be in.
	worktree *worktree.Folder
	loop     *reconcile.Loop
	forget   *forgetter
	changed  chan struct{} // a run has changed; for Shutdown

	// made is closed when what follows is there.
	made       chan struct{}
	store      *status.Store
	upstreams  *upstream.Dir
	activator  *activator.Activator
	desired    *desired.Set
	reconciler *service.Reconciler
	measuring  *measuring
	cron       *cronJobs
	logs       *logBook
	routes     *routing
	desk       *approval.Desk
	background *background
	agents     *agents
	repairs    *repairs
	chat       *chats

	loaded   chan struct{} // closed after the first listing
	loadOnce sync.Once
	// swept is whether the owners of all runs were put on the queue, which waits for a complete listing.
	swept    atomic.Bool
	serving  atomic.Bool
	address  atomic.Pointer[string] // where the API listens
	problems []v1.Problem           // last told; the watcher's goroutine owns it

	end context.CancelFunc // ends Run
}

// New returns a supervisor that has not begun anything yet.
func New(s *settings.Settings) (*App, error) {
	for _, dir := range []string{s.Dir, s.Logs(), s.KeeperDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
	}
	if err := os.MkdirAll(s.Manifests, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make the manifest folder: %w", err)
	}
	log, file := openLog(s)
	a := &App{
		settings: s, log: log, logFile: file, started: time.Now(), changed: make(chan struct{}, 1),
		made: make(chan struct{}), loaded: make(chan struct{}), editor: manifest.NewEditor(s.Manifests),
		worktree: worktree.New(s.Manifests),
	}
	options := process.ClientOptions{
		Dir: s.KeeperDir(), Version: Version, Log: func(m string) { log.Warn("keeper", "message", m) },
	}
	if s.Keeper != settings.KeeperExternal {
		options.Launch = func(ctx context.Context) error { return process.Launch(ctx, s.Keeper, s.KeeperDir()) }
	}
	a.keeper = process.NewClient(options)
	a.keeper.OnChange(a.runChanged)
	a.watcher = manifest.NewWatcher(s.Manifests, manifest.Options{
		Rescan: s.RescanInterval, Log: log,
		Tracked: func(keys []v1.Key) {
			for _, key := range keys {
				a.loop.Add(key)
			}
		},
	})
	a.loop = reconcile.New(a, workers, log)
	return a, nil
}

// Reconcile implements reconcile.Reconciler: it gives each key to the reconciler of its kind.
func (a *App) Reconcile(ctx context.Context, key v1.Key) (reconcile.Result, error) {
	begun := time.Now()
	reconciler := reconcile.Reconciler(a.reconciler)
	if key.Kind == v1.KindCronJob {
		reconciler = a.cron.reconciler
	}
	result, err := reconciler.Reconcile(ctx, key)
	a.measuring.reconciled(key.Kind, result.RequeueAfter > 0, err, time.Since(begun))
	return result, err
}

// runChanged puts the owner of a run on the queue. It is called on the goroutine that reads from the keeper.
func (a *App) runChanged(owner string) {
	if key, ok := parseKey(owner); ok {
		a.loop.Add(key)
	}
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func parseKey(owner string) (v1.Key, bool) {
	kind, name, ok := strings.Cut(owner, "/")
	return v1.Key{Kind: kind, Name: name}, ok && name != ""
}

// Run works until ctx ends, and then leaves: services run on.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.logFile.Close()) }()
	held, err := lock(a.settings.Dir)
	if err != nil {
		return err
	}
	defer held.Close()
	ctx, a.end = context.WithCancel(ctx)
	defer a.end()
	a.log.Info("supervisor starts", "version", Version, "pid", os.Getpid(), "dir", a.settings.Dir, "manifests", a.settings.Manifests)

	group, ctx := errgroup.WithContext(ctx)
	// The keeper is launched, the manifests are read and the database is opened side by side.
	group.Go(func() error { return quiet(a.keeper.Run(ctx)) })
	group.Go(func() error { return quiet(a.watcher.Run(ctx, func(l manifest.Listing) { a.deliver(ctx, l) })) })
	if err := a.make(ctx); err != nil {
		a.end()
		return errors.Join(err, group.Wait())
	}
	group.Go(func() error { return quiet(a.forget.run(ctx)) })
	group.Go(func() error { return quiet(a.measuring.sampler.Run(ctx)) })
	group.Go(func() error { return quiet(a.measuring.notifier.Run(ctx)) })
	group.Go(func() error { a.measuring.observe(ctx); return nil })
	group.Go(func() error { return quiet(a.cron.ticker.Run(ctx)) })
	group.Go(func() error { return a.logs.run(ctx) })
	group.Go(func() error { a.routes.run(ctx); return nil })
	group.Go(func() error { return quiet(a.background.jobs.Run(ctx)) })
	group.Go(func() error { return a.repairs.run(ctx) })
	group.Go(func() error { return a.work(ctx) })
	group.Go(func() error { return a.serve(ctx) })
	err = group.Wait()
	a.log.Info("supervisor leaves; services run on")
	a.activator.Close()
	a.reconciler.Close()
	a.chat.chat.Close()
	a.agents.runner.Close()
	return errors.Join(err, a.background.jobs.Close(), a.repairs.store.Close(), a.logs.store.Close(), a.measuring.close(), a.cron.ledger.Close(), a.store.Close())
}

// quiet drops the error of a part that was told to end.
func quiet(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// make opens the database and makes what needs it.
func (a *App) make(ctx context.Context) error {
	store, err := status.Open(ctx, a.settings.Database(), status.Options{Log: a.log})
	if err != nil {
		return err
	}
	a.store = store
	a.openUpstreams()
	a.activator = a.newActivator()
	a.forget = newForgetter(store, a.keeper, a.log)
	a.desk = approval.New(func(e v1.Event) { store.RecordEvent(e) })
	domain, _ := a.settings.CaddyDomainSite()
	a.desired = desired.New(ctx, lastGood{store}, desired.Domains{Domain: domain, Base: a.settings.CaddyBaseHost()}, a.log)
	programs := &programs{
		manifests: a.settings.Manifests, logs: a.settings.Logs(), maxBytes: a.settings.LogMaxBytes, backups: a.settings.LogBackupCount,
		origin: func(key v1.Key) string { return a.file(key) },
	}
	a.reconciler = service.New(service.Config{
		Desired: serviceView{a.desired}, Keeper: a.keeper, Store: store, Forgetter: a.forget, Program: programs.program,
		Track: a.watcher.Track, LastLines: lastLines, Enqueue: a.loop.Add, Session: a.session,
		Unindexed: func(name string) int64 { return a.logs.gaps.lines(name) },
		Upstreams: a.upstreams, Connections: upstream.Connections, Demand: a.activator,
		RestartDelay: a.settings.RestartDelay, MaxRestartAttempts: a.settings.MaxRestartAttempts,
		ReservedPorts: []int{a.settings.Port}, Log: a.log,
	})
	if a.measuring, err = a.measure(programs); err != nil {
		return errors.Join(err, store.Close())
	}
	if a.cron, err = a.makeCron(ctx, programs); err != nil {
		return errors.Join(err, a.measuring.close(), store.Close())
	}
	if a.logs, err = a.openLogs(ctx, programs); err != nil {
		return errors.Join(err, a.cron.ledger.Close(), a.measuring.close(), store.Close())
	}
	if a.routes, err = a.makeRoutes(); err != nil {
		return errors.Join(err, a.logs.store.Close(), a.cron.ledger.Close(), a.measuring.close(), store.Close())
	}
	if a.background, err = a.openJobs(ctx); err != nil {
		return errors.Join(err, a.logs.store.Close(), a.cron.ledger.Close(), a.measuring.close(), store.Close())
	}
	if a.agents, err = a.openAgents(ctx); err != nil {
		return errors.Join(err, a.background.jobs.Close(), a.logs.store.Close(), a.cron.ledger.Close(), a.measuring.close(), store.Close())
	}
	if a.chat, err = a.openChat(); err != nil {
		return errors.Join(err, a.background.jobs.Close(), a.logs.store.Close(), a.cron.ledger.Close(), a.measuring.close(), store.Close())
	}
	if a.repairs, err = a.openRepairs(ctx, programs); err != nil {
		return errors.Join(err, a.background.jobs.Close(), a.logs.store.Close(), a.cron.ledger.Close(), a.measuring.close(), store.Close())
	}
	a.background.jobs.OnInterrupted(onboardKind, onboarding{a}.interrupted)
	close(a.made)
	return nil
}

// session is the keeper's session.
func (a *App) session(ctx context.Context) (string, error) {
	hello, err := a.keeper.Hello(ctx)
	return hello.Session, err
}

// file is the manifest of an object, relative to the manifest folder.
func (a *App) file(key v1.Key) string {
	_, _, origin, _ := a.desired.Get(key)
	return origin.File
}

// work reconciles, once everything that it needs is complete.
func (a *App) work(ctx context.Context) error {
	for _, ready := range []<-chan struct{}{a.keeper.Synced(), a.loaded} {
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
	session, err := a.session(ctx)
	if err != nil {
		return quiet(err)
	}
	a.upgradeKeeper(ctx)
	if n := a.store.PurgeIntents(session); n > 0 {
		a.log.Info("orders of an earlier session are void", "count", n)
	}
	a.loop.Run(ctx)
	return nil
}

// upgradeKeeper makes a keeper of another version become ours, in place: its children, their output and their exits stay.
// A keeper that cannot is an older one that we can speak with, and goes on.
func (a *App) upgradeKeeper(ctx context.Context) {
	hello, err := a.keeper.Hello(ctx)
	if err != nil || hello.Version == Version || a.settings.Keeper == settings.KeeperExternal {
		return
	}
	now, err := a.keeper.Upgrade(ctx, a.settings.Keeper)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.log.Warn("the keeper goes on in its version", "keeper", hello.Version, "manager", Version, "err", err)
	default:
		a.log.Info("the keeper was upgraded in place", "from", hello.Version, "to", now.Version, "pid", now.PID)
		a.store.RecordEvent(v1.Event{
			Type: v1.EventNormal, Reason: "KeeperUpgraded", Actor: "supervisor",
			Message: fmt.Sprintf("the keeper (process %d) went from version %s to %s; services ran on", now.PID, hello.Version, now.Version),
		})
	}
}

// deliver takes a listing into the desired set. The watcher's goroutine calls it.
func (a *App) deliver(ctx context.Context, l manifest.Listing) {
	select {
	case <-a.made:
	case <-ctx.Done():
		return
	}
	changes := a.desired.Replace(ctx, l)
	for _, o := range a.desired.List("") {
		// Known already, most of them: the store compares.
		_, revision, _, _ := a.desired.Get(o.Key())
		a.store.PutObject(o.Key(), revision)
	}
	for _, key := range changes.Changed {
		a.loop.Add(key)
	}
	a.logs.follow(a.desired.List(v1.KindService))
	a.removed(changes.Removed)
	if changes.Problems {
		a.tellProblems()
	}
	a.loadOnce.Do(func() {
		// Also what did not change since the last life of the manager.
		for _, o := range a.desired.List("") {
			a.loop.Add(o.Key())
		}
		close(a.loaded)
	})
	if a.desired.Complete() && !a.swept.Load() {
		a.sweep(ctx)
	}
}

// sweep looks at the owners of all runs once the whole set is known: what is not desired any more is stopped.
func (a *App) sweep(ctx context.Context) {
	a.swept.Store(true)
	go func() {
		select {
		case <-a.keeper.Synced():
		case <-ctx.Done():
			return
		}
		for _, run := range a.keeper.All() {
			if key, ok := parseKey(run.Owner); ok {
				a.loop.Add(key)
			}
		}
		if known, err := a.cron.reconciler.Known(ctx); err != nil {
			a.log.Warn("the history of deleted cron jobs stays", "err", err)
		} else {
			a.removed(known)
		}
		if err := a.upstreams.Prune(a.byFile); err != nil {
			a.log.Warn("addresses of services that are gone stay", "err", err)
		}
		a.logs.sweep()
		for _, key := range a.store.Keys() {
			if _, _, _, ok := a.desired.Get(key); !ok {
				a.removed([]v1.Key{key})
			}
		}
	}()
}

// openUpstreams opens the folder in which Caddy looks for addresses. Where that cannot be done, all but updates without
// downtime works, and those say why.
func (a *App) openUpstreams() {
	var err error
	if a.upstreams, err = upstream.Open(a.settings.UpstreamsDir, a.settings.Dir); err == nil {
		return
	}
	a.upstreams = upstream.Broken(err)
	a.log.Error("services cannot be updated without downtime", "err", err)
	a.store.RecordEvent(v1.Event{
		Type: v1.EventWarning, Reason: "UpstreamsUnusable", Actor: "supervisor", Message: "services cannot be updated without downtime: " + err.Error(),
	})
}

// byFile reports whether Caddy looks for a service's address in a file.
func (a *App) byFile(name string) bool {
	svc, _, ok := serviceView{a.desired}.Service(name)
	return ok && svc.RoutedByFile()
}

// newActivator makes what holds the requests for services that run on demand. Its ports are remembered beside those of the
// services, and go with them.
func (a *App) newActivator() *activator.Activator {
	slot := func(service string) string {
		return v1.Key{Kind: v1.KindService, Name: service}.String() + "/activator"
	}
	return activator.New(activator.Options{
		Wake:    func(service string) { a.loop.Add(v1.Key{Kind: v1.KindService, Name: service}) },
		Port:    func(service string) int { port, _ := a.store.Port(slot(service)); return port },
		SetPort: func(service string, port int) { a.store.SetPort(slot(service), port) },
		Log:     a.log,
	})
}

// removed handles objects that are not desired any more: their reconcilers delete them when their runs are gone.
func (a *App) removed(keys []v1.Key) {
	for _, key := range keys {
		a.loop.Add(key)
	}
}

// tellProblems records what is newly wrong, and puts the objects concerned on the queue, whose status shows it.
func (a *App) tellProblems() {
	now := a.desired.Problems()
	known := map[v1.Problem]bool{}
	for _, p := range a.problems {
		known[p] = true
		if p.Key.Name != "" {
			a.loop.Add(p.Key)
		}
	}
	for _, p := range now {
		if p.Key.Name != "" {
			a.loop.Add(p.Key)
		}
		if !known[p] {
			a.log.Warn("manifest problem", "problem", p.String())
			a.store.RecordEvent(v1.Event{Key: p.Key, Type: v1.EventWarning, Reason: "ManifestProblem", Message: p.String(), Actor: "manifest " + p.File})
		}
	}
	a.problems = now
}

// serve answers HTTP until ctx ends.
func (a *App) serve(ctx context.Context) error {
	token, made, err := rest.LoadToken(a.settings.Token())
	if err != nil {
		return err
	}
	auth := rest.NewAuthorizer(token, []string{a.settings.ServiceHost, a.settings.Host}, a.log)
	socket, err := rest.Listen(ctx, a.settings.Socket())
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(a.settings.Socket()) }() // the next start replaces it anyway
	address := net.JoinHostPort(a.settings.Host, strconv.Itoa(a.settings.Port))
	tcp, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return errors.Join(fmt.Errorf("listen at %s: %w; choose another address with SUPERVISOR_HOST and SUPERVISOR_PORT", address, err), socket.Close())
	}
	listens := tcp.Addr().String()
	a.address.Store(&listens)
	deps := a.deps(auth)
	mcpHandler, closeMCP, err := a.mcpHandler()
	if err != nil {
		return errors.Join(err, socket.Close(), tcp.Close())
	}
	defer closeMCP()
	deps.MCP, deps.Approvals = mcpHandler, approvals{a.desk}
	deps.Onboarder, deps.Scanner = onboarding{a}, scanning{a}
	api := rest.New(deps)
	_, port, err := net.SplitHostPort(tcp.Addr().String())
	if err != nil {
		return errors.Join(fmt.Errorf("listen at %s: %w", address, err), socket.Close(), tcp.Close())
	}
	url := "http://" + net.JoinHostPort(shownHost(a.settings), port)
	a.log.Info("the API answers", "url", url, "socket", a.settings.Socket())
	if made {
		// A secret: for the terminal of whoever starts it, not for the log.
		fmt.Fprintf(os.Stderr, "log in once, within 15 minutes: %s%s\n", url, auth.LoginPath())
	}
	a.serving.Store(true)
	var notified sync.WaitGroup
	notified.Go(func() { a.notify(ctx) })
	err = rest.Serve(ctx, api, socket, tcp)
	notified.Wait()
	return err
}

func shownHost(s *settings.Settings) string {
	if s.Host == "0.0.0.0" || s.Host == "::" {
		return "127.0.0.1"
	}
	return s.Host
}

// notify keeps the machine's service manager informed.
func (a *App) notify(ctx context.Context) {
	for _, ready := range []<-chan struct{}{a.keeper.Synced(), a.loaded} {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	warn := func(err error) {
		if err != nil {
			a.log.Warn("the service manager cannot be notified", "err", err)
		}
	}
	warn(sdnotify.Ready(fmt.Sprintf("%d services", len(a.desired.List(v1.KindService)))))
	var slimmed sync.WaitGroup
	slimmed.Go(func() { slim(ctx) })
	warn(sdnotify.Watchdog(ctx, func() bool { return a.store.Degraded() == nil || ctx.Err() == nil }))
	<-ctx.Done()
	slimmed.Wait()
	warn(sdnotify.Stopping("services run on"))
}

// unready says what is missing before everything works.
func (a *App) unready() []string {
	var missing []string
	for what, ready := range map[string]<-chan struct{}{"the keeper has not answered yet": a.keeper.Synced(), "the manifests have not been read yet": a.loaded} {
		select {
		case <-ready:
		default:
			missing = append(missing, what)
		}
	}
	return missing
}

// logPath is the supervisor's own log.
func (a *App) logPath() string { return filepath.Clean(a.settings.Log()) }
