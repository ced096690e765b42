package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	acp "github.com/coder/acp-go-sdk"
)

// maxAnswer bounds the answer that an Outcome holds, in bytes.
const maxAnswer = 1 << 20

// Session is a conversation with an agent's process. Turns come one after the other.
type Session struct {
	runner  *Runner
	request Request
	plan    plan

	// Of the Agent Client Protocol.
	child *child
	wire  *wire
	loads bool // it can resume sessions

	mu     sync.Mutex
	id     string
	seq    uint64
	turn   *turn // the one that goes on
	tools  map[string]Tool
	closed bool
}

// ID names the session for Resume; empty when the agent has none.
func (s *Session) ID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id
}

// Agent is the ID of the agent, Model what it was told to use; empty for its own choice.
func (s *Session) Agent() string { return s.plan.spec.ID }

// Model is what the agent was told to use; empty for its own choice.
func (s *Session) Model() string { return s.plan.setup.Model }

// CanResume reports whether the agent can resume a session once its process is gone.
func (s *Session) CanResume() bool { return s.loads }

// Alive reports whether another turn is possible.
func (s *Session) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.child == nil {
		return !s.closed
	}
	select {
	case <-s.child.ended:
		return false
	default:
		return true
	}
}

// Close ends the agent's process and all that it has started.
func (s *Session) Close() {
	s.mu.Lock()
	s.closed = true
	p := s.child
	s.mu.Unlock()
	if p != nil {
		p.end()
		<-s.wire.done() // its standard output is at its end
		_ = p.stdout.Close()
	}
	s.runner.forget(s)
}

// Prompt is one turn: it gives the agent a text, and returns when its answer is complete. emit is called with each event, one at a
// time; it may be nil. When ctx ends the turn is cancelled; a session whose agent does not heed that is over.
func (s *Session) Prompt(ctx context.Context, text string, emit func(Event)) (Outcome, error) {
	if emit == nil {
		emit = func(Event) {}
	}
	t := newTurn(ctx, s, emit)
	s.mu.Lock()
	busy, closed := s.turn != nil, s.closed
	if !busy && !closed {
		s.turn = t
	}
	s.mu.Unlock()
	switch {
	case busy:
		t.end()
		return Outcome{}, ErrBusy
	case closed || !s.Alive():
		s.release(t)
		return Outcome{}, ErrGone
	}
	outcome, err := t.run(text)
	s.release(t)
	return outcome, err
}

func (s *Session) release(t *turn) {
	s.mu.Lock()
	if s.turn == t {
		s.turn = nil
	}
	s.mu.Unlock()
	t.end()
}

// current is the turn that goes on, or nil.
func (s *Session) current() *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.turn
}

// mask takes the agent's key out of what is shown.
func (s *Session) mask(text string) string {
	for _, secret := range s.plan.secrets {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return text
}

// turn is one prompt and what comes of it.
type turn struct {
	s      *Session
	ctx    context.Context
	cancel context.CancelCauseFunc
	clocks *clocks
	events *pump

	mu      sync.Mutex
	answer  strings.Builder
	outcome Outcome
}

func newTurn(ctx context.Context, s *Session, emit func(Event)) *turn {
	t := &turn{s: s, events: newPump(emit)}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.clocks = newClocks(s.request.Limits, t.cancel)
	return t
}

// end lets the last events out.
func (t *turn) end() {
	t.clocks.stop()
	t.cancel(nil)
	t.events.close()
}

// tell numbers an event and lets it out.
func (t *turn) tell(e Event) {
	e.Time = time.Now()
	e.Text = t.s.mask(e.Text)
	t.s.mu.Lock()
	t.s.seq++
	e.Seq = t.s.seq
	t.s.mu.Unlock()
	t.events.put(e)
}

// heard is an event of the agent: it lives.
func (t *turn) heard(e Event) {
	t.clocks.touch()
	if e.Kind == KindText {
		t.mu.Lock()
		if t.answer.Len() < maxAnswer {
			t.answer.WriteString(e.Text)
		}
		t.mu.Unlock()
	}
	t.tell(e)
}

// run waits for a slot, lets the agent work, and tells how it ended.
func (t *turn) run(text string) (Outcome, error) {
	s := t.s
	t.outcome = Outcome{Session: s.ID(), Agent: s.plan.spec.ID, Model: s.plan.setup.Model}
	if err := t.slot(); err != nil {
		return t.fail(err)
	}
	defer func() { <-s.runner.slots }()
	begun := time.Now()
	t.clocks.resume()
	if id := s.ID(); id != "" {
		t.tell(Event{Kind: KindSession, Text: id})
	}
	work := t.speak
	if s.plan.spec.Protocol == ProtocolText {
		work = t.execute
	}
	stop, usage, err := work(text)
	t.mu.Lock()
	t.outcome.Text, t.outcome.Stop, t.outcome.Duration = s.mask(t.answer.String()), stop, time.Since(begun)
	if usage != (Usage{}) {
		t.outcome.Usage = usage
	}
	usage = t.outcome.Usage
	t.mu.Unlock()
	if err != nil {
		return t.fail(err)
	}
	if usage != (Usage{}) {
		t.tell(Event{Kind: KindUsage, Usage: &usage})
	}
	t.tell(Event{Kind: KindDone, Stop: stop})
	return t.result(), nil
}

func (t *turn) result() Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outcome
}

func (t *turn) fail(err error) (Outcome, error) {
	t.tell(Event{Kind: KindError, Text: err.Error()})
	return t.result(), err
}

// slot waits until fewer turns than allowed go on.
func (t *turn) slot() error {
	select {
	case t.s.runner.slots <- struct{}{}:
		return nil
	default:
	}
	t.tell(Event{Kind: KindWait, Text: "other agents are at work; it is this one's turn when one of them has finished"})
	select {
	case t.s.runner.slots <- struct{}{}:
		return nil
	case <-t.ctx.Done():
		return context.Cause(t.ctx)
	}
}

// speak is a turn of the Agent Client Protocol.
func (t *turn) speak(text string) (stop string, usage Usage, err error) {
	s := t.s
	type answer struct {
		resp acp.PromptResponse
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		// The turn's own context would make the SDK forget the answer; we want to see it after a cancel too.
		resp, err := acp.SendRequest[acp.PromptResponse](s.wire.conn, context.WithoutCancel(t.ctx), acp.AgentMethodSessionPrompt, acp.PromptRequest{
			SessionId: acp.SessionId(s.ID()), Prompt: []acp.ContentBlock{acp.TextBlock(text)},
		})
		answered <- answer{resp, err}
	}()
	var a answer
	select {
	case a = <-answered:
	case <-s.child.ended:
		a = <-answered // the connection is closed
	case <-t.ctx.Done():
		cause := context.Cause(t.ctx)
		if errors.Is(cause, ErrOutput) {
			s.child.kill()
			<-answered
			return "", usage, cause
		}
		// A write blocks for as long as the agent does not read.
		go func() {
			cancel := acp.CancelNotification{SessionId: acp.SessionId(s.ID())}
			_ = s.wire.conn.SendNotification(context.WithoutCancel(t.ctx), acp.AgentMethodSessionCancel, cancel) //nolint:errcheck // an agent that is gone is cancelled
		}()
		grace := time.NewTimer(s.runner.config.graces.cancel)
		defer grace.Stop()
		select {
		case <-answered:
		case <-grace.C:
			s.child.end()
			<-answered
		}
		return "cancelled", usage, cause
	}
	if a.err != nil {
		// It may have been ended while its answer was on its way.
		if cause := context.Cause(t.ctx); cause != nil {
			return "", usage, cause
		}
		select {
		case <-s.wire.done():
			s.child.end() // one that has closed its output is of no more use
		default:
		}
		return "", usage, s.explain(a.err)
	}
	return string(a.resp.StopReason), usageOf(a.resp.Usage), nil
}

// explain puts an error of the protocol into words.
func (s *Session) explain(err error) error {
	name := s.plan.spec.Name
	select {
	case <-s.child.ended:
		text := fmt.Sprintf("%s ended before its answer was complete (%s)", name, s.child.how())
		if last := lastLines(s.mask(Redact(s.child.stderr.String()))); last != "" {
			text += "; its last words: " + last
		}
		return fmt.Errorf("%w: %s", ErrGone, text)
	default:
	}
	var e *acp.RequestError
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", name, err)
	}
	text := e.Message
	if details := detailsOf(e.Data); details != "" {
		text += ": " + details
	}
	return fmt.Errorf("%s says: %s", name, s.mask(Redact(text)))
}

// detailsOf finds the sentence in an error's data.
func detailsOf(data any) string {
	switch v := data.(type) {
	case string:
		return v
	case map[string]any:
		for _, name := range []string{"details", "message", "error", "errorName"} {
			if text := detailsOf(v[name]); text != "" {
				return text
			}
		}
	}
	return ""
}

// lastLines is the end of a text, on one line.
func lastLines(text string) string {
	const most = 400
	text = strings.Join(strings.Fields(printable(text)), " ")
	if len(text) > most {
		text = "…" + strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return text
}
