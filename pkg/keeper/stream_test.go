package keeper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/philiporange/supervisor/pkg/process"
)

// desk writes blocks to a log the way a stream does that has read them from a pipe.
type desk struct {
	*stream
	now     time.Time
	dropped process.Dropped
}

func newDesk(files *logFiles, spec process.LogSpec) *desk {
	d := &desk{now: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)}
	d.stream = &stream{file: files.get(spec, "stdout"), fd: -1, eof: make(chan struct{}), gate: &gate{}}
	d.report = func(total process.Dropped) { d.dropped = total }
	return d
}

func (d *desk) print(text string) {
	d.task = task{size: len(text), at: d.now, limit: d.file.max.Load()}
	d.feed([]byte(text), d.now, make([]byte, 0, 2*maxLine+4*prefixLen))
}

func noFiles() *logFiles { return &logFiles{files: map[string]*logFile{}} }

// readLog returns the lines of a log and its rotated files, oldest first, without prefixes and with continued lines joined.
// It fails when a line has no prefix.
func readLog(t interface{ Fatalf(string, ...any) }, dir string, backups int) []string {
	var lines []string
	for i := backups; i >= 0; i-- {
		path := filepath.Join(dir, "stdout.log")
		if i > 0 {
			path += "." + strconv.Itoa(i)
		}
		raw, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatalf("%v", err)
		}
		for line := range strings.Lines(string(raw)) {
			if !startsLine([]byte(line)) {
				t.Fatalf("%s: line without a prefix: %.200q", path, line)
			}
			text := strings.TrimSuffix(line[prefixLen:], "\n")
			if line[prefixLen-1] == '+' {
				lines[len(lines)-1] += text
			} else {
				lines = append(lines, text)
			}
		}
	}
	return lines
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name   string
		blocks []string
		want   []string
		lines  int // in the file
	}{
		{"whole", []string{"a\nb\n"}, []string{"a", "b"}, 2},
		{"in pieces", []string{"a", "b", "c\nd"}, []string{"abc", "d"}, 2},
		{"empty lines", []string{"\n\n", "\n"}, []string{"", "", ""}, 3},
		{"bytes as they are", []string{"\x00\xff\r\n"}, []string{"\x00\xff\r"}, 1},
		{"as long as may be", []string{long + "\n"}, []string{long}, 1},
		{"longer", []string{long + "y\nz\n"}, []string{long + "y", "z"}, 3},
		{"longer in pieces", []string{long[:100], long, "y\nz\n"}, []string{long[:100] + long + "y", "z"}, 3},
		{"much longer", []string{long + long + long + "\n"}, []string{long + long + long}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDesk(noFiles(), process.LogSpec{Dir: dir})
			for _, b := range tt.blocks {
				d.print(b)
			}
			d.finish(d.now)
			if got := readLog(t, dir, 0); !slices.Equal(got, tt.want) {
				t.Errorf("%.100q, want %.100q", got, tt.want)
			}
			raw, err := os.ReadFile(filepath.Join(dir, "stdout.log"))
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Count(raw, []byte{'\n'}); got != tt.lines || raw[len(raw)-1] != '\n' {
				t.Errorf("%d lines in the file, want %d", got, tt.lines)
			}
		})
	}
}

func TestPartialLineIsInTheFileAtOnce(t *testing.T) {
	dir := t.TempDir()
	d := newDesk(noFiles(), process.LogSpec{Dir: dir})
	d.print("Password: ")
	if got := readLog(t, dir, 0); !slices.Equal(got, []string{"Password: "}) {
		t.Errorf("%q", got)
	}
}

// Two runs that overlap write to one file: no line is within another.
func TestTwoWriters(t *testing.T) {
	dir, files := t.TempDir(), noFiles()
	a, b := newDesk(files, process.LogSpec{Dir: dir}), newDesk(files, process.LogSpec{Dir: dir})
	a.print("a1 begun")
	b.print("b1\n")
	a.print(", ended\n")
	b.print("b2 begun")
	a.finish(a.now)
	b.print(", ended\n")
	raw, err := os.ReadFile(filepath.Join(dir, "stdout.log"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(raw)) {
		got = append(got, line[prefixLen-1:])
	}
	want := []string{" a1 begun\n", " b1\n", "+, ended\n", " b2 begun, ended\n"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A keeper that takes over goes on with the line that the last one has begun; a new run does not.
func TestTakingOver(t *testing.T) {
	for _, resumes := range []bool{true, false} {
		dir := t.TempDir()
		newDesk(noFiles(), process.LogSpec{Dir: dir}).print("one\ntw")
		next := newDesk(noFiles(), process.LogSpec{Dir: dir})
		next.resumes = resumes
		next.print("o\nthree\n")
		want := []string{"one", "two", "three"}
		if !resumes {
			want = []string{"one", "tw", "o", "three"}
		}
		if got := readLog(t, dir, 0); !slices.Equal(got, want) {
			t.Errorf("resumes %v: %q, want %q", resumes, got, want)
		}
	}
}

func TestFileDeletedOrMovedWhileOpen(t *testing.T) {
	for name, disturb := range map[string]func(path string) error{
		"deleted":        os.Remove,
		"moved":          func(path string) error { return os.Rename(path, path+".old") },
		"folder removed": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		"truncated":      func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "web")
			d := newDesk(noFiles(), process.LogSpec{Dir: dir})
			d.print("before\n")
			if err := disturb(filepath.Join(dir, "stdout.log")); err != nil {
				t.Fatal(err)
			}
			d.now = d.now.Add(recheck)
			d.print("after\n")
			if got := readLog(t, dir, 0); !slices.Equal(got, []string{"after"}) {
				t.Errorf("%q", got)
			}
		})
	}
}

// Whatever is printed in whatever blocks, under any limits: every line is there once, in order, whole, and no file is larger
// than allowed unless a single line is.
func TestRotationProperty(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(base, strconv.Itoa(n))
		const backups = 400
		limit := rapid.Int64Range(40, 5000).Draw(t, "limit")
		d := newDesk(noFiles(), process.LogSpec{Dir: dir, MaxBytes: limit, Backups: backups})
		lines := rapid.SliceOfN(rapid.StringOfN(rapid.RuneFrom([]rune("ab[]Z+ ")), 0, 300, -1), 1, 60).Draw(t, "lines")
		text := strings.Join(lines, "\n") + "\n"
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, min(len(rest), 700)).Draw(t, "block")
			d.print(rest[:n])
			rest = rest[n:]
		}
		d.finish(d.now)
		if got := readLog(t, dir, backups); !slices.Equal(got, lines) {
			t.Fatalf("%q, want %q", got, lines)
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			// An unfinished line may grow past the limit after it was begun.
			if first := bytes.IndexByte(raw, '\n') + 1; int64(len(raw)) > limit+300 && first < len(raw) {
				t.Fatalf("%s has %d bytes of %d", f.Name(), len(raw), limit)
			}
		}
	})
}

func TestBackupsAreDropped(t *testing.T) {
	for _, backups := range []int{0, 2} {
		dir := t.TempDir()
		d := newDesk(noFiles(), process.LogSpec{Dir: dir, MaxBytes: 200, Backups: backups})
		for i := range 100 {
			d.print(fmt.Sprintf("line %02d\n", i))
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) != backups+1 {
			t.Errorf("%d files, want %d", len(files), backups+1)
		}
		if got := readLog(t, dir, backups); got[len(got)-1] != "line 99" || len(got) > 4*(backups+1) {
			t.Errorf("%q", got)
		}
	}
}

// On a full disk lines are dropped, counted and said; what is in the file is whole lines.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a small file system is mounted")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	files := noFiles()
	d := newDesk(files, process.LogSpec{Dir: dir, MaxBytes: 10 << 20})
	printed := 0
	for range 200 {
		var b strings.Builder
		for range 50 {
			fmt.Fprintf(&b, "line %06d with some text behind it\n", printed)
			printed++
		}
		d.print(b.String())
	}
	d.print("begun, ")
	if d.dropped.Lines == 0 || d.dropped.Reason != "no space left on device" {
		t.Fatalf("dropped %+v", d.dropped)
	}
	// Somebody makes room.
	kept := readLog(t, dir, 0)
	for i, line := range kept {
		if line != fmt.Sprintf("line %06d with some text behind it", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if err := os.Remove(filepath.Join(dir, "stdout.log")); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(2 * recheck)
	d.print("ended\nafter\n")
	d.finish(d.now)
	got := readLog(t, dir, 0)
	lost := int64(printed-len(kept)) + 1
	if len(got) != 2 || got[1] != "after" ||
		!strings.HasPrefix(got[0], fmt.Sprintf("supervisor: dropped %d lines (", lost)) {
		t.Errorf("%q, want a marker for %d lines and the next line", got, lost)
	}
	if want := int64((printed-len(kept))*len("line 000000 with some text behind it\n") + len("begun, ended\n")); d.total.Bytes != want || d.total.Lines != lost {
		t.Errorf("dropped %+v, want %d bytes, %d lines", d.total, want, lost)
	}
}

// A slow disk of one service is not another's.
func TestStreamsAreServedInTurn(t *testing.T) {
	poll, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(poll.run)
	}
	defer func() { poll.close(); workers.Wait() }()
	sl, err := openSlate("")
	if err != nil {
		t.Fatal(err)
	}
	dir, files, pool := t.TempDir(), noFiles(), newBufferPool(2, sl)
	open := func(name string) (*stream, *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := syscall.Dup(int(r.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
		s := &stream{
			file: files.get(process.LogSpec{Dir: filepath.Join(dir, name), Backups: 1}, "stdout"), fd: fd, size: 64 << 10, poll: poll, pool: pool, slate: sl,
			gate: &gate{}, grow: func(int, int) bool { return false }, eof: make(chan struct{}), report: func(process.Dropped) {},
		}
		s.watch()
		return s, w
	}
	flood, floodEnd := open("flood")
	quiet, quietEnd := open("quiet")
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		block := bytes.Repeat([]byte("flood\n"), 10000)
		for {
			select {
			case <-stop:
				_ = floodEnd.Close()
				return
			default:
				if _, err := floodEnd.Write(block); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range 20 {
		if _, err := fmt.Fprintf(quietEnd, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(10 * time.Second)
		for {
			if _, err := os.Stat(quiet.file.path); err == nil && len(readLog(t, filepath.Join(dir, "quiet"), 0)) == i+1 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("a quiet service is not heard beside a loud one")
			}
		}
	}
	close(stop)
	writer.Wait()
	_ = quietEnd.Close()
	<-quiet.eof
	<-flood.eof
}
