package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/philiporange/supervisor/pkg/agent"
)

const (
	// maxOpinions bounds what is taken of an agent's answer.
	maxOpinions = 30
	maxWords    = 600
)

const opinionTask = `You review the security of a web service whose source is in your working folder. You can read files there; you can change
nothing. A scanner has looked at the service from outside; its findings are below. Find what it cannot see: injection, missing
authorization, unsafe deserialization, secrets in the source, files served by mistake, weak sessions, unsafe uploads, and the like.`

const opinionForm = "Answer with one JSON array between three backquotes, marked json, of at most 20 objects\n" +
	`{"category": "...", "check": "short title", "status": "red" | "amber" | "green", "detail": "what is wrong, with file:line", "recommendation": "what to do"}.` +
	"\nReport only what you have seen in the source. An empty array is a good answer. Do not quote secrets."

// Opinion asks a coding agent what it thinks, and returns its findings, marked as its own. They are an opinion: nothing of ours
// is changed by them.
func Opinion(ctx context.Context, r *Report, ask func(ctx context.Context, prompt string) (string, error)) ([]Finding, error) {
	var seen strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&seen, "%s %s/%s: %s\n", f.Status, f.Category, f.Check, f.Detail)
	}
	p := agent.NewPrompt().Say(opinionTask).Quote("The scanner's findings", seen.String(), 12<<10).Say(opinionForm)
	answer, err := ask(ctx, p.String())
	if err != nil {
		return nil, err
	}
	return opinions(answer)
}

var jsonBlock = regexp.MustCompile("(?s)```(?:json)?[ \t]*\r?\n(.*?)```")

// opinions reads an agent's answer.
func opinions(answer string) ([]Finding, error) {
	all := jsonBlock.FindAllStringSubmatch(answer, -1)
	if len(all) == 0 {
		return nil, errors.New("its answer holds no JSON between three backquotes")
	}
	var found []Finding
	if err := json.Unmarshal([]byte(all[len(all)-1][1]), &found); err != nil {
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	}
	var out []Finding
	for _, f := range found {
		if f.Status != Red && f.Status != Amber && f.Status != Green || f.Check == "" || f.Detail == "" {
			continue
		}
		out = append(out, Finding{
			Category: brief(f.Category, 40), Check: brief(f.Check, 100), Status: f.Status,
			Detail: brief(f.Detail, maxWords), Recommendation: brief(f.Recommendation, maxWords), Source: SourceAgent,
		})
		if len(out) == maxOpinions {
			break
		}
	}
	return out, nil
}

// brief is an agent's text on one line, without secrets, of a bounded length.
func brief(text string, limit int) string {
	text = strings.Join(strings.Fields(agent.Redact(text)), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
