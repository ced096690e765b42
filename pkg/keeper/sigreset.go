package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The two signals that a C library keeps for itself, and that package signal therefore cannot touch.
const (
	firstInternal = 32
	lastInternal  = 33
)

// sigaction is the kernel's; what we put and compare in it is the same on every 64-bit machine.
type sigaction struct {
	handler               uintptr
	flags, restorer, mask uint64
}

// defaultInternal gives the internal signals of C libraries their default back where we found them ignored: glibc's
// posix_spawn, by which make starts us for example, leaves them so, and everything that we start would inherit it.
func defaultInternal() {
	const ignored = 1
	for sig := uintptr(firstInternal); sig <= lastInternal; sig++ {
		var now, standard sigaction
		size := unsafe.Sizeof(now.mask)
		//nolint:gosec // The kernel reads and writes a struct of ours, no more.
		if _, _, err := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), size, 0, 0); err != 0 || now.handler != ignored {
			continue
		}
		// Best effort: a program that minds can set it itself.
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&standard)), 0, size, 0, 0) //nolint:gosec // As above.
	}
}
