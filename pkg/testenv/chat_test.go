package testenv

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
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
