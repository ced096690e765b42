package v1

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// signals are the signals that may be asked for, by number. The numbers are Linux's.
var signals = map[syscall.Signal]string{
	syscall.SIGHUP: "SIGHUP", syscall.SIGINT: "SIGINT", syscall.SIGQUIT: "SIGQUIT", syscall.SIGILL: "SIGILL",
	syscall.SIGTRAP: "SIGTRAP", syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE",
	syscall.SIGKILL: "SIGKILL", syscall.SIGUSR1: "SIGUSR1", syscall.SIGSEGV: "SIGSEGV", syscall.SIGUSR2: "SIGUSR2",
	syscall.SIGPIPE: "SIGPIPE", syscall.SIGALRM: "SIGALRM", syscall.SIGTERM: "SIGTERM", syscall.SIGCHLD: "SIGCHLD",
	syscall.SIGCONT: "SIGCONT", syscall.SIGSTOP: "SIGSTOP", syscall.SIGTSTP: "SIGTSTP", syscall.SIGTTIN: "SIGTTIN",
	syscall.SIGTTOU: "SIGTTOU", syscall.SIGURG: "SIGURG", syscall.SIGXCPU: "SIGXCPU", syscall.SIGXFSZ: "SIGXFSZ",
	syscall.SIGVTALRM: "SIGVTALRM", syscall.SIGPROF: "SIGPROF", syscall.SIGWINCH: "SIGWINCH", syscall.SIGIO: "SIGIO",
	syscall.SIGPWR: "SIGPWR", syscall.SIGSYS: "SIGSYS",
}

// ParseSignal reads "SIGTERM", "term" or "15".
func ParseSignal(name string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n >= 1 && n <= 64 {
			return syscall.Signal(n), nil
		}
	} else {
		want := strings.ToUpper(name)
		for sig, known := range signals {
			if want == known || want == strings.TrimPrefix(known, "SIG") {
				return sig, nil
			}
		}
	}
	return 0, fmt.Errorf("%q is not a signal; write a name such as SIGTERM, SIGINT or SIGQUIT, or a number from 1 to 64", name)
}

// SignalName renders a signal as "SIGTERM", or as "signal 40" when it has no name.
func SignalName(sig syscall.Signal) string {
	if name, ok := signals[sig]; ok {
		return name
	}
	return "signal " + strconv.Itoa(int(sig))
}
