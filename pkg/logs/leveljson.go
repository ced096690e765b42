package logs

import (
	"bytes"
	"strconv"
)

// jsonHead is how much of a JSON line is looked at for its level, in bytes.
const jsonHead = 4 << 10

// jsonLevel reads the level of a line that is a JSON object: a word, or a number as bunyan and pino write it. The line may
// be broken or cut off; then what was read until there counts.
func jsonLevel(line []byte) Level {
	line = line[:min(len(line), jsonHead)]
	depth, key := 0, []byte(nil)
	for at := 0; at < len(line); {
		switch c := line[at]; c {
		case '{', '[':
			depth++
			at++
			key = nil
		case '}', ']':
			if depth--; depth == 0 {
				return 0
			}
			at++
		case ',':
			at++
			key = nil
		case '"':
			end := stringEnd(line, at)
			text := line[at+1 : max(end-1, at+1)]
			at = end
			for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
				at++
			}
			switch {
			case at < len(line) && line[at] == ':':
				key = nil
				if depth == 1 {
					key = text
				}
				at++
			case levelKey(key):
				if l := levelWord(text); l != 0 {
					return l
				}
			}
		default:
			end := at + 1
			for end < len(line) && bytes.IndexByte([]byte(`,}]" `), line[end]) < 0 {
				end++
			}
			if levelKey(key) {
				if l := numberLevel(line[at:end]); l != 0 {
					return l
				}
			}
			at = end
		}
	}
	return 0
}

// stringEnd is the place after the JSON string that begins at at.
func stringEnd(line []byte, at int) int {
	for i := at + 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(line)
}

func levelKey(key []byte) bool {
	switch string(key) {
	case "level", "Level", "LEVEL", "lvl", "severity", "Severity", "levelname", "loglevel", "log_level", "log.level", "@l", "L":
		return true
	}
	return false
}

// numberLevel knows the numbers of bunyan and pino, from 10 (trace) to 60 (fatal).
func numberLevel(text []byte) Level {
	n, err := strconv.Atoi(string(text))
	switch {
	case err != nil || n < 10 || n > 60:
		return 0
	case n <= 20:
		return Debug
	case n < 40:
		return Info
	case n < 50:
		return Warning
	}
	return Error
}
