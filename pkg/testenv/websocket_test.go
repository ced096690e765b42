package testenv_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// socket is a WebSocket, as a browser opens one.
type socket struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

func openSocket(t *testing.T, port int, host, path string) *socket {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, host)
	s := &socket{t: t, conn: conn, from: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(s.from, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the socket was answered with %s", resp.Status)
	}
	return s
}

// ask sends a short text and returns what comes back.
func (s *socket) ask(text string) (string, error) {
	mask := [4]byte{1, 2, 3, 4}
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, mask[:]...)
	for i := range len(text) {
		frame = append(frame, text[i]^mask[i%4])
	}
	if _, err := s.conn.Write(frame); err != nil {
		return "", err
	}
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.from, head[:]); err != nil {
			return "", err
		}
		length := int(head[1] & 0x7f)
		if length == 126 {
			var long [2]byte
			if _, err := io.ReadFull(s.from, long[:]); err != nil {
				return "", err
			}
			length = int(binary.BigEndian.Uint16(long[:]))
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(s.from, body); err != nil {
			return "", err
		}
		switch head[0] & 0x0f {
		case 1:
			return string(body), nil
		case 8:
			return "", fmt.Errorf("closed by the other side: % x", body)
		}
	}
}
