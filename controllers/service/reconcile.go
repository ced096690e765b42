package service

import (
	"context"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/probe"
	"github.com/philiporange/supervisor/pkg/process"
	"github.com/philiporange/supervisor/pkg/reconcile"
)

// Reconciler brings services from what is observed to what is desired.
type Reconciler struct {
	c        Config
	prober   *probe.Prober
	portBusy func(port int) (holder string) // empty: free

	mu      sync.Mutex
	records map[string]*record

	// starting is held for reading while a run is being started, and for writing by Shutdown, after which nothing starts.
	starting sync.RWMutex
	closing  bool
	leaving  context.Context // ends when Shutdown begins
	leave    context.CancelFunc
}

// record is what is kept of a service between two reconciles. Only the worker that has the service's name touches it.
type record struct {
	state  state
	teller teller
	// asked is what the live runs are asked by probes.
	asked  map[process.RunID]v1.Probes
	demand demand
	// adopted is whether it was told what an earlier manager left running.
	adopted bool
}

// New returns a reconciler. Call Close when its loop has ended.
func New(c Config) *Reconciler {
	r := &Reconciler{c: c, records: map[string]*record{}, portBusy: portHolder}
	r.prober = probe.New(func(id string) {
		if name, ok := serviceOf(process.RunID(id)); ok {
			c.Enqueue(v1.Key{Kind: v1.KindService, Name: name})
		}
	})
	r.leaving, r.leave = context.WithCancel(context.Background()) //nolint:forbidigo,gosec // Its own life: from New to Shutdown or Close.
	return r
}

// Close ends all probes.
func (r *Reconciler) Close() {
	r.leave()
	r.prober.Close()
}

// rounds is how often one reconcile may act on what became of its own actions. A stop that was quick makes room for a
// start without another turn in the queue.
const rounds = 3

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, key v1.Key) (result reconcile.Result, err error) {
	rec := r.record(key)
	in, known, err := r.observe(ctx, key, rec)
	if err != nil || !known {
		return result, err
	}
	t := turn{key: key, record: rec, in: in}
	defer func() { result = r.report(&t) }()
	for round := 0; ; round++ {
		r.look(&t)
		r.decide(&t)
		if !t.acts() {
			return result, nil
		}
		if round == rounds {
			t.wake(t.in.now)
			return result, nil
		}
		if err = r.apply(ctx, &t); err != nil {
			r.look(&t)
			r.decide(&t)
			return result, err
		}
	}
}

// turn is one reconcile of one service.
type turn struct {
	key    v1.Key
	record *record
	in     input
	decision
	told     []note // what has happened so far
	history  []v1.Rollout
	ended    []process.RunID
	bad      *process.Run
	explains *process.Run
}

// record returns what is kept of a service.
func (r *Reconciler) record(key v1.Key) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.records[key.Name]
	if rec == nil {
		rec = &record{state: recall(r.c.Store.Status(key)), asked: map[process.RunID]v1.Probes{}}
		r.records[key.Name] = rec
	}
	return rec
}

// look brings the input up to what is so now.
func (r *Reconciler) look(t *turn) {
	t.in.runs = r.c.Keeper.Runs(t.key.String())
	t.in.now = time.Now() // after the runs: an exit that is seen is in the past
	t.in.recalled = !t.record.adopted
	r.adopt(t)
	t.in.pointed = r.pointed(t.key.Name)
	t.in.connections = r.connections(t)
	t.in.verdicts = r.watchProbes(t)
}

// adopt tells of what an earlier manager left running.
func (r *Reconciler) adopt(t *turn) {
	if t.record.adopted {
		return
	}
	t.record.adopted = true
	for _, run := range t.in.runs {
		if run.Live() {
			t.told = append(t.told, note{v1.EventNormal, "Adopted", replicaText(t.in.svc, replicaOf(run.Slot), "runs on, as it did under the supervisor before"), ""})
		}
	}
}

// decide asks the plan and notes what it says.
func (r *Reconciler) decide(t *turn) {
	t.decision = plan(t.in, t.record.state)
	t.record.state = t.state
	t.told = append(t.told, t.notes...)
	t.history = append(t.history, t.decision.history...)
	t.ended = t.decision.ended
	if t.decision.explains != nil {
		t.explains = t.decision.explains
	}
	if t.decision.bad != nil {
		t.bad = t.decision.bad
	}
}

var _ reconcile.Reconciler = (*Reconciler)(nil)
