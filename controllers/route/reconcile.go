package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/caddy"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// Key is the one name that there is to reconcile.
var Key = v1.Key{Kind: "Routes", Name: "caddy"}

// Times of the loop.
const (
	// gather is how long a change waits for others that come with it.
	gather = 10 * time.Millisecond
	// Each change of its configuration makes Caddy lose some of the connections that are just being opened. So there may be a
	// few of them at once, and then one each refill, with everything that has come together until then.
	burst  = 3
	refill = 500 * time.Millisecond
	// look is how often what is served is compared although Caddy says nothing.
	look = time.Minute
	// firstRetry and lastRetry bound the time between two tries when Caddy does not answer; its coming back is seen at once.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
	// again is how often what Caddy has refused is tried although it has not changed.
	again = time.Minute
)

// Config is what the reconciler works with.
type Config struct {
	// Services are those in force, with their status.
	Services func() []Service
	// Ready is closed once the services are known: before that, what is missing may still come.
	Ready <-chan struct{}
	Sites Sites
	// Upstream is the file that Caddy reads where a replica is; Port is the port of a replica, 0 for none.
	Upstream func(service string, replica int) string
	Port     func(service string, replica int) int
	// Way is how routes reach Caddy; nil for not at all.
	Way caddy.Way
	// Always says that the way is to be kept up although no service asks for a route.
	Always bool
	// Load and Save keep what Caddy was given, for the next life of the supervisor.
	Load func() []caddy.Route
	Save func([]caddy.Route) error
	// Exposed puts the condition and the URL of a service; nil takes them away. It reports whether that is news.
	Exposed func(service, url string, c *v1.Condition) (changed bool)
	Record  func(v1.Event)
	// Enqueue asks for Key to be reconciled.
	Enqueue func()
	// Checker looks whether routes answer.
	Checker *Checker
	Log     *slog.Logger
}

// Reconciler keeps Caddy serving the routes. It has one key.
type Reconciler struct {
	c Config

	// one is held while Caddy is being spoken to.
	one      sync.Mutex
	last     []caddy.Route // what Caddy has of ours
	fresh    bool          // last is from another life
	sent     []caddy.Route // what was to be served when we last delivered; nil: that has to be done anew
	refused  map[string]refusal
	leftOut  map[string]string
	failure  error
	failures int
	looked   time.Time
	budget   budget

	moved atomic.Bool // Caddy may serve something else than we left it
	alarm struct {
		sync.Mutex
		timer *time.Timer
	}
	needed chan struct{} // closed when there is something for Caddy to do
	need   sync.Once

	mu   sync.Mutex
	view View
}

// budget bounds how often Caddy's configuration is changed.
type budget struct {
	left float64
	at   time.Time
}

func (b *budget) earn(now time.Time) {
	b.left = min(burst, b.left+float64(now.Sub(b.at))/float64(refill))
	b.at = now
}

// wait is how long it is until there may be a change.
func (b *budget) wait(now time.Time) time.Duration {
	if b.earn(now); b.left >= 1 {
		return 0
	}
	return time.Duration((1 - b.left) * float64(refill))
}

// spend notes changes. What one delivery needs, it takes: that may be more than is left.
func (b *budget) spend(now time.Time, changes int) {
	b.earn(now)
	b.left -= float64(changes)
}

// refusal is a route that Caddy does not take.
type refusal struct {
	routes []caddy.Route
	detail string
	at     time.Time
}

// View is what can be told of the routes.
type View struct {
	// Delivered is false before the first delivery.
	Delivered bool
	// Failure is why Caddy could not be given the routes; nil when it could.
	Failure    error
	Reloads    int
	Healed     int
	LastReload time.Time
	LastError  string
	LastErrAt  time.Time
	Drift      string
	DriftAt    time.Time
	Routes     []RouteView
}

// RouteView is one address of a service, or the reason why it has none.
type RouteView struct {
	caddy.Route
	Service   string
	Served    bool
	Condition *v1.Condition
	Answer    *Answer
}

// New returns a reconciler that has not spoken to Caddy yet.
func New(c Config) *Reconciler {
	r := &Reconciler{c: c, fresh: true, refused: map[string]refusal{}, needed: make(chan struct{})}
	if c.Load != nil {
		r.last = c.Load()
	}
	return r
}

// Nudge says that something about services may be different. Changes that come together are dealt with together.
func (r *Reconciler) Nudge() {
	r.alarm.Lock()
	defer r.alarm.Unlock()
	if r.alarm.timer != nil {
		return
	}
	r.alarm.timer = time.AfterFunc(gather, func() {
		r.alarm.Lock()
		r.alarm.timer = nil
		r.alarm.Unlock()
		r.c.Enqueue()
	})
}

// Moved says that Caddy may serve something else than it did.
func (r *Reconciler) Moved() {
	r.moved.Store(true)
	r.c.Enqueue()
}

// Needed is closed as soon as Caddy is needed: until then nobody has to look for one.
func (r *Reconciler) Needed() <-chan struct{} { return r.needed }

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, _ v1.Key) (reconcile.Result, error) {
	select {
	case <-r.c.Ready:
	default:
		return reconcile.Result{RequeueAfter: refill}, nil
	}
	r.one.Lock()
	defer r.one.Unlock()
	wishes := r.wishes()
	if r.c.Way == nil {
		r.report(wishes)
		return reconcile.Result{}, nil
	}
	if wait := r.budget.wait(time.Now()); wait > 0 && r.busy(wishes) {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	err := r.bring(ctx, wishes, false)
	r.report(wishes)
	return r.next(err)
}

// busy reports whether Caddy may have to be changed.
func (r *Reconciler) busy(wishes []wish) bool {
	return r.moved.Load() || r.sent == nil || !reflect.DeepEqual(flat(wishes, nil), r.sent)
}

// Reload makes Caddy load its configuration although nothing has changed. Its error is Caddy's own.
func (r *Reconciler) Reload(ctx context.Context) error {
	if r.c.Way == nil {
		return &caddy.SetupError{Detail: "there is no Caddy to reload: CADDY_MODE is off"}
	}
	r.one.Lock()
	defer r.one.Unlock()
	wishes := r.wishes()
	clear(r.refused) // the user may have mended what was at fault
	err := r.bring(ctx, wishes, true)
	r.report(wishes)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.refused)) {
		return &caddy.RejectedError{Detail: fmt.Sprintf("Caddy refuses the route of %s, and serves the others: %s", name, r.refused[name].detail)}
	}
	return nil
}

// Text is what is generated, as a Caddyfile.
func (r *Reconciler) Text() (string, []caddy.Route) {
	want := flat(r.wishes(), nil)
	if r.c.Way == nil {
		return caddy.Caddyfile(want, caddy.Layout{PathsHost: r.c.Sites.DomainHost, PathsPort: r.c.Sites.DomainPort}), want
	}
	return r.c.Way.Text(want), want
}

func (r *Reconciler) wishes() []wish {
	return plan(r.c.Services(), r.c.Sites, r.c.Upstream, r.c.Port)
}

// bring gives Caddy what it lacks.
func (r *Reconciler) bring(ctx context.Context, wishes []wish, force bool) error {
	now := time.Now()
	shut := map[string]bool{}
	for name, f := range r.refused {
		if now.Sub(f.at) > again || !reflect.DeepEqual(f.routes, only(flat(wishes, nil), name)) {
			delete(r.refused, name)
			continue
		}
		shut[name] = true
	}
	want := flat(wishes, shut)
	// What it had before of a route that it refuses now, it keeps.
	for name := range shut {
		want = append(want, only(r.last, name)...)
	}
	moved := r.moved.Swap(false)
	due := now.Sub(r.looked) > look
	if len(want) == 0 && len(r.last) == 0 && !r.c.Always && !force {
		r.failure, r.sent = nil, nil
		return nil // nobody needs a Caddy
	}
	r.need.Do(func() { close(r.needed) })
	if !force && !moved && !due && r.failure == nil && r.sent != nil && reflect.DeepEqual(want, r.sent) {
		return nil
	}
	d, err := deliver(ctx, r.c.Way, r.last, want, r.fresh, force)
	r.note(&d, wishes, err)
	if err != nil {
		r.moved.Store(r.moved.Load() || moved)
		return err
	}
	r.sent, r.looked = want, now
	if len(d.refused) > 0 {
		r.sent = d.served
	}
	return nil
}

// note remembers what became of a delivery.
func (r *Reconciler) note(d *delivery, wishes []wish, err error) {
	now := time.Now()
	r.budget.spend(now, d.changes)
	if d.known {
		r.leftOut = d.leftOut
		if r.fresh || !reflect.DeepEqual(r.last, d.served) {
			r.last = d.served
			if r.c.Save != nil {
				if err := r.c.Save(d.served); err != nil {
					r.c.Log.Warn("what Caddy was given cannot be kept for the next start", "err", err)
				}
			}
		}
		r.fresh = false
	}
	for name, detail := range d.refused {
		r.refused[name] = refusal{routes: only(flat(wishes, nil), name), detail: detail, at: now}
		r.c.Log.Warn("Caddy refuses a route", "service", name, "err", detail)
	}
	if err != nil && (r.failure == nil || r.failure.Error() != err.Error()) {
		r.c.Log.Warn("Caddy cannot be given the routes", "err", err)
	}
	if err == nil && r.failure != nil {
		r.c.Log.Info("Caddy has the routes again")
	}
	r.failure = err
	if len(d.Drift) > 0 {
		r.c.Log.Warn("routes in Caddy were not as they had been left", "drift", strings.Join(d.Drift, "; "))
		r.c.Record(v1.Event{Type: v1.EventWarning, Reason: "RoutesHealed", Actor: "supervisor", Message: "routes in Caddy were not as they had been left, and were put back: " + strings.Join(d.Drift, "; ")})
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	v := &r.view
	v.Delivered, v.Failure = true, err
	v.Reloads += d.changes
	if d.changes > 0 {
		v.LastReload = now
	}
	if len(d.Drift) > 0 {
		v.Drift, v.DriftAt = strings.Join(d.Drift, "; "), now
		if d.changes > 0 {
			v.Healed++
		}
	}
	last := ""
	if err != nil {
		last = err.Error()
	}
	for _, name := range slices.Sorted(maps.Keys(d.refused)) {
		last = d.refused[name]
	}
	if v.LastError = last; last != "" {
		v.LastErrAt = now
	}
}

// next says when to look again.
func (r *Reconciler) next(err error) (reconcile.Result, error) {
	if err == nil {
		r.failures = 0
		return reconcile.Result{RequeueAfter: look}, nil
	}
	if errors.Is(err, context.Canceled) {
		return reconcile.Result{}, err
	}
	wait := lastRetry
	if r.failures < 6 {
		wait = firstRetry << r.failures
	}
	r.failures++
	// It was told already, and the loop's own word for it would come at each try.
	return reconcile.Result{RequeueAfter: wait}, nil
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
