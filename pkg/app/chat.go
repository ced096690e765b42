package app

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/pkg/agent"
	"github.com/philiporange/supervisor/pkg/chat"
)

// looking are the tools of our MCP server that change nothing; an agent need not ask before it uses them.
var looking = []string{"list", "describe", "logs", "metrics", "events", "cron_history", "validate"}

// chats fits the conversations onto the API.
type chats struct {
	app  *App
	chat *chat.Chat
}

func (a *App) openChat() (*chats, error) {
	c := &chats{app: a}
	var err error
	c.chat, err = chat.New(chat.Options{
		Runner: a.agents.runner, Dir: filepath.Join(a.settings.Dir, "chats"), Servers: c.servers, Looking: looking, Log: a.log,
	})
	return c, err
}

// servers is our own MCP server, as a program that the agent starts. It speaks to us over the unix socket, so it is of use only to
// an agent that runs as we do.
func (c *chats) servers(user string, asks bool) []agent.Server {
	if as := cmp.Or(user, c.app.settings.Agent.User); os.Getuid() == 0 && as != "" && as != "root" {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	readOnly := []string{"mcp", "--read-only"}
	args := readOnly
	if asks {
		args = []string{"mcp", "--client-asks"} // each call that changes something goes through the conversation's own question
	}
	return []agent.Server{{Name: chat.ServerName, Command: program, Args: args, Unasked: readOnly, Env: map[string]string{"SUPERVISOR_DIR": c.app.settings.Dir}}}
}

// inChat puts the errors of conversations into the API's.
func inChat(err error) error {
	var none *agent.UnavailableError
	switch {
	case errors.As(err, &none):
		return rest.Errorf(wire.CodeUnavailable, "%v", err)
	case errors.Is(err, chat.ErrUnknown):
		return rest.Errorf(wire.CodeNotFound, "there is no such conversation or question, any more")
	case errors.Is(err, chat.ErrBusy):
		return rest.Errorf(wire.CodeConflict, "%v", err)
	}
	return err
}

// Begin implements rest.Chat.
func (c *chats) Begin(ctx context.Context, r wire.ChatRequest) (func(context.Context, func(wire.ChatEvent)), error) {
	m := chat.Message{Conversation: r.SessionID, Text: r.Message, Agent: r.Agent, Model: r.Model, Asks: r.Approvals}
	if err := c.project(r.Project, &m); err != nil {
		return nil, err
	}
	_, run, err := c.chat.Begin(ctx, m)
	if err != nil {
		return nil, inChat(err)
	}
	return func(ctx context.Context, emit func(wire.ChatEvent)) {
		run(ctx, func(e chat.Event) { emit(chatEvent(&e)) })
	}, nil
}

// project finds what a message is about: a service, a folder of ~/Code, or a path.
func (c *chats) project(name string, m *chat.Message) error {
	if name == "" {
		return nil
	}
	if o, _, _, ok := c.app.desired.Get(v1.Key{Kind: v1.KindService, Name: name}); ok {
		if s, isService := o.(*v1.Service); isService {
			p := programs{manifests: c.app.settings.Manifests, origin: c.app.file}
			m.Dir, m.User, m.About = p.workingDir(s), s.Spec.User, "service "+name
			return nil
		}
	}
	home := os.Getenv("HOME")
	dir := name
	switch rest, tilde := strings.CutPrefix(name, "~/"); {
	case tilde:
		dir = filepath.Join(home, rest)
	case !filepath.IsAbs(name) && filepath.IsLocal(name):
		dir = filepath.Join(home, "Code", name)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() || !filepath.IsAbs(dir) {
		return rest.Errorf(wire.CodeNotFound, "there is no project %q: it is neither a service, nor a folder in ~/Code, nor the path of a folder", name)
	}
	m.Dir, m.About = filepath.Clean(dir), "the project "+filepath.Base(dir)
	return nil
}

func chatEvent(e *chat.Event) wire.ChatEvent {
	out := wire.ChatEvent{Type: e.Type, Content: e.Content, SessionID: e.Conversation}
	if t := e.Tool; t != nil {
		out.Tool = &wire.ChatTool{ID: t.ID, Kind: t.Kind, Title: t.Title, Status: t.Status, Paths: t.Paths, Input: t.Input}
		for _, d := range t.Diffs {
			out.Tool.Diffs = append(out.Tool.Diffs, wire.ChatDiff(d))
		}
	}
	if p := e.Permission; p != nil {
		out.Permission = &wire.ChatPermission{ID: p.ID, Pending: p.Pending, Allowed: p.Allowed, Why: p.Why}
	}
	if e.Usage != nil {
		usage := wire.ChatUsage(*e.Usage)
		out.Usage = &usage
	}
	return out
}

// Decide implements rest.Chat.
func (c *chats) Decide(id string, allow bool, actor string) error {
	return inChat(c.chat.Decide(id, allow, actor))
}

// Conversations implements rest.Chat.
func (c *chats) Conversations() ([]wire.Conversation, error) {
	found, err := c.chat.List()
	out := make([]wire.Conversation, len(found))
	for i := range found {
		out[i] = conversation(&found[i])
	}
	return out, err
}

// Conversation implements rest.Chat.
func (c *chats) Conversation(id string) (wire.Conversation, error) {
	found, err := c.chat.Get(id)
	return conversation(&found), inChat(err)
}

// Forget implements rest.Chat.
func (c *chats) Forget(id string) error { return inChat(c.chat.Delete(id)) }

func conversation(c *chat.Conversation) wire.Conversation {
	out := wire.Conversation{
		ID: c.ID, Title: c.Title, Agent: c.Agent, Model: c.Model, Dir: c.Dir, About: c.About, CreatedAt: c.Created, UpdatedAt: c.Updated,
	}
	for _, e := range c.Entries {
		out.Entries = append(out.Entries, wire.ConversationEntry(e))
	}
	return out
}

var _ rest.Chat = (*chats)(nil)
