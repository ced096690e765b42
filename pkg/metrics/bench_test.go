package metrics

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// fleet starts 200 runs of 5 processes: a shell with four sleepers.
func fleet(b *testing.B) []Run {
	b.Helper()
	var runs []Run
	for i := range 200 {
		cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & wait")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		must(b, cmd.Start())
		b.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		})
		runs = append(runs, Run{ID: fmt.Sprint(i), Owner: fmt.Sprintf("Service/s%d", i), PID: cmd.Process.Pid, StartedAt: time.Now()})
	}
	s := newTestScanner(b)
	eventually(b, "1000 processes", func() bool {
		snap, err := s.scan(time.Now(), runs)
		must(b, err)
		n := 0
		for i := range snap.Runs {
			n += snap.Runs[i].Processes
		}
		return n == 1000
	})
	return runs
}

func cpuTime() time.Duration {
	var ru syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkSample is one sample of 200 services of 5 processes each: the goal is 60 ms of CPU.
func BenchmarkSample(b *testing.B) {
	measure := func(runs []Run, age time.Duration) func(b *testing.B) {
		return func(b *testing.B) {
			s := newTestScanner(b)
			now := time.Now()
			for range 20 { // until PSS was read of all
				_, err := s.scan(now, runs)
				must(b, err)
			}
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				now = now.Add(age)
				_, err := s.scan(now, runs)
				must(b, err)
			}
			b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/sample")
		}
	}
	runs := fleet(b)
	b.Run("tree", measure(runs, time.Minute))
	b.Run("tree-pss-always-stale", measure(runs, pssAge+1))
	grouped := make([]Run, len(runs))
	base := cgroupDir(b)
	for i, r := range runs {
		r.Cgroup = filepath.Join(base, r.ID)
		must(b, os.Mkdir(r.Cgroup, 0o700))
		s := newTestScanner(b)
		scanOne(b, s, runs[i])
		for pid := range s.procs {
			if s.procs[pid].run != nil {
				must(b, os.WriteFile(filepath.Join(r.Cgroup, "cgroup.procs"), []byte(fmt.Sprint(pid)), 0))
			}
		}
		grouped[i] = r
	}
	b.Run("cgroup", measure(grouped, time.Minute))
}

func BenchmarkParseStat(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		p := newTestScanner(b).proc
		b.ReportAllocs()
		for b.Loop() {
			_, err := p.stat(os.Getpid())
			must(b, err)
		}
	})
	b.Run("procfs", func(b *testing.B) {
		p, err := procfs.Self()
		must(b, err)
		b.ReportAllocs()
		for b.Loop() {
			_, err := p.Stat()
			must(b, err)
		}
	})
}

// filled is a history of 200 services over the given time, a sample a minute.
func filled(b *testing.B, d time.Duration, now *time.Time) *History {
	b.Helper()
	h := openTest(b, filepath.Join(b.TempDir(), "metrics.db"), now)
	for end := now.Add(d); now.Before(end); *now = now.Add(time.Minute) {
		record(b, h, fleetSnapshot(*now))
	}
	return h
}

func fleetSnapshot(at time.Time) *Snapshot {
	snap := &Snapshot{At: at, Owners: make(map[string]Usage, 200)}
	for i := range 200 {
		snap.Owners[fmt.Sprintf("Service/s%d", i)] = Usage{
			CPUPercent: float64(i), Window: time.Minute, MemoryBytes: int64(i) << 20, OpenFiles: i, Threads: i, Processes: 5,
			ReadBytes: uint64(at.Unix()) * 1000, WriteBytes: uint64(at.Unix()) * 4000, IOKnown: true, Disk: &Disk{Bytes: 1 << 30},
		}
	}
	return snap
}

func BenchmarkHistory(b *testing.B) {
	now := epoch
	h := filled(b, 26*time.Hour, &now)
	if st, err := os.Stat(h.path); err == nil {
		n := tableSizes(b, h)
		b.Logf("%d raw rows, %d of 5 min, %d of 1 h: %d KiB", n[0], n[1], n[2], st.Size()>>10)
	}
	b.Run("read-24h", func(b *testing.B) {
		for b.Loop() {
			rows, err := h.Rows(b.Context(), "Service/s100", 24)
			must(b, err)
			if len(rows) < 24*60-1 {
				b.Fatal(len(rows))
			}
		}
	})
	b.Run("read-168h", func(b *testing.B) {
		for b.Loop() {
			_, err := h.Rows(b.Context(), "Service/s100", 168)
			must(b, err)
		}
	})
	b.Run("record-200", func(b *testing.B) {
		began := cpuTime()
		for b.Loop() { // rolls up and drops each fifth time
			now = now.Add(time.Minute)
			record(b, h, fleetSnapshot(now))
		}
		b.ReportMetric(float64((cpuTime()-began).Microseconds())/1000/float64(b.N), "cpu-ms/record")
	})
	b.Run("rollup-24h", func(b *testing.B) {
		for b.Loop() {
			must(b, rewindMarks(h.db, now.Unix()-day))
			must(b, h.maintain(b.Context(), h.db, now.Unix()))
			h.rolledAt = 0
		}
	})
}
