package logs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stamped gives lines the time of one block.
func stamped(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		if strings.HasPrefix(l, "+") || strings.HasPrefix(l, "!") {
			b.WriteString("[2026-01-02T15:04:05.000000000Z]" + l + "\n")
			continue
		}
		b.WriteString("[2026-01-02T15:04:05.000000000Z] " + l + "\n")
	}
	return b.String()
}

func scanAll(block string, name Stream) []string {
	var s scanner
	entries, _, _ := s.scan(scanInput{stream: &stream{name: name}, block: []byte(block), final: true, whole: true}, nil)
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.level.String() + " " + string(e.text)
	}
	return out
}

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"lines", []string{"a", "b"}, []string{"info a", "info b"}},
		{"set in", []string{"a:", "  b", "\tc", "d"}, []string{"info a:\n  b\n\tc", "info d"}},
		{"levels that are set in", []string{"ERROR x", " INFO y", " 2026-01-02 z"}, []string{"error ERROR x", "info  INFO y", "info  2026-01-02 z"}},
		{
			"python",
			[]string{"INFO: a", "Traceback (most recent call last):", `  File "x.py", line 1`, "    no()", "ValueError: no", "INFO: b"},
			[]string{"info INFO: a", "error Traceback (most recent call last):\n  File \"x.py\", line 1\n    no()\nValueError: no", "info INFO: b"},
		},
		{
			"python, told by a logger, with a cause",
			[]string{
				"ERROR:root:bad", "Traceback (most recent call last):", "  x", "KeyError: 1", "", "During handling of the above exception, another exception occurred:", "",
				"Traceback (most recent call last):", "  y", "ValueError: 2", "next",
			},
			[]string{"error ERROR:root:bad\nTraceback (most recent call last):\n  x\nKeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  y\nValueError: 2", "info next"},
		},
		{
			"go",
			[]string{"panic: no", "", "goroutine 1 [running]:", "main.main()", "\t/x.go:1 +0x1", "exit status 2", "after"},
			[]string{"error panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1 +0x1\nexit status 2", "info after"},
		},
		{
			"java",
			[]string{`Exception in thread "main" java.lang.X`, "\tat a.b(C.java:1)", "Caused by: java.lang.Y: no", "\t... 3 more", "after"},
			[]string{"error Exception in thread \"main\" java.lang.X\n\tat a.b(C.java:1)\nCaused by: java.lang.Y: no\n\t... 3 more", "info after"},
		},
		{
			"rust",
			[]string{"thread 'main' panicked at src/main.rs:2:5:", "no", "note: run with x", "after"},
			[]string{"error thread 'main' panicked at src/main.rs:2:5:\nno\nnote: run with x", "info after"},
		},
		{"json", []string{"{", `  "a": 1`, "}", "x"}, []string{"info {\n  \"a\": 1\n}", "info x"}},
		{"one line of two", []string{"long", "+er", "x"}, []string{"info longer", "info x"}},
		{"the keeper's word", []string{"a", "!supervisor: dropped 3 lines", "  b"}, []string{"info a", "warning supervisor: dropped 3 lines", "info   b"}},
		{"empty lines", []string{"a", "", "b"}, []string{"info a", "info ", "info b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, scanAll(stamped(c.lines...), Stderr)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLinesFarApartAreNoEntry(t *testing.T) {
	got := scanAll("[2026-01-02T15:04:05.000000000Z] a\n[2026-01-02T15:04:05.100000001Z]   b\n", Stdout)
	if diff := cmp.Diff([]string{"info a", "info   b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEntriesAreBounded(t *testing.T) {
	lines := []string{"begin"}
	for range 3 * maxEntryLines {
		lines = append(lines, "  more")
	}
	got := scanAll(stamped(lines...), Stdout)
	if len(got) != 4 {
		t.Errorf("%d entries, want 4", len(got))
	}
	long := scanAll(stamped("a", "  "+strings.Repeat("x", 60<<10), "  "+strings.Repeat("y", 60<<10)), Stdout)
	if len(long) != 2 {
		t.Errorf("%d entries, want 2", len(long))
	}
}

func TestForeignLines(t *testing.T) {
	got := scanAll("no time\n"+strings.Repeat("x", maxLine+10)+"\n", Stdout)
	if len(got) != 3 || got[0] != "info no time" || len(got[1])+len(got[2]) != maxLine+10+2*len("info ") {
		t.Errorf("%d entries", len(got))
	}
}

func TestAnOpenEntryWaits(t *testing.T) {
	var s scanner
	block := []byte(stamped("a", "b"))
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC).UnixNano()
	st := &stream{name: Stdout}
	in := scanInput{stream: st, block: block, base: 7, whole: true, now: at + groupWait - 1}
	entries, rest, wait := s.scan(in, nil)
	if len(entries) != 1 || rest != 7+int64(len(block)/2) || wait != at+groupWait {
		t.Errorf("%d entries, rest %d, wait %d", len(entries), rest, wait-at)
	}
	in.now++
	if entries, rest, wait = s.scan(in, nil); len(entries) != 2 || rest != 7+int64(len(block)) || wait != 0 {
		t.Errorf("%d entries, rest %d, wait %d", len(entries), rest, wait)
	}
	in.now = at - int64(time.Hour) // the clock was set back
	if entries, _, _ = s.scan(in, nil); len(entries) != 2 {
		t.Errorf("%d entries with a clock that was set back", len(entries))
	}
	in.now, in.close = at, true
	if entries, _, _ = s.scan(in, nil); len(entries) != 2 {
		t.Errorf("%d entries when all are wanted", len(entries))
	}
}

func TestCountLines(t *testing.T) {
	for text, want := range map[string]int64{
		"":                            0,
		stamped("a", "b"):             2,
		stamped("a", "+b", "+c", "d"): 2,
		stamped("a ]+ b", "x [y]+ z"): 2,
		stamped("+rest", "a"):         1,
		stamped("a", "!supervisor: dropped 40 lines (9 bytes)", "supervisor: dropped 7 lines"): 42,
		stamped("!supervisor: something else"):                                                 0,
		stamped("a") + "unfinished":                                                            2,
		"[a]+\n":                                                                               1,
		stamped("[2026-01-02T15:04:05]+"):                                                      1,
	} {
		if got := countLines([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// Whatever the bytes, and wherever they are cut: entries are the bytes, once.
func FuzzScan(f *testing.F) {
	f.Add([]byte(stamped("a", "  b", "+c")), 10)
	f.Add([]byte("\n\nx\n[2026-01-02T15:04:05.000000000Z] "), 3)
	f.Add([]byte(stamped("Traceback (most recent call last):", "  x", "E: y", "", "z")), 77)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		st := &stream{name: Stderr}
		want := textOf(scanWhole(st, data))
		if len(data) == 0 {
			return
		}
		cut = max(0, cut) % len(data)
		var s scanner
		now := int64(1) << 62
		entries, rest, _ := s.scan(scanInput{stream: st, block: data[:cut], whole: true, now: now}, nil)
		got := textOf(entries)
		if rest < 0 || rest > int64(cut) {
			t.Fatalf("rest %d of %d", rest, cut)
		}
		entries, rest, _ = s.scan(scanInput{stream: st, block: data[rest:], base: rest, whole: true, final: true, now: now}, nil)
		if rest != int64(len(data)) {
			t.Fatalf("%d of %d bytes taken", rest, len(data))
		}
		got = textOf(entries, got...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut at %d:\n%s", cut, diff)
		}
	})
}

func scanWhole(st *stream, data []byte) []entry {
	var s scanner
	entries, _, _ := s.scan(scanInput{stream: st, block: data, whole: true, final: true, now: 1 << 62}, nil)
	return entries
}

// textOf adds the lines of entries, without the borders of entries, which depend on where a file was cut.
func textOf(entries []entry, lines ...string) []string {
	for _, e := range entries {
		own := slices.Collect(strings.SplitSeq(string(e.text), "\n"))
		if e.cont && len(lines) > 0 {
			lines[len(lines)-1] += own[0]
			own = own[1:]
		}
		lines = append(lines, own...)
	}
	return lines
}

func TestBudget(t *testing.T) {
	b := bucket{budget: Budget{Rate: 10, Burst: 5}}
	at := int64(1e18)
	took := 0
	for range 20 {
		if b.take(1, at) {
			took++
		}
	}
	if took != 5 {
		t.Errorf("%d lines at once, want the burst of 5", took)
	}
	if b.take(1, at+pause-1) {
		t.Error("stored within the pause")
	}
	took = 0
	for i := range 1000 { // a second of 1,000 lines, after the pause
		if b.take(1, at+pause+int64(i)*1e6) {
			took++
		}
	}
	if took < 5 || took > 16 {
		t.Errorf("%d lines in the second after the pause, want about 10", took)
	}
	if !b.take(1, at-int64(time.Hour)) {
		t.Error("a clock that was set back stops the log")
	}
	free := bucket{budget: Budget{Rate: -1}}
	for range 1000 {
		if !free.take(1000, at) {
			t.Fatal("a budget without bounds has one")
		}
	}
}

func TestCursor(t *testing.T) {
	for _, c := range []Cursor{{}, {Epoch: 1, ID: 2, At: 3}, {Epoch: 1<<32 - 1, ID: 1<<63 - 1, At: 1<<63 - 1}} {
		if got, err := ParseCursor(c.String()); err != nil || got != c {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, s := range []string{"x", "1-2", "1-2-3-4", "1--2-3", "zzzzzzzzz-1-1", fmt.Sprint(time.Now())} {
		if _, err := ParseCursor(s); err == nil {
			t.Errorf("%q was taken for a cursor", s)
		}
	}
}
