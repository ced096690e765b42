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
