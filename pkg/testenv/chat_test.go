package testenv

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/agent/agenttest"
)

// say sends a message, and returns the answer and all events.
func (e *Env) say(r wire.ChatRequest, on func(wire.ChatEvent)) (answer string, events []wire.ChatEvent) {
	e.t.Helper()
	err := e.Client.Chat(e.t.Context(), r, func(ev wire.ChatEvent) error {
		events = append(events, ev)
		if ev.Type == "text" {
			answer += ev.Content
		}
		if on != nil {
			on(ev)
		}
		return nil
	})
	if err != nil {
		e.t.Fatalf("%+v: %v\n%s", r, err, e.Output())
	}
	return answer, events
}

// The real opencode, told by a scripted model what to do, talks about what runs here.
func TestChatWithARealAgent(t *testing.T) {
	model := agenttest.NewModel(t, map[string][]agenttest.Step{"chat": {
		agenttest.Say("Hello. What shall we look at?"),
		agenttest.Call("supervisor_list"), agenttest.Say("One service, web, runs."),
		agenttest.Call("supervisor_stop", "name", "web"), agenttest.Say("It is stopped now."),
	}})
	e := New(t, "AGENT_ALLOW_ROOT=true", "AGENT_IDLE_TIMEOUT=5m")
	agenttest.Configure(t, e.Dir, agenttest.OpenCode(t, model, "chat"))
	e.StartManager()
	e.Service("web", "command: sleep 1000")
	e.WaitPhase("web", v1.PhaseRunning)

	answer, events := e.say(wire.ChatRequest{Message: "Hello", Model: "chat"}, nil)
	if answer != "Hello. What shall we look at?" {
		t.Fatalf("%+v", events)
	}
	id := events[0].SessionID
	answer, events = e.say(wire.ChatRequest{Message: "What runs?", Model: "chat", SessionID: id}, nil)
	result := slices.IndexFunc(events, func(ev wire.ChatEvent) bool { return ev.Type == "result" })
	if answer != "One service, web, runs." || result < 1 || events[result-1].Type != "tool" || !strings.Contains(events[result].Content, `"web"`) {
		t.Fatalf("%+v", events)
	}
	if last := events[len(events)-1]; last.Type != "done" {
		t.Errorf("%+v", last)
	}

	// The conversation outlives the supervisor. What the agent wants to change, it asks.
	e.KillManager()
	e.StartManager()
	asked := false
	answer, events = e.say(wire.ChatRequest{Message: "Stop it", Model: "chat", SessionID: id, Approvals: true}, func(ev wire.ChatEvent) {
		if ev.Type != "permission" {
			return
		}
		asked = true
		if s := e.Status("web"); s.PID == 0 {
			t.Error("it was stopped before anybody was asked")
		}
		if err := e.Client.DecidePermission(t.Context(), ev.Permission.ID, true); err != nil {
			t.Error(err)
		}
	})
	if answer != "It is stopped now." || !asked {
		t.Fatalf("%+v", events)
	}
	e.Wait("web is stopped", func() bool { return e.Status("web").PID == 0 })
	requests := model.Requests()
	if text := requests[len(requests)-1].Text(); !strings.Contains(text, "What runs?") || strings.Count(text, "You are the assistant of Supervisor") != 1 {
		t.Errorf("the agent has lost the past:\n%s", text)
	}
}

func TestWithoutAnAgent(t *testing.T) {
	e := New(t)
	agenttest.Configure(t, e.Dir)
	e.StartManager()
	var p wire.Problem
	if status := e.send(http.MethodPost, "/api/chat", wire.ChatRequest{Message: "Hello"}, &p); status != http.StatusServiceUnavailable || !strings.Contains(p.Detail, "coding agent") {
		t.Errorf("%d %+v", status, p)
	}
}

// A person at a terminal: which agents there are, a conversation, and work in the background that is watched and ended.
func TestAgentsAtTheTerminal(t *testing.T) {
	e := New(t, "AGENT_ALLOW_ROOT=true", "AGENT=talker")
	talker := agenttest.Fake(t, "talker", agenttest.Script{Turns: [][]agenttest.Act{
		{{Say: "Hello there.\n"}, {Tool: "supervisor_stop"}, {Say: "As you like."}},
	}})
	busy := agenttest.Fake(t, "busy", agenttest.Script{Turns: [][]agenttest.Act{{{Say: "I think about it."}, {Wait: true}}}})
	missing := agent.Spec{ID: "missing", Name: "missing", Protocol: agent.ProtocolACP, Argv: []string{"/nowhere/missing"}, Install: "npm install -g missing"}
	agenttest.Configure(t, e.Dir, talker, busy, missing)
	e.StartManager()
	run := func(code int, args []string, want ...string) string {
		t.Helper()
		out, got := e.CLI(args...)
		if got != code {
			t.Errorf("%v: exit code %d: %s", args, got, out)
		}
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(out) {
				t.Errorf("%v: no %s in %s", args, w, out)
			}
		}
		return out
	}
	run(0, []string{"agents"}, `talker +yes, default +1\.2\.3`, `busy +yes `, `missing +no .*npm install -g missing`)
	// Its input is empty, which is a no to whatever is asked.
	run(0, []string{"chat", "hello"}, "Hello there.\n", "wants to: supervisor_stop", "As you like.\n")
	run(1, []string{"chat", "--agent", "missing", "hello"}, "npm install -g missing")

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "app.py"), []byte("import time\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Service("web", "command: sleep 1000\nworkingDir: "+dir+"\nautofix: {agent: busy}")
	e.WaitPhase("web", v1.PhaseRunning)
	run(0, []string{"fix", "web", "-m", "It is slow."})
	var jobs []wire.Job
	e.Wait("the repair to be under way", func() bool {
		return e.get("/api/jobs?status=running", &jobs) == http.StatusOK && len(jobs) == 1
	})
	id := jobs[0].ID
	e.Wait("the agent to think", func() bool { out, _ := e.CLI("jobs", "logs", id); return strings.Contains(out, "I think about it.") })
	run(0, []string{"jobs"}, id+` +running `)
	run(1, []string{"fix", "web"}, "fix 1 of it is Working")
	run(0, []string{"jobs", "cancel", id}, id+` failed \(cancelled\)`)
	run(0, []string{"jobs", "show", id}, `Status: +failed \(cancelled\)`, "cancelled by")
	run(1, []string{"jobs", "logs", "-f", id}, "I think about it.", "the job failed: cancelled by")
	run(1, []string{"jobs", "show", "fix-0"}, "there is no job")
}
