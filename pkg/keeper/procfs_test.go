package keeper

import (
	"os"
	"slices"
	"testing"

	"github.com/philiporange/supervisor/pkg/process"
)

func TestParseStat(t *testing.T) {
	for name, tt := range map[string]struct {
		line string
		want proc
		ok   bool
	}{
		"plain":     {"42 (sh) S 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0", proc{pid: 42, ppid: 1, pgid: 42, sid: 42, ticks: 777, state: 'S', name: "sh"}, true},
		"odd name":  {"42 (a) b (c) Z 1 2 3 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0", proc{pid: 42, ppid: 1, pgid: 2, sid: 3, ticks: 777, state: 'Z', name: "a) b (c"}, true},
		"too short": {"42 (sh) S 1", proc{}, false},
		"garbage":   {")(", proc{}, false},
		"no number": {"42 (sh) S x 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0", proc{}, false},
	} {
		got, ok := parseStat(42, []byte(tt.line))
		if ok != tt.ok || (ok && got != tt.want) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
	if p, ok := readProc(os.Getpid()); !ok || p.ppid != os.Getppid() || p.ticks == 0 {
		t.Errorf("this process is %+v, %v", p, ok)
	}
}

func TestAttribution(t *testing.T) {
	const self = 1000
	table := []proc{
		{pid: 10, ppid: self, pgid: 10, sid: 10, ticks: 100},              // leader of a
		{pid: 11, ppid: 10, pgid: 10, sid: 10, ticks: 101},                // its child
		{pid: 12, ppid: 11, pgid: 12, sid: 12, ticks: 102},                // a grandchild in its own session
		{pid: 13, ppid: self, pgid: 10, sid: 10, ticks: 103},              // an orphan of its session
		{pid: 20, ppid: 1, pgid: 20, sid: 20, ticks: 500},                 // b's pid, used again
		{pid: 21, ppid: 20, pgid: 20, sid: 20, ticks: 501},                // and its child
		{pid: 30, ppid: 1, pgid: 30, sid: 30, ticks: 50},                  // somebody's
		{pid: 40, ppid: 1, pgid: 40, sid: 40, ticks: 110},                 // a daemon of a, known by its environment
		{pid: self, ppid: 1, pgid: self, sid: self, ticks: 1, state: 'S'}, // we
	}
	a := attribution{
		byPID: map[int]*proc{}, leaders: map[int]process.RunID{10: "a", 20: "b"},
		since:  leaders{"a": {pid: 10, ticks: 100}, "b": {pid: 20, ticks: 200}},
		result: map[int]process.RunID{}, environ: map[int]seen{}, self: self,
		before: map[int]seen{40: {ticks: 110, id: "a"}, 30: {ticks: 50}, 20: {ticks: 500}, 21: {ticks: 501}},
	}
	for i := range table {
		a.byPID[table[i].pid] = &table[i]
	}
	got := map[process.RunID][]int{}
	for i := range table {
		if id := a.of(&table[i]); id != "" {
			got[id] = append(got[id], table[i].pid)
		}
	}
	if !slices.Equal(got["a"], []int{10, 11, 12, 13, 40}) {
		t.Errorf("a has %v", got["a"])
	}
	if len(got["b"]) != 0 {
		t.Errorf("b has %v, which are a stranger's: the pid was used again", got["b"])
	}
}
