package rest

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// secretLine is a line of a document that cannot be read as one, with a variable on it that looks like a secret.
var secretLine = regexp.MustCompile(`([A-Za-z_][\w.-]*)(["']?[ \t]*:[ \t]+)("[^"]*"|'[^']*'|[^\s,}\]{\["'#][^,}\]#\n]*)`)

// secretWord is a flag or a variable of a command line, with its value.
var secretWord = regexp.MustCompile(`(?m)((?:^|[\s"'\[,(])--?[A-Za-z][\w-]*|\b[A-Za-z_]\w*)(["']?[ \t]*[ \t,=][ \t]*["']?)([^\s"',\]}-][^\s"',\]}]*)`)

// maskedName is the end of a line whose value was masked.
var maskedName = regexp.MustCompile(`:[ \t]+"\Q` + mask + `\E"[^,}\]]*$`)

// maskManifest is the text of a manifest without its secrets. What is not secret stays as it is, byte for byte.
func maskManifest(files Files, text []byte) []byte {
	if text == nil {
		return nil
	}
	out, err := files.Rewrite(text, func(object v1.Object, _ []byte) ([]Change, error) {
		if object == nil {
			return nil, errNotMasked
		}
		raw, err := treeOf(object)
		if err != nil {
			return nil, err
		}
		shown, err := masked(object)
		if err != nil {
			return nil, err
		}
		return leafChanges(nil, raw, shown), nil
	})
	if err != nil {
		// A broken document, or one written with anchors: line by line, which hides rather too much.
		return maskLines(text)
	}
	return out
}

var errNotMasked = Errorf(wire.CodeInternal, "a document cannot be masked by its fields")

func maskLines(text []byte) []byte {
	text = secretLine.ReplaceAllFunc(text, func(m []byte) []byte {
		parts := secretLine.FindSubmatch(m)
		value := strings.TrimSpace(string(parts[3]))
		if !secretName.Match(parts[1]) || reference.MatchString(value) || value == "" {
			return m
		}
		return slices.Concat(parts[1], parts[2], []byte(`"`+mask+`"`))
	})
	text = secretWord.ReplaceAllFunc(text, func(m []byte) []byte {
		parts := secretWord.FindSubmatch(m)
		flag := bytes.ContainsRune(parts[1], '-')
		if !secretName.Match(parts[1]) || !flag && !bytes.Contains(parts[2], []byte("=")) || reference.Match(parts[3]) {
			return m
		}
		return slices.Concat(parts[1], parts[2], []byte(mask))
	})
	return []byte(maskURL(string(withoutRest(text))))
}

// withoutRest leaves out the further lines of values whose first one was masked: those that stand deeper than the name.
func withoutRest(text []byte) []byte {
	var out []byte
	deeper := -1 // the column of the name; -1 when the last line was no masked one
	for line := range bytes.Lines(text) {
		name := maskedName.FindIndex(line)
		body := bytes.TrimLeft(line, " ")
		switch {
		case deeper >= 0 && len(bytes.TrimSpace(line)) == 0:
		case deeper >= 0 && len(line)-len(body) > deeper:
			continue
		case name != nil:
			deeper = len(line) - len(bytes.TrimLeft(line, " -\"'?"))
		default:
			deeper = -1
		}
		out = append(out, line...)
	}
	return out
}

// leafChanges are the changes that lead from one tree to another of the same form. A list is one value.
func leafChanges(path []string, from, to any) []Change {
	a, aMap := from.(map[string]any)
	b, bMap := to.(map[string]any)
	if !aMap || !bMap {
		if equalJSON(from, to) {
			return nil
		}
		return []Change{{Path: slices.Clone(path), Value: to}}
	}
	var out []Change
	for _, name := range sortedKeys(a) {
		out = append(out, leafChanges(append(path[:len(path):len(path)], name), a[name], b[name])...)
	}
	return out
}

// unmaskManifest puts the secrets of a file, or of the objects in force, back where a text holds the mask.
func unmaskManifest(files Files, path string, text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte(mask)) {
		return text, nil
	}
	known := map[v1.Key]v1.Object{}
	if current, err := files.Read(path); err == nil {
		_, _ = files.Rewrite(current.Text, func(object v1.Object, _ []byte) ([]Change, error) { //nolint:errcheck // it is only read
			if object != nil {
				known[object.Key()] = object
			}
			return nil, nil
		})
	} else if path == "" {
		for _, s := range files.PreviewObjects(text).Steps {
			if s.Old != nil {
				known[s.Old.Key()] = s.Old
			}
		}
	}
	return files.Rewrite(text, func(object v1.Object, document []byte) ([]Change, error) {
		if !bytes.Contains(document, []byte(mask)) {
			return nil, nil
		}
		if object == nil {
			return nil, Errorf(wire.CodeUnprocessed, "the text is not valid, and holds %s where secrets were: they cannot be put back; correct it first, or write the secrets themselves", mask)
		}
		cur, ok := known[object.Key()]
		next, _, err := unmask(object, cur, ok)
		if err != nil {
			return nil, err
		}
		was, err := treeOf(object)
		if err != nil {
			return nil, err
		}
		now, err := treeOf(next)
		if err != nil {
			return nil, err
		}
		return leafChanges(nil, was, now), nil
	})
}
