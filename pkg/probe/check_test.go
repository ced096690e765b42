package probe_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/probe"
)

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func get(s *httptest.Server, path string) probe.HTTP {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	n, _ := strconv.Atoi(port)
	return probe.HTTP{Scheme: "http", Port: n, Path: path}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := server(t, func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/")); {
		case err == nil:
			w.WriteHeader(code)
		case r.URL.Path == "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/status/500", http.StatusFound)
		case r.URL.Path == "/named":
			http.Redirect(w, r, "http://app.example/status/204", http.StatusFound)
		case r.URL.Path == "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		case r.URL.Path == "/host":
			if r.Host != "app.example" || r.Header.Get("X-Probe") != "yes" || r.Header.Get("User-Agent") == "" || !r.Close {
				w.WriteHeader(http.StatusBadRequest)
			}
		case r.URL.Path == "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case r.URL.Path == "/silent":
			<-r.Context().Done()
		}
	})
	for path, want := range map[string]string{
		"/status/200": "", "/status/204": "", "/status/399": "", "/status/304": "",
		"/status/400": "status 400", "/status/503": "status 503", "/status/404": "status 404",
		"/host": "", "/away": "", "/moved": "status 500", "/named": "", "/circle": "10 redirects", "/endless": "",
		"/silent": "no answer in time", "/?a=b": "",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			check := get(s, path)
			check.Headers = map[string]string{"host": "app.example", "X-Probe": "yes"}
			patience := 10 * time.Second
			if path == "/silent" {
				patience = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := check.Check(ctx)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			if err != nil && !strings.Contains(err.Error(), fmt.Sprint(check.Port)) {
				t.Errorf("%q does not name what was asked", err)
			}
		})
	}
	t.Cleanup(func() {
		if elsewhere.Load() != 0 {
			t.Error("a redirect to another server was followed")
		}
	})
}

// A certificate of its own is good enough: what is asked is whether the program answers.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	check := get(s, "/")
	check.Scheme = "https"
	if err := check.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	check := probe.TCP{Port: l.Addr().(*net.TCPAddr).Port}
	if err := check.Check(t.Context()); err != nil {
		t.Errorf("a port that is listened on: %v", err)
	}
	l.Close()
	if err := check.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a closed port: %v", err)
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "check"), []byte("#!/bin/sh\ntest \"$MARK\" = yes && test \"$(pwd -P)\" = \"$WHERE\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	where, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + dir + ":/usr/bin:/bin", "MARK=yes", "WHERE=" + where}
	for name, tt := range map[string]struct {
		check probe.Exec
		want  string
	}{
		"found in the service's own PATH, in its folder": {probe.Exec{Argv: []string{"check"}, Env: env, Dir: dir}, ""},
		"fails and says why":                             {probe.Exec{Argv: []string{"sh", "-c", "echo no database >&2; exit 3"}, Env: env, Dir: dir}, "no database"},
		"is not there":                                   {probe.Exec{Argv: []string{"no-such-check"}, Env: env, Dir: dir}, "no-such-check"},
		"nothing":                                        {probe.Exec{}, "no command"},
		"says too much":                                  {probe.Exec{Argv: []string{"sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; exit 1"}, Env: env, Dir: dir}, "xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.check.Check(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// A command that hangs is killed with its children when its time is over.
func TestExecTimeout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := probe.Exec{
		Argv: []string{"sh", "-c", "sleep 1000 & echo $! >child.tmp; mv child.tmp child; wait"},
		Env:  []string{"PATH=/usr/bin:/bin"}, Dir: dir,
	}.Check(ctx)
	if err == nil || !strings.Contains(err.Error(), "no end in time") {
		t.Errorf("error %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("child %d lives on", pid)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// alive reports whether a process is there and no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && syscall.Kill(pid, 0) == nil && !strings.Contains(string(stat), ") Z ")
}

func BenchmarkHTTP(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	check := get(s, "/")
	b.ReportAllocs()
	for b.Loop() {
		if err := check.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
