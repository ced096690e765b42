package rest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dialAs connects to an address as another user, whom the kernel notes when the socket is made.
func dialAs(t *testing.T, address string, uid int) net.Conn {
	t.Helper()
	to := netip.MustParseAddrPort(address)
	runtime.LockOSThread()
	own, err := unix.SetfsuidRetUid(uid)
	fd, sockErr := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	_, back := unix.SetfsuidRetUid(own)
	runtime.UnlockOSThread()
	if err := errors.Join(err, sockErr, back); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestAnotherUsersProgram: a program of another user on this machine needs the token, a program of ours does not.
func TestAnotherUsersProgram(t *testing.T) {
	t.Parallel()
	auth := NewAuthorizer("a-token-of-some-length", nil, slog.New(slog.DiscardHandler))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := auth.authorize(r); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		}
	}))
	srv.Config.ConnContext = withPeer
	srv.Start()
	defer srv.Close()
	address := srv.Listener.Addr().String()
	ask := func(conn net.Conn, token string) (int, string) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	if status, text := ask(dialAs(t, address, os.Getuid()), ""); status != http.StatusOK {
		t.Errorf("our own program: %d %s", status, text)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can play another user")
	}
	if status, text := ask(dialAs(t, address, 65534), ""); status != http.StatusUnauthorized || !strings.Contains(text, "user 65534") {
		t.Errorf("another user's program: %d %s", status, text)
	}
	if status, text := ask(dialAs(t, address, 65534), "a-token-of-some-length"); status != http.StatusOK {
		t.Errorf("another user's program with the token: %d %s", status, text)
	}
}

// TestWhoHungUp: the other end of a connection that was closed is nobody's, and not root's, as the kernel's table has it.
func TestWhoHungUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave func(*net.TCPConn) error
		owned bool
	}{
		"it waits":               {func(*net.TCPConn) error { return nil }, true},
		"it has said everything": {(*net.TCPConn).CloseWrite, true},
		"it is gone":             {(*net.TCPConn).Close, false},
	} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		tcp, ok := client.(*net.TCPConn)
		if !ok {
			t.Fatalf("%T", client)
		}
		if err := c.leave(tcp); err != nil {
			t.Fatal(err)
		}
		if !c.owned {
			// Until the end of it has arrived here, so that the table is as it stays.
			if err := server.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		uid, err := ownerOf(server)
		if c.owned && (err != nil || uid != os.Getuid()) || !c.owned && !errors.Is(err, errUnowned) {
			t.Errorf("%s: user %d, %v", name, uid, err)
		}
		_ = client.Close() // it may be closed
		if err := errors.Join(server.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOwnedBy(t *testing.T) {
	t.Parallel()
	from, to := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("[::ffff:127.0.0.1]:9900")
	loop := hexWords([]byte{127, 0, 0, 1})
	mapped := hexWords(append(make([]byte, 10), 0xff, 0xff, 127, 0, 0, 1))
	for _, c := range []struct {
		name, line string
		uid        int
		ok         bool
	}{
		{"open", "0: " + loop + ":9C40 " + loop + ":26AC 01 0:0 0:0 0 1000 0 77 1", 1000, true},
		{"in the other table", "0: " + mapped + ":9C40 " + mapped + ":26AC 01 0:0 0:0 0 1000 0 77 1", 1000, true},
		{"our own end", "0: " + loop + ":26AC " + loop + ":9C40 01 0:0 0:0 0 0 0 77 1", 0, false},
		{"another port", "0: " + loop + ":9C41 " + loop + ":26AC 01 0:0 0:0 0 1000 0 77 1", 0, false},
		{"nobody's any more", "0: " + loop + ":9C40 " + loop + ":26AC 05 0:0 0:0 0 0 0 0 1", 0, false},
		{"one that is being opened", "0: " + loop + ":9C40 " + loop + ":26AC 02 0:0 0:0 0 0 0 77 1", 0, false},
		{"cut", "0: " + loop + ":9C40 " + loop + ":26AC 01", 0, false},
		{"the head of the table", "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode", 0, false},
	} {
		if uid, ok := ownedBy(c.line, from, to); uid != c.uid || ok != c.ok {
			t.Errorf("%s: user %d, %v", c.name, uid, ok)
		}
	}
	six := netip.MustParseAddrPort("[::1]:1")
	ip := six.Addr().As16()
	if !written(hexWords(ip[:])+":0001", six) || written(loop+":0001", six) {
		t.Error("an address of IPv6 is not recognised")
	}
}
