package cli

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// The colours, as the terminal wants them.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// wantsColor reports whether f is a terminal whose user has not asked for plain text (https://no-color.org).
func wantsColor(f *os.File, getenv func(string) string) bool {
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (c *cli) paint(color, text string) string {
	if !c.Color || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// colorOf is the colour of a word that tells good from bad.
func colorOf(word string) string {
	switch word {
	case string(v1.PhaseRunning), "ok", "ready", routeAnswers:
		return green
	case string(v1.PhaseFailed), string(v1.EventWarning), "failed", routeRefused:
		return red
	case string(v1.PhasePending), string(v1.PhaseStarting), string(v1.PhaseUnready), string(v1.PhaseStopping), string(v1.PhaseBackoff), routeSilent:
		return yellow
	case string(v1.PhaseStopped), string(v1.PhaseComplete), "Deleted":
		return faint
	}
	return ""
}

// escape is a sequence that sets colours or moves the cursor.
var escape = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]`)

// plain keeps a text of unknown origin to one line, and from steering the terminal.
func plain(s string) string {
	if strings.ContainsRune(s, '\x1b') {
		s = escape.ReplaceAllString(s, "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
}

// span renders a time span with at most two units: 8s, 3m20s, 5h, 2d4h.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	pair := func(a int, x string, b int, y string) string {
		if b == 0 {
			return fmt.Sprintf("%d%s", a, x)
		}
		return fmt.Sprintf("%d%s%d%s", a, x, b, y)
	}
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return pair(int(d.Minutes()), "m", int(d.Seconds())%60, "s")
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 8*time.Hour:
		return pair(int(d.Hours()), "h", int(d.Minutes())%60, "m")
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	case d < 8*day:
		return pair(int(d/day), "d", int(d.Hours())%24, "h")
	default:
		return fmt.Sprintf("%dd", int(d/day))
	}
}

// ago renders a moment that has passed: "3m ago". An unknown one is "-".
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t)) + " ago"
}

// in renders a moment that will come: "in 8s".
func in(now, t time.Time) string {
	if !t.After(now) {
		return "now"
	}
	return "in " + span(t.Sub(now))
}

// took renders how long something took, with fractions where it was short.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return span(d)
}

// count renders "1 service", "2 services".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// valueOr renders an optional moment.
func valueOr(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
