package logs

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const benchLine = "GET /api/items/%d HTTP/1.1 status=200 duration=%dms user=alice request handled path=/x/%d agent=curl"

// benchFile writes n lines of one file, as a keeper would in a flood.
func benchFile(tb testing.TB, dir string, n int, text func(i int) string) {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		tb.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "stdout.log"))
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	at := time.Now().Add(-time.Hour)
	for i := range n {
		if i%1000 == 0 {
			at = at.Add(time.Millisecond)
		}
		fmt.Fprintf(w, "%s%s\n", at.UTC().Format("[2006-01-02T15:04:05.000000000Z] "), text(i))
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

func benchText(i int) string { return fmt.Sprintf(benchLine, i, i%977, i%13) }

// BenchmarkIngest is from the file into committed rows: one op is a row.
func BenchmarkIngest(b *testing.B) {
	w := newWorld(b, Options{Budget: Budget{Rate: -1}})
	dir := b.TempDir()
	benchFile(b, dir, b.N, benchText)
	before := cpu(b)
	b.ResetTimer()
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/(cpu(b)-before).Seconds(), "rows/cpu-s") // what a busy machine does not change
	if n := w.Stats().Rows; n != int64(b.N) {
		b.Fatalf("%d rows of %d", n, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkIngestIndexed also waits for the words.
func BenchmarkIngestIndexed(b *testing.B) {
	w := newWorld(b, Options{Budget: Budget{Rate: -1}})
	dir := b.TempDir()
	benchFile(b, dir, b.N, benchText)
	b.ResetTimer()
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	indexed(b, w)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func indexed(b *testing.B, w *world) {
	b.Helper()
	eventually(b, "all words are indexed", func() bool {
		left := make(chan int64, 1)
		w.order(func(f *follower) { left <- f.w.unindexed() })
		return <-left < indexChunk
	})
}

// BenchmarkCountFlood is what happens to lines beyond the budget: one op is a line.
func BenchmarkCountFlood(b *testing.B) {
	w := newWorld(b, Options{Budget: Budget{Rate: 1000, Burst: 1000}})
	dir := b.TempDir()
	benchFile(b, dir, b.N, benchText)
	b.ResetTimer()
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// million is an index of a million rows of 20 services.
func million(b *testing.B) *world {
	b.Helper()
	w := newWorld(b, Options{Budget: Budget{Rate: -1}})
	for s := range 20 {
		dir := b.TempDir()
		benchFile(b, dir, 50_000, func(i int) string {
			if i == 25_000 && s == 7 {
				return "a needle in the haystack"
			}
			return benchText(i*20 + s)
		})
		w.Attach(Source{Service: fmt.Sprintf("s%02d", s), Dir: dir})
	}
	w.sync()
	indexed(b, w)
	return w
}

func BenchmarkMillionRows(b *testing.B) {
	w := million(b)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"last100", Query{Filter: Filter{Services: []string{"s03"}}}},
		{"last100OfAll", Query{}},
		{"errorsOfOne", Query{Filter: Filter{Services: []string{"s03"}, Level: Error}}},
		{"rareWord", Query{Filter: Filter{Text: "needle"}}},
		{"rareWordInOne", Query{Filter: Filter{Services: []string{"s07"}, Text: "needle"}}},
		{"commonWord", Query{Filter: Filter{Text: "handled"}}},
		{"commonWordInOne", Query{Filter: Filter{Services: []string{"s03"}, Text: "handled alice"}}},
		{"absentWord", Query{Filter: Filter{Text: "absent"}}},
		{"phrase", Query{Filter: Filter{Text: `"request handled" "items/777777"`}}},
		{"prefix", Query{Filter: Filter{Text: "needl*"}}},
		{"regexp", Query{Filter: Filter{Regexp: regexp.MustCompile(`needle in`)}}},
		{"since", Query{Filter: Filter{Since: time.Now()}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.Query(b.Context(), c.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("stats", func(b *testing.B) {
		used := w.Stats()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(used.DiskBytes)/1e6, "MB-disk")
		b.ReportMetric(float64(m.HeapInuse)/1e6, "MB-heap")
	})
}

// BenchmarkCPUThousandLines follows 1,000 lines a second that another process writes, one by one: one op is a second, cpu-ms
// is what it cost us.
func BenchmarkCPUThousandLines(b *testing.B) {
	w := newWorld(b, Options{})
	dir := b.TempDir()
	w.Attach(Source{Service: "web", Dir: dir})
	w.sync()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LOGS_TEST_WRITE="+dir)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	eventually(b, "lines come", func() bool { return w.Stats().Lines > 0 })
	before, lines := cpu(b), w.Stats().Lines
	b.ResetTimer()
	end := time.NewTimer(time.Duration(b.N) * time.Second)
	<-end.C
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/s")
	b.ReportMetric(float64(w.Stats().Lines-lines)/float64(b.N), "lines/s")
}

// writeForEver writes a thousand lines a second.
func writeForEver(dir string) {
	f, err := os.OpenFile(filepath.Join(dir, "stdout.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		os.Exit(1)
	}
	tick := time.NewTicker(time.Millisecond)
	for i := 0; ; i++ {
		now := <-tick.C
		if _, err := fmt.Fprintf(f, "%s%s\n", now.UTC().Format("[2006-01-02T15:04:05.000000000Z] "), benchText(i)); err != nil {
			os.Exit(1)
		}
	}
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
