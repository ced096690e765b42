package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/philiporange/supervisor/pkg/agent"
)

// ServerName is the name by which agents know our MCP server.
const ServerName = "supervisor"

var (
	// ErrUnknown says that there is no such conversation, or question.
	ErrUnknown = errors.New("there is no such conversation")
	// ErrBusy refuses a message while another is being answered.
	ErrBusy = errors.New("the last message of this conversation is still being answered")
)

// Options say how conversations are held.
type Options struct {
	// Runner starts agents.
	Runner *agent.Runner
	// Dir holds a file for each conversation.
	Dir string
	// Servers are the MCP servers for an agent that runs as a user (empty: as the default one); asks says whether a person can be
	// asked about what they change.
	Servers func(user string, asks bool) []agent.Server
	// Looking are the tools of ServerName that change nothing.
	Looking []string
	// Warm is how long an agent is kept after an answer (10 min), MaxWarm how many are (2).
	Warm    time.Duration
	MaxWarm int
	// Patience is how long a person may take to answer a question (10 min).
	Patience time.Duration
	// Keep is how many conversations are kept (200).
	Keep int
	Log  *slog.Logger
}

// Chat holds conversations. It is safe for concurrent use.
type Chat struct {
	o Options

	mu        sync.Mutex
	busy      map[string]*telling      // conversations that are being answered, and to whom; nil before it has begun
	warm      map[string]*warm         // agents that wait for the next message
	questions map[string]chan decision // that a person has yet to answer
	closed    bool
}

// warm is an agent that waits for the next message of its conversation.
type warm struct {
	session *agent.Session
	begun   beginning
	timer   *time.Timer
	since   time.Time
}

// beginning is what an agent was started with.
type beginning struct {
	agent, model, dir, user string
	asks                    bool
}

// decision is a person's answer.
type decision struct {
	allow bool
	actor string
}

// New makes the folder of conversations.
func New(o Options) (*Chat, error) {
	if o.Warm <= 0 {
		o.Warm = 10 * time.Minute
	}
	if o.MaxWarm <= 0 {
		o.MaxWarm = 2
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Keep <= 0 {
		o.Keep = 200
	}
	if o.Servers == nil {
		o.Servers = func(string, bool) []agent.Server { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "nowhere"), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of conversations: %w", err)
	}
	return &Chat{o: o, busy: map[string]*telling{}, warm: map[string]*warm{}, questions: map[string]chan decision{}}, nil
}

// Close ends the agents that wait. Answers that are on their way end with their own contexts.
func (c *Chat) Close() {
	c.mu.Lock()
	c.closed = true
	all := c.warm
	c.warm = map[string]*warm{}
	c.mu.Unlock()
	var ends sync.WaitGroup
	for _, w := range all {
		w.timer.Stop()
		ends.Go(w.session.Close)
	}
	ends.Wait()
}

// Nowhere is the folder of conversations about no project: there is nothing in it.
func (c *Chat) Nowhere() string { return filepath.Join(c.o.Dir, "nowhere") }

// Message is what a person says.
type Message struct {
	// Conversation is the one to go on with; empty begins one.
	Conversation string
	Text         string
	// Dir is the project's folder, User who owns it when we are root; About says what it is, such as service web. They are those of
	// the conversation's begin when they are empty.
	Dir, User, About string
	// Agent and Model are those to use; empty for the defaults.
	Agent, Model string
	// Asks says that a person can be asked, and answers with Decide.
	Asks bool
}

// Begin takes a message. Its errors are ErrUnknown, ErrBusy and agent.UnavailableError; run then answers, and must be called. id is
// that of the conversation.
func (c *Chat) Begin(ctx context.Context, m Message) (id string, run func(ctx context.Context, emit func(Event)), err error) {
	conv, err := c.conversation(m)
	if err != nil {
		return "", nil, err
	}
	if err := c.o.Runner.AvailableTo(ctx, conv.Agent, conv.User); err != nil {
		return "", nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, busy := c.busy[conv.ID]; busy {
		return "", nil, ErrBusy
	}
	c.busy[conv.ID] = nil
	return conv.ID, func(ctx context.Context, emit func(Event)) {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.busy, conv.ID)
		}()
		c.answer(ctx, conv, m, emit)
	}, nil
}

// conversation finds or begins the conversation of a message.
func (c *Chat) conversation(m Message) (*Conversation, error) {
	if m.Conversation == "" {
		conv := &Conversation{ID: newID(), Created: time.Now(), Title: title(m.Text)}
		conv.take(m)
		if conv.Dir == "" {
			conv.Dir = c.Nowhere()
		}
		return conv, nil
	}
	conv, err := c.load(m.Conversation)
	if err != nil {
		return nil, err
	}
	conv.take(m)
	return conv, nil
}

// answer lets the agent answer a message, and keeps both.
func (c *Chat) answer(ctx context.Context, conv *Conversation, m Message, emit func(Event)) {
	t := newTelling(conv.ID, m.Asks, emit)
	c.mu.Lock()
	c.busy[conv.ID] = t
	c.mu.Unlock()
	conv.add(Entry{Time: time.Now(), Role: "user", Text: m.Text})
	err := c.keep(conv)
	var out agent.Outcome
	if err == nil {
		out, err = c.turn(ctx, conv, m, t)
	}
	entry := Entry{Time: time.Now(), Role: "assistant", Text: out.Text, Tools: t.tools}
	if err != nil {
		entry.Error = err.Error()
		t.tell(Event{Type: TypeError, Content: err.Error()})
	}
	conv.add(entry)
	if err := c.keep(conv); err != nil {
		c.o.Log.Warn("a conversation is not kept", "conversation", conv.ID, "err", err)
	}
	c.prune()
	done := Event{Type: TypeDone, Content: out.Stop}
	if out.Usage != (agent.Usage{}) && m.Asks {
		done.Usage = &out.Usage
	}
	t.tell(done)
}

// turn gives the message to the conversation's agent.
func (c *Chat) turn(ctx context.Context, conv *Conversation, m Message, t *telling) (agent.Outcome, error) {
	q := agent.Request{
		Agent: conv.Agent, Model: conv.Model, Dir: conv.Dir, User: conv.User, Access: agent.AccessRead, Servers: c.o.Servers(conv.User, m.Asks),
		Policy: agent.Else(agent.ReadOnly(conv.Dir), agent.AllowTools(ServerName, c.o.Looking...)),
	}
	if m.Asks {
		q.Access = agent.AccessEdit
		q.Policy = agent.Else(q.Policy, c.ask(conv.ID))
	}
	session, known, err := c.session(ctx, conv, q, m.Asks, t)
	if err != nil {
		return agent.Outcome{}, err
	}
	conv.Agent, conv.Session = session.Agent(), session.ID()
	out, err := session.Prompt(ctx, conv.prompt(m.Text, known, len(q.Servers) > 0), t.event)
	if session.Alive() {
		c.keepWarm(conv.ID, session, beginning{conv.Agent, conv.Model, conv.Dir, conv.User, m.Asks})
	} else {
		session.Close()
	}
	return out, err
}

// session finds an agent for a conversation: the one that waits, one that resumes, or a new one. known is true when it knows what
// was said.
func (c *Chat) session(ctx context.Context, conv *Conversation, q agent.Request, asks bool, t *telling) (s *agent.Session, known bool, err error) {
	c.mu.Lock()
	w := c.warm[conv.ID]
	delete(c.warm, conv.ID)
	c.mu.Unlock()
	if w != nil {
		w.timer.Stop()
		if w.begun == (beginning{conv.Agent, conv.Model, conv.Dir, conv.User, asks}) && w.session.Alive() {
			return w.session, true, nil
		}
		w.session.Close()
	}
	t.event(agent.Event{Kind: agent.KindWait, Text: "the agent is being started"})
	if conv.Session != "" {
		q.Resume = conv.Session
		s, err := c.o.Runner.Start(ctx, q)
		if err == nil || !errors.Is(err, agent.ErrCannotResume) {
			return s, true, err
		}
		c.o.Log.Info("an agent does not know its session any more and is told what was said", "conversation", conv.ID, "err", err)
		q.Resume = ""
	}
	s, err = c.o.Runner.Start(ctx, q)
	return s, false, err
}

// keepWarm lets an agent wait for the next message.
func (c *Chat) keepWarm(id string, s *agent.Session, b beginning) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		s.Close()
		return
	}
	w := &warm{session: s, begun: b, since: time.Now()}
	w.timer = time.AfterFunc(c.o.Warm, func() { c.cool(id, w) })
	c.warm[id] = w
	var oldest string
	if len(c.warm) > c.o.MaxWarm {
		for other, o := range c.warm {
			if oldest == "" || o.since.Before(c.warm[oldest].since) {
				oldest = other
			}
		}
	}
	over := c.warm[oldest]
	c.mu.Unlock()
	if over != nil {
		c.cool(oldest, over)
	}
}

// cool ends an agent that has waited long enough.
func (c *Chat) cool(id string, w *warm) {
	c.mu.Lock()
	mine := c.warm[id] == w
	if mine {
		delete(c.warm, id)
	}
	c.mu.Unlock()
	if mine {
		w.timer.Stop()
		w.session.Close()
	}
}

// ask is the policy that asks the person whose message is being answered. It is the agent's for as long as that is kept warm.
func (c *Chat) ask(conversation string) agent.Policy {
	return func(ctx context.Context, ask agent.Ask) agent.Decision {
		answer := make(chan decision, 1)
		c.mu.Lock()
		t := c.busy[conversation]
		if t != nil {
			c.questions[ask.ID] = answer
		}
		c.mu.Unlock()
		if t == nil {
			return agent.Decision{Why: "nobody is there to be asked"}
		}
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.questions, ask.ID)
		}()
		t.ask(ask)
		timer := time.NewTimer(c.o.Patience)
		defer timer.Stop()
		select {
		case d := <-answer:
			c.o.Log.Info("an agent's question was answered", "conversation", conversation, "tool", ask.Tool.Title, "kind", ask.Tool.Kind, "allowed", d.allow, "actor", d.actor)
			why := "refused by " + d.actor
			if d.allow {
				why = "allowed by " + d.actor
			}
			return agent.Decision{Allow: d.allow, Why: why}
		case <-timer.C:
			return agent.Decision{Why: fmt.Sprintf("nobody answered within %s", c.o.Patience)}
		case <-ctx.Done():
			return agent.Decision{Why: "nobody is there any more"}
		}
	}
}

// Decide answers a question of an agent. It fails with ErrUnknown when there is none, any more.
func (c *Chat) Decide(id string, allow bool, actor string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, ok := c.questions[id]
	if !ok {
		return ErrUnknown
	}
	delete(c.questions, id)
	answer <- decision{allow, actor}
	return nil
}
