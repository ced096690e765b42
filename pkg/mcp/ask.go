package mcp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// change is what a tool is about to do.
type change struct {
	action string
	keys   []v1.Key
	// summary is a sentence, detail what would change.
	summary, detail string
	// body is what makes this change another one than those like it: an applied text.
	body string
}

// digest identifies the change, so that a yes to one is no yes to another.
func (c *change) digest() string {
	sum := sha256.New()
	for _, part := range append([]string{c.action, c.body, c.detail}, names(c.keys)...) {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func names(keys []v1.Key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return out
}

// question is the key of our one question in a multi-round-trip request.
const question = "confirm"

// answerIn is how long a question can be answered.
const answerIn = 10 * time.Minute

// asker gets a person's yes.
type asker struct {
	desk  Supervisor
	trust bool
	key   []byte
	now   func() time.Time

	mu    sync.Mutex
	spent map[string]time.Time // questions that were answered, until they expire
}

func newAsker(desk Supervisor, trust bool) *asker {
	key := make([]byte, 32)
	_, _ = rand.Read(key) //nolint:errcheck // it never fails
	return &asker{desk: desk, trust: trust, key: key, now: time.Now, spent: map[string]time.Time{}}
}

// errRefused ends a call that a person did not agree to.
var errRefused = errors.New("the person did not agree; nothing was changed. Do not try again unless asked to")

// ask returns nil, nil when the change may be made now. Otherwise the result is the answer to the call: a question, or what
// to do to get a yes. approval is the ID that the caller has from an earlier answer.
func (a *asker) ask(ctx context.Context, req *sdk.CallToolRequest, c *change, approval string) (*sdk.CallToolResult, error) {
	if a.trust {
		return nil, nil //nolint:nilnil // It may go on.
	}
	if answer, ok := req.Params.InputResponses[question]; ok {
		return nil, a.answered(answer, req.Params.RequestState, c)
	}
	if canElicit(req) {
		return &sdk.CallToolResult{
			InputRequests: sdk.InputRequestMap{question: &sdk.ElicitParams{Message: c.message(), RequestedSchema: confirmSchema()}},
			RequestState:  a.state(c),
		}, nil
	}
	if approval != "" {
		_, err := a.desk.UseApproval(ctx, approval, c.digest())
		return nil, err
	}
	laid, err := a.desk.AskApproval(ctx, wire.ApprovalRequest{Action: c.action, Keys: c.keys, Summary: c.summary, Detail: c.detail, Digest: c.digest()})
	if err != nil {
		return nil, err
	}
	return said(fmt.Sprintf(`Nothing was changed yet: a person has to allow this first.
%s
Tell the person to look at it and allow it, with: supervisor approve %s
Then make this same call again with "approval": %q. It can be used until %s.`, c.message(), laid.ID, laid.ID, laid.ExpiresAt.Format(time.TimeOnly))), nil
}

func (c *change) message() string {
	text := "Supervisor is asked to " + c.summary + "."
	if c.detail != "" {
		text += "\n" + c.detail
	}
	return text
}

// confirmSchema is one box to tick.
func confirmSchema() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{"confirm":{"type":"boolean","title":"Do it","description":"Whether Supervisor shall do this"}},"required":["confirm"]}`)
}

// canElicit reports whether the client can ask its user.
func canElicit(req *sdk.CallToolRequest) bool {
	p := req.Session.InitializeParams()
	if p == nil || p.Capabilities == nil || p.Capabilities.Elicitation == nil {
		return false
	}
	e := p.Capabilities.Elicitation
	return e.Form != nil || e.URL == nil // a client that says neither can do forms
}

// state is what comes back with the answer: it proves that we asked about this change, and when.
func (a *asker) state(c *change) string {
	head := strconv.FormatInt(a.now().Add(answerIn).Unix(), 36) + "." + rand.Text()
	return head + "." + a.sign(head, c)
}

func (a *asker) sign(head string, c *change) string {
	mac := hmac.New(sha256.New, a.key)
	fmt.Fprintf(mac, "%s|%s", head, c.digest())
	return hex.EncodeToString(mac.Sum(nil))
}

// answered judges the answer to our question.
func (a *asker) answered(answer sdk.InputResponse, state string, c *change) error {
	result, ok := answer.(*sdk.ElicitResult)
	if !ok {
		return errRefused
	}
	yes, _ := result.Content["confirm"].(bool) //nolint:errcheck // anything else is a no
	if result.Action != "accept" || !yes {
		return errRefused
	}
	at := strings.LastIndexByte(state, '.')
	if at < 0 || !hmac.Equal([]byte(state[at+1:]), []byte(a.sign(state[:at], c))) {
		return errors.New("the answer is to another question than this one: what would change is not what it was; nothing was changed. Call the tool again")
	}
	seconds, _, _ := strings.Cut(state, ".")
	until, err := strconv.ParseInt(seconds, 36, 64)
	if err != nil || a.now().Unix() > until {
		return errors.New("the answer came too late; nothing was changed. Call the tool again")
	}
	return a.spend(state, time.Unix(until, 0))
}

// spend lets each answer serve once.
func (a *asker) spend(state string, until time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s, t := range a.spent {
		if a.now().After(t) {
			delete(a.spent, s)
		}
	}
	if _, used := a.spent[state]; used {
		return errors.New("that answer was used already; nothing was changed. Call the tool again")
	}
	a.spent[state] = until
	return nil
}

// said is an answer in words.
func said(text string) *sdk.CallToolResult {
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text}}}
}
