package sdnotify_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/philiporange/supervisor/pkg/sdnotify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen plays systemd and returns what it is told, message by message.
func listen(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func TestMessages(t *testing.T) {
	next := listen(t)
	for want, say := range map[string]func() error{
		"READY=1\nSTATUS=3 services":  func() error { return sdnotify.Ready("3 services") },
		"STATUS=one line":             func() error { return sdnotify.Status("one\nline") },
		"STOPPING=1\nSTATUS=farewell": func() error { return sdnotify.Stopping("farewell") },
	} {
		if err := say(); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	if err := sdnotify.Ready(""); err != nil {
		t.Error(err)
	}
	if err := sdnotify.Watchdog(t.Context(), func() bool { t.Error("asked without need"); return true }); err != nil {
		t.Error(err)
	}
}

// The watchdog is fed while the program is alive, and hungry when it is not.
func TestWatchdog(t *testing.T) {
	next := listen(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	var asked, sick atomic.Int64
	done := make(chan error)
	go func() {
		done <- sdnotify.Watchdog(ctx, func() bool {
			if asked.Add(1) <= 2 {
				return true
			}
			if sick.Add(1) == 3 {
				cancel()
			}
			return false
		})
	}()
	for range 2 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("said %q", got)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	// What is said after the sickness would be the next message.
	if err := sdnotify.Status("end"); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "STATUS=end" {
		t.Errorf("a sick program said %q", got)
	}
}

func TestBadPeriod(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "often")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	if err := sdnotify.Watchdog(t.Context(), func() bool { return true }); err == nil {
		t.Error("no error")
	}
}
