package imports

import "strings"

// entry is one setting of an INI file.
type entry struct {
	line       int
	key, value string
}

// part is a section of an INI file.
type part struct {
	line    int
	name    string
	entries []entry
}

// ini reads a file of sections. comment are the characters that begin a comment line; indented lines go on with the value
// above when join is not empty, and a backslash at the end goes on with the next line when continued is true.
func ini(text, comment, join string, continued bool) []part {
	var parts []part
	var open *entry // the value that may go on
	going := false  // the line above ended in a backslash
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimRight(line, " \t\r")
		trimmed := strings.TrimSpace(line)
		if going && open != nil {
			going = strings.HasSuffix(trimmed, `\`)
			open.value += " " + strings.TrimSpace(strings.TrimSuffix(trimmed, `\`))
			continue
		}
		switch {
		case trimmed == "" || strings.ContainsRune(comment, rune(trimmed[0])):
			if trimmed == "" {
				open = nil
			}
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			parts = append(parts, part{line: number, name: trimmed[1 : len(trimmed)-1]})
			open = nil
		case join != "" && open != nil && (line[0] == ' ' || line[0] == '\t'):
			open.value += join + trimmed
		case len(parts) > 0:
			at := strings.IndexAny(trimmed, "=:")
			if continued {
				at = strings.IndexByte(trimmed, '=')
			}
			if at < 0 {
				continue
			}
			p := &parts[len(parts)-1]
			value := strings.TrimSpace(trimmed[at+1:])
			going = continued && strings.HasSuffix(value, `\`)
			p.entries = append(p.entries, entry{number, strings.TrimSpace(trimmed[:at]), strings.TrimSpace(strings.TrimSuffix(value, `\`))})
			if !going && continued {
				p.entries[len(p.entries)-1].value = value
			}
			open = &p.entries[len(p.entries)-1]
		}
	}
	return parts
}
