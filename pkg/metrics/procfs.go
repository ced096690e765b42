package metrics

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// clockTick is USER_HZ, which Linux fixes at 100 for all architectures that Go runs on.
const clockTick = 100

// procReader reads /proc through one open folder and one buffer, with bare system calls: os.File would enter each of the
// thousands of files of a pass into the runtime's poller. It is not safe for concurrent use.
type procReader struct {
	root *os.File
	fs   procfs.FS
	buf  []byte
	// fdSize is true where stat tells the number of open files as the size of /proc/PID/fd (Linux 6.2 and later).
	fdSize bool
}

func openProc() (*procReader, error) {
	root, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w; mount it, nothing can be measured without it", err)
	}
	fs, err := procfs.NewFS("/proc")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open /proc: %w", err), root.Close())
	}
	p := &procReader{root: root, fs: fs, buf: make([]byte, 16<<10)}
	var st unix.Stat_t
	p.fdSize = unix.Fstatat(int(root.Fd()), "self/fd", &st, 0) == nil && st.Size > 0
	return p, nil
}

func (p *procReader) close() error { return p.root.Close() }

// pids lists every process of the machine.
func (p *procReader) pids(into []int) ([]int, error) {
	if _, err := p.root.Seek(0, 0); err != nil {
		return into, fmt.Errorf("list /proc: %w", err)
	}
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.ReadDirent(int(p.root.Fd()), p.buf) })
		if err != nil {
			return into, fmt.Errorf("list /proc: %w", err)
		}
		if n == 0 {
			return into, nil
		}
		_, _, names := unix.ParseDirent(p.buf[:n], -1, nil)
		for _, name := range names {
			if pid, ok := atou([]byte(name)); ok {
				into = append(into, int(pid))
			}
		}
	}
}

func pidPath(pid int, file string) string { return strconv.Itoa(pid) + "/" + file }

// read returns the content of a file below /proc, valid until the next read.
func (p *procReader) read(name string) ([]byte, error) {
	return readAt(int(p.root.Fd()), name, &p.buf)
}

// readFile returns the content of any small file of the kernel, such as one of a cgroup, valid until the next read.
func (p *procReader) readFile(path string) ([]byte, error) {
	return readAt(unix.AT_FDCWD, path, &p.buf)
}

func readAt(dir int, name string, buf *[]byte) ([]byte, error) {
	fd, err := ignoringEINTR(func() (int, error) { return unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	n := 0
	for {
		m, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, (*buf)[n:]) })
		if err != nil {
			return nil, err
		}
		n += m
		// The kernel ends a seq file with an empty read; most fit in one, so that only a full buffer or a page asks again.
		if m == 0 || (n < len(*buf) && m < 4000) {
			return (*buf)[:n], nil
		}
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, len(*buf))...)
		}
	}
}

func ignoringEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func (p *procReader) stat(pid int) (procStat, error) {
	b, err := p.read(pidPath(pid, "stat"))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(b)
}

// errRefused says that the kernel does not let us look: it takes root, or a process of our own user.
var errRefused = errors.New("refused")

// verdict tells a process that ended while it was looked at (errEnded) from one that may not be looked at.
func verdict(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return errEnded
	}
	return errRefused
}

var errEnded = errors.New("the process has ended")

func (p *procReader) io(pid int) (read, written uint64, err error) {
	b, err := p.read(pidPath(pid, "io"))
	if err != nil {
		return 0, 0, verdict(err)
	}
	read, written, ok := parseIO(b)
	if !ok {
		return 0, 0, errRefused
	}
	return read, written, nil
}

// pss is the cost of walking the page tables: some 50 µs for a small process, milliseconds for gigabytes.
func (p *procReader) pss(pid int) (int64, error) {
	b, err := p.read(pidPath(pid, "smaps_rollup"))
	if err != nil {
		return 0, verdict(err)
	}
	pss, ok := parsePSS(b)
	if !ok {
		return 0, errRefused
	}
	return pss, nil
}

func (p *procReader) openFiles(pid int) (int, error) {
	if p.fdSize {
		var st unix.Stat_t
		if err := unix.Fstatat(int(p.root.Fd()), pidPath(pid, "fd"), &st, 0); err != nil {
			return 0, verdict(err)
		}
		return int(st.Size), nil
	}
	proc, err := p.fs.Proc(pid)
	if err != nil {
		return 0, errEnded
	}
	n, err := proc.FileDescriptorsLen()
	if err != nil {
		return 0, verdict(err)
	}
	return n, nil
}

// runID reads the run that a process was started for out of its environment; empty when it has none or we may not look.
// final is false for a process without any environment: it may be on its way through exec.
func (p *procReader) runID(pid int) (id string, final bool) {
	proc, err := p.fs.Proc(pid)
	if err != nil {
		return "", false
	}
	env, err := proc.Environ()
	if err != nil {
		return "", true
	}
	for _, e := range env {
		if id, ok := strings.CutPrefix(e, RunIDEnv+"="); ok {
			return id, true
		}
	}
	return "", len(env) > 0
}

// netNamespace names the network namespace of a process; empty when we may not look.
func (p *procReader) netNamespace(pid int) string {
	b := p.buf[:256]
	n, err := ignoringEINTR(func() (int, error) {
		return unix.Readlinkat(int(p.root.Fd()), pidPath(pid, "ns/net"), b)
	})
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// traffic sums the interfaces of a process's network namespace, loopback apart.
func (p *procReader) traffic(pid int) (Net, bool) {
	proc, err := p.fs.Proc(pid)
	if err != nil {
		return Net{}, false
	}
	dev, err := proc.NetDev()
	if err != nil {
		return Net{}, false
	}
	var n Net
	for name, line := range dev {
		if name != "lo" {
			n.ReceivedBytes += line.RxBytes
			n.SentBytes += line.TxBytes
		}
	}
	return n, true
}

// cgroupPIDs lists the processes of a cgroup and of those that were made below it.
func (p *procReader) cgroupPIDs(dir string, into []int) ([]int, error) {
	b, err := p.readFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return into, fmt.Errorf("read processes of cgroup: %w", err)
	}
	into = pidsOf(b, into)
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil && st.Nlink <= 2 {
		return into, nil // kernfs counts subfolders as links: there are none
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return into, fmt.Errorf("list cgroup: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		// One that was removed meanwhile held no process.
		if into, err = p.cgroupPIDs(filepath.Join(dir, e.Name()), into); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return into, err
		}
	}
	return into, nil
}

// cgroupCPU is the CPU time of all processes that ever were in the cgroup, in microseconds. The kernel keeps it for each
// cgroup v2, also where the cpu controller is off.
func (p *procReader) cgroupCPU(dir string) (uint64, bool) {
	b, err := p.readFile(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return 0, false
	}
	return parseCPUStat(b)
}
