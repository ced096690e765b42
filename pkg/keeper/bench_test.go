package keeper_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/process"
)

// BenchmarkStart starts 200 programs, as a manager does that comes up, beside the floor: as many bare starts of the same
// program, one after the other.
func BenchmarkStart(b *testing.B) {
	const n = 200
	b.Run("keeper", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			h := newHouse(b)
			h.pid()
			specs := make([]process.Spec, n)
			for i := range specs {
				specs[i] = h.spec("/bin/sleep", "1000")
			}
			ctx := h.ctx()
			b.StartTimer()
			var wg sync.WaitGroup
			for _, s := range specs {
				wg.Go(func() {
					if _, err := h.Start(ctx, s); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			h.clean()
			h.down = true
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/start")
	})
	b.Run("floor", func(b *testing.B) {
		for range b.N {
			var started []*os.Process
			for range n {
				p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{Env: []string{}})
				if err != nil {
					b.Fatal(err)
				}
				started = append(started, p)
			}
			b.StopTimer()
			for _, p := range started {
				_ = p.Kill()
				_, _ = p.Wait()
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/start")
	})
}

// BenchmarkRespawn kills a program and starts the next when its exit is heard.
func BenchmarkRespawn(b *testing.B) {
	h := newHouse(b)
	heard := make(chan struct{}, 1)
	h.OnChange(func(string) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	s := h.spec("/bin/sleep", "1000")
	h.start(s)
	for b.Loop() {
		if err := syscall.Kill(h.run(s.ID).PID, syscall.SIGKILL); err != nil {
			b.Fatal(err)
		}
		for h.run(s.ID).Live() {
			<-heard
		}
		old := s.ID
		h.runs++
		s.ID = process.RunID(fmt.Sprintf("run-%d", h.runs))
		if _, err := h.Start(h.t.Context(), s); err != nil {
			b.Fatal(err)
		}
		if err := h.Forget(h.t.Context(), old); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStop200 stops 200 programs at once.
func BenchmarkStop200(b *testing.B) {
	const n = 200
	for range b.N {
		b.StopTimer()
		h := newHouse(b)
		h.pid()
		gone := make(chan struct{}, n)
		var once [n]sync.Once
		specs := make([]process.Spec, n)
		for i := range specs {
			specs[i] = h.spec("/bin/sleep", "1000")
			h.start(specs[i])
		}
		h.OnChange(func(owner string) {
			var i int
			if _, err := fmt.Sscanf(owner, "Service/run-%d", &i); err != nil {
				b.Error(err)
			}
			if r := h.Runs(owner); len(r) == 1 && !r[0].Live() {
				once[i-1].Do(func() { gone <- struct{}{} })
			}
		})
		ctx := h.ctx()
		b.StartTimer()
		for _, s := range specs {
			go func() {
				if err := h.Stop(ctx, s.ID, syscall.SIGTERM, 10*time.Second); err != nil {
					b.Error(err)
				}
			}()
		}
		for range n {
			<-gone
		}
		b.StopTimer()
		if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid())); err == nil {
			var kb float64
			for line := range splitLines(raw) {
				if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
					b.ReportMetric(kb/1024, "MiB-RSS")
				}
			}
		}
		h.clean()
		h.down = true
	}
}

// BenchmarkPump moves lines of 100 bytes from a program to its log, beside the floor: the same program piped into cat.
func BenchmarkPump(b *testing.B) {
	const size = 2 << 30
	script := fmt.Sprintf("yes %0*d | head -c %d", 99, 7, size)
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.N)*size/1e6/b.Elapsed().Seconds(), "MB/s")
	}
	b.Run("keeper", func(b *testing.B) {
		h := newHouse(b)
		for range b.N {
			s := h.sh(script)
			s.Logs.MaxBytes = 64 << 20
			h.start(s)
			for r := h.run(s.ID); r == nil || r.Live(); r = h.run(s.ID) { // longer than a test may wait
				<-time.After(time.Millisecond)
			}
		}
		b.StopTimer()
		report(b)
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.pid()))
		if err == nil {
			var user, system float64
			fields := splitFields(raw)
			_, _ = fmt.Sscan(fields[11], &user)
			_, _ = fmt.Sscan(fields[12], &system)
			b.ReportMetric((user+system)/100/(float64(b.N)*size/1e9), "cpu-s/GB")
		}
	})
	b.Run("floor", func(b *testing.B) {
		dir := b.TempDir()
		for range b.N {
			if err := exec.Command("/bin/sh", "-c", script+" | cat > "+filepath.Join(dir, "out")).Run(); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
}

// BenchmarkFrames is what the socket adds to a request.
func BenchmarkFrames(b *testing.B) {
	s := process.Spec{ID: "run", Owner: "Service/web", Slot: "Service/web/0", Argv: []string{"sleep", "1"}, Env: os.Environ()}
	for b.Loop() {
		out, err := process.AppendFrame(nil, process.Frame{ID: 1, Verb: process.VerbStart}, s)
		if err != nil {
			b.Fatal(err)
		}
		r, w := io.Pipe()
		go func() { _, _ = w.Write(out) }()
		if _, err := process.ReadFrame(r); err != nil {
			b.Fatal(err)
		}
	}
}
