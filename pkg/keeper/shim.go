package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/philiporange/supervisor/pkg/process"
)

// The shim is this program once more, between fork and exec, for what the fork itself cannot do: resource limits and
// cgroup v1. It reads its order from descriptor 3 and reports an error on descriptor 4, which the exec closes.
const (
	shimVariable = "SUPERVISOR_KEEPER_SHIM"
	shimOrderFD  = 3
	shimReportFD = 4
)

// shimOrder is what the shim has to do.
type shimOrder struct {
	Path   string         `json:"path"`
	Argv   []string       `json:"argv"`
	Env    []string       `json:"env"`
	Dir    string         `json:"dir"`
	Limits process.Limits `json:"limits"`
	Join   []string       `json:"join,omitempty"` // cgroup v1 folders
	Switch bool           `json:"switch,omitempty"`
	UID    uint32         `json:"uid,omitempty"`
	GID    uint32         `json:"gid,omitempty"`
	Groups []uint32       `json:"groups,omitempty"`
}

// shimError is what went wrong in the shim: at which step, and the kernel's error.
type shimError struct {
	Step  string        `json:"step"` // "limit", "user", "folder" or "exec"
	What  string        `json:"what"`
	Errno syscall.Errno `json:"errno"`
}

func (e *shimError) Error() string { return fmt.Sprintf("%s: %v", e.What, e.Errno) }
func (e *shimError) Unwrap() error { return e.Errno }

// shim is the keeper's side.
type shim struct {
	order          *os.File
	report, result *os.File
}

func newShim(p *program) (*shim, error) {
	o := shimOrder{Path: p.path, Argv: p.argv, Env: p.env, Dir: p.dir, Limits: p.limits, Join: p.cgroup.limits}
	if p.who != nil {
		o.Switch, o.UID, o.GID, o.Groups = true, p.who.Uid, p.who.Gid, p.who.Groups
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encode order for the shim: %w", err)
	}
	order, err := memfile("order", raw)
	if err != nil {
		return nil, err
	}
	result, report, err := os.Pipe()
	if err != nil {
		_ = order.Close()
		return nil, err
	}
	return &shim{order: order, report: report, result: result}, nil
}

func (s *shim) command() (string, []string) {
	return "/proc/self/exe", []string{"supervisor-keeper", "exec"}
}

func (s *shim) environ() []string { return []string{shimVariable + "=1"} }

func (s *shim) files() []uintptr { return []uintptr{s.order.Fd(), s.report.Fd()} }

// await returns once the shim has become the program, or says why it could not.
func (s *shim) await() error {
	_ = s.report.Close()
	raw, err := io.ReadAll(s.result)
	if err != nil {
		return fmt.Errorf("hear from the shim: %w", err)
	}
	if len(raw) == 0 {
		return nil
	}
	var e shimError
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("hear from the shim: %w", err)
	}
	return &e
}

func (s *shim) close() {
	_ = s.order.Close()
	_ = s.report.Close() // twice, when await was called
	_ = s.result.Close()
}

// memfile is a file without a name that holds data.
func memfile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(data)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("memfd: %w", err)
	}
	return f, nil
}

// ShimRequested tells whether this process was started to be the shim. Main handles it; a test program that plays the
// keeper asks before it does anything else.
func ShimRequested() bool { return os.Getenv(shimVariable) != "" }

// becomeProgram is the shim's side. It does not return when all goes well.
func becomeProgram() int {
	unix.CloseOnExec(shimReportFD)
	report := os.NewFile(shimReportFD, "report")
	var e *shimError
	if err := shimExec(); !errors.As(err, &e) {
		e = &shimError{Step: "exec", What: err.Error(), Errno: syscall.EINVAL}
	}
	raw, _ := json.Marshal(e) // cannot fail: strings and a number
	_, _ = report.Write(raw)  // nobody else to tell
	return 127
}

func shimExec() error {
	file := os.NewFile(shimOrderFD, "order")
	var o shimOrder
	if err := json.NewDecoder(file).Decode(&o); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	_ = file.Close()
	for _, path := range o.Join {
		// A limit that cannot be joined is a pity, not a reason to let the service down.
		_ = writeFile(filepath.Join(path, "cgroup.procs"), []byte("0"))
	}
	for _, l := range []struct {
		name     string
		resource int
		value    *int64
	}{
		{"openFiles", unix.RLIMIT_NOFILE, positive(o.Limits.OpenFiles)},
		{"coreSize", unix.RLIMIT_CORE, o.Limits.CoreSize},
	} {
		if l.value == nil {
			continue
		}
		if err := setRlimit(l.resource, uint64(*l.value)); err != nil {
			return &shimError{Step: "limit", What: fmt.Sprintf("%s %d", l.name, *l.value), Errno: errnoOf(err)}
		}
	}
	runtime.LockOSThread()
	if o.Switch {
		if err := switchUser(o); err != nil {
			return &shimError{Step: "user", What: fmt.Sprintf("become user %d, group %d", o.UID, o.GID), Errno: errnoOf(err)}
		}
	}
	if o.Dir != "" {
		if err := unix.Chdir(o.Dir); err != nil {
			return &shimError{Step: "folder", What: o.Dir, Errno: errnoOf(err)}
		}
	}
	return &shimError{Step: "exec", What: o.Path, Errno: errnoOf(syscall.Exec(o.Path, o.Argv, o.Env))}
}

func positive(n uint64) *int64 {
	if n == 0 {
		return nil
	}
	v := int64(min(n, 1<<62))
	return &v
}

// setRlimit sets the soft limit, and the hard one where it is lower. A soft limit within the hard one needs no privilege.
func setRlimit(resource int, value uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return err
	}
	l.Cur = value
	l.Max = max(l.Max, value)
	return unix.Setrlimit(resource, &l)
}

func switchUser(o shimOrder) error {
	groups := make([]int, len(o.Groups))
	for i, g := range o.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := syscall.Setgid(int(o.GID)); err != nil {
		return err
	}
	return syscall.Setuid(int(o.UID))
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EINVAL
}
