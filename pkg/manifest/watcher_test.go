package manifest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a valid manifest of one service.
func service(name, command string) string {
	return fmt.Sprintf("apiVersion: supervisor.dev/v1\nkind: Service\nmetadata:\n  name: %s\nspec:\n  command: %s\n", name, command)
}

// recorder keeps what a watcher delivers.
type recorder struct {
	t        testing.TB
	root     string
	w        *Watcher
	mu       sync.Mutex
	listings []Listing
	tracked  []v1.Key
}

func watch(t testing.TB, root string) *recorder {
	t.Helper()
	r := &recorder{t: t, root: root}
	r.w = NewWatcher(root, Options{Tracked: func(keys []v1.Key) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tracked = append(r.tracked, keys...)
	}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.w.Run(ctx, func(l Listing) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.listings = append(r.listings, l)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	r.wait("the first listing", func(Listing) bool { return true })
	return r
}

func (r *recorder) last() (Listing, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.listings) == 0 {
		return Listing{}, 0
	}
	return r.listings[len(r.listings)-1], len(r.listings)
}

func (r *recorder) wait(what string, ok func(Listing) bool) Listing {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if l, n := r.last(); n > 0 && ok(l) {
			return l
		}
		select {
		case <-tick.C:
		case <-deadline:
			l, n := r.last()
			r.t.Fatalf("waited in vain for %s; delivered %d, last %s", what, n, describe(l))
		}
	}
}

// describe is a listing as "path:name=command …".
func describe(l Listing) string {
	var b strings.Builder
	for _, f := range l.Files {
		for _, d := range f.Docs {
			if s, ok := d.Object.(*v1.Service); ok {
				fmt.Fprintf(&b, "%s:%s=%s ", f.Path, s.Metadata.Name, s.Spec.Command.Line)
			}
		}
		for _, p := range f.Problems {
			fmt.Fprintf(&b, "[%s] ", p)
		}
	}
	for _, p := range l.Problems {
		fmt.Fprintf(&b, "[%s] ", p)
	}
	return strings.TrimSpace(b.String())
}

func (r *recorder) waitFor(want string) {
	r.t.Helper()
	r.wait(want, func(l Listing) bool { return describe(l) == want })
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatchSeesEveryWayOfChange(t *testing.T) {
	root := filepath.Join(t.TempDir(), "manifests")
	r := watch(t, root) // not there yet
	if l, _ := r.last(); l.Complete {
		t.Fatal("a missing folder gave a complete listing")
	}
	write(t, filepath.Join(root, "a.yaml"), service("a", "one"))
	r.waitFor("a.yaml:a=one")
	write(t, filepath.Join(root, "sub", "deep", "b.yml"), service("b", "one"))
	r.waitFor("a.yaml:a=one sub/deep/b.yml:b=one")
	write(t, filepath.Join(root, "sub", "deep", "b.yml"), service("b", "two"))
	r.waitFor("a.yaml:a=one sub/deep/b.yml:b=two")
	if err := os.Rename(filepath.Join(root, "sub"), filepath.Join(root, "moved")); err != nil {
		t.Fatal(err)
	}
	r.waitFor("a.yaml:a=one moved/deep/b.yml:b=two")
	if err := os.RemoveAll(filepath.Join(root, "moved")); err != nil {
		t.Fatal(err)
	}
	r.waitFor("a.yaml:a=one")
	// The folder itself is replaced.
	if err := os.Rename(root, root+".old"); err != nil {
		t.Fatal(err)
	}
	r.wait("an incomplete listing that keeps what was there", func(l Listing) bool { return !l.Complete && len(l.Files) == 1 })
	write(t, filepath.Join(root, "c.yaml"), service("c", "one"))
	r.waitFor("c.yaml:c=one")
	write(t, filepath.Join(root, "c.yaml"), service("c", "two"))
	r.waitFor("c.yaml:c=two")
}

func TestWatchFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "v1", "a.yaml"), service("a", "one"))
	write(t, filepath.Join(dir, "v2", "a.yaml"), service("a", "two"))
	link := func(target, name string) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		if err := os.Symlink(target, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "current")
	link("current", "manifests") // a link to a link
	r := watch(t, filepath.Join(dir, "manifests"))
	r.waitFor("a.yaml:a=one")
	link("v2", "current")
	r.waitFor("a.yaml:a=two")
	write(t, filepath.Join(dir, "v2", "a.yaml"), service("a", "three"))
	r.waitFor("a.yaml:a=three")
	// A linked file outside the tree.
	write(t, filepath.Join(dir, "elsewhere", "x.yaml"), service("x", "one"))
	if err := os.Symlink(filepath.Join(dir, "elsewhere", "x.yaml"), filepath.Join(dir, "v2", "x.yaml")); err != nil {
		t.Fatal(err)
	}
	r.waitFor("a.yaml:a=three x.yaml:x=one")
	write(t, filepath.Join(dir, "elsewhere", "x.yaml"), service("x", "two"))
	r.waitFor("a.yaml:a=three x.yaml:x=two")
	// A loop of links ends.
	if err := os.Symlink(".", filepath.Join(dir, "v2", "loop")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "v2", "b.yaml"), service("b", "one"))
	r.waitFor("a.yaml:a=three b.yaml:b=one x.yaml:x=two")
}

// A file that is written in pieces is applied once, when it is whole; nothing is said of it before.
func TestHalfWrittenFiles(t *testing.T) {
	for name, reopen := range map[string]bool{"held open": false, "opened anew for each piece": true} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			r := watch(t, root)
			text := service("a", "sleep 1000") + "  port: 8000\n"
			// A break in a line, so that no piece is a valid file.
			pieces := []string{text[:30], text[30:70], text[70 : len(text)-8], text[len(text)-8:]}
			f, err := os.Create(filepath.Join(root, "a.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(quiet / 4)
			defer tick.Stop()
			for _, p := range pieces {
				if _, err := f.WriteString(p); err != nil {
					t.Fatal(err)
				}
				if reopen {
					if err := f.Close(); err != nil {
						t.Fatal(err)
					}
				}
				<-tick.C
				if reopen {
					if f, err = os.OpenFile(f.Name(), os.O_APPEND|os.O_WRONLY, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			r.waitFor("a.yaml:a=sleep 1000")
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, l := range r.listings {
				if d := describe(l); d != "" && d != "a.yaml:a=sleep 1000" {
					t.Errorf("delivered %q", d)
				}
			}
		})
	}
}

// A file that is removed and written again was never gone.
func TestRemoveAndWrite(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a.yaml")
	write(t, path, service("a", "one"))
	r := watch(t, root)
	r.waitFor("a.yaml:a=one")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, service("a", "two"))
	r.waitFor("a.yaml:a=two")
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.listings {
		if len(l.Files) == 0 {
			t.Error("a listing without the file was delivered")
		}
	}
}

func TestBrokenFileIsReportedAfterQuiet(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a.yaml")
	write(t, path, service("a", "one"))
	r := watch(t, root)
	write(t, path, strings.Replace(service("a", "one"), "command", "comand", 1))
	r.wait("the problem", func(l Listing) bool {
		return strings.Contains(describe(l), `a.yaml:6: spec.comand: unknown field; did you mean "command"?`)
	})
}

func TestPokeDeliversBeforeItReturns(t *testing.T) {
	root := t.TempDir()
	r := watch(t, root)
	for i := range 20 {
		write(t, filepath.Join(root, "a.yaml"), service("a", fmt.Sprintf("run%d", i)))
		if err := r.w.Poke(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if l, _ := r.last(); describe(l) != fmt.Sprintf("a.yaml:a=run%d", i) {
			t.Fatalf("after poke %d: %s", i, describe(l))
		}
	}
}

func TestTrackedFiles(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	r := watch(t, root)
	env := filepath.Join(other, ".env")
	key := v1.Key{Kind: v1.KindService, Name: "a"}
	r.w.Track(key, []string{env})
	for i, text := range []string{"A=1\n", "A=22\n", "A=333\n"} {
		write(t, env, text)
		deadline := time.Now().Add(10 * time.Second)
		for {
			r.mu.Lock()
			n := len(r.tracked)
			r.mu.Unlock()
			if n > i {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("change %d of the tracked file was not told", i)
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // The tick of a bounded wait.
		}
	}
}

func TestJunkIsIgnored(t *testing.T) {
	for name, want := range map[string]bool{
		"a.yaml": false, "a.yml": false, ".a.yaml": true, "a.yaml~": true, "a.yaml.bak": true, "4913": true, "#a.yaml#": true,
		".yaml": true, "a.yaml.swp": true, "a.json": true, "": true,
	} {
		if Ignored(name) != want {
			t.Errorf("Ignored(%q) is %v", name, !want)
		}
	}
}

func BenchmarkList200(b *testing.B) {
	root := b.TempDir()
	for i := range 200 {
		write(b, filepath.Join(root, fmt.Sprintf("s%03d.yaml", i)), service(fmt.Sprintf("s%03d", i), "sleep 1000")+"  restart:\n    delay: 0s\n    maxAttempts: 1000\n")
	}
	b.ReportAllocs()
	for b.Loop() {
		if l := List(root); len(l.Files) != 200 {
			b.Fatal(len(l.Files))
		}
	}
}

func BenchmarkDropToDeliver(b *testing.B) {
	root := b.TempDir()
	for i := range 200 {
		write(b, filepath.Join(root, fmt.Sprintf("s%03d.yaml", i)), service(fmt.Sprintf("s%03d", i), "sleep 1000"))
	}
	delivered := make(chan struct{}, 10)
	w := NewWatcher(root, Options{})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx, func(Listing) { delivered <- struct{}{} }) }()
	<-delivered
	i := 0
	for b.Loop() {
		i++
		tmp := filepath.Join(root, ".tmp")
		write(b, tmp, service("drop", fmt.Sprintf("run%d", i)))
		if err := os.Rename(tmp, filepath.Join(root, "drop.yaml")); err != nil {
			b.Fatal(err)
		}
		<-delivered
	}
	cancel()
	<-done
}
