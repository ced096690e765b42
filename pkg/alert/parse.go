package alert

import (
	"fmt"
	"strings"
)

// ParseChannels reads channels written as NAME=FORM+URL and separated by spaces, such as
// "ops=slack+https://hooks.slack.com/services/… phone=ntfy+https://ntfy.sh/topic". Errors do not repeat the URL.
func ParseChannels(text string) ([]Channel, error) {
	var out []Channel
	seen := map[string]bool{}
	for i, word := range strings.Fields(text) {
		name, rest, named := strings.Cut(word, "=")
		form, address, formed := strings.Cut(rest, "+")
		if !named || !formed || name == "" || strings.Contains(name, ":") {
			return nil, fmt.Errorf("channel %d is not NAME=FORM+URL, such as phone=ntfy+https://ntfy.sh/topic", i+1)
		}
		if seen[name] {
			return nil, fmt.Errorf("channel %s is there twice; give each its own name", name)
		}
		seen[name] = true
		c := Channel{Name: name, Form: Form(form), URL: Secret(address)}
		if err := c.Validate(); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
