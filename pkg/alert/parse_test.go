package alert

import (
	"strings"
	"testing"
)

func TestParseChannels(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // names and forms
		err  string
	}{
		{"", "", ""},
		{"ops=slack+https://hooks.example/T/B/x  phone=ntfy+https://ntfy.example/topic", "ops:slack phone:ntfy", ""},
		{"hook=webhook+http://127.0.0.1:8080/in?a=b+c", "hook:webhook", ""},
		{"https://hooks.example/secret", "", "NAME=FORM+URL"},
		{"ops=https://hooks.example/secret", "", "NAME=FORM+URL"},
		{"ops=smoke+https://hooks.example/secret", "", "ops"},
		{"ops=slack+ftp://hooks.example/secret", "", "http"},
		{"a=slack+https://x.example/secret a=slack+https://x.example/secret", "", "twice"},
	} {
		channels, err := ParseChannels(tt.text)
		var got []string
		for _, c := range channels {
			got = append(got, c.Name+":"+string(c.Form))
		}
		switch {
		case tt.err == "" && (err != nil || strings.Join(got, " ") != tt.want):
			t.Errorf("%q: %v, %v; want %s", tt.text, got, err, tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%q: error %v, want one with %q", tt.text, err, tt.err)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%q: the error tells the address: %v", tt.text, err)
		}
	}
}
