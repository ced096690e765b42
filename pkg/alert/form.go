package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// request turns a message into what the channel's form asks for.
func (c *Channel) request(ctx context.Context, m *message) (*http.Request, error) {
	target := string(c.URL)
	var body any
	switch c.Form {
	case Slack:
		body = slackBody(m)
	case Discord:
		body = discordBody(m)
	case Ntfy:
		var err error
		if target, body, err = ntfyBody(target, m); err != nil {
			return nil, err
		}
	default:
		body = webhookBody(m)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode alert: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(b))
	if err != nil {
		return nil, hideURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "supervisor")
	for name, value := range c.Headers {
		req.Header.Set(name, string(value))
	}
	return req, nil
}

func webhookBody(m *message) any {
	return struct {
		Version int     `json:"version"`
		Source  string  `json:"source"`
		Host    string  `json:"host"`
		Status  Status  `json:"status"`
		Title   string  `json:"title"`
		Text    string  `json:"text"`
		Lost    int     `json:"lost,omitempty"`
		Alerts  []Alert `json:"alerts"`
	}{1, "supervisor", m.host, m.status(), m.title(), m.body(), m.lost, m.alerts}
}

const (
	red   = 0xd73a49
	green = 0x2da44e
)

func color(s Status) int {
	if s == Resolved {
		return green
	}
	return red
}

func slackBody(m *message) any {
	type attachment struct {
		Color    string `json:"color"`
		Fallback string `json:"fallback"`
		Text     string `json:"text"`
	}
	title := slackText(m.title())
	return struct {
		Text        string       `json:"text"`
		Attachments []attachment `json:"attachments"`
	}{title, []attachment{{Color: fmt.Sprintf("#%06x", color(m.status())), Fallback: title, Text: slackText(m.body())}}}
}

// slackText escapes the three characters by which Slack knows links and mentions ("<!channel>").
func slackText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func discordBody(m *message) any {
	type embed struct {
		Title       string    `json:"title"`
		Description string    `json:"description"`
		Color       int       `json:"color"`
		Timestamp   time.Time `json:"timestamp"`
	}
	type mentions struct {
		Parse []string `json:"parse"`
	}
	return struct {
		Embeds []embed `json:"embeds"`
		// AllowedMentions empty: an "@everyone" in a program's output wakes nobody.
		AllowedMentions mentions `json:"allowed_mentions"`
	}{
		[]embed{{Title: clip(m.title(), 256), Description: clip(m.body(), 4096), Color: color(m.status()), Timestamp: m.at().UTC()}},
		mentions{Parse: []string{}},
	}
}

func (m *message) at() time.Time { return m.alerts[len(m.alerts)-1].At }

// ntfyBody publishes as JSON, which goes to the server's root: headers, the other way, cannot carry all of Unicode.
func ntfyBody(target string, m *message) (string, any, error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", nil, hideURL(err)
	}
	topic := path.Base(u.Path)
	u.Path, u.RawPath = path.Dir(u.Path), ""
	priority, tag := 4, "rotating_light"
	if m.status() == Resolved {
		priority, tag = 3, "white_check_mark"
	}
	return u.String(), struct {
		Topic    string   `json:"topic"`
		Title    string   `json:"title"`
		Message  string   `json:"message"`
		Priority int      `json:"priority"`
		Tags     []string `json:"tags"`
	}{topic, clip(m.title(), 250), clipBytes(m.body(), 3500), priority, []string{tag}}, nil
}

// clipBytes keeps a text below the size at which ntfy would turn it into an attachment.
func clipBytes(s string, limit int) string {
	for n := limit; len(s) > limit; n = n * 9 / 10 {
		s = clip(s, n)
	}
	return s
}
