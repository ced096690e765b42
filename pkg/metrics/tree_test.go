package metrics

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAssign(t *testing.T) {
	t.Parallel()
	const keeper = 50
	p := func(pid, ppid, session int) *proc {
		return &proc{procStat: procStat{pid: pid, ppid: ppid, session: session, start: uint64(pid)}}
	}
	env := map[int]string{130: "web", 131: "other", 132: "unknown"}
	tests := []struct {
		name  string
		procs []*proc
		want  map[int]string
	}{
		{"leader and its session", []*proc{p(100, keeper, 100), p(101, 100, 100), p(102, 101, 100)}, map[int]string{100: "web", 101: "web", 102: "web"}},
		{"a session below", []*proc{p(100, keeper, 100), p(110, 100, 110), p(111, 110, 110)}, map[int]string{100: "web", 110: "web", 111: "web"}},
		{"the session of a leader that has gone", []*proc{p(101, keeper, 100), p(102, 1, 100)}, map[int]string{101: "web", 102: "web"}},
		{"orphans told by their environment", []*proc{p(100, keeper, 100), p(130, keeper, 130), p(133, 130, 130), p(131, 1, 131)}, map[int]string{100: "web", 130: "web", 133: "web", 131: "other"}},
		{"orphans of nobody", []*proc{p(132, 1, 132), p(134, 1, 134), p(135, 134, 134)}, map[int]string{}},
		{"a pid that was reused by one that leads no session", []*proc{p(100, 70, 70), p(101, 100, 70), p(70, 1, 70)}, map[int]string{}},
		{"kernel threads", []*proc{p(2, 0, 0), p(130, 2, 0)}, map[int]string{}},
		{"a loop of parents, read while pids were reused", []*proc{p(140, 141, 140), p(141, 140, 141), p(142, 142, 142)}, map[int]string{}},
		{"two runs", []*proc{p(100, keeper, 100), p(200, keeper, 200), p(201, 200, 201)}, map[int]string{100: "web", 200: "other", 201: "other"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			web, other := &runState{Run: Run{ID: "web", PID: 100}}, &runState{Run: Run{ID: "other", PID: 200}}
			asked := map[int]int{}
			tr := tree{
				procs: map[int]*proc{}, sessions: map[int]*runState{100: web, 200: other},
				byID: map[string]*runState{"web": web, "other": other}, adopters: map[int]bool{1: true, keeper: true},
				runID: func(pid int) (string, bool) { asked[pid]++; return env[pid], true },
			}
			for _, p := range tt.procs {
				tr.procs[p.pid] = p
			}
			for range 2 {
				tr.assign()
			}
			got := map[int]string{}
			for pid, p := range tr.procs {
				if p.run != nil {
					got[pid] = p.run.ID
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
			for pid, n := range asked {
				if n > 1 {
					t.Errorf("the environment of %d was read %d times", pid, n)
				}
			}
		})
	}
}

func TestAssignAsksAgainDuringExec(t *testing.T) {
	t.Parallel()
	web := &runState{Run: Run{ID: "web", PID: 100}}
	orphan := &proc{procStat: procStat{pid: 130, ppid: 1, session: 130}}
	ready := false
	tr := tree{
		procs: map[int]*proc{130: orphan}, sessions: map[int]*runState{100: web}, byID: map[string]*runState{"web": web}, adopters: map[int]bool{1: true},
		runID: func(int) (string, bool) {
			if !ready {
				return "", false
			}
			return "web", true
		},
	}
	tr.assign()
	if orphan.run != nil {
		t.Fatal("assigned without an environment")
	}
	ready = true
	tr.assign()
	if orphan.run != web {
		t.Error("not asked again")
	}
}
