package testenv

import (
	"net/url"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/api/wire"
)

// The lines of an entry know it, and it is a place in the pages of entries: up to it, and before it.
func TestLinesKnowTheirEntry(t *testing.T) {
	t.Parallel()
	e := Start(t)
	e.Write("web.yaml", Manifest("web", "command: [sh, -c, 'echo first; printf \"Traceback (most recent call last):\\n  File x, line 1\\nValueError: bad\\n\" >&2; sleep 1; echo last; exec sleep 1000']\n"))
	var lines []wire.LogLine
	e.Wait("the last line", func() bool {
		lines = nil
		err := e.Client.Logs(t.Context(), []string{"web"}, wire.LogOptions{Tail: -1}, func(l wire.LogLine) error { lines = append(lines, l); return nil })
		return err == nil && len(lines) == 5
	})
	trace := map[string]string{}
	for _, l := range lines {
		if l.Stream == "stderr" {
			trace[l.Entry] += l.Level + " " + l.Text + "\n"
		}
	}
	if len(trace) != 1 {
		t.Fatalf("%+v", lines)
	}
	for entry, text := range trace {
		if text != "error Traceback (most recent call last):\nerror   File x, line 1\nerror ValueError: bad\n" {
			t.Errorf("%q", text)
		}
		var page wire.LogPage
		get := func(param string) string {
			e.get("/api/v1/logs?service=web&"+param+"="+url.QueryEscape(entry), &page)
			texts := make([]string, len(page.Rows))
			for i, r := range page.Rows {
				texts[i], _, _ = strings.Cut(r.Text, "\n")
			}
			return strings.Join(texts, "|")
		}
		if got := get("through"); !strings.HasPrefix(got, "Traceback") || strings.Contains(got, "last|") || page.Rows[0].Cursor != entry {
			t.Errorf("through: %s", got)
		}
		if got := get("cursor"); strings.Contains(got, "Traceback") {
			t.Errorf("before: %s", got)
		}
		var after []string
		err := e.Client.Logs(t.Context(), []string{"web"}, wire.LogOptions{Resume: entry + "+0"}, func(l wire.LogLine) error { after = append(after, l.Text); return nil })
		if err != nil || len(after) == 0 || after[len(after)-1] != "last" || strings.Contains(strings.Join(after, "|"), "Traceback") {
			t.Errorf("after: %v %v", after, err)
		}
	}
}
