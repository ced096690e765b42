package keeper

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// maxSocketPath is the longest path in bytes that a unix socket may have.
const maxSocketPath = 107

// Main is the whole program: it keeps DIR (--dir) until it is told to shut down, and returns the exit status. It takes the
// process over: signals, umask, working directory, and every child.
func Main(args []string, version string) int {
	if ShimRequested() {
		return becomeProgram()
	}
	flags := flag.NewFlagSet("supervisor-keeper", flag.ContinueOnError)
	dir := flags.String("dir", defaultDir(), "folder of socket, journal and pipes")
	useCgroups := flags.Bool("cgroups", true, "make a cgroup for each run where that is possible; else trees are followed through /proc")
	printVersion := flags.Bool("version", false, "print the version and end")
	printProtocol := flags.Bool("protocol", false, "print the protocol version and end")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	switch {
	case *printVersion:
		_, _ = fmt.Fprintln(os.Stdout, "supervisor-keeper", version)
		return 0
	case *printProtocol:
		_, _ = fmt.Fprintln(os.Stdout, protocolLine+strconv.Itoa(process.ProtocolVersion))
		return 0
	}
	unblockSignals() // first of all: it may begin this program anew
	report := readiness()
	err := keep(*dir, version, *useCgroups, report)
	if err != nil {
		fmt.Fprintf(os.Stderr, "supervisor-keeper: %v\n", err)
		report(err)
		return 1
	}
	return 0
}

func defaultDir() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".supervisor", "keeper")
}

// readiness returns what tells our launcher, once, that the socket answers (nil) or why it never will.
func readiness() func(error) {
	fd, err := strconv.Atoi(os.Getenv(process.ReadyVariable))
	_ = os.Unsetenv(process.ReadyVariable) // cannot fail: the name is valid
	if err != nil || fd < 3 {
		return func(error) {}
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "ready")
	return func(err error) {
		if err == nil || errors.Is(err, errHeld) {
			_, _ = io.WriteString(f, "ready") // a launcher that has gone does not care
		} else {
			_, _ = io.WriteString(f, err.Error())
		}
		_ = f.Close()
	}
}

// settle makes the process what a keeper has to be: alone, out of the way, and unmoved by signals.
func settle() {
	_, _ = unix.Setsid() // fails for the leader of a session, which is what we want to be
	unix.Umask(0o022)
	_ = unix.Chdir("/")                                     // so that no file system is held busy by us
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // what a program leaves behind comes to us, not to init
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), 4))       // more only costs memory
}

// closeInherited closes what our launcher left open, such as the pipe of a terminal that waits for its end. All that is
// ours closes on exec, which tells the two apart.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// unblockSignals: a mask of blocked signals would be inherited by all that we start, and the Go runtime puts back in a child
// what it found at its own start. So it has to start once more without.
func unblockSignals() {
	raw, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(raw)) {
		mask, found := strings.CutPrefix(line, "SigBlk:")
		if !found || strings.Trim(mask, "0 \t\n") == "" {
			continue
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var none unix.Sigset_t
		self, err := os.Executable()
		if err == nil && unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil) == nil {
			_ = syscall.Exec(self, os.Args, os.Environ()) // else we go on as we are
		}
	}
}

func keep(dir, version string, useCgroups bool, report func(error)) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if path := filepath.Join(dir, process.SocketName); len(path) > maxSocketPath {
		return fmt.Errorf("the path of the socket, %s, has %d bytes; the kernel allows %d: choose a shorter folder (SUPERVISOR_DIR)", path, len(path), maxSocketPath)
	}
	settle()
	// Every signal has a handler, so that one which we found ignored (nohup, &) is not ignored by all that we start.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	defaultInternal()
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)

	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	logf := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%s keeper %d: %s\n", time.Now().UTC().Format(time.RFC3339), os.Getpid(), fmt.Sprintf(format, args...))
	}
	from, err := takeHandover()
	if err != nil {
		logf("%v; going on from the journal", err)
	}
	closeInherited()
	lock, listener, err := hold(dir, from)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	k, err := newKeeper(dir, version, useCgroups, logf)
	if err != nil {
		return err
	}
	k.lock, k.listener, k.signals = lock, listener, signals
	if from != nil {
		if from.OOM != "" {
			k.spawner.oom.theirs = []byte(from.OOM)
		}
		k.begin(inheritance{session: from.Session, entries: from.Entries, fds: from.FDs})
	} else {
		l, err := loadJournal(journalPath(dir))
		if err != nil {
			return err
		}
		k.begin(fromJournal(l, k.boot))
	}
	done := make(chan struct{}, 1)
	leave := func() {
		select {
		case done <- struct{}{}:
		default:
		}
	}
	srv := newServer(k, leave)
	go srv.serve(listener)
	report(nil)
	notifySystemd("READY=1")
	logf("version %s holds %s, session %s, %d runs", version, dir, k.session, len(k.order))
	for {
		select {
		case <-children:
			k.reap()
		case s := <-signals:
			k.take(s, leave)
		case <-done:
			logf("ends")
			srv.close()
			k.close()
			return nil
		}
	}
}

// take handles a signal. SIGTERM and SIGINT end a keeper that keeps nothing; else the programs and what is known of them
// come first, and whoever means it says so over the socket.
func (k *Keeper) take(s os.Signal, leave func()) {
	if s != syscall.SIGTERM && s != syscall.SIGINT {
		return
	}
	if n := k.live(); n > 0 {
		k.log("%v: %d runs live, so the keeper stays; `supervisor shutdown` stops them and it", s, n)
		return
	}
	leave()
}

// close takes away what an empty keeper leaves in the file system. What has ended and was not yet forgotten stays in the
// journal; the session is over.
func (k *Keeper) close() {
	k.mu.Lock()
	k.session = ""
	k.journal.mu.Lock()
	k.journal.rewriteLocked()
	k.journal.mu.Unlock()
	k.mu.Unlock()
	k.poll.close()
	k.spawner.close()
	k.janitor.tidy()
	k.groups.close()
	k.slate.remove()
	_ = unix.Rmdir(k.fifos) // not empty when something is left
	_ = k.listener.Close()  // removes the socket
}

// errHeld says that another keeper has the folder.
var errHeld = errors.New("another keeper holds the folder")

// hold takes the folder for us alone and opens the socket, or takes both over from the program that we were.
func hold(dir string, from *handover) (*os.File, *net.UnixListener, error) {
	if from != nil {
		file := os.NewFile(uintptr(from.Listener), "socket")
		defer func() { _ = file.Close() }()
		l, err := net.FileListener(file)
		if err != nil {
			return nil, nil, fmt.Errorf("take over the socket: %w", err)
		}
		u, ok := l.(*net.UnixListener)
		if !ok {
			return nil, nil, errors.New("take over the socket: it is not a unix socket")
		}
		u.SetUnlinkOnClose(true)
		return os.NewFile(uintptr(from.Lock), "lock"), u, nil
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open lock: %w", err)
	}
	if holder, err := takeLock(lock); err != nil {
		_ = lock.Close()
		return nil, nil, fmt.Errorf("%w: %s, process %s", errHeld, dir, holder)
	}
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // for people to read
	}
	path := filepath.Join(dir, process.SocketName)
	_ = os.Remove(path) // a dead keeper's: we hold the lock
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		_ = lock.Close()
		return nil, nil, fmt.Errorf("open socket: %w", err)
	}
	return lock, l, nil
}

// lockPatience bounds each wait for the descriptors of a keeper that is dead.
const lockPatience = time.Second

// takeLock locks a file, or says whose it is. What a keeper was about to start when it was killed has its descriptors until
// the exec.
func takeLock(lock *os.File) (holder string, err error) {
	for wait := time.Millisecond; ; wait *= 2 {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return "", nil
		}
		raw := make([]byte, 32)
		n, _ := lock.ReadAt(raw, 0)
		holder = trim(raw[:n])
		if pid, bad := strconv.Atoi(holder); bad != nil || wait > lockPatience || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			return holder, err
		}
		<-time.After(wait)
	}
}

// notifySystemd tells the service manager that started us (Type=notify) what it waits for.
func notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte(state)) // it has a timeout of its own
	_ = conn.Close()
}
