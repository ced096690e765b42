package upstream

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func opened(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "upstreams"), "/home/me/.supervisor")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDir(t *testing.T) {
	t.Parallel()
	d := opened(t)
	set := func(replica int, address string, want bool) {
		t.Helper()
		changed, err := d.Set("web", replica, address)
		if err != nil || changed != want || d.Get("web", replica) != address {
			t.Errorf("set %q: changed %t, %v; it holds %q", address, changed, err, d.Get("web", replica))
		}
	}
	set(0, Address(1), true)
	set(0, Address(1), false)
	set(0, Address(2), true)
	set(10, Address(3), true)
	set(2, Address(4), true)
	if got := d.Replicas("web"); !slices.Equal(got, []int{0, 2, 10}) {
		t.Errorf("replicas %v", got)
	}
	for path, mode := range map[string]os.FileMode{d.Path("web", 0): 0o644, filepath.Dir(d.Path("web", 0)): 0o755, d.path: 0o755} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s is %v, want %o", path, info.Mode(), mode)
		}
	}
	if _, err := d.Set("api", 0, Address(5)); err != nil {
		t.Fatal(err)
	}
	if err := d.Prune(func(service string) bool { return service == "api" }); err != nil {
		t.Fatal(err)
	}
	if d.Get("web", 0) != "" || d.Get("api", 0) != Address(5) {
		t.Errorf("after the pruning: %q, %q", d.Get("web", 0), d.Get("api", 0))
	}
	// Somebody cleans the whole of it away.
	if err := os.RemoveAll(d.path); err != nil {
		t.Fatal(err)
	}
	set(0, Address(6), true)
}

// What was cleared away may be made anew by somebody else, who would then choose where requests go.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can play another user")
	}
	const another = 65534
	for name, take := range map[string]func(d *Dir) error{
		"the root":   func(d *Dir) error { return os.Chown(d.root, another, another) },
		"the folder": func(d *Dir) error { return os.Chown(d.path, another, another) },
		"a link":     func(d *Dir) error { return errors.Join(os.Rename(d.root, d.root+"2"), os.Symlink(d.root+"2", d.root)) },
	} {
		d := opened(t)
		if _, err := d.Set("web", 0, Address(1)); err != nil {
			t.Fatal(err)
		}
		if err := take(d); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Set("web", 0, Address(2)); err == nil || !strings.Contains(err.Error(), "CADDY_UPSTREAMS_DIR") {
			t.Errorf("%s is another's: %v", name, err)
		}
		if got := d.Get("web", 0); got != Address(1) {
			t.Errorf("%s is another's, and was written to: %s", name, got)
		}
	}
}

// A reader finds the old address or the new one, never nothing and never half of one.
func TestSetIsAtomic(t *testing.T) {
	t.Parallel()
	d := opened(t)
	long, short := "127.0.0.1:65535", "127.0.0.1:1"
	if _, err := d.Set("web", 0, long); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 500 {
			if _, err := d.Set("web", 0, []string{short, long}[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2000 {
		if text, err := os.ReadFile(d.Path("web", 0)); err != nil || string(text) != long && string(text) != short {
			t.Fatalf("read %q, %v", text, err)
		}
	}
	writer.Wait()
}

func TestOpen(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a, err := Open(root, "/srv/a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(root, "/srv/b")
	if err != nil || a.Path("web", 0) == b.Path("web", 0) {
		t.Errorf("two supervisors share %s: %v", b.path, err)
	}
	again, err := Open(root, "/srv/a/")
	if err != nil || again.path != a.path {
		t.Errorf("the folder of /srv/a is %s, then %s: %v", a.path, again.path, err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(root, "/srv/a"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(root); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("others can still write to it: %v, %v", info.Mode(), err)
	}
	if _, err := Open(filepath.Join(root, "{env.HOME}"), "/srv/a"); err == nil {
		t.Error("a folder with a placeholder in its name is accepted")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(root, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link, "/srv/a"); err == nil {
		t.Error("a link, which can be moved to another place, is accepted")
	}
	if os.Getuid() == 0 {
		if err := os.Chown(a.path, 1, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(root, "/srv/a"); err == nil {
			t.Error("another user's folder is accepted")
		}
	}
}

// What is counted is what the kernel says: connections that were made, also before they are accepted, until they are closed.
func TestConnections(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("no %s here: %v", address, err)
			continue
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		is := func(want int) {
			t.Helper()
			peers, err := Connections(port, 1)
			if err != nil || len(peers[port]) != want || len(peers[1]) != 0 || len(slices.Compact(slices.Sorted(slices.Values(peers[port])))) != want {
				t.Errorf("%v, %v, want %d of %d", peers, err, want, port)
			}
		}
		is(0)
		one, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		is(1)
		two, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		is(2)
		for _, c := range []net.Conn{one, two} {
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			accepted.Close()
			c.Close()
		}
		is(0)
	}
}
