package tree

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what an entry is.
type Kind string

// The kinds of entries.
const (
	File Kind = "file"
	Dir  Kind = "dir"
	Link Kind = "link"
)

// Name is a path below a folder, or the target of a link. File names may be any bytes, which JSON cannot say.
type Name string

// MarshalText escapes what is no text as %XX.
func (n Name) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	for i := 0; i < len(n); {
		r, size := utf8.DecodeRuneInString(string(n[i:]))
		if r == '%' || r < ' ' || r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, "%%%02X", n[i])
			i++
			continue
		}
		b.WriteString(string(n[i : i+size]))
		i += size
	}
	return b.Bytes(), nil
}

// UnmarshalText reads what MarshalText writes.
func (n *Name) UnmarshalText(text []byte) error {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			b.WriteByte(text[i])
			continue
		}
		if i+2 >= len(text) {
			return fmt.Errorf("%q ends within an escape", text)
		}
		c, err := strconv.ParseUint(string(text[i+1:i+3]), 16, 8)
		if err != nil {
			return fmt.Errorf("%q has a bad escape: %w", text, err)
		}
		b.WriteByte(byte(c))
		i += 2
	}
	*n = Name(b.String())
	return nil
}

// Entry is one file, folder or symbolic link.
type Entry struct {
	// Path is relative to the folder, with slashes; "." is the folder itself.
	Path Name `json:"path"`
	Kind Kind `json:"kind"`
	// Mode holds the permissions and the setuid, setgid and sticky bits as Unix has them.
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Size, Sum (SHA-256, hexadecimal) and ModTime (nanoseconds of Unix) are those of a file.
	Size    int64  `json:"size,omitempty"`
	Sum     string `json:"sum,omitempty"`
	ModTime int64  `json:"modTime,omitempty"`
	// Target is where a symbolic link leads.
	Target Name `json:"target,omitempty"`
	// Hard is the first path of a file that has several within the folder; empty when it has one.
	Hard Name `json:"hard,omitempty"`
	// Attrs are the extended attributes.
	Attrs map[string][]byte `json:"attrs,omitempty"`

	// Inode and Changed (nanoseconds of Unix) tell whether a file was touched since.
	Inode   uint64 `json:"inode,omitempty"`
	Changed int64  `json:"changed,omitempty"`
}

// parent is the folder that the entry is in.
func (e *Entry) parent() Name { return parent(e.Path) }

func parent(p Name) Name { return Name(path.Dir(string(p))) }

// sameContent reports whether a reader sees no difference.
func sameContent(a, b *Entry) bool {
	return a.Kind == b.Kind && a.Size == b.Size && a.Sum == b.Sum && a.Target == b.Target
}

// same reports whether nothing differs that is kept. The time of a folder is not: whatever is made in it changes it.
func same(a, b *Entry) bool {
	return sameContent(a, b) && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.ModTime == b.ModTime && a.Hard == b.Hard &&
		maps.EqualFunc(a.Attrs, b.Attrs, bytes.Equal)
}

// Snapshot is the state of a folder.
type Snapshot struct {
	// Entries are sorted by path, the folder itself first.
	Entries []Entry `json:"entries"`
	// Skipped is what stays where it is, sorted.
	Skipped []Name `json:"skipped,omitempty"`
	// Bytes is how much all files hold.
	Bytes int64 `json:"bytes"`
}

// Find returns the entry of a path, or nil.
func (s *Snapshot) Find(p Name) *Entry {
	i, ok := slices.BinarySearchFunc(s.Entries, p, func(e Entry, p Name) int { return comparePaths(e.Path, p) })
	if !ok {
		return nil
	}
	return &s.Entries[i]
}

// sort puts entries in order: a folder is before all that is in it.
func (s *Snapshot) sort() {
	slices.SortFunc(s.Entries, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	slices.Sort(s.Skipped)
}

// comparePaths orders by component, "." first.
func comparePaths(a, b Name) int {
	if a == b {
		return 0
	}
	if a == "." {
		return -1
	}
	if b == "." {
		return 1
	}
	return slices.Compare(strings.Split(string(a), "/"), strings.Split(string(b), "/"))
}

// unixMode is the mode as Unix has it, without the type.
func unixMode(m fs.FileMode) uint32 {
	u := uint32(m.Perm())
	for bit, flag := range modeBits {
		if m&flag != 0 {
			u |= bit
		}
	}
	return u
}

// goMode is the reverse of unixMode.
func goMode(u uint32) fs.FileMode {
	m := fs.FileMode(u & 0o777)
	for bit, flag := range modeBits {
		if u&bit != 0 {
			m |= flag
		}
	}
	return m
}

var modeBits = map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky}
