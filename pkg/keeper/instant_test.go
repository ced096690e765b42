package keeper

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/philiporange/supervisor/pkg/process"
)

// witness keeps every note, with the files as they were at its time.
type witness struct {
	dir     string
	moments []moment
}

type moment struct {
	note  note
	files map[string]string
}

func (w *witness) write(_ int, n *note) {
	w.moments = append(w.moments, moment{*n, readAll(w.dir)})
}

func readAll(dir string) map[string]string {
	files := map[string]string{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		raw, _ := os.ReadFile(filepath.Join(dir, e.Name()))
		files[e.Name()] = string(raw)
	}
	return files
}

// A keeper is killed at any instant of its way with a block: whatever was noted and written by then, the next one leaves the
// files as they would be without that, byte for byte.
func TestEveryInstantProperty(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dirs := 0
	fresh := func() string {
		dirs++
		dir := filepath.Join(base, strconv.Itoa(dirs))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	sl, err := openSlate("")
	if err != nil {
		t.Fatal(err)
	}
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab[]Z+\n\n ")), 1, 100, -1)
	rapid.Check(t, func(rt *rapid.T) {
		spec := process.LogSpec{Dir: fresh(), Backups: 100, MaxBytes: rapid.Int64Range(60, 600).Draw(rt, "limit")}
		files := noFiles()
		d := newDesk(files, spec)
		if before := rapid.SampledFrom([]string{"", "whole\n", "begun"}).Draw(rt, "before"); before != "" {
			d.print(before)
		}
		if rapid.Bool().Draw(rt, "another's") {
			newDesk(files, spec).print("another has begun")
		}
		if rapid.Bool().Draw(rt, "dropped") {
			d.failed(unix.EIO, d.now) // not ENOSPC: then files may go to make room, which the next keeper need not do
			d.drop([]byte("lost\nlo"), d.now)
			d.now = d.now.Add(2 * recheck)
		}
		seen := &witness{dir: spec.Dir}
		d.slate, d.notes = sl, seen
		d.file.mu.Lock()
		d.jotLocked(idle, 0)
		d.file.mu.Unlock()
		printed := text.Draw(rt, "block")
		block := sl.at(0, len(printed))
		d.task = task{size: len(block), at: d.now, limit: d.file.max.Load()}
		d.jot(reading, 0)
		d.feed([]byte(printed), d.now, make([]byte, 0, 2*maxLine+4*prefixLen))
		last := len(seen.moments) // up to here the block was under way
		d.finish(d.now)
		end := readAll(spec.Dir)

		// resume begins with some files and the note of a dead keeper, and ends like d.
		resume := func(m moment, state map[string]string, read bool) {
			next := process.LogSpec{Dir: fresh(), Backups: spec.Backups, MaxBytes: spec.MaxBytes}
			for name, content := range state {
				if err := os.WriteFile(filepath.Join(next.Dir, name), []byte(content), 0o640); err != nil {
					rt.Fatal(err)
				}
			}
			// The file that was written to is the same one still, perhaps under its next name.
			n := m.note
			var st unix.Stat_t
			for _, name := range []string{"stdout.log", "stdout.log.1"} {
				if n.ino != 0 && int64(len(state[name])) >= n.base && unix.Stat(filepath.Join(next.Dir, name), &st) == nil {
					n.dev, n.ino = st.Dev, st.Ino
					break
				}
			}
			copy(block, printed)
			if !read {
				copy(block, strings.Repeat("x", len(block)))
				sl.guard(block)
			}
			heir := newDesk(noFiles(), next)
			heir.slate, heir.notes, heir.now = sl, &witness{dir: next.Dir}, d.now
			heir.remember(&n)
			heir.recover(&n)
			if !read {
				heir.print(printed)
			}
			heir.finish(d.now)
			if got := readAll(next.Dir); !maps.Equal(got, end) {
				rt.Fatalf("killed at %+v with %q, read %v:\n%q, want\n%q", m.note, state, read, got, end)
			}
		}
		for i, m := range seen.moments {
			if m.note.phase == idle {
				continue
			}
			if m.note.phase == reading {
				resume(m, m.files, false)
			}
			resume(m, m.files, true)
			if i+1 == len(seen.moments) || i < last && i+1 == last && m.note.phase == reading {
				continue
			}
			then := seen.moments[i+1].files
			if len(then) != len(m.files) {
				if len(m.files) > 0 {
					resume(m, then, true) // rotated, and not noted yet
					missing := maps.Clone(then)
					delete(missing, "stdout.log")
					resume(m, missing, true)
				}
				continue
			}
			if m.note.phase == reading {
				continue // nothing is written in this phase
			}
			was, is := m.files["stdout.log"], then["stdout.log"]
			for cut := len(was) + 1; cut <= len(is); cut += 1 + (len(is)-len(was))/3 {
				torn := maps.Clone(m.files)
				torn["stdout.log"] = is[:cut]
				resume(m, torn, true)
			}
		}
	})
}
