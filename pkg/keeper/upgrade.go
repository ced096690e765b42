package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// handoverVariable tells a program that it takes over, and on which descriptor it finds what.
const handoverVariable = "SUPERVISOR_KEEPER_HANDOVER"

const (
	// upgradePatience is how long work under way may take before an upgrade is given up.
	upgradePatience = 5 * time.Second
	// checkPatience is how long a new program may take to say what it is.
	checkPatience = 10 * time.Second
	// protocolFlag makes the program print protocolLine and end.
	protocolFlag = "--protocol"
	protocolLine = "supervisor-keeper protocol "
)

// handover is what goes across an upgrade besides the process itself, which stays the parent of its children. Unknown
// fields are ignored, so that the next program may be newer or older.
type handover struct {
	Boot     string                    `json:"boot"`
	Session  string                    `json:"session"`
	Entries  []*entry                  `json:"entries"`
	FDs      map[process.RunID]heldFDs `json:"fds"`
	Listener int                       `json:"listener"`
	Lock     int                       `json:"lock"`
	OOM      string                    `json:"oom,omitempty"` // oom_score_adj of our children
}

// upgrade makes this process another program. It returns only when that did not work; then all goes on as before.
func (k *Keeper) upgrade(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("the program %q must be an absolute path", path)
	}
	if err := k.checkSuccessor(path); err != nil {
		return err
	}
	if err := k.gate.shut(upgradePatience); err != nil {
		return err
	}
	defer k.gate.open()
	k.forks.Lock()
	defer k.forks.Unlock()
	return k.become(path)
}

// checkSuccessor runs the program to hear whether it is a keeper that speaks our protocol: after the exec it is too late.
func (k *Keeper) checkSuccessor(path string) error {
	result, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = result.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	ended := make(chan unix.WaitStatus, 1)
	k.forks.RLock()
	pid, err := syscall.ForkExec(path, []string{path, protocolFlag}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{null.Fd(), out.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err == nil {
		k.mu.Lock()
		k.helpers[pid] = ended
		k.mu.Unlock()
	}
	k.forks.RUnlock()
	_ = out.Close()
	if err != nil {
		return fmt.Errorf("run %s %s: %w", path, protocolFlag, err)
	}
	timer := time.AfterFunc(checkPatience, func() {
		_ = unix.Kill(pid, unix.SIGKILL) // not yet reaped: we hear of that below
		_ = result.Close()
	})
	said, _ := io.ReadAll(io.LimitReader(result, 4096)) // what it did not say is not the right answer
	status := <-ended
	timer.Stop()
	number, isKeeper := strings.CutPrefix(strings.TrimSpace(string(said)), protocolLine)
	version, err := strconv.Atoi(number)
	switch {
	case !isKeeper || err != nil || status.ExitStatus() != 0:
		return fmt.Errorf("%s is not a supervisor-keeper: %s %s said %q", path, path, protocolFlag, firstLine(said))
	case version < process.MinProtocol:
		return fmt.Errorf("%s speaks protocol %d, which is too old", path, version)
	}
	return nil
}

func firstLine(raw []byte) string {
	line, _, _ := strings.Cut(string(raw), "\n")
	return line
}

// become hands everything to the next program and executes it. Nothing is under way: the gate is shut.
func (k *Keeper) become(path string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := handover{Boot: k.boot, Session: k.session, FDs: map[process.RunID]heldFDs{}, OOM: string(k.spawner.oom.theirs)}
	var keep []int
	pass := func(fd int) int {
		if fd >= 0 {
			keep = append(keep, fd)
		}
		return fd
	}
	for _, r := range k.order {
		h.Entries = append(h.Entries, &r.entry)
		if !r.Run.Live() {
			continue
		}
		fds := heldFDs{Out: -1, Err: -1, Pidfd: pass(r.pidfd)}
		for i, fd := range []*int{&fds.Out, &fds.Err} {
			if s := r.streams[i]; s != nil && !s.closed {
				*fd = pass(s.fd)
			}
		}
		h.FDs[r.Run.ID] = fds
	}
	h.Lock = pass(int(k.lock.Fd()))
	listener, err := k.listener.File()
	if err != nil {
		return fmt.Errorf("hand over the socket: %w", err)
	}
	defer func() { _ = listener.Close() }()
	h.Listener = pass(int(listener.Fd()))
	raw, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("hand over: %w", err)
	}
	state, err := memfile("handover", raw)
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }()
	stateFD := pass(int(state.Fd()))

	for _, fd := range keep {
		if err := closeOnExec(fd, false); err != nil {
			return fmt.Errorf("hand over descriptor %d: %w", fd, err)
		}
	}
	env := append(os.Environ(), handoverVariable+"="+strconv.Itoa(stateFD))
	// A signal that asks us to end must not do it in the moment when nobody handles it.
	asking := []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}
	signal.Ignore(asking...)
	err = syscall.Exec(path, append([]string{path}, os.Args[1:]...), env)
	signal.Notify(k.signals, asking...)
	_ = unix.SetNonblock(h.Listener, true) // taking its descriptor has made it a blocking one, ours included
	for _, fd := range keep {
		_ = closeOnExec(fd, true)
	}
	return fmt.Errorf("become %s: %w; the old program goes on", path, err)
}

func closeOnExec(fd int, on bool) error {
	flag := 0
	if on {
		flag = unix.FD_CLOEXEC
	}
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag)
	return err
}

// takeHandover reads what an upgrade has left for us; nil when there was none.
func takeHandover() (*handover, error) {
	value := os.Getenv(handoverVariable)
	if value == "" {
		return nil, nil
	}
	if err := os.Unsetenv(handoverVariable); err != nil {
		return nil, err
	}
	fd, err := strconv.Atoi(value)
	if err != nil {
		return nil, fmt.Errorf("take over: descriptor %q: %w", value, err)
	}
	f := os.NewFile(uintptr(fd), "handover")
	if f == nil {
		return nil, errors.New("take over: the descriptor is not open")
	}
	defer func() { _ = f.Close() }()
	var h handover
	if err := json.NewDecoder(io.NewSectionReader(f, 0, 1<<30)).Decode(&h); err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	for _, fds := range h.FDs {
		for _, fd := range []int{fds.Out, fds.Err, fds.Pidfd} {
			if fd >= 0 {
				unix.CloseOnExec(fd)
			}
		}
	}
	unix.CloseOnExec(h.Listener)
	unix.CloseOnExec(h.Lock)
	return &h, nil
}
