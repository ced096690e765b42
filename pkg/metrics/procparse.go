package metrics

import (
	"bytes"
	"errors"
)

// procStat is the part of /proc/PID/stat that we use. Times are in clock ticks.
type procStat struct {
	pid, ppid, session int
	state              byte
	utime, stime       uint64
	cutime, cstime     uint64 // of children that were waited for, and of theirs
	threads            int
	start              uint64 // since boot: with the pid it names a process for as long as the machine is up
	rssPages           int64
}

func (s *procStat) ticks() uint64         { return s.utime + s.stime + s.cutime + s.cstime }
func (s *procStat) childrenTicks() uint64 { return s.cutime + s.cstime }

// gone reports that the process has ended and only its exit status is left.
func (s *procStat) gone() bool { return s.state == 'Z' || s.state == 'X' }

var errMalformed = errors.New("malformed")

// parseStat reads a line of /proc/PID/stat. procfs does the same through fmt.Sscan, which with the reading of the file takes
// 27 µs and 34 allocations where this takes 12 µs, almost all of them the kernel's (BenchmarkParseStat). It runs for every
// process of the machine in every pass.
func parseStat(b []byte) (procStat, error) {
	var s procStat
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')') // the name in between may hold anything, ')' too
	if open < 2 || end < open || end+4 > len(b) {
		return s, errMalformed
	}
	pid, ok := atou(b[:open-1])
	if !ok {
		return s, errMalformed
	}
	s.pid = int(pid)
	s.state = b[end+2]
	rest := b[end+4:]
	for field := 4; field <= 24; field++ { // numbered as in proc_pid_stat(5)
		word, tail, _ := bytes.Cut(rest, []byte{' '})
		rest = tail
		switch field {
		case 4, 6, 14, 15, 16, 17, 20, 22, 24:
		default:
			continue
		}
		n, ok := atou(bytes.TrimPrefix(bytes.TrimRight(word, "\n"), []byte{'-'})) // a signed field below 0 means nothing to us
		if !ok {
			return s, errMalformed
		}
		switch field {
		case 4:
			s.ppid = int(n)
		case 6:
			s.session = int(n)
		case 14:
			s.utime = n
		case 15:
			s.stime = n
		case 16:
			s.cutime = n
		case 17:
			s.cstime = n
		case 20:
			s.threads = int(n)
		case 22:
			s.start = n
		case 24:
			s.rssPages = int64(n)
		}
	}
	return s, nil
}

// parseIO reads /proc/PID/io: bytes fetched from and sent to storage.
func parseIO(b []byte) (read, written uint64, ok bool) {
	read, ok1 := value(b, "\nread_bytes:")
	written, ok2 := value(b, "\nwrite_bytes:")
	return read, written, ok1 && ok2
}

// parsePSS reads the proportional set size, in bytes, of /proc/PID/smaps_rollup.
func parsePSS(b []byte) (int64, bool) {
	kib, ok := value(b, "\nPss:")
	return int64(kib) << 10, ok && kib < 1<<50
}

// parseCPUStat reads the microseconds of a cgroup v2's cpu.stat.
func parseCPUStat(b []byte) (uint64, bool) {
	if !bytes.HasPrefix(b, []byte("usage_usec ")) {
		return value(b, "\nusage_usec")
	}
	return number(b[len("usage_usec"):])
}

// value finds a number that stands behind a key at the start of a line.
func value(b []byte, key string) (uint64, bool) {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return 0, false
	}
	return number(b[i+len(key):])
}

// number reads the first word of b as a number.
func number(b []byte) (uint64, bool) {
	b = bytes.TrimLeft(b, " \t")
	if i := bytes.IndexAny(b, " \t\n"); i >= 0 {
		b = b[:i]
	}
	return atou(b)
}

// atou is strconv.ParseUint for bytes, without the copy.
func atou(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return atou20(b)
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// atou20 reads what may be beyond 64 bits: numbers of 20 digits, such as RLIM_INFINITY.
func atou20(b []byte) (uint64, bool) {
	if len(b) != 20 {
		return 0, false
	}
	head, ok := atou(b[:19])
	last := b[19]
	if !ok || last < '0' || last > '9' || head > (1<<64-1-uint64(last-'0'))/10 {
		return 0, false
	}
	return head*10 + uint64(last-'0'), true
}

// pidsOf reads a list of pids, one a line.
func pidsOf(b []byte, into []int) []int {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte{'\n'})
		b = rest
		if n, ok := atou(line); ok && n > 0 && n < 1<<31 {
			into = append(into, int(n))
		}
	}
	return into
}
