package service

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// portHolder says who listens on a port, or nothing when it is free. It binds and never listens: nobody can connect to us.
func portHolder(port int) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	// As servers do: connections that linger from the one before are no conflict.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); !errors.Is(err, unix.EADDRINUSE) {
		return ""
	}
	inodes := listeners(port)
	if len(inodes) == 0 {
		// Bound by somebody who does not listen, on its way in or out.
		return ""
	}
	if pid, name := ownerOfSocket(inodes); pid != 0 {
		return fmt.Sprintf("pid %d (%s)", pid, name)
	}
	return "another user's process"
}

// listeners are the inodes of the sockets that listen on a port.
func listeners(port int) map[string]bool {
	const listen = "0A"
	want := fmt.Sprintf(":%04X", port)
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if len(words) > 9 && words[3] == listen && strings.HasSuffix(words[1], want) {
				inodes["socket:["+words[9]+"]"] = true
			}
		}
		_ = f.Close()
	}
	return inodes
}

// ownerOfSocket finds a process that has one of the sockets open.
func ownerOfSocket(inodes map[string]bool) (pid int, name string) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, ""
	}
	for _, dir := range dirs {
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		for _, fd := range fds {
			target, err := os.Readlink(dir + "/fd/" + fd.Name())
			if err != nil || !inodes[target] {
				continue
			}
			pid, _ = strconv.Atoi(filepath.Base(dir))
			comm, _ := os.ReadFile(dir + "/comm")
			return pid, strings.TrimSpace(string(comm))
		}
	}
	return 0, ""
}

// freePort lets the kernel choose a port that nobody has, and that nobody has been promised.
func freePort(taken map[int]bool) (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Closed at once.
		if err != nil {
			return 0, fmt.Errorf("no free port can be found: %w", err)
		}
		addr, ok := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		if ok && !taken[addr.Port] {
			return addr.Port, nil
		}
	}
	return 0, errors.New("no free port can be found: every one that the kernel offers is promised to a service")
}
