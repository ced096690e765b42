package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// The states of a connection, by the kernel's numbers, in which its server may still have something to do: it is being made,
// it is open, or the other side has said all that it has to say and waits for the answer.
const (
	established = "01"
	synReceived = "03"
	closeWait   = "08"
)

// Connections returns, for each of the ports, the open connections of who listens there, by the address of the other side.
func Connections(ports ...int) (map[int][]string, error) {
	peers := make(map[int][]string, len(ports))
	wanted := make(map[string]int, len(ports))
	for _, port := range ports {
		wanted[fmt.Sprintf("%04X", port)] = port
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("count connections: %w", err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if port, peer, ok := open(lines.Text()); ok {
				if n, ok := wanted[port]; ok {
					peers[n] = append(peers[n], peer)
				}
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("count connections: %w", err)
		}
	}
	return peers, nil
}

// open returns the local port, in hexadecimal, and the other side of a line that speaks of an open connection.
func open(line string) (port, peer string, ok bool) {
	words := strings.Fields(line)
	if len(words) < 4 {
		return "", "", false
	}
	switch words[3] {
	case established, synReceived, closeWait:
	default:
		return "", "", false
	}
	_, port, ok = strings.Cut(words[1], ":")
	return port, words[2], ok
}

// Address is how a port of this machine is written in a file.
func Address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
