package onboard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/manifest"
)

const (
	// revisions is how often a manifest that did not become ready is revised.
	revisions = 2
	// readyIn is how long a service may take to become ready, buildIn one that builds itself first.
	readyIn = 60 * time.Second
	buildIn = 10 * time.Minute
	// steadyFor is how long it must stay so.
	steadyFor = 3 * time.Second
	// lastWords is how many lines of its log are looked at when it does not.
	lastWords = 40
)

// State is what is known of a service that was started.
type State struct {
	Phase v1.Phase
	// Ready is true when it runs, and answers where it has a probe; Failures counts its exits.
	Ready    bool
	Failures int
	// Message is why it is not ready.
	Message string
	Port    int
	URL     string
}

// Supervisor is what a Flow has its manifests run by.
type Supervisor interface {
	// Current is the text of a service's manifest; ok is false when there is none.
	Current(name string) (text string, ok bool)
	// Write makes or replaces each object of a text, and returns when they are in force.
	Write(ctx context.Context, text string) error
	// Remove takes a service's manifest away, and returns when nothing of it is left.
	Remove(ctx context.Context, name string) error
	// Start lets a service run that somebody has stopped.
	Start(ctx context.Context, name string) error
	// Wait returns when enough says so, or ctx ends, with the last state.
	Wait(ctx context.Context, name string, enough func(State) bool) (State, error)
	// Log is what a service has printed since a time, the newest lines.
	Log(ctx context.Context, name string, since time.Time, lines int) []string
}

// Agent lets a coding agent look at a folder, read-only, and returns its answer.
type Agent func(ctx context.Context, prompt string) (answer string, err error)

// Request is what is asked of a Flow.
type Request struct {
	// Dir is the project.
	Dir string
	Options
	// Manifest is a text to begin with in place of that which the look proposes.
	Manifest string
	// DryRun only looks, and lets the agent refine.
	DryRun bool
	// Agent refines and revises; nil leaves it to the look alone, and NoAgent says why.
	Agent   Agent
	NoAgent string
	// Progress is told what goes on; it may be nil.
	Progress func(step string, fraction float64)
}

// Attempt is one manifest that was tried.
type Attempt struct {
	// By is look, user or agent.
	By       string `json:"by"`
	Command  string `json:"command"`
	Manifest string `json:"manifest"`
	Ready    bool   `json:"ready"`
	// Trouble is why it did not become ready, Log what it printed.
	Trouble string   `json:"trouble,omitempty"`
	Log     []string `json:"log,omitempty"`
}

// Result is what came of an onboarding.
type Result struct {
	Project     string `json:"project"`
	ProjectPath string `json:"project_path"`
	DataDir     string `json:"data_dir"`
	Service     string `json:"service"`
	Command     string `json:"command"`
	Port        int    `json:"port,omitempty"`
	URL         string `json:"url,omitempty"`
	// Manifest is what was written, or with DryRun would be; Diff how it differs from what was there before, or from the look's
	// own proposal when there was nothing.
	Manifest string `json:"manifest"`
	Diff     string `json:"diff,omitempty"`
	// By is who had the last word: look, user or agent.
	By       string    `json:"by"`
	Reasons  []Reason  `json:"reasons"`
	Warnings []string  `json:"warnings,omitempty"`
	Attempts []Attempt `json:"attempts,omitempty"`
	// Ready is true when the service runs, and answers where it has a probe.
	Ready  bool `json:"ready"`
	DryRun bool `json:"dry_run,omitempty"`
	// Agent says what part the agent had.
	Agent string `json:"agent"`
}

// The ones who may have written a manifest.
const (
	byLook  = "look"
	byUser  = "user"
	byAgent = "agent"
)

// proposal is a manifest that could be tried.
type proposal struct {
	text, by string
	slow     bool
}

// flow is one onboarding.
type flow struct {
	Request
	house  Supervisor
	look   *Look
	result *Result
	// before is the manifest that was there, existed whether there was one.
	before  string
	existed bool
	next    int // candidate that the look would try next
	agent   *dialogue
	// written are the services that we have made, replaced the manifests that were there of others beside the first.
	written  []string
	replaced map[string]string
}

// Run onboards a project. Its result tells what was done also when there is an error.
func Run(ctx context.Context, r Request, house Supervisor) (*Result, error) {
	if r.Progress == nil {
		r.Progress = func(string, float64) {}
	}
	f := &flow{Request: r, house: house}
	f.Progress("looking at "+r.Dir, 0.05)
	var err error
	if f.look, err = At(r.Dir, r.Options); err != nil {
		return nil, err
	}
	if r.Manifest != "" {
		if err := f.take(); err != nil {
			return nil, err
		}
	}
	f.begin()
	p, err := f.propose(ctx)
	if err != nil {
		return f.result, err
	}
	if r.DryRun {
		f.settle(p)
		return f.result, nil
	}
	return f.result, f.try(ctx, p)
}

// take looks at the user's own manifest: it may have another name than the look would give.
func (f *flow) take() error {
	docs, err := decode(f.Manifest)
	if err != nil {
		return fmt.Errorf("the manifest cannot be taken: %w", err)
	}
	if docs[0].Key.Kind != v1.KindService {
		return fmt.Errorf("the manifest cannot be taken: %s is no Service", docs[0].Key)
	}
	f.look.Name = docs[0].Key.Name
	return nil
}

func (f *flow) begin() {
	f.result = &Result{
		Project: f.look.Project, ProjectPath: f.look.Dir, DataDir: f.look.DataDir, Service: f.look.Name,
		Reasons: f.look.Reasons, Warnings: f.look.Warnings, DryRun: f.DryRun, Agent: "no agent was asked",
	}
	if f.NoAgent != "" {
		f.result.Agent = f.NoAgent + "; the look alone decides"
	}
	f.before, f.existed = f.house.Current(f.look.Name)
	if f.Agent != nil {
		f.agent = &dialogue{ask: f.Agent, look: f.look}
	}
}

// propose is the manifest to begin with.
func (f *flow) propose(ctx context.Context) (proposal, error) {
	p := proposal{text: f.look.Manifest, by: byLook, slow: len(f.look.Candidates) > 0 && f.look.Candidates[0].SlowStart}
	f.next = 1
	if f.Manifest != "" {
		return proposal{text: f.Manifest, by: byUser, slow: true}, nil
	}
	if f.agent != nil {
		f.Progress("the agent looks at the project", 0.15)
		text, err := f.agent.refine(ctx)
		switch {
		case ctx.Err() != nil:
			return p, context.Cause(ctx)
		case err != nil:
			f.result.Agent = "the agent did not help: " + err.Error()
		case text != p.text:
			f.result.Agent = "the agent has refined it"
			return proposal{text: text, by: byAgent, slow: true}, nil
		default:
			f.result.Agent = "the agent agrees with the look"
		}
	}
	if p.text == "" {
		return p, errors.New("nothing in the folder says how it is run; write a Procfile with the line web: COMMAND, or a manifest by hand")
	}
	return p, nil
}

// settle notes what a proposal says.
func (f *flow) settle(p proposal) {
	r := f.result
	r.Manifest, r.By = p.text, p.by
	if docs, _ := manifest.Decode("", []byte(p.text)); len(docs) > 0 {
		if s, ok := docs[0].Object.(*v1.Service); ok {
			r.Command, r.Port, r.Service = s.Spec.Command.String(), s.Spec.Port.Number, s.Metadata.Name
		}
	}
	switch {
	case f.existed:
		r.Diff = udiff.Unified("in force", "proposed", f.before, p.text)
	case p.by != byLook && f.look.Manifest != "":
		r.Diff = udiff.Unified("the look's proposal", "proposed by the "+p.by, f.look.Manifest, p.text)
	}
}

// try writes proposals until one becomes ready, and takes everything back when none does.
func (f *flow) try(ctx context.Context, p proposal) error {
	for n := 0; ; n++ {
		f.settle(p)
		f.Progress("trying: "+f.result.Command, 0.4+0.15*float64(n))
		attempt, state, err := f.attempt(ctx, p)
		f.result.Attempts = append(f.result.Attempts, attempt)
		if err == nil && attempt.Ready {
			f.result.Ready, f.result.URL = true, state.URL
			if state.Port > 0 {
				f.result.Port = state.Port
			}
			f.Progress("it is ready", 1)
			return nil
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return f.takeBack(ctx, err)
		}
		next, ok := f.revise(ctx, p, &attempt)
		if n == revisions || !ok {
			return f.takeBack(ctx, fmt.Errorf("it did not become ready: %s", attempt.Trouble))
		}
		p = next
	}
}

// attempt tries one proposal. An error says that there is no point in trying others.
func (f *flow) attempt(ctx context.Context, p proposal) (Attempt, State, error) {
	a := Attempt{By: p.by, Command: f.result.Command, Manifest: p.text}
	begun := time.Now()
	f.remember(p.text)
	if err := f.house.Write(ctx, p.text); err != nil {
		a.Trouble = err.Error()
		return a, State{}, fmt.Errorf("write the manifest: %w", err)
	}
	if err := f.note(ctx, p.text); err != nil {
		return a, State{}, err
	}
	name := f.result.Service
	if err := f.house.Start(ctx, name); err != nil && ctx.Err() != nil {
		return a, State{}, err
	}
	limit := readyIn
	if p.slow {
		limit = buildIn
	}
	state, err := f.watch(ctx, name, limit)
	if err != nil {
		return a, state, err
	}
	if a.Ready = state.Ready && state.Failures == 0; a.Ready {
		return a, state, nil
	}
	a.Trouble = state.Message
	if a.Trouble == "" {
		a.Trouble = fmt.Sprintf("it was %s after %s", strings.ToLower(string(state.Phase)), time.Since(begun).Round(time.Second))
	}
	a.Log = f.house.Log(ctx, name, begun, lastWords)
	return a, state, nil
}

// watch waits until a service is ready and stays so, or has failed.
func (f *flow) watch(ctx context.Context, name string, limit time.Duration) (State, error) {
	broken := func(s State) bool {
		return s.Failures > 0 || s.Phase == v1.PhaseFailed || s.Phase == v1.PhaseComplete || s.Phase == v1.PhaseBackoff
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	state, err := f.house.Wait(within, name, func(s State) bool { return s.Ready || broken(s) })
	if ctx.Err() != nil {
		return state, context.Cause(ctx)
	}
	if err != nil && within.Err() == nil {
		return state, err
	}
	if !state.Ready || broken(state) {
		return state, nil
	}
	// A program that ends a moment after it began was not ready.
	steady, done := context.WithTimeout(ctx, steadyFor)
	defer done()
	later, err := f.house.Wait(steady, name, func(s State) bool { return !s.Ready || broken(s) })
	if ctx.Err() != nil {
		return later, context.Cause(ctx)
	}
	if err != nil && steady.Err() == nil {
		return later, err
	}
	later.Ready = later.Ready && !broken(later)
	return later, nil
}

// remember notes what is there under the names of a text that is about to be written.
func (f *flow) remember(text string) {
	docs, _ := manifest.Decode("", []byte(text))
	for _, d := range docs {
		name := d.Key.Name
		if d.Key.Kind != v1.KindService || name == f.look.Name || slices.Contains(f.written, name) {
			continue
		}
		if before, there := f.house.Current(name); there {
			if f.replaced == nil {
				f.replaced = map[string]string{}
			}
			if _, known := f.replaced[name]; !known {
				f.replaced[name] = before
			}
		}
	}
}

// note remembers the services that a text has made, for taking them back, and removes those of an earlier attempt that it
// does not hold.
func (f *flow) note(ctx context.Context, text string) error {
	var made, held []string
	docs, _ := manifest.Decode("", []byte(text))
	for _, d := range docs {
		name := d.Key.Name
		held = append(held, name)
		_, was := f.replaced[name]
		if d.Key.Kind == v1.KindService && !was && (name != f.look.Name || !f.existed) {
			made = append(made, name)
		}
	}
	before := f.written
	f.written = made
	for _, name := range before {
		if slices.Contains(made, name) {
			continue
		}
		if err := f.house.Remove(ctx, name); err != nil {
			f.written = append(f.written, name)
			return fmt.Errorf("take the manifest of %s away again: %w", name, err)
		}
	}
	return f.putBack(ctx, held)
}

// putBack writes the manifests again that were replaced, but for those of names that are held.
func (f *flow) putBack(ctx context.Context, held []string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(f.replaced)) {
		if slices.Contains(held, name) {
			continue
		}
		if err := f.house.Write(ctx, f.replaced[name]); err != nil {
			errs = append(errs, fmt.Errorf("put the manifest of %s back: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// revise is what to try after a failure: what the agent makes of it, else the look's next candidate.
func (f *flow) revise(ctx context.Context, p proposal, failed *Attempt) (proposal, bool) {
	if f.agent != nil {
		f.Progress("the agent looks at what went wrong", 0)
		text, err := f.agent.revise(ctx, p.text, failed)
		if err == nil && text != p.text {
			f.result.Agent = "the agent has revised it"
			return proposal{text: text, by: byAgent, slow: true}, true
		}
		if err != nil {
			f.result.Agent = "the agent did not help: " + err.Error()
		}
	}
	if p.by == byUser || f.next >= len(f.look.Candidates) {
		return p, false
	}
	c := &f.look.Candidates[f.next]
	f.next++
	if c.Missing != "" || c.Confidence < 35 {
		return p, false
	}
	return proposal{text: f.look.render(c), by: byLook, slow: c.SlowStart}, true
}

// takeBackIn bounds the clean-up after a failure.
const takeBackIn = 30 * time.Second

// takeBack leaves the house as it was before.
func (f *flow) takeBack(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackIn)
	defer cancel()
	var errs []error
	for _, name := range f.written {
		if err := f.house.Remove(ctx, name); err != nil {
			errs = append(errs, fmt.Errorf("take the manifest of %s away again: %w", name, err))
		}
	}
	if err := f.putBack(ctx, nil); err != nil {
		errs = append(errs, err)
	}
	if f.existed && len(f.result.Attempts) > 0 {
		if err := f.house.Write(ctx, f.before); err != nil {
			errs = append(errs, fmt.Errorf("put the manifest back that was there: %w", err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(append([]error{cause}, errs...)...)
	}
	return fmt.Errorf("%w; everything is as it was before, and the manifest that was tried is in the result", cause)
}
