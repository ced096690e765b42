package keeper

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// spawner forks. It is not os/exec: there the Cmd waits for its child, and here one reaper waits for all.
type spawner struct {
	oom *oomGuard

	once  sync.Once
	masks chan maskedFork // to the thread that has a umask of its own
}

// program is a Spec made ready: everything that can be known before the fork.
type program struct {
	path   string
	argv   []string
	env    []string
	dir    string
	who    *syscall.Credential // nil: as we are
	umask  *int
	limits process.Limits
	cgroup cgroup
	files  [3]int // stdin, stdout, stderr
}

// needsShim tells whether something has to be done between fork and exec that the kernel's fork call does not offer.
func (p *program) needsShim() bool {
	return p.limits.OpenFiles > 0 || p.limits.CoreSize != nil || len(p.cgroup.limits) > 0
}

// spawn forks and executes; it returns once the exec is done. The error is a bare errno or a *shimError.
func (s *spawner) spawn(p *program) (pid int, err error) {
	path, argv, env, dir := p.path, p.argv, p.env, p.dir
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Setsid: true, Credential: p.who}}
	for _, fd := range p.files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	var shim *shim
	if p.needsShim() {
		shim, err = newShim(p)
		if err != nil {
			return 0, err
		}
		defer shim.close()
		path, argv = shim.command()
		attr.Env, attr.Dir, attr.Sys.Credential = shim.environ(), "", nil
		attr.Files = append(attr.Files, shim.files()...)
	}
	if p.cgroup.path != "" {
		fd, err := unix.Open(p.cgroup.path, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
		if err == nil {
			defer func() { _ = unix.Close(fd) }()
			attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
		}
	}
	pid, err = s.fork(path, argv, attr, p.umask)
	if err != nil && attr.Sys.UseCgroupFD && cgroupRefused(err) {
		attr.Sys.UseCgroupFD = false
		if pid, err = s.fork(path, argv, attr, p.umask); err == nil {
			_ = unix.Rmdir(p.cgroup.path) // nothing is in it
			p.cgroup.path = ""
		}
	}
	if err == nil && shim != nil {
		err = shim.await()
	}
	return pid, err
}

// cgroupRefused: errors by which older kernels (no clone3), sandboxes (seccomp) and foreign hierarchies refuse to fork into
// a cgroup. Others may mean the same, but they also mean something about the program.
func cgroupRefused(err error) bool {
	return errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EOPNOTSUPP) ||
		errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)
}

func (s *spawner) fork(path string, argv []string, attr *syscall.ProcAttr, umask *int) (int, error) {
	defer s.oom.lower()()
	if umask == nil {
		return syscall.ForkExec(path, argv, attr)
	}
	s.once.Do(func() {
		s.masks = make(chan maskedFork)
		go forkMasked(s.masks)
	})
	answer := make(chan forked, 1)
	s.masks <- maskedFork{path: path, argv: argv, attr: attr, umask: *umask, answer: answer}
	f := <-answer
	return f.pid, f.err
}

// close ends the thread, if there is one.
func (s *spawner) close() {
	s.once.Do(func() {})
	if s.masks != nil {
		close(s.masks)
	}
}

type maskedFork struct {
	path   string
	argv   []string
	attr   *syscall.ProcAttr
	umask  int
	answer chan<- forked
}

type forked struct {
	pid int
	err error
}

// forkMasked forks on a thread that shares its umask with no other, so that one service's umask is never another's.
func forkMasked(requests <-chan maskedFork) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	alone := unix.Unshare(unix.CLONE_FS)
	for r := range requests {
		if alone != nil {
			r.answer <- forked{err: fmt.Errorf("set umask: %w", alone)}
			continue
		}
		unix.Umask(r.umask)
		pid, err := syscall.ForkExec(r.path, r.argv, r.attr)
		r.answer <- forked{pid: pid, err: err}
	}
}

// oomGuard keeps us low on the kernel's list of victims, and our children at the place where we were when we began: a
// child inherits the value at the fork, so it is put back for the time of a fork.
type oomGuard struct {
	mu           sync.Mutex
	file         *os.File // nil where we may not
	forks        int
	theirs, ours []byte
}

// guardedOOM is what we ask for ourselves.
const guardedOOM = "-900"

func newOOMGuard() *oomGuard {
	g := &oomGuard{ours: []byte(guardedOOM)}
	const path = "/proc/self/oom_score_adj"
	raw, err := os.ReadFile(path)
	if err != nil {
		return g
	}
	g.theirs = []byte(trim(raw))
	if string(g.theirs) == guardedOOM {
		g.theirs = []byte("0") // inherited from a keeper, by an upgrade
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return g
	}
	if _, err := f.Write(g.ours); err != nil {
		_ = f.Close()
		return g // not privileged: we are like everybody
	}
	g.file = f
	return g
}

// lower prepares a fork; what it returns is called after it.
func (g *oomGuard) lower() (restore func()) {
	if g.file == nil {
		return func() {}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.forks++; g.forks == 1 {
		_, _ = g.file.WriteAt(g.theirs, 0) // raising is always allowed
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.forks--; g.forks == 0 {
			_, _ = g.file.WriteAt(g.ours, 0) // was allowed before
		}
	}
}
