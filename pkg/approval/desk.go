package approval

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

const (
	// lifetime is how long a request can be approved, and how long an approval can be used.
	lifetime = 15 * time.Minute
	// maxItems bounds what is kept; the oldest go first.
	maxItems = 100
	// maxText bounds a summary, maxDetail what would change, in bytes.
	maxText   = 500
	maxDetail = 16 << 10
)

var (
	// ErrUnknown answers for an ID that is not kept.
	ErrUnknown = errors.New("there is no such approval; it may be from before a restart of the supervisor")
	// ErrState answers for a step that its state does not allow. It is wrapped with the state.
	ErrState = errors.New("the approval cannot be used so")
)

// Desk is where requests lie. Make it with New.
type Desk struct {
	now    func() time.Time
	record func(v1.Event)

	mu    sync.Mutex
	items []*item // oldest first
}

type item struct {
	wire.Approval
	digest string
}

// New returns an empty desk. record takes the events that tell of requests and decisions; it may be nil.
func New(record func(v1.Event)) *Desk {
	if record == nil {
		record = func(v1.Event) {}
	}
	return &Desk{now: time.Now, record: record}
}

// Ask lays a request on the desk. A request for a change that waits already is that one.
func (d *Desk) Ask(r wire.ApprovalRequest, actor string) wire.Approval {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expireLocked()
	for _, it := range d.items {
		if it.digest == r.Digest && it.State == wire.ApprovalWaiting {
			return it.Approval
		}
	}
	now := d.now()
	it := &item{digest: r.Digest, Approval: wire.Approval{
		ID: strings.ToLower(rand.Text()[:8]), Action: r.Action, Keys: append([]v1.Key{}, r.Keys...),
		Summary: cut(r.Summary, maxText), Detail: cut(r.Detail, maxDetail), Actor: actor, State: wire.ApprovalWaiting,
		CreatedAt: now, ExpiresAt: now.Add(lifetime),
	}}
	d.items = append(d.items, it)
	if len(d.items) > maxItems {
		d.items = slices.Delete(d.items, 0, len(d.items)-maxItems)
	}
	d.tellLocked(it, "ApprovalRequested", v1.EventWarning, fmt.Sprintf("%s; allow it with: supervisor approve %s", it.Summary, it.ID), actor)
	return it.Approval
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// List returns what is kept, newest first.
func (d *Desk) List() []wire.Approval {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expireLocked()
	out := make([]wire.Approval, 0, len(d.items))
	for _, it := range slices.Backward(d.items) {
		out = append(out, it.Approval)
	}
	return out
}

// Decide allows or refuses what waits.
func (d *Desk) Decide(id string, allow bool, actor string) (wire.Approval, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	it, err := d.findLocked(id)
	if err != nil {
		return wire.Approval{}, err
	}
	if it.State != wire.ApprovalWaiting {
		return it.Approval, fmt.Errorf("%w: it is %s", ErrState, it.State)
	}
	reason := "Rejected"
	it.State, it.DecidedBy = wire.ApprovalRejected, actor
	if allow {
		reason = "Approved"
		it.State, it.ExpiresAt = wire.ApprovalApproved, d.now().Add(lifetime)
	}
	d.tellLocked(it, reason, v1.EventNormal, it.Summary, actor)
	return it.Approval, nil
}

// Use spends an approval on the change with that digest.
func (d *Desk) Use(id, digest string) (wire.Approval, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	it, err := d.findLocked(id)
	if err != nil {
		return wire.Approval{}, err
	}
	if it.State != wire.ApprovalApproved {
		return it.Approval, fmt.Errorf("%w: it is %s", ErrState, it.State)
	}
	if subtle.ConstantTimeCompare([]byte(it.digest), []byte(digest)) != 1 {
		return it.Approval, fmt.Errorf("%w: it is for another change than this one; ask anew", ErrState)
	}
	it.State = wire.ApprovalUsed
	return it.Approval, nil
}

func (d *Desk) findLocked(id string) (*item, error) {
	d.expireLocked()
	for _, it := range d.items {
		if it.ID == id {
			return it, nil
		}
	}
	return nil, fmt.Errorf("%.20q: %w", id, ErrUnknown)
}

func (d *Desk) expireLocked() {
	now := d.now()
	for _, it := range d.items {
		if (it.State == wire.ApprovalWaiting || it.State == wire.ApprovalApproved) && now.After(it.ExpiresAt) {
			it.State = wire.ApprovalExpired
		}
	}
}

func (d *Desk) tellLocked(it *item, reason string, kind v1.EventType, message, actor string) {
	var key v1.Key
	if len(it.Keys) > 0 {
		key = it.Keys[0]
	}
	d.record(v1.Event{Key: key, Type: kind, Reason: reason, Message: message, Actor: actor})
}
