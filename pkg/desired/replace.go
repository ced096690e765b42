package desired

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// Replace brings the set to what a listing says, as far as the rules of the package let it.
func (s *Set) Replace(ctx context.Context, l manifest.Listing) Changes {
	s.mu.Lock()
	old := s.entries
	m := s.merge(l)

	var ch Changes
	var saved []LastGood
	for key, e := range m.next {
		was := old[key]
		if was == nil || was.revision != e.revision {
			ch.Changed = append(ch.Changed, e.object.Key())
		}
		if was == nil || was.revision != e.revision || was.origin.File != e.origin.File {
			saved = append(saved, LastGood{Key: e.object.Key(), File: e.origin.File, Text: e.text, Revision: e.revision})
		}
	}
	for key, e := range old {
		// Written in another case it is another object: its folders and its runs have another name.
		if now := m.next[key]; now == nil || now.object.Key() != e.object.Key() {
			ch.Removed = append(ch.Removed, e.object.Key())
		}
	}
	sortKeys(ch.Changed)
	sortKeys(ch.Removed)
	ch.Problems = !slices.Equal(m.problems, s.problems)
	s.entries, s.pending, s.problems = m.next, m.pending, m.problems
	s.complete = s.complete || l.Complete
	s.mu.Unlock()

	for _, g := range saved {
		if err := s.store.SaveLastGood(ctx, g); err != nil {
			s.log.Warn("a last good manifest cannot be kept", "object", g.Key.String(), "err", err)
		}
	}
	s.forget(ctx, ch.Removed)
	return ch
}

// merge applies the rules of the package to a listing. s.mu is held.
func (s *Set) merge(l manifest.Listing) *merge {
	m := &merge{domains: s.domains, old: s.entries, next: map[v1.Key]*entry{}, listing: l}
	m.collect()
	m.choose()
	m.keep(s.pending)
	m.guard(s.pending)
	m.refuse()
	slices.SortStableFunc(m.problems, func(a, b v1.Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return m
}

// claim is a valid document with its file.
type claim struct {
	file string
	doc  *manifest.Document
}

// merge is one pass from the old set to the next.
type merge struct {
	domains   Domains
	old, next map[v1.Key]*entry
	listing   manifest.Listing
	pending   map[v1.Key]bool
	problems  []v1.Problem

	claims  map[v1.Key][]claim // valid documents, by folded key
	broken  map[v1.Key]bool    // keys with a broken document
	unclear map[string]bool    // files with a broken document whose object cannot be told
}

// collect sorts the documents into valid and broken ones.
func (m *merge) collect() {
	m.claims, m.broken, m.unclear = map[v1.Key][]claim{}, map[v1.Key]bool{}, map[string]bool{}
	m.problems = slices.Clone(m.listing.Problems)
	for _, f := range m.listing.Files {
		m.problems = append(m.problems, f.Problems...)
		if len(f.Docs) == 0 && len(f.Problems) > 0 {
			m.unclear[f.Path] = true
		}
		for i := range f.Docs {
			d := &f.Docs[i]
			switch key := d.Key.Folded(); {
			case d.Object != nil:
				m.claims[key] = append(m.claims[key], claim{f.Path, d})
			case d.Key.Name == "" || d.Key.Kind == "":
				m.unclear[f.Path] = true
			default:
				m.broken[key] = true
			}
		}
	}
}

// choose takes one document for each name: the one in force, else the first.
func (m *merge) choose() {
	for key, claims := range m.claims {
		best := 0
		if was := m.old[key]; was != nil {
			if i := slices.IndexFunc(claims, func(c claim) bool { return c.file == was.origin.File }); i >= 0 {
				best = i
			}
		}
		if len(claims) > 1 {
			for i, c := range claims {
				other := claims[best]
				text := "the other one is in force"
				if i == best {
					other, text = claims[(best+1)%len(claims)], "this one is in force"
				}
				m.problems = append(m.problems, v1.Problem{
					File: c.file, Line: c.doc.Line, Field: "metadata.name", Key: c.doc.Key,
					Detail: fmt.Sprintf("%s is described twice, here and at %s:%d; %s; remove or rename one", c.doc.Key.Name, other.file, other.doc.Line, text),
				})
			}
		}
		c := claims[best]
		m.next[key] = &entry{object: c.doc.Object, revision: c.doc.Revision, origin: Origin{File: c.file, Line: c.doc.Line}, text: c.doc.Text}
	}
}

// keep holds what is missing because something is broken or could not be read.
func (m *merge) keep(wasPending map[v1.Key]bool) {
	for key, e := range m.old {
		if m.next[key] != nil {
			continue
		}
		if m.broken[key] || m.unclear[e.origin.File] || !m.listing.Complete || wasPending[key] {
			m.next[key] = e
		}
	}
}

// guard holds what has vanished when it is most of the set.
func (m *merge) guard(wasPending map[v1.Key]bool) {
	m.pending = map[v1.Key]bool{}
	for key := range wasPending {
		if len(m.claims[key]) == 0 && m.next[key] != nil {
			m.pending[key] = true
		}
	}
	var vanished []v1.Key
	for key := range m.old {
		if m.next[key] == nil {
			vanished = append(vanished, key)
		}
	}
	if n := len(vanished); n > pruneFloor && 2*n > len(m.old) {
		for _, key := range vanished {
			m.next[key] = m.old[key]
			m.pending[key] = true
		}
	}
	if len(m.pending) > 0 {
		m.problems = append(m.problems, pruneProblem(len(m.pending), len(m.next)))
	}
}

// refuse takes back what cannot stand beside the rest: a port or host that is taken, a circle of dependencies. What is in
// force unchanged goes first, so that the newcomer is the one that is refused.
func (m *merge) refuse() {
	keys := slices.SortedFunc(maps.Keys(m.next), func(a, b v1.Key) int {
		if ua, ub := m.unchanged(a), m.unchanged(b); ua != ub {
			if ua {
				return -1
			}
			return 1
		}
		return strings.Compare(a.String(), b.String())
	})
	taken := map[string]v1.Key{}
	for _, key := range keys {
		svc, ok := m.next[key].object.(*v1.Service)
		if !ok {
			continue
		}
		for _, c := range m.claimsOf(svc) {
			holder, clash := taken[c.what]
			if !clash {
				continue
			}
			m.takeBack(key, c.field, fmt.Sprintf("%s is claimed by %s too, which has it; choose another", c.what, m.next[holder].object.Key().Name))
			break
		}
		if e := m.next[key]; e != nil {
			if svc, ok := e.object.(*v1.Service); ok {
				for _, c := range m.claimsOf(svc) {
					taken[c.what] = key
				}
			}
		}
	}
	for _, key := range keys {
		if m.next[key] == nil || m.unchanged(key) {
			continue
		}
		if circle := m.circle(key); circle != nil {
			m.takeBack(key, "spec.dependsOn", "the dependencies go in a circle: "+strings.Join(circle, " → ")+"; remove one of them")
		}
	}
	m.warnUnknownDependencies()
}

// exclusive is something that one service only can have.
type exclusive struct{ what, field string }

func (m *merge) claimsOf(svc *v1.Service) []exclusive {
	var out []exclusive
	if svc.Spec.Port.Number != 0 && svc.IsEnabled() {
		out = append(out, exclusive{fmt.Sprintf("port %d", svc.Spec.Port.Number), "spec.port"})
	}
	if svc.Exposed() {
		e := svc.Spec.Expose
		field := "spec.expose.path"
		for _, site := range e.Sites(m.domains.Domain, m.domains.Base) {
			switch {
			case site.Host == e.Host:
				field = "spec.expose.host"
			case e.Subdomain != "":
				field = "spec.expose.subdomain"
			}
			// Caddy does not tell the case of a path.
			out = append(out, exclusive{"the address " + strings.ToLower(site.String()), field})
		}
	}
	return out
}

func (m *merge) unchanged(key v1.Key) bool {
	was, is := m.old[key], m.next[key]
	return was != nil && is != nil && was.revision == is.revision
}

// takeBack puts the last good version back in force, or none.
func (m *merge) takeBack(key v1.Key, field, detail string) {
	e := m.next[key]
	m.problems = append(m.problems, v1.Problem{File: e.origin.File, Line: e.origin.Line, Field: field, Detail: detail, Key: e.object.Key()})
	if was := m.old[key]; was != nil && !m.unchanged(key) {
		m.next[key] = was
		return
	}
	delete(m.next, key)
}

// circle returns the names on a way from key back to key, nil when there is none.
func (m *merge) circle(start v1.Key) []string {
	done := map[v1.Key]bool{}
	var walk func(key v1.Key, path []string) []string
	walk = func(key v1.Key, path []string) []string {
		e := m.next[key]
		if e == nil {
			return nil
		}
		svc, ok := e.object.(*v1.Service)
		if !ok {
			return nil
		}
		path = append(path, svc.Metadata.Name)
		for _, d := range svc.Spec.DependsOn {
			next := v1.Key{Kind: v1.KindService, Name: d.Name}.Folded()
			if next == start {
				return append(path, m.next[start].object.Meta().Name)
			}
			if done[next] {
				continue
			}
			done[next] = true
			if found := walk(next, path); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(start, nil)
}

func (m *merge) warnUnknownDependencies() {
	for _, e := range m.next {
		svc, ok := e.object.(*v1.Service)
		if !ok {
			continue
		}
		for i, d := range svc.Spec.DependsOn {
			if m.next[v1.Key{Kind: v1.KindService, Name: d.Name}.Folded()] == nil {
				m.problems = append(m.problems, v1.Problem{
					File: e.origin.File, Line: e.origin.Line, Field: fmt.Sprintf("spec.dependsOn[%d].name", i), Key: e.object.Key(),
					Detail: fmt.Sprintf("there is no service %q; %s waits for it", d.Name, svc.Metadata.Name),
				})
			}
		}
	}
}
