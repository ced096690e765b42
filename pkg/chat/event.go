package chat

import (
	"strings"
	"sync"

	"github.com/philiporange/supervisor/pkg/agent"
)

// The types of events.
const (
	TypeText   = "text"   // a piece of the answer
	TypeTool   = "tool"   // the agent uses a tool
	TypeResult = "result" // what the tool gave
	TypeError  = "error"
	TypeDone   = "done" // the last one

	// These are for those who can ask a person.
	TypePermission = "permission" // the agent asks whether it may
	TypeDecision   = "decision"   // what it was answered
	TypeThought    = "thought"
	TypePlan       = "plan"
	TypeWait       = "wait" // what it waits for
)

// maxResult bounds what is told of the output of a tool, in bytes.
const maxResult = 4 << 10

// Event is one thing that happens while a message is answered.
type Event struct {
	Type, Content string
	// Conversation is the ID to go on with.
	Conversation string
	Tool         *agent.Tool
	Permission   *agent.Answer
	Usage        *agent.Usage
}

// telling turns an agent's events into ours.
type telling struct {
	conversation string
	rich         bool // everything is told, not only what the contract names
	emit         func(Event)

	mu    sync.Mutex
	shown map[string]string // what was told of tools that are in use
	asked map[string]bool   // questions that a person was asked
	tools []string          // one line for each tool that was used
}

func newTelling(conversation string, rich bool, emit func(Event)) *telling {
	return &telling{conversation: conversation, rich: rich, emit: emit, shown: map[string]string{}, asked: map[string]bool{}}
}

// tell lets an event out, one at a time.
func (t *telling) tell(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tellLocked(e)
}

func (t *telling) tellLocked(e Event) {
	e.Conversation = t.conversation
	t.emit(e)
}

// ask tells a person what the agent asks.
func (t *telling) ask(a agent.Ask) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked[a.ID] = true
	t.tellLocked(Event{Type: TypePermission, Content: toolLine(&a.Tool), Tool: &a.Tool, Permission: &agent.Answer{ID: a.ID, Pending: true}})
}

// event tells an agent's event.
func (t *telling) event(e agent.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case agent.KindText:
		t.tellLocked(Event{Type: TypeText, Content: e.Text})
	case agent.KindTool:
		if line := toolLine(e.Tool); t.shown[e.Tool.ID] != line {
			t.shown[e.Tool.ID] = line
			t.tellLocked(Event{Type: TypeTool, Content: line, Tool: e.Tool})
		}
	case agent.KindToolEnd:
		line := toolLine(e.Tool)
		if _, ok := t.shown[e.Tool.ID]; !ok {
			t.tellLocked(Event{Type: TypeTool, Content: line, Tool: e.Tool})
		}
		delete(t.shown, e.Tool.ID)
		t.tools = append(t.tools, line+" ("+e.Tool.Status+")")
		t.tellLocked(Event{Type: TypeResult, Content: cut(e.Tool.Output, maxResult), Tool: e.Tool})
	}
	if !t.rich {
		return
	}
	switch e.Kind {
	case agent.KindDecision:
		if !t.asked[e.Permission.ID] {
			return // it went without saying
		}
		t.tellLocked(Event{Type: TypeDecision, Content: e.Permission.Why, Tool: e.Tool, Permission: e.Permission})
	case agent.KindThought:
		t.tellLocked(Event{Type: TypeThought, Content: e.Text})
	case agent.KindPlan:
		t.tellLocked(Event{Type: TypePlan, Content: e.Text})
	case agent.KindWait:
		t.tellLocked(Event{Type: TypeWait, Content: e.Text})
	}
}

// toolLine is a tool call in a line: what it does, and to which files.
func toolLine(t *agent.Tool) string {
	title := t.Title
	if title == "" {
		title = t.Kind
	}
	for _, p := range t.Paths {
		if !strings.Contains(title, p) {
			title += " " + p
		}
	}
	return strings.TrimSpace(title)
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
