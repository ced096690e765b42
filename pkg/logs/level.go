package logs

import "bytes"

const (
	// levelHead is how much of a line is looked at for its level, in bytes.
	levelHead = 512
	// levelWords is how many words of a line may come before the level: time, logger, thread.
	levelWords = 10
)

// levelOf tells how serious an entry is from its first line: first by what the logger wrote, then by what errors look like.
func levelOf(line []byte, stream Stream) Level {
	if len(line) == 0 {
		return Info
	}
	head := stripANSI(line[:min(len(line), levelHead)])
	trimmed := bytes.TrimLeft(head, " \t")
	if len(trimmed) == 0 {
		return Info
	}
	if trimmed[0] == '{' {
		if l := jsonLevel(bytes.TrimLeft(line, " \t")); l != 0 {
			return l
		}
	}
	if l := logfmtLevel(head); l != 0 {
		return l
	}
	if l := klogLevel(trimmed); l != 0 {
		return l
	}
	if l := wordLevel(trimmed); l != 0 {
		return l
	}
	return looks(trimmed, stream)
}

// levelWord knows the words for levels, in any case.
func levelWord(w []byte) Level {
	if len(w) < 3 || len(w) > 11 {
		return 0
	}
	var lower [11]byte
	for i, c := range w {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c < 'a' || c > 'z' {
			return 0
		}
		lower[i] = c
	}
	switch string(lower[:len(w)]) {
	case "trace", "debug", "dbg", "verbose", "fine", "finer", "finest", "silly":
		return Debug
	case "info", "inf", "information", "notice", "success", "log", "hint", "detail", "statement":
		return Info
	case "warn", "warning", "wrn":
		return Warning
	case "error", "err", "eror", "critical", "crit", "fatal", "ftl", "panic", "dpanic", "alert", "emerg", "emergency", "severe":
		return Error
	}
	return 0
}

// logfmtLevel looks for level=warn, and for its other names.
func logfmtLevel(head []byte) Level {
	for at := 0; at < len(head); {
		eq := bytes.IndexByte(head[at:], '=')
		if eq < 0 {
			return 0
		}
		eq += at
		at = eq + 1
		key := head[:eq]
		key = key[bytes.LastIndexByte(key, ' ')+1:]
		switch string(key) {
		case "level", "lvl", "severity", "loglevel", "log_level", "log.level":
		default:
			continue
		}
		value := bytes.Trim(head[at:wordEnd(head, at)], `"'`)
		if l := levelWord(value); l != 0 {
			return l
		}
	}
	return 0
}

// wordEnd is where the word that begins at at ends.
func wordEnd(s []byte, at int) int {
	if i := bytes.IndexAny(s[at:], " ,;\t"); i >= 0 {
		return at + i
	}
	return len(s)
}

// klogLevel reads E0102 15:04:05.000000, the form of glog and klog.
func klogLevel(head []byte) Level {
	if len(head) < 8 || head[5] != ' ' || !digits(head[1:5]) || !digits(head[6:8]) {
		return 0
	}
	switch head[0] {
	case 'I':
		return Info
	case 'W':
		return Warning
	case 'E', 'F':
		return Error
	}
	return 0
}

func digits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// wordLevel looks for the level among the first words. In capitals it may stand behind anything that does not read as a
// sentence: times, names in brackets, numbers. Where it is set apart ("[error]", "name - ERROR -", "error: ") anything but
// a sentence may stand before it.
func wordLevel(head []byte) Level {
	sentence := 0 // plain words so far
	depth := 0    // of brackets
	for n, at := 0, 0; at < len(head) && n < levelWords; n++ {
		for at < len(head) && separator(head[at]) {
			switch head[at] {
			case '[', '(', '<':
				depth++
			case ']', ')', '>':
				depth--
			}
			at++
		}
		from := at
		for at < len(head) && !separator(head[at]) {
			at++
		}
		word := head[from:at]
		if len(word) == 0 {
			return 0
		}
		l := levelWord(word)
		if l == 0 {
			if depth <= 0 && plainWord(word) {
				sentence++
			}
			continue
		}
		before, after := byte(' '), byte(' ')
		if from > 0 {
			before = head[from-1]
		}
		if at < len(head) {
			after = head[at]
		}
		apart := bracket(before) || before == '|' || after == '|' || dashed(head, from, at)
		switch {
		case apart && sentence <= 2:
			return l
		case upper(word) && sentence == 0 && (after == ' ' || after == '\t' || after == ':' || after == ',' || after == 0):
			return l
		case after == ':' && sentence == 0:
			return l // "error: ", "Warning: "
		case upper(word) && after == ':' && sentence <= 2:
			return l // "npm WARN:", "db LOG:"
		}
		sentence++
	}
	return 0
}

func separator(c byte) bool {
	switch c {
	case ' ', '\t', '[', ']', '(', ')', '<', '>', ':', '|', ',', ';', '"', '\'':
		return true
	}
	return false
}

func bracket(c byte) bool { return c == '[' || c == '<' || c == '(' }

// dashed reports whether a word stands as in "name - ERROR - text".
func dashed(head []byte, from, to int) bool {
	return bytes.HasSuffix(head[:from], []byte("- ")) && bytes.HasPrefix(head[to:], []byte(" -"))
}

// plainWord reports whether a word could be part of a sentence: letters only, and more than one.
func plainWord(w []byte) bool {
	if len(w) < 2 {
		return false
	}
	for _, c := range w {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c < 0x80 {
			return false
		}
	}
	return true
}

func upper(w []byte) bool {
	for _, c := range w {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// looks judges a line of no logger: it is an error when it begins like one. What is printed to stdout is often data, so
// there only what ends a program counts.
func looks(head []byte, stream Stream) Level {
	if opensTrace(head) != noTrace {
		return Error
	}
	if stream != Stderr {
		return Info
	}
	for _, begin := range [...]string{
		"fatal", "Fatal", "error", "Error", "uncaught", "Uncaught", "unhandled", "Unhandled", "Segmentation fault", "Aborted",
		"Killed", "Bus error", "Illegal instruction", "npm ERR", "ERR!", "Cannot ", "cannot ", "could not ", "Could not ", "failed to ", "Failed to ",
	} {
		if bytes.HasPrefix(head, []byte(begin)) {
			return Error
		}
	}
	for _, part := range [...]string{": error:", ": fatal", ": command not found", ": No such file or directory", ": Permission denied", "core dumped"} {
		if bytes.Contains(head, []byte(part)) {
			return Error
		}
	}
	if bytes.Contains(head, []byte("Warning:")) || bytes.HasPrefix(head, []byte("warning")) || bytes.Contains(head, []byte(": warning:")) {
		return Warning
	}
	return Info
}
