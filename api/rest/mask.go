package rest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// mask stands for a secret in what is shown. Sent back in its place it means "as it was".
const mask = "********"

var (
	// secretName is what the name of a variable, header or flag that holds a secret looks like.
	secretName = regexp.MustCompile(`(?i)passw|passphrase|secret|token|credential|private|auth([^o]|$)|authoriz|cookie|dsn|apikey|(^|[^a-z])(pwd|pat|key)($|[^a-z])`)
	// bcryptHash finds the hash of a password, which invites guessing.
	bcryptHash = regexp.MustCompile(`\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}`)
	// secretURL finds the password in scheme://user:password@host.
	secretURL = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@'"]*:)([^\s/@'"]+)(@)`)
	// word is a word of a command line, with its quotes.
	word = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"]|['"])+`)
	// assignment is NAME=value or --flag=value.
	assignment = regexp.MustCompile(`^(['"]?-{0,2}([A-Za-z_][\w.-]*)=)(.+)$`)
	// reference is a value that only names another variable.
	reference = regexp.MustCompile(`^['"]?\$(\(\w+\)|\{\w+\}|\w+)['"]?$`)
)

// maskText hides the passwords of URLs and the values of secret variables and flags in a command line.
func maskText(s string) string {
	before := ""
	s = word.ReplaceAllStringFunc(s, func(w string) string {
		masked := maskWord(before, w)
		before = w
		return masked
	})
	return maskURL(s)
}

// maskWord hides one word of a command: the value of NAME=value and --flag=value, or the word after a secret flag.
func maskWord(before, w string) string {
	if secretFlag(before) && !strings.HasPrefix(w, "-") && !reference.MatchString(w) {
		return mask
	}
	if parts := assignment.FindStringSubmatch(w); parts != nil && secretName.MatchString(parts[2]) && !reference.MatchString(parts[3]) {
		return parts[1] + mask
	}
	return w
}

// secretFlag reports whether the word after this one is a secret.
func secretFlag(w string) bool {
	return strings.HasPrefix(w, "-") && !strings.Contains(w, "=") && secretName.MatchString(w)
}

func maskURL(s string) string {
	return secretURL.ReplaceAllStringFunc(s, func(m string) string {
		parts := secretURL.FindStringSubmatch(m)
		if reference.MatchString(parts[2]) {
			return m
		}
		return parts[1] + mask + parts[3]
	})
}

// maskLeaf shows one string of an object; path is where it is, such as ["spec", "env", "DB_PASSWORD"], before the word
// before it in a list.
func maskLeaf(path []string, before, s string) string {
	if s == "" || reference.MatchString(s) {
		return s
	}
	last, parent := path[len(path)-1], ""
	if len(path) > 1 {
		parent = path[len(path)-2]
	}
	switch {
	case (parent == "env" || parent == "headers" || parent == "requestHeaders") && secretName.MatchString(last):
		return mask
	case parent == "command": // a word of a list is one word, whatever is in it
		return maskURL(maskWord(before, s))
	case last == "command":
		return maskText(s)
	}
	return maskURL(s)
}

// walk rebuilds a JSON value with every string replaced by what leaf makes of it. other is the value at the same place of
// another tree, or nil.
func walk(v, other any, path []string, leaf func(path []string, before, s string, other any) string) any {
	switch v := v.(type) {
	case map[string]any:
		o, _ := other.(map[string]any) //nolint:errcheck // another type has no fields
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = walk(item, o[k], append(path[:len(path):len(path)], k), leaf)
		}
		return out
	case []any:
		o, _ := other.([]any) //nolint:errcheck // another type has no items
		out := make([]any, len(v))
		for i, item := range v {
			p := append(path[:len(path):len(path)], strconv.Itoa(i))
			var at any
			if i < len(o) {
				at = o[i]
			}
			if s, ok := item.(string); ok {
				before := ""
				if i > 0 {
					before, _ = v[i-1].(string) //nolint:errcheck // the zero value serves
				}
				out[i] = leaf(p, before, s, at)
				continue
			}
			out[i] = walk(item, at, p, leaf)
		}
		return out
	case string:
		return leaf(path, "", v, other)
	}
	return v
}

// masked is a copy of an object's JSON in which secrets are hidden.
func masked(o v1.Object) (map[string]any, error) {
	tree, err := treeOf(o)
	if err != nil {
		return nil, err
	}
	if spec, ok := tree["spec"]; ok {
		tree["spec"] = walk(spec, nil, []string{"spec"}, func(path []string, before, s string, _ any) string { return maskLeaf(path, before, s) })
	}
	return tree, nil
}

// unmask puts the secrets of cur back where next holds the mask. It reports whether there was anything to put back; where
// nothing fits, that is an error of the field.
func unmask(next, cur v1.Object, known bool) (v1.Object, bool, error) {
	tree, err := treeOf(next)
	if err != nil {
		return next, false, err
	}
	var old any
	if known {
		t, err := treeOf(cur)
		if err != nil {
			return next, false, err
		}
		old = t["spec"]
	}
	var wrong v1.FieldErrors
	found := false
	tree["spec"] = walk(tree["spec"], old, []string{"spec"}, func(path []string, before, s string, other any) string {
		if !strings.Contains(s, mask) {
			return s
		}
		found = true
		if o, ok := other.(string); ok && (o == s || maskLeaf(path, before, o) == s) {
			return o
		}
		wrong = append(wrong, v1.FieldError{
			Field:  strings.Join(path, "."),
			Detail: "holds " + mask + ", which stands for a secret that is not there; write the secret itself",
		})
		return s
	})
	if len(wrong) > 0 {
		return next, found, wrong
	}
	if !found {
		return next, false, nil
	}
	var out v1.Object = &v1.Service{}
	if next.Key().Kind == v1.KindCronJob {
		out = &v1.CronJob{}
	}
	data, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(data, out)
	}
	if err != nil {
		return next, true, fmt.Errorf("put secrets back into %s: %w", next.Key(), err)
	}
	return out, true, nil
}

func treeOf(o v1.Object) (map[string]any, error) {
	var tree map[string]any
	data, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(data, &tree)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Key(), err)
	}
	return tree, nil
}
