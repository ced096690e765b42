package mcp

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// compare says in lines how two objects differ; cur is nil for one that is new, and its secrets are masked. Whoever allows a change
// has to see what would run: only what is named like a secret, and headers, are not shown.
func compare(cur, next v1.Object) ([]string, error) {
	before, err := fields(cur)
	if err != nil {
		return nil, err
	}
	after, err := fields(next)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(before)
	maps.Copy(all, after)
	var out []string
	for _, path := range slices.Sorted(maps.Keys(all)) {
		old, was := before[path]
		value, is := after[path]
		if hidden(path) {
			old, value = shade(old), shade(value)
		}
		switch {
		case before[path] == after[path] && was == is:
		case !was:
			out = append(out, fmt.Sprintf("  + %s: %s", path, value))
		case !is:
			out = append(out, fmt.Sprintf("  - %s: %s", path, old))
		default:
			out = append(out, fmt.Sprintf("  ~ %s: %s → %s", path, old, value))
		}
	}
	return out, nil
}

// secretName is what the name of a variable that holds a secret looks like.
var secretName = regexp.MustCompile(`(?i)pass|secret|token|key|credential|private|auth|cookie|dsn|pwd|_pat$|ur[il]$`)

func hidden(path string) bool {
	name, isVariable := strings.CutPrefix(path, "spec.env.")
	return isVariable && secretName.MatchString(name) || strings.Contains(strings.ToLower(path), "headers.")
}

func shade(value string) string {
	if value == "" {
		return ""
	}
	return "(not shown)"
}

// fields is what a manifest says of an object, flattened: path → JSON.
func fields(o v1.Object) (map[string]string, error) {
	out := map[string]string{}
	if o == nil {
		return out, nil
	}
	data, err := json.Marshal(o)
	var tree map[string]any
	if err == nil {
		err = json.Unmarshal(data, &tree)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key(), err)
	}
	for _, name := range []string{"apiVersion", "kind", "status"} {
		delete(tree, name)
	}
	flatten(out, "", tree)
	return out, nil
}

func flatten(out map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			flatten(out, strings.TrimPrefix(path+"."+k, "."), item)
		}
	default:
		text, err := json.Marshal(v)
		if err == nil { // it came from JSON
			out[path] = string(text)
		}
	}
}
