package testenv

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// BenchmarkLogStream follows a service that prints 5,000 lines a second, as a browser does, for as many seconds as it is
// run: what reaches the reader, in how many pieces, and what the manager and the keeper spend on it.
func BenchmarkLogStream(b *testing.B) {
	e := Start(b)
	e.Service("chatty", `command: [python3, -uc, "import sys,time\nn=0\nnext=time.time()\nwhile True:\n  sys.stdout.write(''.join('line %d with some text behind it, as programs print it, about a hundred bytes of it or so\\n' % (n+i) for i in range(50)))\n  n+=50\n  next+=0.01\n  time.sleep(max(0,next-time.time()))"]`)
	e.WaitPhase("chatty", v1.PhaseRunning)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://supervisor/api/v1/logs/stream?service=chatty&tail=0&follow=true", nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := e.HTTP().Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	r := bufio.NewReaderSize(res.Body, 1<<20)
	lines, pieces := 0, 0
	read := func(until time.Time) {
		for time.Now().Before(until) {
			if r.Buffered() == 0 {
				pieces++
				if _, err := r.Peek(1); err != nil {
					b.Fatal(err)
				}
			}
			block, _ := r.Peek(r.Buffered())
			lines += bytes.Count(block, []byte("data: "))
			if _, err := r.Discard(len(block)); err != nil {
				b.Fatal(err)
			}
		}
	}
	read(time.Now().Add(2 * time.Second)) // what comes first is not the rule
	lines, pieces = 0, 0
	manager, keeper := cpuOf(b, e.ManagerPID()), cpuOf(b, e.KeeperPID())
	b.ResetTimer()
	read(time.Now().Add(time.Duration(b.N) * time.Second))
	b.StopTimer()
	took := b.Elapsed().Seconds()
	b.ReportMetric(float64(lines)/took, "lines/s")
	b.ReportMetric(float64(pieces)/took, "reads/s")
	b.ReportMetric(100*(cpuOf(b, e.ManagerPID())-manager).Seconds()/took, "manager-%core")
	b.ReportMetric(100*(cpuOf(b, e.KeeperPID())-keeper).Seconds()/took, "keeper-%core")
}

// cpuOf is what a process has used of the processors, from schedstat: in nanoseconds, where stat counts in hundredths.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(0)
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(raw), &ns); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
}
