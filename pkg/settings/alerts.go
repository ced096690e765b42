package settings

import (
	"strings"

	"github.com/philiporange/supervisor/pkg/alert"
)

// noChannels says that nobody is told.
const noChannels = "none"

// setAlertChannels takes a list that pkg/alert can read.
func setAlertChannels(s *Settings, text string) error {
	if text == noChannels {
		text = ""
	}
	if _, err := alert.ParseChannels(text); err != nil {
		return err
	}
	s.AlertChannels = text
	return nil
}

// maskAlertChannels leaves names and forms: the rest of such an address is as good as a password.
func maskAlertChannels(text string) string {
	if text == noChannels {
		return text
	}
	words := strings.Fields(text)
	for i, word := range words {
		head, _, found := strings.Cut(word, "+")
		if !found {
			head, _, _ = strings.Cut(word, "=")
			head += "="
		}
		words[i] = head + "+***"
	}
	return strings.Join(words, " ")
}
