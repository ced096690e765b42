package logs

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// modelled is a keeper that remembers what it wrote.
type modelled struct {
	*keeper
	lines  []string
	open   string // of an unfinished line
	within bool   // there is one, maybe an empty one
	unread int    // rotations since everything was read
}

func (m *modelled) add(text string) {
	m.line("%s", text)
	m.lines = append(m.lines, text)
}

// finish ends an unfinished line, as the keeper does before it writes another or rotates.
func (m *modelled) finish() {
	if m.within {
		m.raw("\n")
		m.lines = append(m.lines, m.open)
		m.open, m.within = "", false
	}
}

// lines are those of a stream's rows, put together again.
func linesOf(rows []Row) (lines []string, skipped int64) {
	for _, r := range rows {
		if r.Marker {
			skipped += r.Skipped
			continue
		}
		own := strings.Split(r.Text, "\n")
		if r.Continued && len(lines) > 0 {
			lines[len(lines)-1] += own[0]
			own = own[1:]
		}
		lines = append(lines, own...)
	}
	return lines, skipped
}

// Whatever is written, rotated, cut short and restarted: rows are lines, in order, none twice.
func TestEachLineOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, Options{Budget: Budget{Rate: -1}})
		defer func() { w.stop() }()
		dir := filepath.Join(t.TempDir(), "web")
		src := Source{Service: "web", Dir: dir}
		streams := map[Stream]*modelled{}
		for _, s := range []Stream{Stdout, Stderr} {
			streams[s] = &modelled{keeper: newKeeper(t, dir, s)}
		}
		w.Attach(src)
		number := 0
		pick := func(rt *rapid.T) *modelled {
			return streams[rapid.SampledFrom([]Stream{Stdout, Stderr}).Draw(rt, "stream")]
		}
		all := []string{
			"line", "  set in", "Traceback (most recent call last):", "\tat x", "ValueError: no", "", "\x1b[31mred\x1b[0m", "panic: no", "}",
			"\x00\xff", "ERROR: bad", strings.Repeat("long", 5000),
		}
		text := rapid.Custom(func(rt *rapid.T) int { return rapid.IntRange(0, len(all)-1).Draw(rt, "text") })
		restart := func() {
			w.stop()
			w.start(src)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"lines": func(rt *rapid.T) {
				m := pick(rt)
				m.finish()
				m.step = time.Duration(rapid.SampledFrom([]int{0, 1e6, 3e8}).Draw(rt, "step"))
				m.at = m.at.Add(1) // no two writes are of one moment
				for range rapid.IntRange(1, 20).Draw(rt, "n") {
					number++
					m.add(fmt.Sprintf("%s %d", all[text.Draw(rt, "kind")], number))
				}
			},
			"verbatim": func(rt *rapid.T) {
				m := pick(rt)
				m.finish()
				m.step = 1
				m.add(all[text.Draw(rt, "kind")])
			},
			"part": func(rt *rapid.T) {
				m := pick(rt)
				number++
				part := fmt.Sprintf("part %d;", number)
				switch {
				case !m.within:
					m.raw(m.stamp(" ") + part)
				case rapid.Bool().Draw(rt, "continued"):
					m.raw("\n" + m.stamp("+") + part)
				default:
					m.raw(part)
				}
				m.open += part
				m.within = true
			},
			"rotate": func(rt *rapid.T) {
				m := pick(rt)
				if m.unread >= m.backups {
					rt.Skip("it would be lost")
				}
				m.finish()
				m.unread++
				m.rotate()
			},
			"truncate": func(rt *rapid.T) {
				m := pick(rt)
				m.finish()
				w.sync()
				m.unread = 0
				m.truncate()
				w.sync() // or what follows could be taken for what was there
			},
			"sync": func(*rapid.T) {
				w.sync()
				for _, m := range streams {
					m.unread = 0
				}
			},
			"restart": func(*rapid.T) { restart() },
		})
		for _, m := range streams {
			m.finish()
		}
		w.sync()
		if rapid.Bool().Draw(rt, "restart at last") {
			restart()
			w.sync()
		}
		for s, m := range streams {
			got, _ := linesOf(w.all(Filter{Stream: s}))
			for i := range got {
				got[i] = got[i][:min(len(got[i]), 80)]
			}
			for i := range m.lines {
				m.lines[i] = m.lines[i][:min(len(m.lines[i]), 80)]
			}
			if diff := cmp.Diff(m.lines, got, cmpopts.EquateEmpty()); diff != "" {
				rt.Fatalf("%s (-written +rows):\n%s", s, diff)
			}
		}
	})
}
