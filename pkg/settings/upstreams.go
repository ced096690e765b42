package settings

import (
	"os"
	"path/filepath"
	"strconv"
)

const upstreamsName = "CADDY_UPSTREAMS_DIR"

// upstreamsDir is where upstreams are written when nobody says. Caddy is often another user's process, so that the data
// folder, which is for nobody else, will not do. Nor will /tmp: Debian's Caddy has a private one, and what is old there is
// cleaned away.
func upstreamsDir() string {
	is := func(dir string) bool {
		info, err := os.Stat(dir)
		return err == nil && info.IsDir()
	}
	if os.Getuid() == 0 && is("/run") {
		return "/run/supervisor/upstreams"
	}
	name := "supervisor-upstreams-" + strconv.Itoa(os.Getuid())
	if is("/dev/shm") {
		return filepath.Join("/dev/shm", name)
	}
	return filepath.Join(os.TempDir(), name)
}
