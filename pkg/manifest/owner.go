package manifest

import (
	"io/fs"
	"os"
	"syscall"
)

// chownAs gives a new file the owner of the one that it replaces, where we may.
func chownAs(f *os.File, info fs.FileInfo) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		// Only root can give files away; for everybody else the file was their own already.
		_ = f.Chown(int(st.Uid), int(st.Gid))
	}
}
