package logs

import "bytes"

const escape = 0x1b

// stripANSI returns text without terminal sequences (colours, cursor movements, titles). It returns text itself when there
// are none.
func stripANSI(text []byte) []byte {
	at := bytes.IndexByte(text, escape)
	if at < 0 {
		return text
	}
	out := make([]byte, 0, len(text))
	for at >= 0 {
		out = append(out, text[:at]...)
		text = text[at+sequenceLen(text[at:]):]
		at = bytes.IndexByte(text, escape)
	}
	return append(out, text...)
}

// sequenceLen is the length of the terminal sequence that text, which starts with escape, begins with.
func sequenceLen(text []byte) int {
	if len(text) < 2 {
		return 1
	}
	switch c := text[1]; {
	case c == '[': // parameters, then one final byte
		for i := 2; i < len(text); i++ {
			if b := text[i]; b >= 0x40 && b <= 0x7e {
				return i + 1
			} else if b < 0x20 || b > 0x7e {
				return i // broken off
			}
		}
		return len(text)
	case c == ']', c == 'P', c == '_', c == '^': // a string, ended by BEL or ESC \
		for i := 2; i < len(text); i++ {
			switch {
			case text[i] == 0x07:
				return i + 1
			case text[i] == escape && i+1 < len(text) && text[i+1] == '\\':
				return i + 2
			case text[i] == '\n':
				return i // no string spans lines
			}
		}
		return len(text)
	case c >= 0x20 && c <= 0x2f: // such as ESC ( B
		return min(3, len(text))
	case c >= 0x30 && c <= 0x7e:
		return 2
	}
	return 1
}
