package alert

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Secret is a text that shows itself to nobody who prints it: not to fmt, not to slog, not to JSON.
type Secret string

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and slog use.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Form is the shape of the request that a channel takes.
type Form string

// The forms.
const (
	// Webhook is our own JSON, for programs.
	Webhook Form = "webhook"
	// Slack is an incoming webhook of Slack, and of Mattermost and Rocket.Chat, which take the same.
	Slack   Form = "slack"
	Discord Form = "discord"
	// Ntfy is a topic on an ntfy server: https://ntfy.sh/TOPIC.
	Ntfy Form = "ntfy"
)

// Channel is somewhere that alerts go to. Its URL and headers are as good as a password, and are never shown.
type Channel struct {
	// Name is how specs and people call it.
	Name    string
	Form    Form
	URL     Secret
	Headers map[string]Secret
}

// Validate says what is wrong with a channel, without saying the URL.
func (c *Channel) Validate() error {
	if c.Name == "" {
		return errors.New("a channel needs a name")
	}
	u, err := url.Parse(string(c.URL))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("channel %s: url must be a whole http:// or https:// address", c.Name)
	}
	switch c.Form {
	case Webhook, Slack, Discord:
	case Ntfy:
		if topic := path.Base(u.Path); topic == "." || topic == "/" {
			return fmt.Errorf("channel %s: url must end in the topic, such as https://ntfy.sh/my-topic", c.Name)
		}
	default:
		return fmt.Errorf("channel %s: form %q is none of webhook, slack, discord, ntfy", c.Name, c.Form)
	}
	for name, value := range c.Headers {
		if !validHeader(name, string(value)) {
			return fmt.Errorf("channel %s: header %q has characters that no header may have", c.Name, name)
		}
	}
	return nil
}

func validHeader(name, value string) bool {
	if name == "" || strings.ContainsAny(value, "\r\n\x00") {
		return false
	}
	return strings.Trim(http.CanonicalHeaderKey(name), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
