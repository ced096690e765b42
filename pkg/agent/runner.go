package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Limits bound a session. What is 0 is taken from the Runner's.
type Limits struct {
	// Start bounds the time until the agent is ready for a prompt.
	Start time.Duration
	// Turn bounds a turn, Idle the time in it without a word. While a person is asked, neither runs.
	Turn, Idle time.Duration
	// Output bounds what the process says in all, in bytes.
	Output int64
}

// The limits that hold where nothing else is said.
const (
	DefaultStart  = 2 * time.Minute
	DefaultTurn   = 10 * time.Minute
	DefaultIdle   = 90 * time.Second
	DefaultOutput = 64 << 20
)

func (l Limits) or(d Limits) Limits {
	return Limits{Start: cmp.Or(l.Start, d.Start), Turn: cmp.Or(l.Turn, d.Turn), Idle: cmp.Or(l.Idle, d.Idle), Output: cmp.Or(l.Output, d.Output)}
}

// Config is how agents are run here.
type Config struct {
	Specs []Spec
	// Default is the ID of the agent that is taken when nobody names one; empty takes the first that is ready.
	Default string
	// Model, KeyFile and BaseURL are those of the default agent.
	Model, KeyFile, BaseURL string
	// Dir holds their private homes, and notes on what runs.
	Dir string
	// User is who agents run as when we are root and nobody says whom; AllowRoot allows root.
	User      string
	AllowRoot bool
	// OtherHomes holds the homes of agents that run as other users.
	OtherHomes string
	// Turns is how many turns go on at a time; 0 means 2.
	Turns  int
	Limits Limits
	// Getenv is our own environment, for keys only; LookPath finds programs.
	Getenv   func(string) string
	LookPath func(string) (string, error)
	Log      *slog.Logger

	graces graces // for tests
}

// Runner finds agents and starts them. It is safe for concurrent use.
type Runner struct {
	config Config
	slots  chan struct{}

	mu       sync.Mutex
	versions map[string]version // by path, size and time
	sessions map[*Session]bool
	doors    map[string]chan struct{} // by home
	closed   bool
}

// NewRunner makes the folder for agents, and ends what an earlier life of the supervisor left running.
func NewRunner(ctx context.Context, c Config) (*Runner, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Getenv == nil {
		c.Getenv = func(string) string { return "" }
	}
	if c.LookPath == nil {
		c.LookPath = findProgram
	}
	if c.Turns <= 0 {
		c.Turns = 2
	}
	c.Limits = c.Limits.or(Limits{DefaultStart, DefaultTurn, DefaultIdle, DefaultOutput})
	if c.graces == (graces{}) {
		c.graces = graces{cancel: 3 * time.Second, input: 2 * time.Second, term: 2 * time.Second}
	}
	for i := range c.Specs {
		if err := c.Specs[i].check(); err != nil {
			return nil, err
		}
	}
	r := &Runner{config: c, slots: make(chan struct{}, c.Turns), versions: map[string]version{}, sessions: map[*Session]bool{}, doors: map[string]chan struct{}{}}
	if err := os.MkdirAll(r.notes(), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of agents: %w", err)
	}
	if n, err := reapLeft(ctx, r.notes()); err != nil {
		c.Log.Warn("agents of an earlier life may be left", "err", err)
	} else if n > 0 {
		c.Log.Info("agents that an earlier life left were ended", "count", n)
	}
	return r, nil
}

// notes is the folder with a note for each agent that runs.
func (r *Runner) notes() string { return filepath.Join(r.config.Dir, "running") }

// Close ends all sessions.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	open := make([]*Session, 0, len(r.sessions))
	for s := range r.sessions {
		open = append(open, s)
	}
	r.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range open {
		all.Go(s.Close)
	}
	all.Wait()
}

// Request says which agent shall work where.
type Request struct {
	// Agent is its ID; empty takes the default. Model is a name or an alias; empty takes the configured one.
	Agent, Model string
	// Dir is the folder that it works in, absolute.
	Dir string
	// User is who it runs as when we are root, such as the service's user; empty takes the configured one.
	User   string
	Access Access
	// Policy answers what it asks; nil denies everything.
	Policy Policy
	// Servers are MCP servers that it is given.
	Servers []Server
	// Resume is a session to go on with; it fails with ErrCannotResume.
	Resume string
	Limits Limits
}

// Server is an MCP server that an agent starts and speaks with over standard input and output.
type Server struct {
	Name, Command string
	Args          []string
	// Unasked are the arguments for an agent that uses tools without asking; nil gives it those of all.
	Unasked []string
	Env     map[string]string
}

// args are those for an agent.
func (m *Server) args(spec *Spec) []string {
	if m.Unasked != nil && !spec.Asks {
		return append([]string{}, m.Unasked...)
	}
	return append([]string{}, m.Args...)
}

// Run lets an agent do one thing: it starts it, gives it a prompt, and ends it. emit is called with each event, one at a time; it may
// be nil. The outcome tells what is known of the turn also when there is an error.
func (r *Runner) Run(ctx context.Context, q Request, prompt string, emit func(Event)) (Outcome, error) {
	s, err := r.Start(ctx, q)
	if err != nil {
		return Outcome{}, err
	}
	defer s.Close()
	return s.Prompt(ctx, prompt, emit)
}

// Start starts an agent and a session in it. It fails with UnavailableError when there is none that can be used.
func (r *Runner) Start(ctx context.Context, q Request) (*Session, error) {
	if q.Policy == nil {
		q.Policy = DenyAll
	}
	if q.Access == "" {
		q.Access = AccessRead
	}
	q.Limits = q.Limits.or(r.config.Limits)
	plan, err := r.plan(ctx, q)
	if err != nil {
		return nil, err
	}
	s := &Session{runner: r, request: q, plan: plan, tools: map[string]Tool{}}
	if err := r.register(s); err != nil {
		return nil, err
	}
	if plan.spec.Protocol == ProtocolText {
		return s, nil
	}
	leave, err := r.enter(ctx, r.homePath(&plan.spec, plan.who))
	if err == nil {
		err = s.connect(ctx)
		leave()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// enter lets one agent at a time come up in a home, until leave is called: what agents set up there at their first start, such as a
// database, they do not expect to be set up twice at once.
func (r *Runner) enter(ctx context.Context, home string) (leave func(), err error) {
	r.mu.Lock()
	door := r.doors[home]
	if door == nil {
		door = make(chan struct{}, 1)
		r.doors[home] = door
	}
	r.mu.Unlock()
	select {
	case door <- struct{}{}:
		return func() { <-door }, nil
	case <-ctx.Done():
		return func() {}, context.Cause(ctx)
	}
}

func (r *Runner) register(s *Session) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the supervisor is ending")
	}
	r.sessions[s] = true
	return nil
}

func (r *Runner) forget(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, s)
}

// plan is all that is needed to start an agent.
type plan struct {
	spec    Spec
	path    string
	who     account
	setup   Setup
	env     []string
	secrets []string
}

func (r *Runner) plan(ctx context.Context, q Request) (plan, error) {
	if !filepath.IsAbs(q.Dir) {
		return plan{}, fmt.Errorf("an agent needs an absolute folder to work in, not %q", q.Dir)
	}
	c, err := r.choose(ctx, q.Agent, q.Access)
	if err != nil {
		return plan{}, err
	}
	p := plan{spec: c.spec, path: c.path}
	if p.who, err = r.account(&p.spec, q.User); err != nil {
		return plan{}, err
	}
	if brought := p.spec.brought(q.Dir); brought != "" {
		return plan{}, &UnavailableError{Agent: p.spec.ID, Reason: fmt.Sprintf("it would run %s, which the project brings along; move that away, or say "+
			"\"trustProjects\": true of the agent in agents.json", brought)}
	}
	p.setup = Setup{Model: p.spec.ModelID(q.Model), BaseURL: p.spec.BaseURL, Dir: q.Dir, Access: q.Access, Secret: newMark()}
	for _, s := range q.Servers {
		p.setup.Servers = append(p.setup.Servers, s.Name)
	}
	home, err := r.home(&p.spec, p.who, &p.setup)
	if err != nil {
		return plan{}, err
	}
	vars, err := p.spec.variables(&p.setup)
	if err != nil {
		return plan{}, fmt.Errorf("agent %s: %w", p.spec.ID, err)
	}
	p.env = append(baseEnv(p.path, home), vars...)
	name, key, err := r.key(&p.spec, p.setup.Model)
	if err != nil {
		return plan{}, err
	}
	if key != "" {
		p.env = append(p.env, name+"="+key)
		p.secrets = append(p.secrets, key)
	}
	return p, nil
}

// account is who an agent runs as.
func (r *Runner) account(spec *Spec, user string) (account, error) {
	who, err := runsAs(os.Getuid(), user, r.config.User, r.config.AllowRoot, lookupAccount)
	var u *UnavailableError
	if errors.As(err, &u) {
		err = &UnavailableError{Agent: spec.ID, Reason: u.Reason}
	}
	return who, err
}
