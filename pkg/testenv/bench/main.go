// Command bench measures what Supervisor costs and how fast it is, on real processes, each figure beside its floor.
//
// The floor of a start is a C loop that only posix_spawns the same programs. Machines are noisy: compare the ratios of
// one run, not the milliseconds of two.
package main

import (
	"bufio"
	"context"
	"embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed testdata/*.c
var sources embed.FS

func main() {
	bin := flag.String("bin", "bin", "folder of supervisor and supervisor-keeper")
	rounds := flag.Int("rounds", 5, "rounds of each cold start; the median is printed")
	count := flag.Int("count", 200, "services")
	idle := flag.Duration("idle", 20*time.Second, "how long the idle cost is measured")
	keep := flag.Bool("keep", false, "keep the work folder")
	flag.Parse()

	b := &bench{rounds: *rounds, count: *count, idle: *idle, out: os.Stdout}
	if err := b.run(*bin, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench holds the work folder and the programs that were compiled into it.
type bench struct {
	rounds, count int
	idle          time.Duration
	out           *os.File

	work               string
	supervisor         string
	stampBin, floorBin string
}

func (b *bench) run(bin string, keep bool) error {
	var err error
	if b.supervisor, err = filepath.Abs(filepath.Join(bin, "supervisor")); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "supervisor-bench-"); err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(b.work)
	}
	if err := b.compile(); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d cores, %s, %s/%s, median of %d rounds\n\n", runtime.NumCPU(), kernel(), runtime.GOOS, runtime.GOARCH, b.rounds)
	for _, n := range []int{50, b.count} {
		if err := b.coldStart(n); err != nil {
			return fmt.Errorf("cold start of %d: %w", n, err)
		}
	}
	return b.warm()
}

// compile builds the two C programs; static, so that exec itself costs as little as it can.
func (b *bench) compile() error {
	for name, out := range map[string]*string{"stamp": &b.stampBin, "floor": &b.floorBin} {
		text, err := sources.ReadFile("testdata/" + name + ".c")
		if err != nil {
			return err
		}
		source := filepath.Join(b.work, name+".c")
		if err := os.WriteFile(source, text, 0o600); err != nil {
			return err
		}
		*out = filepath.Join(b.work, name)
		if msg, err := exec.Command("gcc", "-O2", "-static", "-o", *out, source).CombinedOutput(); err != nil {
			return fmt.Errorf("gcc %s: %w: %s", source, err, msg)
		}
	}
	return nil
}

// coldStart compares launching the manager on a folder of n manifests with the floor, interleaved.
func (b *bench) coldStart(n int) error {
	var floors, ours, again []time.Duration
	for range b.rounds {
		f, err := b.floor(n)
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		floors = append(floors, f)

		d, err := newDaemon(b, n)
		if err != nil {
			return err
		}
		first, err := d.launch(n)
		if err != nil {
			d.stop()
			return err
		}
		ours = append(ours, first)
		// Once more with the database and the folders that the first start made: what a reboot looks like.
		if err := d.shutdown(); err != nil {
			d.stop()
			return err
		}
		second, err := d.launch(n)
		d.stop()
		if err != nil {
			return err
		}
		again = append(again, second)
	}
	floor := median(floors)
	fmt.Fprintf(b.out, "cold start of %3d: floor %s, first start %s (%.1fx), later start %s (%.1fx)\n", n,
		ms(floor), ms(median(ours)), ratio(median(ours), floor), ms(median(again)), ratio(median(again), floor))
	return nil
}

// floor posix_spawns n stamps and returns the time from the launch of the loop to the last exec.
func (b *bench) floor(n int) (time.Duration, error) {
	file := filepath.Join(b.work, "floor.stamps")
	if err := os.RemoveAll(file); err != nil {
		return 0, err
	}
	begin := time.Now()
	out, err := exec.Command(b.floorBin, b.stampBin, file, strconv.Itoa(n)).Output()
	if err != nil {
		return 0, err
	}
	stamps, err := waitStamps(file, n)
	for _, line := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(line); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if err != nil {
		return 0, err
	}
	return last(stamps).Sub(begin), nil
}

// stamp is one line of a stamp file.
type stamp struct {
	name string
	at   time.Time
	pid  int
}

// waitStamps waits until file holds n stamps.
func waitStamps(file string, n int) ([]stamp, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		stamps, err := readStamps(file)
		if err != nil || len(stamps) >= n {
			return stamps, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %d of %d programs started within 60s", file, len(stamps), n)
		}
	}
}

func readStamps(file string) ([]stamp, error) {
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var stamps []stamp
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) != 3 {
			continue
		}
		ns, err1 := strconv.ParseInt(words[1], 10, 64)
		pid, err2 := strconv.Atoi(words[2])
		if err1 == nil && err2 == nil {
			stamps = append(stamps, stamp{words[0], time.Unix(0, ns), pid})
		}
	}
	return stamps, nil
}

func last(stamps []stamp) time.Time {
	return slices.MaxFunc(stamps, func(a, b stamp) int { return a.at.Compare(b.at) }).at
}

func median(d []time.Duration) time.Duration { return quantile(d, 0.5) }

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[int(q*float64(len(s)-1)+0.5)]
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

func kernel() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return "unknown kernel"
	}
	var s []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		s = append(s, byte(c))
	}
	return "Linux " + string(s)
}
