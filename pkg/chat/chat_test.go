package chat_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/agent/agenttest"
	"github.com/philiporange/supervisor/pkg/chat"
)

func TestMain(m *testing.M) {
	agenttest.Main()
	goleak.VerifyTestMain(m)
}

type act = agenttest.Act

// house is a chat with a fake agent, which can be begun anew.
type house struct {
	*chat.Chat
	t       *testing.T
	dir     string
	options chat.Options
	config  agent.Config
	runner  *agent.Runner
}

func newHouse(t *testing.T, change func(*chat.Options), spec agent.Spec) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.options = chat.Options{
		Dir: filepath.Join(h.dir, "chats"), Looking: []string{"list"},
		Servers: func(string, bool) []agent.Server {
			return []agent.Server{{Name: chat.ServerName, Command: "/bin/true"}}
		},
	}
	h.config = agent.Config{Specs: []agent.Spec{spec}, Dir: filepath.Join(h.dir, "agents"), AllowRoot: true}
	if change != nil {
		change(&h.options)
	}
	h.open()
	t.Cleanup(func() { h.end() })
	return h
}

func (h *house) open() {
	h.t.Helper()
	var err error
	if h.runner, err = agent.NewRunner(h.t.Context(), h.config); err != nil {
		h.t.Fatal(err)
	}
	h.options.Runner = h.runner
	if h.Chat, err = chat.New(h.options); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) end() {
	h.Close()
	h.runner.Close()
}

// say sends a message and returns the conversation, the answer, and all events as "type content".
func (h *house) say(ctx context.Context, m chat.Message, on func(chat.Event)) (id, answer string, events []string) {
	h.t.Helper()
	id, run, err := h.Begin(ctx, m)
	if err != nil {
		h.t.Fatal(err)
	}
	run(ctx, func(e chat.Event) {
		if e.Conversation != id {
			h.t.Errorf("an event of conversation %q: %+v", e.Conversation, e)
		}
		if e.Type == chat.TypeText {
			answer += e.Content
		}
		events = append(events, e.Type+" "+e.Content)
		if on != nil {
			on(e)
		}
	})
	return id, answer, events
}

func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "calc.py"), []byte("text of calc"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAConversation(t *testing.T) {
	t.Parallel()
	dir := project(t)
	h := newHouse(t, nil, agenttest.Fake(t, "fake", agenttest.Script{Turns: [][]act{
		{{Think: "hm", Say: "Hello."}}, {{Say: "I look. "}, {Read: "calc.py"}, {Say: "It is fine."}}, {{Say: "Bye."}},
	}}))
	id, answer, events := h.say(t.Context(), chat.Message{Text: "Hi  there", Dir: dir, About: "service web"}, nil)
	if answer != "Hello." || !slices.Equal(events, []string{"text Hello.", "done end_turn"}) {
		t.Errorf("%q", events)
	}
	_, answer, events = h.say(t.Context(), chat.Message{Text: "Look", Conversation: id}, nil)
	want := []string{"text I look. ", "tool read " + filepath.Join(dir, "calc.py"), "result text of calc", "text It is fine.", "done end_turn"}
	if answer != "I look. It is fine." || !slices.Equal(events, want) {
		t.Errorf("%q", events)
	}
	h.say(t.Context(), chat.Message{Text: "Bye", Conversation: id}, nil)
	told := agenttest.ToldOf(t, "fake")
	if len(told) != 3 || told[1].Session != told[0].Session || told[1].Prompt != "Look" || !slices.Equal(told[0].Servers, []string{"supervisor"}) {
		t.Fatalf("%+v", told)
	}
	if pid := func(i int) string { return env(told[i], "SUPERVISOR_AGENT_RUN") }; pid(0) != pid(2) {
		t.Error("the agent was not kept warm")
	}
	if p := told[0].Prompt; !strings.Contains(p, "about service web") || !strings.HasSuffix(p, "Hi  there") || told[0].Dir != dir {
		t.Errorf("%q", p)
	}
	conv, err := h.Get(id)
	if err != nil || conv.Title != "Hi there" || len(conv.Entries) != 6 || conv.Entries[3].Text != answer || len(conv.Entries[3].Tools) != 1 || conv.Agent != "fake" {
		t.Errorf("%+v %v", conv, err)
	}
	if all, err := h.List(); err != nil || len(all) != 1 || all[0].ID != id || all[0].Entries != nil {
		t.Errorf("%+v %v", all, err)
	}
	if err := h.Delete(id); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		h.Delete(id),
		func() error { _, _, err := h.Begin(t.Context(), chat.Message{Conversation: id}); return err }(),
		func() error { _, err := h.Get("chat-../../x"); return err }(),
		h.Decide("x", true, "me"),
	} {
		if !errors.Is(err, chat.ErrUnknown) {
			t.Error(err)
		}
	}
}

func env(told agenttest.Told, name string) string {
	for _, v := range told.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

func TestAConversationOutlivesUs(t *testing.T) {
	t.Parallel()
	for name, noLoad := range map[string]bool{"the agent remembers": false, "the agent does not": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil, agenttest.Fake(t, "fake", agenttest.Script{NoLoad: noLoad, Turns: [][]act{{{Say: "The word is swordfish."}}, {{Say: "Swordfish."}}}}))
			id, _, _ := h.say(t.Context(), chat.Message{Text: "Tell me a word"}, nil)
			h.end()
			h.open()
			h.say(t.Context(), chat.Message{Text: "Which was it?", Conversation: id}, nil)
			told := agenttest.ToldOf(t, "fake")
			if len(told) != 2 || told[0].Dir != h.Nowhere() {
				t.Fatalf("%+v", told)
			}
			if same := told[0].Session == told[1].Session; same == noLoad {
				t.Errorf("the same session: %v", same)
			}
			if past := strings.Contains(told[1].Prompt, "The word is swordfish."); past != noLoad {
				t.Errorf("it was told the past: %v", past)
			}
			if conv, err := h.Get(id); err != nil || len(conv.Entries) != 4 {
				t.Errorf("%+v %v", conv, err)
			}
		})
	}
}

func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	script := agenttest.Script{Turns: [][]act{{{Say: "Hello."}}, {
		{Tool: "supervisor_list"}, {Tool: "supervisor_stop"}, {Edit: "calc.py", Text: "edited"}, {Say: "Done."},
	}}}
	for name, c := range map[string]struct {
		asks  bool
		allow func(title string) bool
		asked int
		text  string
	}{
		"nobody can be asked": {false, nil, 0, "text of calc"},
		"a person says yes":   {true, func(string) bool { return true }, 2, "edited"},
		"a person says no":    {true, func(string) bool { return false }, 2, "text of calc"},
		"nobody answers":      {true, nil, 2, "text of calc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t)
			h := newHouse(t, func(o *chat.Options) {
				if c.allow == nil {
					o.Patience = time.Millisecond
				}
			}, agenttest.Fake(t, "fake", script))
			// The agent is warm by the time that it asks: it is the second message's sender who is asked.
			id, _, _ := h.say(t.Context(), chat.Message{Text: "Hello", Dir: dir, Asks: c.asks}, nil)
			asked, decided := 0, 0
			_, answer, events := h.say(t.Context(), chat.Message{Text: "Go", Conversation: id, Asks: c.asks}, func(e chat.Event) {
				switch e.Type {
				case chat.TypeDecision:
					decided++
				case chat.TypePermission:
					asked++
					if c.allow == nil {
						return
					}
					if err := h.Decide(e.Permission.ID, c.allow(e.Content), "me"); err != nil {
						t.Error(err)
					}
					if err := h.Decide(e.Permission.ID, true, "another"); !errors.Is(err, chat.ErrUnknown) {
						t.Errorf("answered twice: %v", err)
					}
				}
			})
			if answer != "Done." || asked != c.asked || decided != c.asked {
				t.Errorf("asked %d times, %d decisions: %q", asked, decided, events)
			}
			if text, err := os.ReadFile(filepath.Join(dir, "calc.py")); err != nil || string(text) != c.text {
				t.Errorf("%q %v", text, err)
			}
		})
	}
}

func TestWhatGoesWrongIsSaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, agenttest.Fake(t, "fake", agenttest.Script{Turns: [][]act{{{Say: "I "}, {Crash: 3}}, {{Say: "Better."}}, {{Say: "begun"}, {Wait: true}}, {{Say: "Again."}}}}))
	id, _, events := h.say(t.Context(), chat.Message{Text: "Hi"}, nil)
	if n := len(events); n != 3 || !strings.HasPrefix(events[1], "error the agent's process has ended") || events[2] != "done " {
		t.Errorf("%q", events)
	}
	if _, answer, events := h.say(t.Context(), chat.Message{Text: "Again", Conversation: id}, nil); answer != "Better." {
		t.Errorf("%q", events)
	}
	// One that goes away while it is being answered.
	ctx, cancel := context.WithCancel(t.Context())
	_, _, _ = h.say(ctx, chat.Message{Text: "Long", Conversation: id}, func(e chat.Event) {
		if e.Type == chat.TypeText {
			if _, _, err := h.Begin(t.Context(), chat.Message{Text: "Beside", Conversation: id}); !errors.Is(err, chat.ErrBusy) {
				t.Errorf("a second message: %v", err)
			}
			if err := h.Delete(id); !errors.Is(err, chat.ErrBusy) {
				t.Errorf("deleted: %v", err)
			}
			cancel()
		}
	})
	if _, answer, events := h.say(t.Context(), chat.Message{Text: "Again", Conversation: id}, nil); answer != "Again." {
		t.Errorf("%q", events)
	}
	conv, err := h.Get(id)
	if err != nil || conv.Entries[1].Text != "I " || conv.Entries[1].Error == "" || conv.Entries[5].Error == "" {
		t.Errorf("%+v %v", conv.Entries, err)
	}
}

func TestFewAgentsAreKeptWarm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *chat.Options) { o.MaxWarm, o.Keep = 1, 2 }, agenttest.Fake(t, "fake", agenttest.Script{Turns: [][]act{{{Say: "Hello."}}}}))
	first, _, _ := h.say(t.Context(), chat.Message{Text: "1"}, nil)
	second, _, _ := h.say(t.Context(), chat.Message{Text: "2"}, nil)
	for _, id := range []string{second, first, second} {
		h.say(t.Context(), chat.Message{Text: "again", Conversation: id}, nil)
	}
	told := agenttest.ToldOf(t, "fake")
	run := func(i int) string { return env(told[i], "SUPERVISOR_AGENT_RUN") }
	if run(1) != run(2) || run(0) == run(3) || run(2) == run(4) {
		t.Error("not the one that was used last is kept")
	}
	h.say(t.Context(), chat.Message{Text: "3"}, nil)
	if all, err := h.List(); err != nil || len(all) != 2 || all[0].Title != "3" {
		t.Errorf("%+v %v", all, err)
	}
	// A model that is asked for is another agent.
	h.say(t.Context(), chat.Message{Text: "again", Conversation: second, Model: "m2"}, nil)
	told = agenttest.ToldOf(t, "fake")
	if last := told[len(told)-1]; !slices.Equal(last.Args, []string{"--model=m2"}) || last.Session != told[1].Session {
		t.Errorf("%+v", last)
	}
}

func TestNoAgent(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil, agent.Spec{ID: "none", Protocol: agent.ProtocolACP, Argv: []string{"/nowhere/agent"}, Install: "npm install none"})
	var u *agent.UnavailableError
	if _, _, err := h.Begin(t.Context(), chat.Message{Text: "Hi"}); !errors.As(err, &u) {
		t.Error(err)
	}
	if all, err := h.List(); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}
