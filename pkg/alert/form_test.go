package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func oneMessage() *message {
	return &message{host: "box", alerts: []Alert{{
		Rule: NotReady, Object: "Service/web", Status: Firing, Summary: "Service/web has not been ready for 5m0s",
		Detail: "probe: <!channel> & @everyone\x1b[31m\nsecond line", Since: t0.Add(-5 * time.Minute), At: t0,
	}}}
}

func TestForms(t *testing.T) {
	t.Parallel()
	const title = "🔥 Service/web has not been ready for 5m0s on box"
	for _, tt := range []struct {
		form              Form
		url, target, body string
	}{
		{Slack, "http://h/services/T/B/x", "http://h/services/T/B/x", `{
			"text": "` + title + `",
			"attachments": [{"color": "#d73a49", "fallback": "` + title + `",
				"text": "probe: &lt;!channel&gt; &amp; @everyone[31m\nsecond line\nNotReady since 2026-01-01T11:55:00Z"}]}`},
		{Discord, "http://h/api/webhooks/1/x", "http://h/api/webhooks/1/x", `{
			"embeds": [{"title": "` + title + `", "color": 14105161, "timestamp": "2026-01-01T12:00:00Z",
				"description": "probe: <!channel> & @everyone[31m\nsecond line\nNotReady since 2026-01-01T11:55:00Z"}],
			"allowed_mentions": {"parse": []}}`},
		{Ntfy, "http://u:p@h/base/topic?auth=x", "http://u:p@h/base?auth=x", `{
			"topic": "topic", "title": "` + title + `", "priority": 4, "tags": ["rotating_light"],
			"message": "probe: <!channel> & @everyone[31m\nsecond line\nNotReady since 2026-01-01T11:55:00Z"}`},
		{Ntfy, "https://ntfy.sh/topic", "https://ntfy.sh/", ``},
		{Webhook, "http://h/x", "http://h/x", `{
			"version": 1, "source": "supervisor", "host": "box", "status": "firing", "title": "` + title + `",
			"text": "probe: <!channel> & @everyone[31m\nsecond line\nNotReady since 2026-01-01T11:55:00Z",
			"alerts": [{"rule": "NotReady", "object": "Service/web", "status": "firing", "summary": "Service/web has not been ready for 5m0s",
				"detail": "probe: <!channel> & @everyone\u001b[31m\nsecond line", "since": "2026-01-01T11:55:00Z", "at": "2026-01-01T12:00:00Z"}]}`},
	} {
		c := Channel{Name: "c", Form: tt.form, URL: Secret(tt.url), Headers: map[string]Secret{"Authorization": "Bearer x"}}
		must(t, c.Validate())
		req, err := c.request(t.Context(), oneMessage())
		must(t, err)
		if req.URL.String() != tt.target || req.Header.Get("Authorization") != "Bearer x" || req.Method != http.MethodPost {
			t.Errorf("%s: %s %s %v", tt.form, req.Method, req.URL, req.Header)
		}
		if tt.body == "" {
			continue
		}
		body, err := io.ReadAll(req.Body)
		must(t, err)
		var got, want any
		must(t, json.Unmarshal(body, &got))
		must(t, json.Unmarshal([]byte(tt.body), &want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.form, diff)
		}
	}
}

func TestMessagesKeepWithinLimits(t *testing.T) {
	t.Parallel()
	m := &message{host: strings.Repeat("h", 300), lost: 3}
	for range batchSize {
		m.alerts = append(m.alerts, Alert{Summary: strings.Repeat("sü", 500), Detail: strings.Repeat("日本\n", 5000), Status: Resolved, At: t0})
	}
	if got := m.title(); !strings.HasPrefix(got, "✅ 20 alerts on ") {
		t.Errorf("title %q", got)
	}
	if !strings.HasSuffix(m.body(), "3 alerts before could not be delivered.") {
		t.Error("the lost are not told of")
	}
	for _, form := range []Form{Slack, Discord, Ntfy, Webhook} {
		c := Channel{Name: "c", Form: form, URL: "http://h/t"}
		req, err := c.request(t.Context(), m)
		must(t, err)
		var got struct {
			Title, Message string
			Embeds         []struct{ Title, Description string }
		}
		must(t, json.NewDecoder(req.Body).Decode(&got))
		if len(got.Message) > 4096 && form == Ntfy {
			t.Errorf("ntfy message of %d bytes", len(got.Message))
		}
		for _, e := range got.Embeds {
			if len([]rune(e.Title)) > 256 || len([]rune(e.Description)) > 4096 {
				t.Errorf("discord embed of %d and %d characters", len([]rune(e.Title)), len([]rune(e.Description)))
			}
		}
	}
}

func TestChannelValidate(t *testing.T) {
	t.Parallel()
	good := Channel{Name: "ops", Form: Webhook, URL: "https://h/secret-path"}
	must(t, good.Validate())
	for want, change := range map[string]func(*Channel){
		"name":        func(c *Channel) { c.Name = "" },
		"url must be": func(c *Channel) { c.URL = "ftp://h/secret-path" },
		"whole":       func(c *Channel) { c.URL = "secret-path" },
		"https://":    func(c *Channel) { c.URL = "https://secret-path:x:y/%zz" },
		"none of":     func(c *Channel) { c.Form = "pager" },
		"topic":       func(c *Channel) { c.Form, c.URL = Ntfy, "https://secret-path.example/" },
		"header":      func(c *Channel) { c.Headers = map[string]Secret{"X": "secret-path\r\nY: 1"} },
		"characters":  func(c *Channel) { c.Headers = map[string]Secret{"X Y": "1"} },
	} {
		c := good
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret-path") {
			t.Errorf("%v, want one that says %q and not the url", err, want)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	c := Channel{Name: "ops", Form: Webhook, URL: "https://h/hidden", Headers: map[string]Secret{"Authorization": "hidden"}}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "channel", c, "pointer", &c, "url", c.URL)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "channel", c, "url", c.URL)
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x", c, c, c, c.URL, c.URL, c.URL)
	b, err := json.Marshal(c)
	must(t, err)
	out.Write(b)
	if strings.Contains(out.String(), "hidden") || strings.Contains(out.String(), fmt.Sprintf("%x", "hidden")) {
		t.Errorf("a secret shows in %s", out.String())
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöüß", 4, "äöüß"}, {"äöüßx", 4, "äöü…"}, {"", 1, ""}} {
		if got := clip(tt.in, tt.limit); got != tt.want {
			t.Errorf("clip(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}
