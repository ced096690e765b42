package agent

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestInputPaths: what a tool reads is known also where it is a list, so that none of it is outside unseen.
func TestInputPaths(t *testing.T) {
	t.Parallel()
	for input, want := range map[string][]string{
		`{"filePath": "/a"}`:                                {"/a"},
		`{"paths": ["a", "/etc/passwd"]}`:                   {"a", "/etc/passwd"},
		`{"include": ["../b"], "file_path": "c", "x": "d"}`: {"c", "../b"},
		`{"include": "*.go", "paths": [1, ""]}`:             nil,
		`["/a"]`:                                            nil,
		`null`:                                              nil,
	} {
		var in any
		if err := json.Unmarshal([]byte(input), &in); err != nil {
			t.Fatal(err)
		}
		if got := inputPaths(in); !slices.Equal(got, want) {
			t.Errorf("%s names %q, want %q", input, got, want)
		}
	}
}

// TestRedactedInput: the input of a tool stays JSON, whatever is hidden in it.
func TestRedactedInput(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"b":1.50,"a":["Cookie: x=1","plain"]}`: `{"a":["Cookie: [redacted]","plain"],"b":1.50}`,
		`"say \"s3cret!\""`:                      `"say \"[redacted]\""`,
		`null`:                                   `null`,
		`{"broken`:                               ``,
	} {
		if got := redactJSON(json.RawMessage(in), []string{"s3cret!"}); string(got) != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	tool := &Tool{Title: "read s3cret!"}
	if e := (Event{Kind: KindTool, Tool: tool}).Redacted("s3cret!"); e.Tool.Title != "read [redacted]" || tool.Title != "read s3cret!" {
		t.Errorf("%q; the event that was told is %q", e.Tool.Title, tool.Title)
	}
}

// TestWhoDoesNotAskOnlyLooks: an agent that uses tools without asking is given a server that changes nothing.
func TestWhoDoesNotAskOnlyLooks(t *testing.T) {
	t.Parallel()
	server := Server{Args: []string{"all"}, Unasked: []string{"looking"}}
	asking := map[string]bool{"opencode": true, "gemini": true, "qwen": true, "claude": true, "codex": false, "mine": false}
	for _, spec := range append(Builtin(), Spec{ID: "mine"}) {
		want := "looking"
		if asking[spec.ID] {
			want = "all"
		}
		if got := server.args(&spec); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is given %q, want %s", spec.ID, got, want)
		}
	}
	if got := (&Server{Args: []string{"all"}}).args(&Spec{}); !slices.Equal(got, []string{"all"}) {
		t.Errorf("a server without a choice is started with %q", got)
	}
}
