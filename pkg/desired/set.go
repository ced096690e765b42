package desired

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// pruneFloor is how many objects may always vanish at once without a question.
const pruneFloor = 3

// Origin is where an object's manifest stands.
type Origin struct {
	File string // relative to the manifest directory
	Line int    // of the document's first line
}

// LastGood is the newest text of an object that could be read, for the next life of the manager.
type LastGood struct {
	Key      v1.Key
	File     string
	Text     []byte
	Revision string
}

// Store keeps last good texts across restarts.
type Store interface {
	LoadLastGood(ctx context.Context) ([]LastGood, error)
	SaveLastGood(ctx context.Context, g LastGood) error
	DeleteLastGood(ctx context.Context, key v1.Key) error
}

// entry is one object in force. It is never changed once it is in a set.
type entry struct {
	object   v1.Object
	revision string
	origin   Origin
	text     []byte
}

// Domains are the host names below which services have their addresses.
type Domains struct {
	// Domain is the site below which services have a path, Base the domain below which they have a subdomain.
	Domain, Base string
}

// Set is the desired set. It is safe for concurrent use.
type Set struct {
	store   Store
	domains Domains
	log     *slog.Logger

	mu       sync.RWMutex
	entries  map[v1.Key]*entry // by folded key
	pending  map[v1.Key]bool   // vanished, waiting for confirmation; by folded key
	problems []v1.Problem
	complete bool // a complete listing was seen
}

// Changes is what a listing has changed in the set.
type Changes struct {
	// Changed are new or have another revision, Removed are gone.
	Changed, Removed []v1.Key
	// Problems is true when what is wrong is not what was wrong before.
	Problems bool
}

// New returns the set that was in force when the store was last written.
func New(ctx context.Context, store Store, domains Domains, log *slog.Logger) *Set {
	s := &Set{store: store, domains: domains, log: log, entries: map[v1.Key]*entry{}, pending: map[v1.Key]bool{}}
	saved, err := store.LoadLastGood(ctx)
	if err != nil {
		log.Error("last good manifests cannot be read; only what the directory holds is known", "err", err)
	}
	for _, g := range saved {
		docs, _ := manifest.Decode(g.File, g.Text)
		for _, d := range docs {
			if d.Object != nil && d.Key.Folded() == g.Key.Folded() {
				s.entries[d.Key.Folded()] = &entry{object: d.Object, revision: d.Revision, origin: Origin{File: g.File, Line: d.Line}, text: g.Text}
			}
		}
	}
	return s
}

// Get returns the object in force under a key, without regard to case.
func (s *Set) Get(key v1.Key) (object v1.Object, revision string, origin Origin, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.entries[key.Folded()]
	if !ok {
		return nil, "", Origin{}, false
	}
	return e.object, e.revision, e.origin, true
}

// List returns the objects of a kind in force, sorted by name. They are shared: do not change them.
func (s *Set) List(kind string) []v1.Object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []v1.Object
	for key, e := range s.entries {
		if kind == "" || key.Kind == kind {
			out = append(out, e.object)
		}
	}
	slices.SortFunc(out, func(a, b v1.Object) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	return out
}

// Complete reports whether a complete listing was seen: only then is what the set lacks not wanted.
func (s *Set) Complete() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.complete
}

// Problems is everything that is wrong, by file and line.
func (s *Set) Problems() []v1.Problem {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.problems)
}

// ProblemsOf is what is wrong with one object's manifest.
func (s *Set) ProblemsOf(key v1.Key) []v1.Problem {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []v1.Problem
	for _, p := range s.problems {
		if p.Key.Folded() == key.Folded() {
			out = append(out, p)
		}
	}
	return out
}

// Pending are the objects that vanished in such numbers that they stay until ConfirmPrune.
func (s *Set) Pending() []v1.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]v1.Key, 0, len(s.pending))
	for key := range s.pending {
		keys = append(keys, s.entries[key].object.Key())
	}
	sortKeys(keys)
	return keys
}

// ConfirmPrune lets the pending objects go and returns them.
func (s *Set) ConfirmPrune(ctx context.Context) []v1.Key {
	keys := s.Pending()
	s.mu.Lock()
	for _, key := range keys {
		delete(s.entries, key.Folded())
	}
	s.pending = map[v1.Key]bool{}
	s.problems = slices.DeleteFunc(s.problems, func(p v1.Problem) bool { return p.Field == pruneField })
	s.mu.Unlock()
	s.forget(ctx, keys)
	return keys
}

// pruneField marks the problem that ConfirmPrune solves.
const pruneField = "prune"

func pruneProblem(n, all int) v1.Problem {
	return v1.Problem{Field: pruneField, Detail: fmt.Sprintf(
		"%d of %d objects vanished from the manifest directory at once; they run on until you confirm with `supervisor prune --yes`, or put the files back", n, all,
	)}
}

func sortKeys(keys []v1.Key) {
	slices.SortFunc(keys, func(a, b v1.Key) int { return strings.Compare(a.String(), b.String()) })
}

func (s *Set) forget(ctx context.Context, keys []v1.Key) {
	for _, key := range keys {
		if err := s.store.DeleteLastGood(ctx, key); err != nil {
			s.log.Warn("a last good manifest cannot be forgotten", "object", key.String(), "err", err)
		}
	}
}
