package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func lineTexts(lines []Line) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.Text
	}
	return out
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	e := newKeeper(t, dir, Stderr)
	e.at = k.at.Add(time.Millisecond)
	for i := range 10 {
		k.line("out %d", i)
		e.line("err %d", i)
		if i == 4 {
			k.rotate()
		}
	}
	half := k.at
	k.raw(k.stamp(" ") + "long")
	k.raw("\n" + k.stamp("+") + "er\n")
	k.raw(k.stamp(" ") + "open")
	for _, c := range []struct {
		name   string
		stream Stream
		n      int
		since  time.Time
		want   []string
	}{
		{"few", Stdout, 2, time.Time{}, []string{"longer", "open"}},
		{"across files", Stdout, 8, time.Time{}, []string{"out 4", "out 5", "out 6", "out 7", "out 8", "out 9", "longer", "open"}},
		{"both", "", 4, time.Time{}, []string{"out 9", "err 9", "longer", "open"}},
		{"since", Stdout, 100, half, []string{"longer", "open"}},
		{"none", Stdout, 0, time.Time{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Tail(dir, c.stream, c.n, c.since)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, append([]string(nil), lineTexts(got)...)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got, err := Tail(filepath.Join(dir, "none"), "", 5, time.Time{}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	all, err := Tail(dir, Stdout, 1000, time.Time{})
	if err != nil || len(all) != 12 || !all[11].Open || all[10].Open {
		t.Errorf("%+v, %v", all, err)
	}
}

// The last lines are the last lines, whatever their length against the blocks that are read.
func TestTailOfLongLines(t *testing.T) {
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	var want []string
	for i := range 40 {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("x", i*1511))
		k.line("%s", text)
		want = append(want, text)
	}
	for _, n := range []int{1, 3, 17, 40, 41} {
		got, err := Tail(dir, Stdout, n, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[max(0, 40-n):], lineTexts(got)); diff != "" {
			t.Errorf("%d lines differ", n)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	k := newKeeper(t, dir, Stdout)
	k.line("one")
	k.rotate()
	k.line("two")
	newKeeper(t, dir, Stderr)
	for _, junk := range []string{"stdout.log.x", "stdout.log.01", "stdout.log.0", "other.log", "stdout.log.gz"} {
		if err := os.WriteFile(filepath.Join(dir, junk), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, fmt.Sprintf("%s %s %d %v", f.Name, f.Stream, f.Index, f.Size > 0))
	}
	if diff := cmp.Diff([]string{"stdout.log stdout 0 true", "stdout.log.1 stdout 1 true", "stderr.log stderr 0 false"}, names); diff != "" {
		t.Error(diff)
	}
	f, err := OpenFile(dir, "stdout.log.1")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := io.ReadAll(f); err != nil || !strings.HasSuffix(string(text), "one\n") {
		t.Errorf("%q, %v", text, err)
	}
	for _, name := range []string{"other.log", "../x/stdout.log", "stdout.log.0", "stdout.log.9", "", "stdout.log/../other.log"} {
		if _, err := OpenFile(dir, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if files, err := Files(filepath.Join(dir, "none")); err != nil || files != nil {
		t.Errorf("%v, %v", files, err)
	}
}

func TestManagerLog(t *testing.T) {
	for _, json := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "supervisor.log")
		var also bytes.Buffer
		m := NewManagerLog(path, ManagerLogOptions{JSON: json, Level: slog.LevelDebug, Also: &also, Replace: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "token" {
				a.Value = slog.StringValue("***")
			}
			return a
		}})
		for i := range 300 {
			m.Logger().Log(context.WithoutCancel(t.Context()), slog.LevelDebug, "message", "n", i, "token", "hunter2")
		}
		lines, total, err := m.Lines(100)
		if err != nil || len(lines) != 100 || total != 300 {
			t.Fatalf("%d lines of %d, %v", len(lines), total, err)
		}
		if !strings.Contains(lines[99], "299") || !strings.Contains(lines[0], "200") || strings.Contains(also.String(), "hunter2") {
			t.Errorf("%q ... %q", lines[0], lines[99])
		}
		if err := m.file.Rotate(); err != nil {
			t.Fatal(err)
		}
		m.Logger().Info("after")
		if lines, _, err = m.Lines(3); err != nil || len(lines) != 3 || !strings.Contains(lines[2], "after") || !strings.Contains(lines[1], "299") {
			t.Errorf("%q, %v", lines, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if lines, total, err := ManagerLines(filepath.Join(t.TempDir(), "none.log"), 10); err != nil || len(lines) != 0 || total != 0 {
		t.Errorf("%q, %d, %v", lines, total, err)
	}
}

// A log that cannot be written does not silence the terminal.
func TestManagerLogOnABadDisk(t *testing.T) {
	var also bytes.Buffer
	m := NewManagerLog("/dev/null/supervisor.log", ManagerLogOptions{Also: &also})
	m.Logger().Info("heard")
	if !strings.Contains(also.String(), "heard") {
		t.Error("nothing on the terminal")
	}
}
