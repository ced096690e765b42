package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/agent/agenttest"
)

type (
	act  = agenttest.Act
	acts = []agenttest.Act
)

func turns(t ...acts) agenttest.Script { return agenttest.Script{Turns: t} }

func TestATurn(t *testing.T) {
	t.Parallel()
	dir := project(t)
	spec := agenttest.Fake(t, "fake", turns(acts{{Think: "hm"}, {Say: "I fix "}, {Read: "calc.py"}, {Edit: "calc.py", Text: "fixed"}, {Say: "it."}}))
	h := newHouse(t, nil, spec)
	var j journal
	out, err := h.Run(t.Context(), agent.Request{Dir: dir, Access: agent.AccessEdit, Policy: agent.EditInside(dir), Model: "m1"}, "Fix it", j.emit)
	if err != nil {
		t.Fatal(err)
	}
	if out.Text != "I fix it." || out.Stop != "end_turn" || out.Session == "" || out.Usage.TotalTokens != 120 || out.Agent != "fake" || out.Model != "m1" || out.Refused != 0 {
		t.Errorf("%+v", out)
	}
	if got := j.kinds(); got != "session thought text tool tool_end tool permission decision tool_end text usage done" {
		t.Error(got)
	}
	for i, e := range j.events[1:] {
		if e.Seq <= j.events[i].Seq || e.Time.IsZero() {
			t.Errorf("event %d has no place: %+v", i, e)
		}
	}
	ask := j.find(agent.KindPermission)
	if d := ask.Tool.Diffs; len(d) != 1 || d[0].Old != "broken" || d[0].New != "fixed" || ask.Tool.Kind != "edit" {
		t.Errorf("%+v", ask.Tool)
	}
	if content(t, filepath.Join(dir, "calc.py")) != "fixed" {
		t.Error("the edit was allowed, and not made")
	}
	told := agenttest.ToldOf(t, "fake")
	if len(told) != 1 || told[0].Prompt != "Fix it" || told[0].Dir != dir || !slices.Equal(told[0].Args, []string{"--model=m1"}) {
		t.Errorf("%+v", told)
	}
}

func TestWhatAPolicyRefusesIsNotDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act    act
		policy func(dir string) agent.Policy
		file   string // that must be as it was
	}{
		"an edit, when it may only read":  {act{Edit: "calc.py", Text: "x"}, agent.ReadOnly, "calc.py"},
		"an edit outside":                 {act{Edit: "../neighbour.txt", Text: "x"}, agent.EditInside, "../neighbour.txt"},
		"an edit outside, through a link": {act{Edit: "up/neighbour.txt", Text: "x"}, agent.EditInside, "../neighbour.txt"},
		"an edit of git's own":            {act{Edit: ".git/config", Text: "x"}, agent.EditInside, ".git/config"},
		"deleting":                        {act{Delete: "calc.py"}, agent.EditInside, "calc.py"},
		"running":                         {act{Run: "echo x > calc.py"}, agent.EditInside, "calc.py"},
		"anything":                        {act{Edit: "calc.py", Text: "x"}, func(string) agent.Policy { return nil }, "calc.py"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t)
			before := content(t, filepath.Join(dir, c.file))
			h := newHouse(t, nil, agenttest.Fake(t, "fake", turns(acts{c.act, {Say: "done"}})))
			var j journal
			out, err := h.Run(t.Context(), agent.Request{Dir: dir, Access: agent.AccessEdit, Policy: c.policy(dir)}, "go", j.emit)
			if err != nil || out.Refused != 1 || out.Text != "done" {
				t.Errorf("%+v %v", out, err)
			}
			if d := j.find(agent.KindDecision).Permission; d == nil || d.Allowed || d.Why == "" {
				t.Errorf("%+v", d)
			}
			if content(t, filepath.Join(dir, c.file)) != before {
				t.Error("it was done")
			}
		})
	}
}

func TestTheEnvironmentIsMadeFromNothing(t *testing.T) {
	t.Setenv("SUPERVISOR_TOKEN", "a secret of ours")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("the-agents-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(c *agent.Config) { c.KeyFile, c.BaseURL = key, "http://127.0.0.1:1/v1" },
		agenttest.Fake(t, "fake", turns(acts{{Say: "my key is the-agents-key, is it not"}})))
	var j journal
	out, err := h.Run(t.Context(), agent.Request{Dir: project(t)}, "go", j.emit)
	if err != nil {
		t.Fatal(err)
	}
	told := agenttest.ToldOf(t, "fake")[0]
	var names []string
	for _, v := range told.Env {
		name, value, _ := strings.Cut(v, "=")
		names = append(names, name)
		switch name {
		case "HOME":
			if value != filepath.Join(h.config.Dir, "fake", "home") {
				t.Error(v)
			}
		case "FAKE_KEY":
			if value != "the-agents-key" {
				t.Error(v)
			}
		}
	}
	slices.Sort(names)
	want := []string{"AGENTTEST_LOG", "AGENTTEST_SCRIPT", "FAKE_KEY", "FAKE_URL", "HOME", "LANG", "NO_COLOR", "PATH", "SUPERVISOR_AGENT_RUN", "TERM"}
	if !slices.Equal(names, want) {
		t.Errorf("\n got %v\nwant %v", names, want)
	}
	if strings.Contains(out.Text, "the-agents-key") || strings.Contains(j.find(agent.KindText).Text, "the-agents-key") || !strings.Contains(out.Text, "[redacted]") {
		t.Errorf("the key is shown: %q", out.Text)
	}
	if info, err := os.Stat(filepath.Join(h.config.Dir, "fake", "home")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
}

func TestAnAgentThatDoesNotEndIsEndedWithItsTree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act    act
		limits agent.Limits
		cancel bool
		want   func(error) bool
	}{
		"it is silent": {act{Hang: true}, agent.Limits{Idle: 300 * time.Millisecond}, false, func(err error) bool {
			var e *agent.TimeoutError
			return errors.As(err, &e) && e.Idle
		}},
		"it takes too long": {act{Hang: true}, agent.Limits{Turn: 300 * time.Millisecond}, false, func(err error) bool {
			var e *agent.TimeoutError
			return errors.As(err, &e) && !e.Idle
		}},
		"it says too much":    {act{Flood: 4 << 20}, agent.Limits{Output: 1 << 20}, false, func(err error) bool { return errors.Is(err, agent.ErrOutput) }},
		"it prints rubbish":   {act{Garbage: 4 << 20}, agent.Limits{Output: 1 << 20}, false, func(err error) bool { return errors.Is(err, agent.ErrOutput) }},
		"somebody has enough": {act{Hang: true}, agent.Limits{}, true, func(err error) bool { return errors.Is(err, context.Canceled) }},
		"it crashes": {act{Crash: 3}, agent.Limits{}, false, func(err error) bool {
			return errors.Is(err, agent.ErrGone) && strings.Contains(err.Error(), "crashes as it was told")
		}},
		"it crashes on its own": {act{Fail: "no such key"}, agent.Limits{}, false, func(err error) bool { return strings.Contains(err.Error(), "Authentication required: no such key") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t)
			h := newHouse(t, nil, agenttest.Fake(t, "fake", turns(acts{{Spawn: "pid"}, {Say: "begun"}, c.act})))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			j := journal{on: func(e agent.Event) {
				if c.cancel && e.Kind == agent.KindText {
					cancel()
				}
			}}
			_, err := h.Run(ctx, agent.Request{Dir: dir, Limits: c.limits}, "go", j.emit)
			if err == nil || !c.want(err) {
				t.Fatalf("%v", err)
			}
			if got := j.find(agent.KindError).Text; got == "" {
				t.Error("nobody was told")
			}
			if pid := pidIn(t, filepath.Join(dir, "pid")); lives(t, pid) {
				t.Errorf("its child %d lives", pid)
			}
			if left, err := os.ReadDir(filepath.Join(h.config.Dir, "running")); err != nil || len(left) != 0 {
				t.Errorf("notes that are left: %v %v", left, err)
			}
		})
	}
}

// A process that cannot be known as the agent's lives on, as any that its user starts; it does not keep us waiting.
func TestAnOutputThatIsHeldOpen(t *testing.T) {
	t.Parallel()
	dir := project(t)
	h := newHouse(t, nil, agenttest.Fake(t, "fake", turns(acts{{Escape: "pid"}, {Say: "begun"}, {Crash: 3}})))
	_, err := h.Run(t.Context(), agent.Request{Dir: dir}, "go", nil)
	if !errors.Is(err, agent.ErrGone) || !strings.Contains(err.Error(), "crashes as it was told") {
		t.Error(err)
	}
	if err := syscall.Kill(-pidIn(t, filepath.Join(dir, "pid")), syscall.SIGKILL); err != nil {
		t.Errorf("it did not outlive the agent, and tests nothing: %v", err)
	}
}

func TestASessionGoesOn(t *testing.T) {
	t.Parallel()
	dir := project(t)
	spec := agenttest.Fake(t, "fake", turns(acts{{Say: "one"}}, acts{{Say: "waits"}, {Wait: true}}, acts{{Say: "three"}}))
	h := newHouse(t, nil, spec)
	s, err := h.Start(t.Context(), agent.Request{Dir: dir, Servers: []agent.Server{{Name: "supervisor", Command: "/bin/true"}}})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Prompt(t.Context(), "1", nil); err != nil || out.Text != "one" {
		t.Fatalf("%+v %v", out, err)
	}
	// A turn that is cancelled in good order leaves the session alive.
	ctx, cancel := context.WithCancel(t.Context())
	j := journal{on: func(e agent.Event) {
		if e.Kind != agent.KindText {
			return
		}
		if _, err := s.Prompt(t.Context(), "beside", nil); !errors.Is(err, agent.ErrBusy) {
			t.Errorf("a second turn: %v", err)
		}
		cancel()
	}}
	if _, err := s.Prompt(ctx, "2", j.emit); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !s.Alive() || !s.CanResume() {
		t.Fatal("the session is over")
	}
	id := s.ID()
	s.Close()
	if _, err := s.Prompt(t.Context(), "3", nil); !errors.Is(err, agent.ErrGone) {
		t.Errorf("after its end: %v", err)
	}
	h.Close()

	h.open()
	s, err = h.Start(t.Context(), agent.Request{Dir: dir, Resume: id})
	if err != nil {
		t.Fatal(err)
	}
	var again journal
	out, err := s.Prompt(t.Context(), "3", again.emit)
	if err != nil || out.Text != "three" || s.ID() != id {
		t.Errorf("%+v %v: the past is not part of the answer", out, err)
	}
	told := agenttest.ToldOf(t, "fake")
	if len(told) != 3 || !slices.Equal(told[0].Servers, []string{"supervisor"}) || told[2].Session != id {
		t.Errorf("%+v", told)
	}
	if _, err := h.Start(t.Context(), agent.Request{Dir: dir, Resume: "fake-unknown"}); !errors.Is(err, agent.ErrCannotResume) {
		t.Errorf("unknown: %v", err)
	}
	none := newHouse(t, nil, agenttest.Fake(t, "other", agenttest.Script{NoLoad: true}))
	if _, err := none.Start(t.Context(), agent.Request{Dir: dir, Resume: id}); !errors.Is(err, agent.ErrCannotResume) {
		t.Errorf("one that cannot: %v", err)
	}
}

func TestAnAgentThatIsNeverReady(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, agenttest.Fake(t, "deaf", agenttest.Script{DeafStart: true}))
	_, err := h.Start(t.Context(), agent.Request{Dir: project(t), Limits: agent.Limits{Start: 300 * time.Millisecond}})
	if err == nil || !strings.Contains(err.Error(), "was not ready within 300ms") {
		t.Error(err)
	}
	broken := agent.Spec{ID: "sh", Name: "Broken", Protocol: agent.ProtocolACP, Argv: []string{"sh", "-c", "echo cannot find node >&2; exit 127"}, NoKey: true}
	h = newHouse(t, nil, broken)
	if _, err = h.Start(t.Context(), agent.Request{Dir: project(t)}); err == nil || !strings.Contains(err.Error(), "cannot find node") {
		t.Errorf("its last words are not told: %v", err)
	}
}

// A person who thinks for a while is not the agent's silence.
func TestClocksStandWhileAPersonIsAsked(t *testing.T) {
	t.Parallel()
	dir := project(t)
	h := newHouse(t, nil, agenttest.Fake(t, "fake", turns(acts{{Edit: "calc.py", Text: "fixed"}})))
	limits := agent.Limits{Idle: 2 * time.Second, Turn: 2 * time.Second}
	thinks := func(ctx context.Context, _ agent.Ask) agent.Decision {
		timer := time.NewTimer(2500 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return agent.Decision{Allow: true, Why: "why not"}
	}
	if _, err := h.Run(t.Context(), agent.Request{Dir: dir, Access: agent.AccessEdit, Policy: thinks, Limits: limits}, "go", nil); err != nil {
		t.Error(err)
	}
	if content(t, filepath.Join(dir, "calc.py")) != "fixed" {
		t.Error("the edit was not made")
	}
}

func TestWhatAnEarlierLifeLeftIsEnded(t *testing.T) {
	t.Parallel()
	dir := project(t)
	h := newHouse(t, nil, agenttest.Fake(t, "fake", turns(acts{{Spawn: "pid"}, {Say: "begun"}, {Hang: true}})))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	j := journal{on: func(e agent.Event) {
		if e.Kind == agent.KindText {
			close(begun)
		}
	}}
	go func() {
		_, err := h.Run(ctx, agent.Request{Dir: dir}, "go", j.emit)
		ended <- err
	}()
	<-begun
	pid := pidIn(t, filepath.Join(dir, "pid"))
	// The first life was killed: all that is there of it are its agent and its note.
	next, err := agent.NewRunner(t.Context(), h.config)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := <-ended; !errors.Is(err, agent.ErrGone) {
		t.Errorf("the agent lives: %v", err)
	}
	if lives(t, pid) {
		t.Errorf("its child %d lives", pid)
	}
}

func TestTurnsWaitForEachOther(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *agent.Config) { c.Turns = 1 },
		agenttest.Fake(t, "slow", turns(acts{{Say: "begun"}, {Wait: true}})), agenttest.Fake(t, "quick", turns(acts{{Say: "hello"}})))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		slow := journal{on: func(e agent.Event) {
			if e.Kind == agent.KindText {
				close(begun)
			}
		}}
		_, _ = h.Run(ctx, agent.Request{Agent: "slow", Dir: project(t)}, "go", slow.emit)
	}()
	<-begun
	quick := journal{on: func(e agent.Event) {
		if e.Kind == agent.KindWait {
			cancel()
		}
	}}
	if out, err := h.Run(t.Context(), agent.Request{Agent: "quick", Dir: project(t)}, "go", quick.emit); err != nil || out.Text != "hello" {
		t.Errorf("%+v %v", out, err)
	}
	if got := quick.kinds(); !strings.HasPrefix(got, "wait session text") {
		t.Error(got)
	}
	<-ended
}

func TestATextAgent(t *testing.T) {
	t.Parallel()
	dir := project(t)
	spec := func(id, script string, args ...string) agent.Spec {
		return agent.Spec{ID: id, Name: id, Protocol: agent.ProtocolText, Argv: append([]string{"sh", "-c", script}, args...), NoKey: true, Access: []agent.Access{agent.AccessEdit}}
	}
	h := newHouse(t, nil,
		spec("stdin", `cat; echo " at $(pwd)"; echo fixed > calc.py`), spec("argv", `printf %s "$1"`, "x", "{{.Prompt}}"),
		spec("fails", "echo sorry; echo no key >&2; exit 3"), spec("hangs", `trap "" TERM; sh -c 'trap "" TERM; echo $$ > pid; echo on; while :; do sleep 1000; done'`),
		spec("floods", "yes"))
	q := agent.Request{Dir: dir, Access: agent.AccessEdit}
	run := func(id string, l agent.Limits) (agent.Outcome, error) {
		q.Agent, q.Limits = id, l
		return h.Run(t.Context(), q, "Grüße", nil)
	}
	if out, err := run("stdin", agent.Limits{}); err != nil || out.Text != "Grüße at "+dir+"\n" || out.Stop != "end_turn" {
		t.Errorf("%+v %v", out, err)
	}
	if content(t, filepath.Join(dir, "calc.py")) != "fixed\n" {
		t.Error("it did not run in its folder")
	}
	if out, err := run("argv", agent.Limits{}); err != nil || out.Text != "Grüße" {
		t.Errorf("%+v %v", out, err)
	}
	if out, err := run("fails", agent.Limits{}); err == nil || !strings.Contains(err.Error(), "exit status 3: no key") || out.Text != "sorry\n" {
		t.Errorf("%+v %v", out, err)
	}
	var timeout *agent.TimeoutError
	if _, err := run("hangs", agent.Limits{Idle: 300 * time.Millisecond}); !errors.As(err, &timeout) {
		t.Error(err)
	}
	if lives(t, pidIn(t, filepath.Join(dir, "pid"))) {
		t.Error("its child lives")
	}
	if _, err := run("floods", agent.Limits{Output: 1 << 20}); !errors.Is(err, agent.ErrOutput) {
		t.Error(err)
	}
	q.Access = agent.AccessRead
	var u *agent.UnavailableError
	if _, err := run("stdin", agent.Limits{}); !errors.As(err, &u) {
		t.Errorf("one that cannot be held to reading: %v", err)
	}
}

// Agents that share a home come up one after the other.
func TestOneAgentAtATimeComesUpInAHome(t *testing.T) {
	t.Parallel()
	r, err := agent.NewRunner(t.Context(), agent.Config{Specs: agent.Builtin(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	leave, err := r.Enter(t.Context(), "/a")
	if err != nil {
		t.Fatal(err)
	}
	if other, err := r.Enter(t.Context(), "/b"); err != nil {
		t.Errorf("another home: %v", err)
	} else {
		other()
	}
	impatient, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if second, err := r.Enter(impatient, "/a"); !errors.Is(err, gone) {
		t.Errorf("a second one in a home: %v", err)
	} else {
		second()
	}
	entered := make(chan error, 1)
	go func() {
		next, err := r.Enter(t.Context(), "/a")
		next()
		entered <- err
	}()
	leave()
	if err := <-entered; err != nil {
		t.Errorf("after the first: %v", err)
	}
}
