package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAttr bounds what is read of one file's attributes, in bytes; the kernel's own bound is the same.
const maxAttr = 64 << 10

// kept says which extended attributes belong to a file: access lists, capabilities, and what users note.
func kept(attr string) bool {
	return strings.HasPrefix(attr, "user.") || attr == "security.capability" || strings.HasPrefix(attr, "system.posix_acl_")
}

// readAttrs returns the extended attributes of an open file or folder; nil when there are none.
func readAttrs(f *os.File) (map[string][]byte, error) {
	fd := int(f.Fd())
	list := make([]byte, maxAttr)
	n, err := unix.Flistxattr(fd, list)
	if err != nil || n == 0 {
		if errors.Is(err, unix.ENOTSUP) || err == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("list attributes of %s: %w", f.Name(), err)
	}
	var out map[string][]byte
	for name := range bytes.SplitSeq(bytes.TrimRight(list[:n], "\x00"), []byte{0}) {
		if !kept(string(name)) {
			continue
		}
		value := make([]byte, maxAttr)
		n, err := unix.Fgetxattr(fd, string(name), value)
		if err != nil {
			return nil, fmt.Errorf("read attribute %s of %s: %w", name, f.Name(), err)
		}
		if out == nil {
			out = map[string][]byte{}
		}
		out[string(name)] = bytes.Clone(value[:n])
	}
	return out, nil
}

// writeAttrs makes the extended attributes of an open file or folder be exactly these.
func writeAttrs(f *os.File, want map[string][]byte) error {
	have, err := readAttrs(f)
	if err != nil {
		return err
	}
	for name := range have {
		if _, ok := want[name]; !ok {
			if err := unix.Fremovexattr(int(f.Fd()), name); err != nil && !errors.Is(err, unix.ENODATA) {
				return fmt.Errorf("remove attribute %s of %s: %w", name, f.Name(), err)
			}
		}
	}
	for name, value := range want {
		if old, ok := have[name]; ok && bytes.Equal(old, value) {
			continue
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, value, 0); err != nil {
			return fmt.Errorf("set attribute %s of %s: %w", name, f.Name(), err)
		}
	}
	return nil
}
