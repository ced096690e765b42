package logs

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLevelOf(t *testing.T) {
	for _, c := range []struct {
		line   string
		stream Stream
		want   Level
	}{
		{"hello", Stdout, Info},
		{"hello", Stderr, Info},
		{"", Stderr, Info},
		{`{"level":"warn","msg":"x"}`, Stdout, Warning},
		{`{"ts":1,"nested":{"level":"debug"},"severity":"ERROR"}`, Stdout, Error},
		{`{"level":50,"msg":"pino"}`, Stdout, Error},
		{`{"level":30,"msg":"level error"}`, Stdout, Info},
		{`{"msg":"\"level\":\"error\"","level":"info"}`, Stdout, Info},
		{`time=2026-01-02T15:04:05Z level=WARN msg="x"`, Stderr, Warning},
		{`ts=1 lvl=eror msg=x`, Stdout, Error},
		{`msg="no level=error here"x`, Stdout, Error}, // cheap: quotes are not followed
		{"E0102 15:04:05.000000    1 main.go:1] x", Stderr, Error},
		{"W0102 15:04:05.000000    1 main.go:1] x", Stderr, Warning},
		{"INFO:     127.0.0.1:1 - \"GET /error HTTP/1.1\" 500", Stderr, Info},
		{"ERROR:    Exception in ASGI application", Stderr, Error},
		{"WARNING:root:careful", Stderr, Warning},
		{"2026-01-02 15:04:05,123 - my.app - ERROR - no", Stdout, Error},
		{"2026-01-02 15:04:05,123 ERROR [worker] no", Stdout, Error},
		{"[2026-01-02 15:04:05 +0000] [12] [INFO] Booting worker", Stderr, Info},
		{"[2026-01-02 15:04:05 +0000] [12] [CRITICAL] WORKER TIMEOUT", Stderr, Error},
		{"2026/01/02 15:04:05 [error] 1#1: *1 open() failed", Stderr, Error},
		{"2026/01/02 15:04:05 [warn] 1#1: x", Stderr, Warning},
		{"2026-01-02 15:04:05.123 UTC [12] FATAL:  password", Stderr, Error},
		{"2026-01-02 15:04:05.123 UTC [12] LOG:  ready", Stderr, Info},
		{"[2026-01-02T15:04:05Z WARN  my_crate] x", Stderr, Warning},
		{"12:00:00.123 [main] ERROR com.example.App - no", Stdout, Error},
		{"\x1b[32mINFO\x1b[0m: ok", Stderr, Info},
		{"\x1b[31merror\x1b[0m: not ok", Stdout, Error},
		{"[ERROR] x", Stdout, Error},
		{"error: x", Stdout, Error},
		{"warning: unused variable", Stderr, Warning},
		{"DEBUG x", Stdout, Debug},
		{"no error was found", Stderr, Info},
		{"Handled without ERROR today", Stderr, Info},
		{"Traceback (most recent call last):", Stdout, Error},
		{"panic: runtime error", Stderr, Error},
		{"ValueError: no", Stderr, Error},
		{"fatal: not a git repository", Stderr, Error},
		{"bash: foo: command not found", Stderr, Error},
		{"Listening on http://0.0.0.0:8000 (Press CTRL+C to quit)", Stderr, Info},
		{"(node:12) DeprecationWarning: x", Stderr, Warning},
		{"npm ERR! code 1", Stderr, Error},
	} {
		if got := levelOf([]byte(c.line), c.stream); got != c.want {
			t.Errorf("%s %q: %s, want %s", c.stream, c.line, got, c.want)
		}
	}
}

func TestParseLevel(t *testing.T) {
	for l := Level(0); l <= Error; l++ {
		if got, err := ParseLevel(l.String()); err != nil || got != l {
			t.Errorf("%q: %v, %v", l, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("no error for a level that there is not")
	}
}

func TestStripANSI(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                 "plain",
		"\x1b[1;31mred\x1b[0m":                  "red",
		"\x1b]0;title\x07x":                     "x",
		"\x1b]8;;http://x\x1b\\l\x1b]8;;\x1b\\": "l",
		"a\x1b(Bb":                              "ab",
		"a\x1bcb":                               "ab",
		"end\x1b":                               "end",
		"end\x1b[3":                             "end",
		"broken\x1b[3\ntext":                    "broken\ntext",
	} {
		if got := string(stripANSI([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzLevelOf(f *testing.F) {
	for _, s := range []string{`{"level":"warn"`, "level=", "E0102 15:04:05", "[error] x", "\x1b[3", "- ERROR -", `{"a":{"b":[`, "Traceback (most"} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, line []byte, stderr bool) {
		stream := Stdout
		if stderr {
			stream = Stderr
		}
		if l := levelOf(line, stream); l < Debug || l > Error {
			t.Fatalf("%q: %d", line, l)
		}
		var g grouper
		g.begin(line, stream)
		g.joins(line)
	})
}

func FuzzStripANSI(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\x1b]0;t\x07")
	f.Add("\x1b[\x1b[1m")
	f.Fuzz(func(t *testing.T, s string) {
		got := string(stripANSI([]byte(s)))
		if strings.ContainsRune(got, escape) && utf8.ValidString(s) {
			t.Fatalf("%q: %q", s, got)
		}
		if !strings.ContainsRune(s, escape) && got != s {
			t.Fatalf("%q: %q", s, got)
		}
	})
}

func FuzzStamp(f *testing.F) {
	f.Add([]byte("[2026-01-02T15:04:05.123456789Z] x"))
	f.Add([]byte("[2026-01-02T15:04:05.123456789Z]+x"))
	f.Add([]byte("[2026-01-02T15:04:05.123456789Z]!x"))
	f.Add([]byte("[2026-01-02T15:04:05Z] x"))
	f.Add([]byte("[2026-01-02T15:04:05+02:00]"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var s, again stamps
		at, kind, text, ok := s.parse(line)
		at2, kind2, text2, ok2 := s.parse(line) // from memory
		at3, _, _, _ := again.parse(line)
		if at != at2 || at != at3 || kind != kind2 || string(text) != string(text2) || ok != ok2 {
			t.Fatalf("%q is read in two ways", line)
		}
		if !ok && string(text) != string(line) {
			t.Fatalf("%q lost something: %q", line, text)
		}
	})
}
