package rest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// minToken is the length below which a token in a file is refused.
const minToken = 20

// LoadToken reads the bearer token from a file, and makes it when there is none. The file is of mode 0600; one that others
// could read is refused, because what they have read cannot be taken back. made is true for a new token.
func LoadToken(path string) (token string, made bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		token = randomText()
		if err := writeToken(path, token); err != nil {
			return "", false, err
		}
		return token, true, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read token: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing is written
	info, err := f.Stat()
	if err != nil {
		return "", false, fmt.Errorf("read token: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", false, fmt.Errorf("others can read the token in %s (mode %04o); delete the file, and a new token is made at the next start", path, mode)
	}
	data := make([]byte, 4096)
	n, err := f.Read(data)
	if token = strings.TrimSpace(string(data[:n])); err != nil || len(token) < minToken {
		return "", false, fmt.Errorf("%s holds no token of at least %d characters; delete the file, and a new token is made at the next start", path, minToken)
	}
	return token, false, nil
}

// writeToken puts the file in place whole, so that a crash cannot leave an empty token.
func writeToken(path, token string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write token: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// randomText is 256 random bits, fit for a URL.
func randomText() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) //nolint:errcheck // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// secret is a text that can be compared without telling by the time taken how much of it was right.
type secret [sha256.Size]byte

func newSecret(s string) secret { return sha256.Sum256([]byte(s)) }

func (s secret) matches(text string) bool {
	other := newSecret(text)
	return subtle.ConstantTimeCompare(s[:], other[:]) == 1
}

// deriveKey makes a key for one purpose from the token.
func deriveKey(token, purpose string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// peerUID asks the kernel for the user at the other end.
func peerUID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, fmt.Errorf("peer credentials: %w", err)
	}
	if credErr != nil {
		return 0, fmt.Errorf("peer credentials: %w", credErr)
	}
	return int(cred.Uid), nil
}
