package desired

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/manifest"
)

// memory is a store of last good texts.
type memory map[v1.Key]LastGood

func (m memory) LoadLastGood(context.Context) ([]LastGood, error) {
	return slices.Collect(maps.Values(m)), nil
}

func (m memory) SaveLastGood(_ context.Context, g LastGood) error {
	m[g.Key] = g
	return nil
}

func (m memory) DeleteLastGood(_ context.Context, key v1.Key) error {
	delete(m, key)
	return nil
}

var domains = Domains{Domain: "apps.test", Base: "example.test"}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// listing is a complete one of files with the given text.
func listing(files map[string]string) manifest.Listing {
	l := manifest.Listing{Complete: true}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		docs, problems := manifest.Decode(path, []byte(files[path]))
		l.Files = append(l.Files, &manifest.File{Path: path, Docs: docs, Problems: problems})
	}
	return l
}

func service(name, extra string) string {
	return fmt.Sprintf("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: %s}\nspec: {command: sleep 1%s}\n", name, extra)
}

// many are services s0 … sN-1, a file each.
func many(n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		files[fmt.Sprintf("s%d.yaml", i)] = service(fmt.Sprintf("s%d", i), "")
	}
	return files
}

// state is what is in force, as "name=port …".
func state(s *Set) string {
	var out []string
	for _, o := range s.List("") {
		svc, ok := o.(*v1.Service)
		if !ok {
			continue
		}
		out = append(out, fmt.Sprintf("%s=%d", svc.Metadata.Name, svc.Spec.Port.Number))
	}
	return strings.Join(out, " ")
}

// step is one listing and what it must lead to.
type step struct {
	files    map[string]string
	partial  bool
	confirm  bool   // ConfirmPrune instead of a listing
	restart  bool   // a new Set on the same store first
	state    string // afterwards
	changed  string // names, in order
	removed  string
	problems []string // parts of them, each to be found
	pending  int
}

func TestReplace(t *testing.T) {
	broken := "apiVersion: supervisor.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {comand: x}\n"
	for name, steps := range map[string][]step{
		"new, same, changed, gone": {
			{files: map[string]string{"a.yaml": service("web", "")}, state: "web=0", changed: "web"},
			{files: map[string]string{"a.yaml": "# comment\n" + service("web", "")}, state: "web=0"},
			{files: map[string]string{"a.yaml": service("web", ", port: 80")}, state: "web=80", changed: "web"},
			{files: map[string]string{"moved.yaml": service("web", ", port: 80")}, state: "web=80"},
			{files: map[string]string{}, state: "", removed: "web"},
		},
		"a broken version leaves the last good one": {
			{files: map[string]string{"a.yaml": service("web", ", port: 80")}, state: "web=80", changed: "web"},
			{files: map[string]string{"a.yaml": broken}, state: "web=80", problems: []string{"spec.comand"}},
			{files: map[string]string{"a.yaml": broken}, restart: true, state: "web=80", problems: []string{"spec.comand"}},
			{files: map[string]string{"a.yaml": "{ not yaml"}, state: "web=80", problems: []string{"not YAML"}},
			{files: map[string]string{"a.yaml": service("web", ", port: 81")}, state: "web=81", changed: "web"},
		},
		"an incomplete listing removes nothing": {
			{files: many(2), state: "s0=0 s1=0", changed: "s0 s1"},
			{files: map[string]string{}, partial: true, state: "s0=0 s1=0"},
			{files: map[string]string{}, state: "", removed: "s0 s1"},
		},
		"of two of one name the one in force stays": {
			{files: map[string]string{"b.yaml": service("web", "")}, state: "web=0", changed: "web"},
			{files: map[string]string{"a.yaml": service("WEB", ", port: 1"), "b.yaml": service("web", "")}, state: "web=0", problems: []string{"a.yaml:1", "b.yaml:1", "described twice"}},
			{files: map[string]string{"a.yaml": service("WEB", ", port: 1")}, state: "WEB=1", changed: "WEB", removed: "web"},
		},
		"a port that is taken refuses the newcomer": {
			{files: map[string]string{"b.yaml": service("b", ", port: 80")}, state: "b=80", changed: "b"},
			{files: map[string]string{"a.yaml": service("a", ", port: 80"), "b.yaml": service("b", ", port: 80")}, state: "b=80", problems: []string{"port 80 is claimed by b"}},
			{files: map[string]string{"a.yaml": service("a", ", port: 81"), "b.yaml": service("b", ", port: 80")}, state: "a=81 b=80", changed: "a"},
			{files: map[string]string{"a.yaml": service("a", ", port: 80"), "b.yaml": service("b", ", port: 80")}, state: "a=81 b=80", problems: []string{"port 80 is claimed by b"}},
		},
		"an address that is taken refuses the newcomer, however it is written": {
			{files: map[string]string{"b.yaml": service("b", ", port: 80, expose: {subdomain: www}")}, state: "b=80", changed: "b"},
			{files: map[string]string{"a.yaml": service("a", ", port: 81, expose: {host: www.example.test}"), "b.yaml": service("b", ", port: 80, expose: {subdomain: www}")}, state: "b=80", problems: []string{"spec.expose.host: the address www.example.test is claimed by b"}},
			{files: map[string]string{"a.yaml": service("a", ", port: 81, expose: {host: www.example.test, path: /a}"), "b.yaml": service("b", ", port: 80, expose: {subdomain: www}")}, state: "a=81 b=80", changed: "a"},
			{files: map[string]string{"a.yaml": service("a", ", port: 81, expose: {path: /x}"), "b.yaml": service("b", ", port: 80, expose: {subdomain: www}"), "c.yaml": service("c", ", port: 82, expose: {path: /x/}")}, state: "a=81 b=80", changed: "a", problems: []string{"c.yaml:1: spec.expose.path: the address apps.test/x is claimed by a"}},
		},
		"a circle is refused": {
			{files: map[string]string{"a.yaml": service("a", ""), "b.yaml": service("b", ", dependsOn: [{name: a}]")}, state: "a=0 b=0", changed: "a b"},
			{files: map[string]string{"a.yaml": service("a", ", port: 9, dependsOn: [{name: b}]"), "b.yaml": service("b", ", dependsOn: [{name: a}]")}, state: "a=0 b=0", problems: []string{"circle: a → b → a"}},
		},
		"an unknown dependency is told": {
			{files: map[string]string{"a.yaml": service("a", ", dependsOn: [{name: db}]")}, state: "a=0", changed: "a", problems: []string{`no service "db"`}},
		},
		"most of the set gone at once waits for a person": {
			{files: many(6), state: "s0=0 s1=0 s2=0 s3=0 s4=0 s5=0", changed: "s0 s1 s2 s3 s4 s5"},
			{files: many(2), state: "s0=0 s1=0 s2=0 s3=0 s4=0 s5=0", pending: 4, problems: []string{"supervisor prune"}},
			{files: many(3), state: "s0=0 s1=0 s2=0 s3=0 s4=0 s5=0", pending: 3, problems: []string{"supervisor prune"}},
			{confirm: true, state: "s0=0 s1=0 s2=0", removed: "s3 s4 s5"},
			{files: many(3), state: "s0=0 s1=0 s2=0"},
			{files: many(0), state: "", removed: "s0 s1 s2"},
		},
		"so it does across a restart, and the files may come back": {
			{files: many(6), state: "s0=0 s1=0 s2=0 s3=0 s4=0 s5=0", changed: "s0 s1 s2 s3 s4 s5"},
			{files: many(0), restart: true, state: "s0=0 s1=0 s2=0 s3=0 s4=0 s5=0", pending: 6, problems: []string{"supervisor prune"}},
			{files: many(6), state: "s0=0 s1=0 s2=0 s3=0 s4=0 s5=0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory{}
			s := New(t.Context(), store, domains, quiet())
			for i, st := range steps {
				if st.restart {
					s = New(t.Context(), store, domains, quiet())
				}
				var ch Changes
				if st.confirm {
					ch.Removed = s.ConfirmPrune(t.Context())
				} else {
					l := listing(st.files)
					l.Complete = !st.partial
					ch = s.Replace(t.Context(), l)
				}
				if got := state(s); got != st.state {
					t.Errorf("step %d: in force %q, want %q", i, got, st.state)
				}
				if got := names(ch.Changed); got != st.changed {
					t.Errorf("step %d: changed %q, want %q", i, got, st.changed)
				}
				if got := names(ch.Removed); got != st.removed {
					t.Errorf("step %d: removed %q, want %q", i, got, st.removed)
				}
				told := ""
				for _, p := range s.Problems() {
					told += p.String() + "\n"
				}
				for _, want := range st.problems {
					if !strings.Contains(told, want) {
						t.Errorf("step %d: no problem says %q:\n%s", i, want, told)
					}
				}
				if len(st.problems) == 0 && told != "" {
					t.Errorf("step %d: problems %s", i, told)
				}
				if got := len(s.Pending()); got != st.pending {
					t.Errorf("step %d: %d pending, want %d", i, got, st.pending)
				}
			}
		})
	}
}

func names(keys []v1.Key) string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.Name
	}
	return strings.Join(out, " ")
}

// Whatever the listings: what is told to have changed is what has changed, and a restart of the manager changes nothing.
func TestChangesAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store := memory{}
		s := New(context.Background(), store, domains, quiet()) //nolint:forbidigo // rapid's T has no context.
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			before := revisions(s)
			files := map[string]string{}
			for i := range rapid.IntRange(0, 6).Draw(t, "files") {
				name := rapid.SampledFrom([]string{"a", "b", "c", "A"}).Draw(t, "name")
				text := rapid.SampledFrom([]string{service(name, ""), service(name, ", port: 80"), service(name, ", dependsOn: [{name: a}]"), "{ broken"}).Draw(t, "text")
				files[fmt.Sprintf("f%d.yaml", i)] = text
			}
			l := listing(files)
			l.Complete = rapid.Bool().Draw(t, "complete")
			ch := s.Replace(context.Background(), l) //nolint:forbidigo // As above.
			after := revisions(s)
			for key, rev := range after {
				if told := slices.Contains(ch.Changed, key); told != (before[key] != rev) {
					t.Fatalf("%s: told %v, revision %q became %q", key, told, before[key], rev)
				}
			}
			for key := range before {
				if _, there := after[key]; !there && !slices.Contains(ch.Removed, key) {
					t.Fatalf("%s went and was not told", key)
				}
			}
			if again := New(context.Background(), store, domains, quiet()); !maps.Equal(revisions(again), after) { //nolint:forbidigo // As above.
				t.Fatalf("after a restart %v, before %v", revisions(again), after)
			}
		}
	})
}

func revisions(s *Set) map[v1.Key]string {
	out := map[v1.Key]string{}
	for _, o := range s.List("") {
		out[o.Key()] = o.Revision()
	}
	return out
}
