package rest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// errUnowned says that the kernel does not tell whose a connection is: the other end was closed, or is elsewhere.
var errUnowned = errors.New("nobody holds the other end of the connection")

// tcpTables are the kernel's connections.
var tcpTables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// ownerOf is the user who holds the other end of a connection within this machine. It fails with fs.ErrNotExist where the kernel
// shows no connections at all.
func ownerOf(conn net.Conn) (int, error) {
	near, nearErr := netip.ParseAddrPort(conn.LocalAddr().String())
	far, farErr := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err := errors.Join(nearErr, farErr); err != nil {
		return 0, fmt.Errorf("whose connection: %w", err)
	}
	tables := 0
	for _, table := range tcpTables {
		f, err := os.Open(table)
		if errors.Is(err, fs.ErrNotExist) {
			continue // such as a kernel without IPv6
		}
		if err != nil {
			return 0, fmt.Errorf("whose connection: %w", err)
		}
		tables++
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if uid, ok := ownedBy(lines.Text(), far, near); ok {
				return uid, f.Close()
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return 0, fmt.Errorf("whose connection: %w", err)
		}
	}
	if tables == 0 {
		return 0, fmt.Errorf("whose connection: %w", fs.ErrNotExist)
	}
	return 0, errUnowned
}

// The states in which the end of a connection is somebody's: open, or shut for writing by who waits for the answer.
const (
	stateEstablished = "01"
	stateFinWait1    = "04"
	stateFinWait2    = "05"
)

// ownedBy reads a line of the kernel's table. One that nobody has open any more is shown as root's, and has no inode.
func ownedBy(line string, from, to netip.AddrPort) (uid int, ok bool) {
	words := strings.Fields(line)
	if len(words) < 10 || words[9] == "0" || words[3] != stateEstablished && words[3] != stateFinWait1 && words[3] != stateFinWait2 {
		return 0, false
	}
	if !written(words[1], from) || !written(words[2], to) {
		return 0, false
	}
	uid, err := strconv.Atoi(words[7])
	return uid, err == nil
}

// written reports whether the kernel's text is that of an address. One of IPv4 may stand in the table of IPv6.
func written(text string, a netip.AddrPort) bool {
	ip := a.Addr().Unmap().WithZone("")
	port := fmt.Sprintf(":%04X", a.Port())
	wide := ip.As16()
	if text == hexWords(wide[:])+port {
		return true
	}
	if !ip.Is4() {
		return false
	}
	narrow := ip.As4()
	return text == hexWords(narrow[:])+port
}

// hexWords writes bytes as the kernel does, as numbers of this machine.
func hexWords(b []byte) string {
	var out strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		fmt.Fprintf(&out, "%08X", binary.NativeEndian.Uint32(b))
	}
	return out.String()
}
