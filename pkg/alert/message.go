package alert

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// message is what goes out in one request: one alert, or several that had to wait for each other.
type message struct {
	host   string
	alerts []Alert
	// lost is how many alerts before these could not be delivered.
	lost int
}

// maxDetail is how many characters of an alert's detail are sent: a few lines, as a stack trace belongs into the log.
const maxDetail = 1000

func (m *message) status() Status {
	for _, a := range m.alerts {
		if a.Status == Firing {
			return Firing
		}
	}
	return Resolved
}

// title is one line for all.
func (m *message) title() string {
	if len(m.alerts) == 1 {
		return fmt.Sprintf("%s %s on %s", mark(m.alerts[0].Status), oneLine(m.alerts[0].Summary), m.host)
	}
	return fmt.Sprintf("%s %d alerts on %s", mark(m.status()), len(m.alerts), m.host)
}

// body is what the title does not say.
func (m *message) body() string {
	var b strings.Builder
	for _, a := range m.alerts {
		if len(m.alerts) > 1 {
			fmt.Fprintf(&b, "%s %s\n", mark(a.Status), oneLine(a.Summary))
		}
		if d := clip(plain(a.Detail), maxDetail); d != "" {
			b.WriteString(d + "\n")
		}
		if len(m.alerts) == 1 {
			fmt.Fprintf(&b, "%s since %s\n", a.Rule, a.Since.Format(time.RFC3339))
		}
	}
	if m.lost > 0 {
		fmt.Fprintf(&b, "%d alerts before could not be delivered.\n", m.lost)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func mark(s Status) string {
	if s == Resolved {
		return "✅"
	}
	return "🔥"
}

// plain drops what is not text: a service's output may hold anything.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || (unicode.IsControl(r) && r != '\n' && r != '\t') {
			return -1
		}
		return r
	}, strings.TrimSpace(s))
}

func oneLine(s string) string { return clip(strings.ReplaceAll(plain(s), "\n", " "), 200) }

// clip cuts a text at a number of characters, and shows that it did.
func clip(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	n := 0
	for i := range s {
		if n == limit-1 {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
