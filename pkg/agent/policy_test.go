package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/philiporange/supervisor/pkg/agent"
)

func TestWithin(t *testing.T) {
	t.Parallel()
	dir := project(t) // with up, a link to its parent
	for _, link := range [][2]string{{"dangling", "/nowhere/x"}, {"inner", "calc.py"}, {"new", "not-yet.txt"}, {"loop", "loop"}, {"sideways", "../app2"}} {
		if err := os.Symlink(link[1], filepath.Join(dir, link[0])); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"": ".", "calc.py": "calc.py", "sub/new.py": "sub/new.py", "../app/calc.py": "calc.py", "inner": "calc.py", "new": "not-yet.txt",
		"up/app/calc.py": "calc.py",
		"..":             "no", "../neighbour.txt": "no", "up": "no", "up/neighbour.txt": "no", "up/new.txt": "no", "dangling": "no", "../app2/x": "no",
		"loop": "no", "sideways": "no", "sideways/x": "no", "sub/../../x": "no",
	} {
		rel, ok := agent.Within(dir, filepath.Join(dir, path))
		// filepath.Join cleans; what an agent says is not cleaned.
		raw, rawOK := agent.Within(dir, dir+"/"+path)
		if ok != (want != "no") || (ok && rel != want) || (path != "up/app/calc.py" && (raw != rel || rawOK != ok)) {
			t.Errorf("%q: %q %v, %q %v, want %q", path, rel, ok, raw, rawOK, want)
		}
	}
	if _, ok := agent.Within(filepath.Join(dir, "nowhere"), dir); ok {
		t.Error("a folder that is not there has something in it")
	}
}

// Whatever path an agent names: what is allowed is in the folder when it is opened.
func TestWhatIsWithinIsOpenedWithin(t *testing.T) {
	t.Parallel()
	dir := project(t)
	rapid.Check(t, func(r *rapid.T) {
		parts := rapid.SliceOfN(rapid.SampledFrom([]string{"..", ".", "up", "app", "calc.py", "neighbour.txt", "sub", ".git"}), 1, 6).Draw(r, "parts")
		path := dir + "/" + strings.Join(parts, "/")
		if _, ok := agent.Within(dir, path); !ok {
			return
		}
		if real, err := filepath.EvalSymlinks(path); err == nil && real != dir && !strings.HasPrefix(real, dir+"/") {
			r.Errorf("%s is %s", path, real)
		}
	})
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	dir := project(t)
	in, out := filepath.Join(dir, "calc.py"), filepath.Join(dir, "../neighbour.txt")
	type tool = agent.Tool
	for name, c := range map[string]struct {
		tool             tool
		read, edit, tell bool // allowed by ReadOnly, EditInside, AllowTools
	}{
		"read in":        {tool{Kind: "read", Paths: []string{in}}, true, true, false},
		"read relative":  {tool{Kind: "read", Paths: []string{"calc.py"}}, true, true, false},
		"read out":       {tool{Kind: "read", Paths: []string{out}}, false, false, false},
		"search":         {tool{Kind: "search"}, true, true, false},
		"edit in":        {tool{Kind: "edit", Paths: []string{in}}, false, true, false},
		"edit by diff":   {tool{Kind: "edit", Diffs: []agent.Diff{{Path: in}}}, false, true, false},
		"edit both":      {tool{Kind: "edit", Paths: []string{in}, Diffs: []agent.Diff{{Path: out}}}, false, false, false},
		"edit nothing":   {tool{Kind: "edit"}, false, false, false},
		"edit git":       {tool{Kind: "edit", Paths: []string{filepath.Join(dir, ".git/hooks/pre-commit")}}, false, false, false},
		"run":            {tool{Kind: "execute", Title: "supervisor_list"}, false, false, false},
		"fetch":          {tool{Kind: "fetch"}, false, false, false},
		"unknown":        {tool{}, false, false, false},
		"our tool":       {tool{Kind: "other", Title: "supervisor_list"}, false, false, true},
		"our tool again": {tool{Kind: "other", Title: "mcp__supervisor__list"}, false, false, true},
		"our other tool": {tool{Kind: "other", Title: "supervisor_stop"}, false, false, false},
		"a namesake":     {tool{Kind: "other", Title: "supervisorlist"}, false, false, false},
		"in disguise":    {tool{Kind: "edit", Title: "supervisor_list", Paths: []string{in}}, false, true, false},
	} {
		ask := agent.Ask{Tool: c.tool}
		for policy, p := range map[string]struct {
			agent.Policy
			want bool
		}{
			"ReadOnly": {agent.ReadOnly(dir), c.read}, "EditInside": {agent.EditInside(dir), c.edit},
			"AllowTools": {agent.AllowTools("supervisor", "list"), c.tell}, "DenyAll": {agent.DenyAll, false},
			"Else": {agent.Else(agent.ReadOnly(dir), agent.AllowTools("supervisor", "list")), c.read || c.tell},
		} {
			if d := p.Policy(t.Context(), ask); d.Allow != p.want || d.Why == "" {
				t.Errorf("%s: %s: %+v", name, policy, d)
			}
		}
	}
}
