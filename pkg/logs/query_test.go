package logs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// house has two services with both streams and all levels.
func house(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, Options{})
	base := time.Now().Add(-time.Hour)
	var sources []Source
	for i, name := range []string{"web", "db"} {
		dir := t.TempDir()
		out, err := newKeeper(t, dir, Stdout), newKeeper(t, dir, Stderr)
		out.at, err.at = base.Add(time.Duration(i)*time.Second), base.Add(time.Duration(i)*time.Second+500*time.Millisecond)
		out.step, err.step = 2*time.Second, 2*time.Second
		for n := range 50 {
			out.line("request %d of %s handled", n, name)
			switch n % 10 {
			case 3:
				err.line("WARNING: slow disk in %s", name)
			case 7:
				err.line("ERROR: \x1b[31mconnection refused\x1b[0m %d", n)
			default:
				err.line("note %d", n)
			}
		}
		sources = append(sources, Source{Service: name, Dir: dir})
	}
	w.stop()
	w.start(sources...)
	w.sync()
	return w
}

func TestQueryFilters(t *testing.T) {
	w := house(t)
	all := w.all(Filter{})
	if len(all) != 200 {
		t.Fatalf("%d rows", len(all))
	}
	if !slices.IsSortedFunc(all, func(a, b Row) int { return a.Time.Compare(b.Time) }) {
		t.Error("rows of several files are not in the order of their times")
	}
	cut := all[100].Time
	for _, c := range []struct {
		name string
		f    Filter
		want func(Row) bool
	}{
		{"all", Filter{}, func(Row) bool { return true }},
		{"service", Filter{Services: []string{"db"}}, func(r Row) bool { return r.Service == "db" }},
		{"services", Filter{Services: []string{"db", "web", "none"}}, func(Row) bool { return true }},
		{"unknown service", Filter{Services: []string{"none"}}, func(Row) bool { return false }},
		{"stream", Filter{Stream: Stderr}, func(r Row) bool { return r.Stream == Stderr }},
		{"level", Filter{Level: Warning}, func(r Row) bool { return r.Level == Warning }},
		{"info", Filter{Level: Info, Services: []string{"web"}}, func(r Row) bool { return r.Level == Info && r.Service == "web" }},
		{"errors of one", Filter{Level: Error, Services: []string{"web"}}, func(r Row) bool { return r.Level == Error && r.Service == "web" }},
		{"at least", Filter{MinLevel: Warning}, func(r Row) bool { return r.Level >= Warning }},
		{"at most", Filter{MaxLevel: Info}, func(r Row) bool { return r.Level <= Info }},
		{"since", Filter{Since: cut}, func(r Row) bool { return !r.Time.Before(cut) }},
		{"until", Filter{Until: cut, Services: []string{"web"}}, func(r Row) bool { return r.Time.Before(cut) && r.Service == "web" }},
		{"word", Filter{Text: "handled"}, func(r Row) bool { return strings.Contains(r.Text, "handled") }},
		{"word and level", Filter{Text: "disk", Level: Warning}, func(r Row) bool { return strings.Contains(r.Text, "disk") }},
		{"phrase within colours", Filter{Text: `"connection refused"`}, func(r Row) bool { return strings.Contains(r.Text, "refused") }},
		{"part of a word", Filter{Text: "handl"}, func(Row) bool { return false }},
		{"beginning of a word", Filter{Text: "handl*"}, func(r Row) bool { return strings.Contains(r.Text, "handled") }},
		{"no letters", Filter{Text: "--"}, func(Row) bool { return false }},
		{"regexp", Filter{Regexp: regexp.MustCompile(`request 1\d of`)}, func(r Row) bool {
			return strings.Contains(r.Text, "request 1") && !strings.Contains(r.Text, "request 1 ")
		}},
		{"regexp on plain text", Filter{Regexp: regexp.MustCompile(`: conn`)}, func(r Row) bool { return r.Level == Error }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []int64
			for _, r := range slices.Backward(all) {
				if c.want(r) {
					want = append(want, r.ID)
				}
			}
			for _, limit := range []int{1000, 7} {
				var got []int64
				q := Query{Filter: c.f, Limit: limit}
				for {
					p, err := w.Query(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range p.Rows {
						got = append(got, r.ID)
					}
					if p.Next.IsZero() {
						break
					}
					q.Before = p.Next
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("pages of %d:\n%s", limit, diff)
				}
			}
		})
	}
}

func TestQueryOffsetAndAfter(t *testing.T) {
	w := house(t)
	p, err := w.Query(t.Context(), Query{Limit: 5, Offset: 10})
	if err != nil || len(p.Rows) != 5 || p.Rows[0].ID != 190 {
		t.Errorf("%v, %v", p, err)
	}
	after := w.Cursor(p.Rows[0])
	if p, err = w.Query(t.Context(), Query{After: after}); err != nil || len(p.Rows) != 10 || !p.Next.IsZero() {
		t.Errorf("%d rows after, %v", len(p.Rows), err)
	}
	for _, q := range []Query{{Limit: -1}, {Limit: 1001}, {Offset: -1}, {Filter: Filter{Stream: "x"}}, {Filter: Filter{Text: strings.Repeat("a ", 99)}}} {
		if _, err := w.Query(t.Context(), q); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// A page that was begun goes on where it was, whatever has come meanwhile.
func TestPagesAreStableWhileRowsArrive(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	for i := range 100 {
		k.line("%d", i)
	}
	w.sync()
	var got []string
	q := Query{Limit: 9}
	for {
		p, err := w.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, texts(p.Rows)...)
		if q.Before = p.Next; q.Before.IsZero() {
			break
		}
		for i := range 20 {
			k.line("later %d", i)
		}
		w.sync()
	}
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprint(99-i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What the full-text index finds is what reading all rows finds, also for odd words.
func TestSearchIsOneWithAndWithoutIndex(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	vocabulary := []string{
		"alpha", "Beta", "user_id=42", "user", "id", "42", "c++", "/var/log", "naïve", "ÄRGER", "日本語", "foo-bar", "foo", "bar", "x.y.z", "%", "a*b", `q"q`, "'", "\ue0001", "AND", "NOT",
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func() string { return vocabulary[random.IntN(len(vocabulary))] }
	for range 400 {
		words := make([]string, 1+random.IntN(5))
		for i := range words {
			words[i] = pick()
		}
		k.line("%s", strings.Join(words, []string{" ", ", ", "/"}[random.IntN(3)]))
	}
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	all := w.all(Filter{})
	search := func(text string) []int64 {
		var ids []int64
		for _, r := range w.all(Filter{Text: text, Services: []string{"web"}}) {
			ids = append(ids, r.ID)
		}
		return ids
	}
	queries := slices.Clone(vocabulary)
	for range 100 {
		queries = append(queries, pick()+" "+pick(), `"`+pick()+" "+pick()+`"`, pick()[:1]+"*")
	}
	for _, indexed := range []bool{false, true} {
		if indexed {
			done := make(chan error, 1)
			w.order(func(f *follower) { done <- f.w.index() })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range queries {
			m, err := newMatcher(q)
			if err != nil {
				t.Fatal(err)
			}
			var want []int64
			for _, r := range all {
				if m.match(r.Text) {
					want = append(want, r.ID)
				}
			}
			if diff := cmp.Diff(want, search(q)); diff != "" {
				t.Errorf("indexed %v, %q:\n%s", indexed, q, diff)
			}
		}
	}
}

func TestFollow(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	other := t.TempDir()
	o := newKeeper(t, other, Stdout)
	w.Attach(Source{Service: "web", Dir: dir})
	w.Attach(Source{Service: "other", Dir: other})
	k.line("0")
	w.sync()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 1
	var last Row
	for r, err := range w.Follow(ctx, Filter{Services: []string{"web"}}, Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Text != fmt.Sprint(n-1) {
			t.Fatalf("%q after %d", r.Text, n-1)
		}
		last = r
		if n == 50 {
			break
		}
		o.line("noise")
		k.line("%d", n)
		n++
	}
	// It is taken up again where it was.
	k.line("50")
	for r, err := range w.Follow(ctx, Filter{Services: []string{"web"}}, w.Cursor(last)) {
		if err != nil || r.Text != "50" {
			t.Fatalf("%q, %v", r.Text, err)
		}
		cancel() // ends it, without an error
	}
}

// A cursor of a database that is gone finds its place by time.
func TestCursorOfAnotherDatabase(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	for i := range 10 {
		k.line("%d", i)
	}
	src := Source{Service: "web", Dir: dir}
	w.Attach(src)
	w.sync()
	c := w.Cursor(w.all(Filter{})[4])
	w.stop()
	if _, err := setAside(w.path, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.start(src)
	w.sync()
	var got []Row
	for r, err := range w.Read(t.Context(), Filter{}, c) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	// Zones are coarse: rows may come again, none is left out.
	if len(got) < 5 || got[len(got)-1].Text != "9" {
		t.Errorf("%q", texts(got))
	}
}

func TestMatcher(t *testing.T) {
	for _, c := range []struct {
		query, text string
		want        bool
	}{
		{"", "anything", true},
		{"time", "timeout", false},
		{"time*", "timeout", true},
		{"TIME", "a time!", true},
		{"user_id=42", "x user_id=42;", true},
		{"user_id=4", "x user_id=42;", false},
		{`"a b" c`, "c a b", true},
		{`"a b`, "x a b", true},
		{`""`, "x", true},
		{"*", "x", true},
		{"é", "É", true},
	} {
		m, err := newMatcher(c.query)
		if err != nil || m.match(c.text) != c.want {
			t.Errorf("%q in %q: not %v, %v", c.query, c.text, c.want, err)
		}
	}
}

func FuzzMatcher(f *testing.F) {
	f.Add(`a "b c" d*`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, q string) {
		m, err := newMatcher(q)
		if err != nil {
			return
		}
		_ = m.words()
		var all []string
		for _, term := range m.terms {
			all = append(all, term.text)
		}
		if !m.match(strings.Join(all, " ")) {
			t.Fatalf("%q is not in itself", q)
		}
	})
}
