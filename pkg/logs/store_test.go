package logs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLinesBecomeRows(t *testing.T) {
	w := newWorld(t, Options{})
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	k.line("one")
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	k.line("two")
	k.line("\x1b[31mthree\x1b[0m")
	eventually(t, "rows by themselves", func() bool { return len(w.all(Filter{})) == 3 })
	if diff := cmp.Diff([]string{"one", "two", "\x1b[31mthree\x1b[0m"}, texts(w.all(Filter{Services: []string{"web"}}))); diff != "" {
		t.Error(diff)
	}
	for _, q := range []string{"two", "three", "THREE"} {
		p, err := w.Query(t.Context(), Query{Filter: Filter{Text: q}})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Rows) != 1 {
			t.Errorf("search for %q found %q", q, texts(p.Rows))
		}
	}
}
