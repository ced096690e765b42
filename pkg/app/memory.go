package app

import (
	"bufio"
	"context"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// startBurst is how long after its readiness the manager gives back what only the start needed.
const startBurst = time.Second

// slim gives memory back to the machine after the burst of work that a start is: the garbage of reading all manifests at
// once, and the mapping of program text that ran once. What is needed again is mapped again from the page cache.
func slim(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(startBurst):
	}
	debug.FreeOSMemory()
	dropText()
}

// dropText unmaps the pages of our own program file. Only segments that are not writable and of which no page was ever
// written are touched: their pages are the file's, so nothing can be lost.
func dropText() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	var from, size uintptr
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 6 && words[5] == exe && strings.HasPrefix(words[1], "r-"):
			from, size = addresses(words[0])
		case len(words) >= 5 && strings.Contains(words[0], "-"):
			size = 0
		case len(words) == 3 && words[0] == "Private_Dirty:" && words[1] == "0" && size > 0:
			// Best effort: what stays mapped is merely counted as ours.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, size, unix.MADV_DONTNEED)
			size = 0
		}
	}
}

// addresses reads a range such as "400000-1230000".
func addresses(text string) (from, size uintptr) {
	low, high, _ := strings.Cut(text, "-")
	a, err1 := strconv.ParseUint(low, 16, 64)
	b, err2 := strconv.ParseUint(high, 16, 64)
	if err1 != nil || err2 != nil || b < a {
		return 0, 0
	}
	return uintptr(a), uintptr(b - a)
}
