package logs

import "bytes"

// trace is what kind of stack trace an entry is in, which decides what may follow.
type trace uint8

const (
	noTrace trace = iota
	pythonTrace
	pythonEnd   // the exception was named
	pythonChain // and an empty line followed
	goTrace
	javaTrace
	rustTrace
	rustEnd
)

// opensTrace tells which stack trace begins with a line.
func opensTrace(line []byte) trace {
	switch {
	case len(line) == 0:
		return noTrace
	case bytes.HasPrefix(line, []byte("Traceback (most recent call last)")):
		return pythonTrace
	case bytes.HasPrefix(line, []byte("panic: ")), bytes.HasPrefix(line, []byte("fatal error: ")), bytes.HasPrefix(line, []byte("SIGQUIT: ")):
		return goTrace
	case bytes.HasPrefix(line, []byte("Exception in thread ")), bytes.HasPrefix(line, []byte("Caused by: ")), namesException(line):
		return javaTrace
	case bytes.HasPrefix(line, []byte("thread '")) && bytes.Contains(line, []byte("panicked at")):
		return rustTrace
	}
	return noTrace
}

// namesException reports whether a line begins with the name of an exception, such as "ValueError: no" or
// "java.lang.NullPointerException".
func namesException(line []byte) bool {
	end := 0
	for end < len(line) && (wordByte(line[end]) || line[end] == '.' || line[end] == '$') {
		end++
	}
	name := line[:end]
	if end < len(line) && line[end] != ':' {
		return false
	}
	if bytes.HasSuffix(name, []byte("Exception")) {
		return true
	}
	return bytes.HasSuffix(name, []byte("Error")) && (len(name) > len("Error") || end < len(line))
}

func wordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// grouper tells which lines belong to the entry that began before them.
type grouper struct {
	trace trace
	level Level
}

// begin starts an entry with a line and gives its level.
func (g *grouper) begin(line []byte, stream Stream) Level {
	g.trace = opensTrace(line)
	g.level = levelOf(line, stream)
	return g.level
}

// joins reports whether a line belongs to the entry, and takes it in.
func (g *grouper) joins(line []byte) bool {
	if indented(line) {
		if g.trace == noTrace {
			return !startsEntry(bytes.TrimLeft(line, " \t"))
		}
		if g.trace == pythonEnd || g.trace == pythonChain {
			g.trace = pythonTrace
		}
		return true
	}
	switch g.trace {
	case pythonTrace:
		// The first line that is not indented names the exception, or, behind a "File" line, carries an odd source line.
		if len(line) > 0 {
			g.trace = pythonEnd
		}
		return true
	case pythonEnd:
		if len(line) == 0 {
			g.trace = pythonChain
			return true
		}
	case pythonChain:
		if bytes.HasPrefix(line, []byte("During handling of the above")) || bytes.HasPrefix(line, []byte("The above exception was")) || len(line) == 0 {
			return true
		}
		if opensTrace(line) == pythonTrace {
			g.trace = pythonTrace
			return true
		}
	case goTrace:
		return goesOn(line)
	case javaTrace:
		return bytes.HasPrefix(line, []byte("Caused by: ")) || bytes.HasPrefix(line, []byte("Suppressed: "))
	case rustTrace:
		g.trace = rustEnd
		return true
	case rustEnd:
		return bytes.HasPrefix(line, []byte("note: ")) || bytes.HasPrefix(line, []byte("stack backtrace:"))
	}
	if closing(line) {
		return true
	}
	// A logger that tells of an exception lets its trace follow.
	if g.level >= Warning && g.trace == noTrace {
		if t := opensTrace(line); t == pythonTrace || t == javaTrace {
			g.trace = t
			return true
		}
	}
	return false
}

// indented reports whether a line is set in, as the lines of stack traces and of pretty-printed data are.
func indented(line []byte) bool {
	return len(line) > 1 && (line[0] == ' ' || line[0] == '\t')
}

// startsEntry reports whether a line that is set in is an entry all the same: some loggers pad their levels and times.
func startsEntry(line []byte) bool {
	line = line[:min(len(line), 64)]
	if len(line) >= 10 && digits(line[:4]) && (line[4] == '-' || line[4] == '/') {
		return true
	}
	line = stripANSI(line)
	end := 0
	for end < len(line) && line[end] >= 'A' && line[end] <= 'Z' {
		end++
	}
	return end > 0 && end < len(line) && (line[end] == ' ' || line[end] == ':') && levelWord(line[:end]) != 0
}

// closing reports whether a line only closes brackets, as the last line of pretty-printed data does.
func closing(line []byte) bool {
	return len(line) > 0 && len(line) <= 8 && (line[0] == '}' || line[0] == ']' || line[0] == ')') && len(bytes.Trim(line, "})],;")) == 0
}

// goesOn reports whether a line goes on the output of a Go program that ends.
func goesOn(line []byte) bool {
	if len(line) == 0 {
		return true
	}
	for _, begin := range [...]string{"goroutine ", "[signal ", "created by ", "runtime stack:", "exit status ", "panic: ", "...", "rax ", "PC="} {
		if bytes.HasPrefix(line, []byte(begin)) {
			return true
		}
	}
	// package.function(arguments)
	open := bytes.IndexByte(line, '(')
	return open > 0 && line[len(line)-1] == ')' && bytes.IndexByte(line[:open], ' ') < 0 && bytes.IndexByte(line[:open], '.') > 0
}
