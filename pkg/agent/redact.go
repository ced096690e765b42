package agent

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// redacted stands for a secret.
const redacted = "[redacted]"

// minSecret is the shortest value that is looked for by itself: shorter ones are in every text.
const minSecret = 6

// The forms of secrets that are known by themselves. Where there is a group, it is what stays.
var secretForms = []*regexp.Regexp{
	regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`),
	regexp.MustCompile(`()\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*`),                                                 // JSON web tokens
	regexp.MustCompile(`()\b(?:sk|pk|rk)[-_](?:[\w]+[-_])*[A-Za-z0-9_-]{16,}`),                                // OpenAI, Anthropic, Stripe
	regexp.MustCompile(`()\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,})`), // GitHub, GitLab, Slack
	regexp.MustCompile(`()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`),                                                     // AWS
	regexp.MustCompile(`()\bAIza[\w-]{30,}`),                                                                  // Google
	regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'"]*:)[^\s/@'"]+(@)`),                               // scheme://user:password@host
	regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9+/._~=-]{8,}`),                                   // Authorization headers
	regexp.MustCompile(`(?i)((?:set-)?cookie\s*:\s*)[^\n]+`),                                                  // Cookie headers
	regexp.MustCompile(secretName + `(["']?\s*[=:]\s*")((?:[^"\\\n]|\\.)+)(")`),                               // "password": "..."
	regexp.MustCompile(secretName + `(["']?\s*[=:]\s*')((?:[^'\\\n]|\\.)+)(')`),                               // password='...'
	regexp.MustCompile(secretName + `(["']?\s*[=:]\s*|\s+)([^\s"'` + "`" + `,;&)}\]]{4,})`),                   // API_KEY=..., --password ...
}

// secretName is what the name of something that holds a secret looks like.
const secretName = `(?i)((?:--?)?\b[\w.-]*(?:passw(?:or)?d|passphrase|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|credentials?)[\w.-]*|\b[\w.-]*[_-]token|\btoken)` //nolint:gosec // names, not secrets

// Redact hides what looks like a secret, and the given values wherever they are.
func Redact(text string, secrets ...string) string {
	known := slices.Clone(secrets)
	// The longest first: one may be part of another.
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	for _, s := range known {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, redacted)
		}
	}
	for i, form := range secretForms {
		switch {
		case i == 0:
			text = form.ReplaceAllString(text, redacted)
		case form.NumSubexp() <= 1:
			text = form.ReplaceAllString(text, "${1}"+redacted)
		case form.NumSubexp() == 2:
			text = form.ReplaceAllString(text, "${1}"+redacted+"${2}")
		default:
			text = redactPairs(form, text)
		}
	}
	return text
}

// Redacted is the event as it may be kept: without what looks like a secret in its texts, and without the given values anywhere.
func (e Event) Redacted(secrets ...string) Event {
	e.Text = Redact(e.Text, secrets...)
	if e.Tool == nil {
		return e
	}
	t := *e.Tool
	t.Title, t.Output = Redact(t.Title, secrets...), Redact(t.Output, secrets...)
	t.Diffs = slices.Clone(t.Diffs)
	for i := range t.Diffs {
		t.Diffs[i].Old, t.Diffs[i].New = Redact(t.Diffs[i].Old, secrets...), Redact(t.Diffs[i].New, secrets...)
	}
	t.Input = redactJSON(t.Input, secrets)
	e.Tool = &t
	return e
}

// redactJSON hides secrets in every string of a JSON value. What cannot be read is left out.
func redactJSON(raw json.RawMessage, secrets []string) json.RawMessage {
	if raw == nil {
		return nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil
	}
	out, err := json.Marshal(redactStrings(v, secrets))
	if err != nil {
		return nil
	}
	return out
}

func redactStrings(v any, secrets []string) any {
	switch v := v.(type) {
	case string:
		return Redact(v, secrets...)
	case []any:
		for i := range v {
			v[i] = redactStrings(v[i], secrets)
		}
	case map[string]any:
		for name := range v {
			v[name] = redactStrings(v[name], secrets)
		}
	}
	return v
}

// redactPairs hides the values of name and value, but for words that only look like one.
func redactPairs(form *regexp.Regexp, text string) string {
	return form.ReplaceAllStringFunc(text, func(match string) string {
		g := form.FindStringSubmatch(match)
		separated := strings.ContainsAny(g[2], "=:")
		if strings.HasPrefix(g[3], "[redacted") || strings.HasPrefix(g[3], "$") || (!separated && !strings.HasPrefix(g[1], "-")) {
			return match // "the password is wrong" is prose
		}
		after := ""
		if len(g) > 4 {
			after = g[4]
		}
		return g[1] + g[2] + redacted + after
	})
}
