package logs

import (
	"testing"
)

// A service is deleted and made again under its name: the new one begins with its own lines, and the rows of the old one go.
func TestForget(t *testing.T) {
	w := newWorld(t, Options{})
	dir, other := t.TempDir(), t.TempDir()
	k, o := newKeeper(t, dir, Stdout), newKeeper(t, other, Stdout)
	web := Source{Service: "web", Dir: dir}
	w.Attach(web)
	w.Attach(Source{Service: "db", Dir: other})
	for range 3 * deleteStep / 2 {
		k.line("of the old one")
	}
	o.line("of another")
	w.sync()
	k.line("the old one's last")
	w.Detach("web", 0)
	w.Forget("web")
	gone := func() bool {
		return len(w.all(Filter{Services: []string{"web"}})) == 0 && len(w.all(Filter{})) == 1
	}
	eventually(t, "the rows are not found any more", gone)
	eventually(t, "they are removed", func() bool { return len(w.buried()) == 0 })
	rows := 0
	if err := w.db.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM rows_1").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
	k.line("of the new one")
	w.Attach(web)
	w.sync()
	for range 2 { // also when all is read anew from the disk
		got := w.all(Filter{Services: []string{"web"}})
		if len(got) != 1 || got[0].Text != "of the new one" {
			t.Errorf("%q", texts(got))
		}
		w.stop()
		w.start(web)
		w.sync()
	}
	// What is being removed when the program ends is removed by the next one.
	done := make(chan error, 1)
	w.order(func(f *follower) { done <- f.bury("web") })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start(web)
	w.sync()
	eventually(t, "nothing is left to remove", func() bool { return len(w.buried()) == 0 })
	if got := w.all(Filter{Services: []string{"web"}}); len(got) != 0 {
		t.Errorf("%q", texts(got))
	}
}
