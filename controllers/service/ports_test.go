package service

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// Who listens is named, over IPv4 and IPv6; a port that nobody listens on is free.
func TestPortHolder(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err) // a machine without IPv6
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		if got := portHolder(port); !strings.HasPrefix(got, fmt.Sprintf("pid %d (", os.Getpid())) {
			t.Errorf("%s is held by %q", address, got)
		}
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if got := portHolder(port); got != "" {
			t.Errorf("%s is closed, a connection of it is left, and it is held by %q", address, got)
		}
		conn.Close()
	}
}

func TestFreePort(t *testing.T) {
	t.Parallel()
	port, err := freePort(nil)
	if err != nil || port == 0 || portHolder(port) != "" {
		t.Fatalf("port %d: %v", port, err)
	}
	promised := map[int]bool{}
	for p := range 65536 {
		promised[p] = true
	}
	if port, err := freePort(promised); err == nil {
		t.Errorf("port %d is promised", port)
	}
}

func BenchmarkPortHolder(b *testing.B) {
	port, err := freePort(nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if portHolder(port) != "" {
			b.Fatal("held")
		}
	}
}
