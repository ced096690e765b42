package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const line = "123 (a) b (c)) S 45 46 47 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 3 0 9876 1000 250 18446744073709551615 1 1 0"
	got, err := parseStat([]byte(line))
	want := procStat{pid: 123, ppid: 45, session: 47, state: 'S', utime: 11, stime: 12, cutime: 13, cstime: 14, threads: 3, start: 9876, rssPages: 250}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "1", "1 (", "1 (x)", "1 (x) S", "(x) S 1", "1 (x) S a b c", strings.Replace(line, " 9876", " x", 1)} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("1 (x) S 1 1 1"))
	f.Add([]byte("1 () ) S -1 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseStat(b)
		if err == nil && (st.pid < 0 || !bytes.ContainsRune(b, ')')) {
			t.Errorf("%q was read as %+v", b, st)
		}
	})
}

func TestParseStatAgreesWithProcfs(t *testing.T) {
	t.Parallel()
	p := newTestScanner(t).proc
	ours, err := p.stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self, err := procfs.Self()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := self.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if ours.ppid != theirs.PPID || ours.session != theirs.Session || ours.start != theirs.Starttime || ours.pid != theirs.PID {
		t.Errorf("ours %+v, procfs %+v", ours, theirs)
	}
}

func TestParseFiles(t *testing.T) {
	t.Parallel()
	read, wrote, ok := parseIO([]byte("rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 7\n"))
	if read != 4096 || wrote != 8192 || !ok {
		t.Errorf("io: %d, %d, %v", read, wrote, ok)
	}
	if pss, ok := parsePSS([]byte("5500-7f [rollup]\nRss:    900 kB\nPss:                 321 kB\nPss_Dirty: 5 kB\n")); pss != 321<<10 || !ok {
		t.Errorf("pss: %d, %v", pss, ok)
	}
	for _, s := range []string{"usage_usec 55\nuser_usec 1\n", "x 1\nusage_usec 55\n"} {
		if us, ok := parseCPUStat([]byte(s)); us != 55 || !ok {
			t.Errorf("cpu.stat %q: %d, %v", s, us, ok)
		}
	}
	if _, ok := parseCPUStat([]byte("user_usec 1\n")); ok {
		t.Error("a cpu.stat without usage was read")
	}
	if got := pidsOf([]byte("1\n22\n0\nx\n333\n"), nil); !cmp.Equal(got, []int{1, 22, 333}) {
		t.Errorf("pids: %v", got)
	}
}

func TestAtou(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]uint64{"0": 0, "42": 42, "9999999999999999999": 9999999999999999999, "18446744073709551615": 1<<64 - 1} {
		if got, ok := atou([]byte(s)); got != want || !ok {
			t.Errorf("%s: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "-1", "1x", "18446744073709551616", "99999999999999999999", "123456789012345678901"} {
		if got, ok := atou([]byte(s)); ok {
			t.Errorf("%q was read as %d", s, got)
		}
	}
}

// TestInheritNeitherLosesNorDoubles plays processes that burn, fork, end and are waited for (or not), with passes in between
// at any moment, and compares the account with the truth.
func TestInheritNeitherLosesNorDoubles(t *testing.T) {
	t.Parallel()
	type task struct {
		parent         int // 0: the keeper
		self, children uint64
		buries         bool // waits for its children
	}
	rapid.Check(t, func(t *rapid.T) {
		run := &runState{}
		tasks := map[int]*task{1: {buries: true}}
		next := 2
		var truth uint64 // ticks burnt by anybody
		// In an orderly tree everybody buries its children and none is orphaned: then nothing is lost at all.
		orderly := rapid.Bool().Draw(t, "orderly")
		known := map[int]*proc{}
		var lastTotal uint64
		// scan does what the scanner does: refresh, find the gone, inherit, sum.
		scan := func() uint64 {
			gone := map[int]*proc{}
			for pid, p := range known {
				if tasks[pid] == nil {
					gone[pid] = p
					delete(known, pid)
				}
			}
			for pid, k := range tasks {
				p := known[pid]
				if p == nil {
					p = &proc{run: run}
					known[pid] = p
				}
				p.pid, p.ppid = pid, k.parent
				p.utime, p.cutime = k.self, k.children
				p.lastWait = p.waitedFor
				p.cost, p.waitedFor = cost{ticks: p.ticks()}, cost{ticks: p.childrenTicks()}
			}
			inherit(gone, known)
			total := run.buried.ticks
			for _, p := range known {
				total += p.cost.ticks
			}
			return total
		}
		pids := func() []int {
			var out []int
			for pid := 1; pid < next; pid++ {
				if tasks[pid] != nil {
					out = append(out, pid)
				}
			}
			return out
		}
		t.Repeat(map[string]func(*rapid.T){
			"burn": func(t *rapid.T) {
				n := rapid.Uint64Range(1, 50).Draw(t, "ticks")
				tasks[rapid.SampledFrom(pids()).Draw(t, "who")].self += n
				truth += n
			},
			"fork": func(t *rapid.T) {
				tasks[next] = &task{parent: rapid.SampledFrom(pids()).Draw(t, "parent"), buries: orderly || rapid.Bool().Draw(t, "buries")}
				next++
			},
			"exit": func(t *rapid.T) {
				alive := pids()
				if len(alive) < 2 {
					t.Skip("the leader lives")
				}
				pid := rapid.SampledFrom(alive[1:]).Draw(t, "who")
				k := tasks[pid]
				for _, c := range tasks {
					if orderly && c.parent == pid {
						t.Skip("has children")
					}
				}
				if p := tasks[k.parent]; p != nil && p.buries {
					p.children += k.self + k.children
				}
				delete(tasks, pid)
				for _, c := range tasks {
					if c.parent == pid {
						c.parent = 0
					}
				}
			},
			"": func(t *rapid.T) {
				total := scan()
				if total < lastTotal {
					t.Fatalf("the total fell from %d to %d", lastTotal, total)
				}
				if total > truth {
					t.Fatalf("the total is %d, only %d were ever used", total, truth)
				}
				if orderly && total != truth {
					t.Fatalf("the total is %d, %d were used and nothing could be lost", total, truth)
				}
				lastTotal = total
			},
		})
	})
}

func TestMemoryBetweenReadings(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const mib = 1 << 20
	noise := rssNoise()
	m := memory{pss: 6000 * mib, rss: 10000 * mib, read: now}
	for _, tt := range []struct {
		rss, want int64
		stale     bool
	}{
		{10000 * mib, 6000 * mib, false},
		{10000*mib + noise, 6000 * mib, false},               // may be no change at all
		{10000*mib + noise + 1, 6000*mib + noise + 1, false}, // taken for its own
		{9000 * mib, 5000 * mib, true},
		{1000 * mib, 0, true},
		{20000 * mib, 16000 * mib, true},
	} {
		if got, kind := m.at(tt.rss); got != tt.want || kind != MemoryPSS || m.stale(now, tt.rss) != tt.stale {
			t.Errorf("RSS %d: %d %s, stale %v; want %d, stale %v", tt.rss, got, kind, m.stale(now, tt.rss), tt.want, tt.stale)
		}
	}
	if !m.stale(now.Add(pssAge+1), 10000*mib) {
		t.Error("an old reading is not stale")
	}
	if got, kind := (&memory{}).at(7); got != 7 || kind != MemoryRSS {
		t.Errorf("unread: %d %s, want RSS", got, kind)
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]error{
		unix.ENOENT: errEnded, unix.ESRCH: errEnded, unix.EACCES: errRefused, unix.EPERM: errRefused,
		&os.PathError{Op: "open", Err: unix.ESRCH}: errEnded,
	} {
		if got := verdict(err); !errors.Is(got, want) {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	p := &proc{procStat: procStat{state: 'S'}}
	if p.note(errRefused); p.gone() {
		t.Error("a process that may not be looked at was taken for ended")
	}
	if p.note(errEnded); !p.gone() {
		t.Error("a process that ended was not taken for ended")
	}
}

func TestOpenFilesOnOldKernels(t *testing.T) {
	t.Parallel()
	run := start(t, "exec sleep 100 3</dev/null 4</dev/null", nil)
	p := newTestScanner(t).proc
	for _, p.fdSize = range []bool{p.fdSize, false} {
		eventually(t, "as many open files as are listed, five and what we inherited", func() bool {
			listed, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", run.PID))
			n, countErr := p.openFiles(run.PID)
			return err == nil && countErr == nil && n == len(listed) && n >= 5
		})
	}
	if _, err := p.openFiles(1 << 22); !errors.Is(err, errEnded) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestSumsWithUnknownParts(t *testing.T) {
	t.Parallel()
	var sum *int64
	for _, step := range []struct {
		add  *int64
		want int64
	}{{nil, -1}, {new(int64(3)), 3}, {nil, 3}, {new(int64(4)), 7}} {
		if sumInto(&sum, step.add); (sum == nil) != (step.want < 0) || (sum != nil && *sum != step.want) {
			t.Errorf("after %v: %v, want %d", step.add, sum, step.want)
		}
	}
	for _, tt := range [][3]uint64{{10, 4, 6}, {4, 10, 4}, {4, 4, 0}} {
		if got := since(tt[0], tt[1]); *got != int64(tt[2]) {
			t.Errorf("since(%d, %d) = %d, want %d", tt[0], tt[1], *got, tt[2])
		}
	}
	if got := (cost{1, 2, 3}).minus(cost{2, 1, 3}); got != (cost{0, 1, 0}) {
		t.Errorf("cost below zero: %+v", got)
	}
}

func TestMemoryKindOfASum(t *testing.T) {
	t.Parallel()
	for _, tt := range [][3]MemoryKind{
		{"", MemoryPSS, MemoryPSS},
		{MemoryPSS, "", MemoryPSS},
		{MemoryPSS, MemoryPSS, MemoryPSS},
		{MemoryPSS, MemoryRSS, MemoryMixed},
		{MemoryMixed, MemoryRSS, MemoryMixed},
	} {
		if got := tt[0].with(tt[1]); got != tt[2] {
			t.Errorf("%q with %q is %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}
