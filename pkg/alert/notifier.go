package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// Options are what a Notifier needs. The zero value tells nobody.
type Options struct {
	Channels []Channel
	// Host is how messages call this machine; empty means its host name.
	Host string
	// StateFile keeps across restarts what people have been told; empty keeps nothing.
	StateFile string
	// OnAlert is called with each alert that is decided on, before it is sent, on the notifier's goroutine; nil is fine.
	OnAlert func(Alert)
	// Client sends the requests; nil makes one that follows no redirects.
	Client *http.Client
	// Log takes what goes wrong; nil means slog.Default().
	Log *slog.Logger
}

// Notifier turns observations into alerts and delivers them. It is safe for concurrent use.
type Notifier struct {
	client  *http.Client
	host    string
	log     *slog.Logger
	onAlert func(Alert)
	file    string
	boxes   map[string]*outbox
	wake    chan struct{}

	mu sync.Mutex
	// fresh are observations that were not looked at yet: the newest of each object.
	fresh   map[string]Observation
	deleted map[string]bool
	// present are all objects that there are, since Retain; nil before.
	present map[string]bool
	firing  []Alert
	kept    map[string]objectState // a copy of states, to be saved

	saving sync.Mutex // one writer of the file at a time

	// The rest belongs to the goroutine of Run.
	known  map[string]Observation // the last of each object that has a state or may get one by time alone
	states map[string]objectState
	again  map[string]time.Time
}

// New checks the channels and reads what was told before.
func New(o Options) (*Notifier, error) {
	n := &Notifier{
		client: o.Client, host: o.Host, log: o.Log, onAlert: o.OnAlert, file: o.StateFile,
		boxes: make(map[string]*outbox), wake: make(chan struct{}, 1),
		fresh: make(map[string]Observation), deleted: make(map[string]bool),
		known: make(map[string]Observation), again: make(map[string]time.Time),
	}
	if n.log == nil {
		n.log = slog.Default()
	}
	if n.client == nil {
		n.client = newClient()
	}
	if n.host == "" {
		if name, err := os.Hostname(); err == nil {
			n.host = name
		}
	}
	for i := range o.Channels {
		c := o.Channels[i]
		if err := c.Validate(); err != nil {
			return nil, err
		}
		if n.boxes[c.Name] != nil {
			return nil, fmt.Errorf("channel %s: there are two of that name", c.Name)
		}
		n.boxes[c.Name] = newOutbox(c, n.host, n.client, n.log, n.save)
	}
	state, err := loadState(n.file)
	if err != nil {
		n.log.Warn("what was told of alerts is forgotten; some may be told again", "error", err)
	}
	n.states = state.Objects
	for name, alerts := range state.Waiting {
		if b := n.boxes[name]; b != nil {
			b.put(alerts...)
		}
	}
	n.publish()
	return n, nil
}

// Observe tells what is so of an object now. It never blocks; of several observations between two looks the last counts.
func (n *Notifier) Observe(o Observation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fresh[o.Object] = o
	delete(n.deleted, o.Object)
	n.poke()
}

// Forget tells that an object was deleted: what holds for it is over.
func (n *Notifier) Forget(object string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.fresh, object)
	n.deleted[object] = true
	n.poke()
}

// Retain tells which objects there are, once they are all known. What is remembered of others, deleted while nobody looked,
// ends as with Forget.
func (n *Notifier) Retain(objects []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.present = make(map[string]bool, len(objects))
	for _, o := range objects {
		n.present[o] = true
	}
	n.poke()
}

func (n *Notifier) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Firing is what people have been told to be wrong and not yet to be well, by object and rule.
func (n *Notifier) Firing() []Alert {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.firing)
}

// Stats tells what became of each channel's alerts, by name.
func (n *Notifier) Stats() []ChannelStats {
	out := make([]ChannelStats, 0, len(n.boxes))
	for _, b := range n.boxes {
		out = append(out, b.state())
	}
	slices.SortFunc(out, func(a, b ChannelStats) int { return cmp.Compare(a.Channel, b.Channel) })
	return out
}

// Test sends a message to one channel, or to all when the name is empty, at once and once. The error names each channel
// that did not take it and why.
func (n *Notifier) Test(ctx context.Context, channel string) error {
	var boxes []*outbox
	for name, b := range n.boxes {
		if channel == "" || name == channel {
			boxes = append(boxes, b)
		}
	}
	switch {
	case len(n.boxes) == 0:
		return errors.New("there is no alert channel; add one to the settings")
	case len(boxes) == 0:
		return fmt.Errorf("there is no alert channel %q", channel)
	}
	slices.SortFunc(boxes, func(a, b *outbox) int { return cmp.Compare(a.channel.Name, b.channel.Name) })
	now := time.Now()
	m := &message{host: n.host, alerts: []Alert{{
		Rule: Test, Object: "supervisor", Status: Firing, Summary: "This is a test", Detail: "Nothing is wrong. Alerts arrive here.", Since: now, At: now,
	}}}
	errs := make([]error, len(boxes))
	var wg sync.WaitGroup
	for i, b := range boxes {
		wg.Go(func() {
			if err := post(ctx, n.client, &b.channel, m); err != nil {
				errs[i] = fmt.Errorf("channel %s: %w", b.channel.Name, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Run decides and delivers until ctx ends. With a StateFile, what waits for delivery then is delivered after the next start.
func (n *Notifier) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	defer sending.Wait()
	for _, b := range n.boxes {
		sending.Go(func() { b.run(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			n.client.CloseIdleConnections()
			return nil
		case <-n.wake:
		case <-timer.C:
		}
		if next := n.look(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		} else {
			timer.Stop()
		}
	}
}

// look decides about all objects that were observed or whose time has come, and returns when to look again.
func (n *Notifier) look(now time.Time) time.Time {
	n.mu.Lock()
	fresh, deleted := n.fresh, n.deleted
	n.fresh, n.deleted = make(map[string]Observation), make(map[string]bool)
	if n.present != nil {
		for object := range n.states {
			if _, observed := fresh[object]; !observed && !n.present[object] {
				deleted[object] = true
			}
		}
		n.present = nil
	}
	n.mu.Unlock()
	for object, at := range n.again {
		if _, ok := fresh[object]; !ok && !at.After(now) {
			fresh[object] = n.known[object]
		}
	}
	var alerts []Alert
	for _, object := range slices.Sorted(maps.Keys(deleted)) {
		alerts = append(alerts, n.end(now, object)...)
	}
	for _, object := range slices.Sorted(maps.Keys(fresh)) {
		o := fresh[object]
		state, out, again := decide(now, n.states[object], &o)
		alerts = append(alerts, out...)
		put(n.states, object, state, len(state) > 0)
		put(n.again, object, again, !again.IsZero())
		put(n.known, object, o, !again.IsZero())
	}
	for _, a := range alerts {
		n.send(a)
	}
	if changed := n.publish(); changed || len(alerts) > 0 {
		n.save()
	}
	var next time.Time
	for _, at := range n.again {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

// end tells that all is over for an object that was deleted.
func (n *Notifier) end(now time.Time, object string) (out []Alert) {
	for _, rule := range rules() {
		if st := n.states[object][rule]; st.Told {
			out = append(out, Alert{
				Rule: rule, Object: object, Status: Resolved, Summary: object + " was deleted", Since: st.Since, At: now, channels: st.Channels,
			})
		}
	}
	delete(n.states, object)
	delete(n.again, object)
	delete(n.known, object)
	return out
}

func (n *Notifier) send(a Alert) {
	if n.onAlert != nil {
		n.onAlert(a)
	}
	for name, b := range n.boxes {
		if len(a.channels) == 0 || slices.Contains(a.channels, name) {
			b.put(a)
		}
	}
	for _, name := range a.channels {
		if n.boxes[name] == nil {
			n.log.Warn("an alert names a channel that is not there", "object", a.Object, "channel", name)
		}
	}
}

// publish renews what Firing answers and what is saved, and reports whether that is another than before.
func (n *Notifier) publish() (changed bool) {
	var firing []Alert
	for _, object := range slices.Sorted(maps.Keys(n.states)) {
		for _, rule := range rules() {
			if st := n.states[object][rule]; st.Told {
				firing = append(firing, Alert{Rule: rule, Object: object, Status: Firing, Since: st.Since, At: st.ToldAt})
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = !slices.EqualFunc(n.firing, firing, func(a, b Alert) bool {
		return a.Rule == b.Rule && a.Object == b.Object && a.At.Equal(b.At)
	})
	n.firing, n.kept = firing, maps.Clone(n.states)
	return changed
}

// save writes what was told and what waits. Outboxes call it too, when a message has arrived.
func (n *Notifier) save() {
	if n.file == "" {
		return
	}
	n.saving.Lock()
	defer n.saving.Unlock()
	n.mu.Lock()
	state := savedState{Objects: n.kept, Waiting: make(map[string][]Alert)}
	n.mu.Unlock()
	for name, b := range n.boxes {
		if waiting := b.pending(); len(waiting) > 0 {
			state.Waiting[name] = waiting
		}
	}
	if err := saveState(n.file, state); err != nil {
		n.log.Warn("what was told of alerts is not kept; after a restart some may be told again", "error", err)
	}
}

// put keeps a value or drops what was there.
func put[V any](m map[string]V, key string, v V, keep bool) {
	if keep {
		m[key] = v
	} else {
		delete(m, key)
	}
}
