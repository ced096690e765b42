package crontab

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
	"time"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/cron"
)

// Annotations of the objects that are made.
const (
	// AnnotationDescription is the comment above the line.
	AnnotationDescription = "description"
	// AnnotationMailTo is who got mail of the output.
	AnnotationMailTo = "mailto"
	// AnnotationSource is the file and line that it was made from.
	AnnotationSource = "imported-from"
)

// Options say what is read.
type Options struct {
	// System is true for /etc/crontab and /etc/cron.d, whose lines name a user after the schedule.
	System bool
	// File is the name that notes and annotations mention.
	File string
	// Taken reports whether a name is in use already; nil takes none to be.
	Taken func(kind, name string) bool
}

// Note is something that was not carried over, or not as it was.
type Note struct {
	// Line is 1-based.
	Line int
	// Text is the line, or the part of it that is meant.
	Text string
	// Detail says what was done instead, or what to do.
	Detail string
	// Dropped is true when the whole line was left out.
	Dropped bool
}

// String renders "line 3: ...".
func (n Note) String() string { return fmt.Sprintf("line %d: %s: %s", n.Line, n.Text, n.Detail) }

// Result is what came of a crontab.
type Result struct {
	Objects []v1.Object
	Notes   []Note
}

const (
	// maxLine is far beyond what cron itself takes.
	maxLine = 64 << 10
	// maxLines bounds a crontab.
	maxLines = 100_000
)

// Parse reads a crontab. It fails only when the text cannot be read; what is wrong with a line is a note.
func Parse(r io.Reader, o Options) (Result, error) {
	p := &parser{options: o, env: map[string]string{}, used: map[string]bool{}}
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		if p.line++; p.line > maxLines {
			return p.result, fmt.Errorf("read crontab: more than %d lines", maxLines)
		}
		p.take(strings.TrimLeft(scanner.Text(), " \t"))
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("line %d is longer than %d bytes", p.line+1, maxLine)
		}
		return p.result, fmt.Errorf("read crontab: %w", err)
	}
	return p.result, nil
}

// parser goes through a crontab line by line.
type parser struct {
	options Options
	result  Result
	line    int
	comment []string          // the lines right above
	env     map[string]string // in force from here on
	used    map[string]bool   // names, folded
}

func (p *parser) note(text, detail string, args ...any) {
	p.result.Notes = append(p.result.Notes, Note{Line: p.line, Text: text, Detail: fmt.Sprintf(detail, args...)})
}

func (p *parser) drop(text, detail string, args ...any) {
	p.note(text, detail, args...)
	p.result.Notes[len(p.result.Notes)-1].Dropped = true
}

func (p *parser) take(line string) {
	line = strings.TrimRight(line, " \t\r")
	switch {
	case line == "":
		p.comment = nil
	case strings.HasPrefix(line, "#"):
		if text := strings.TrimSpace(strings.TrimLeft(line, "#")); text != "" {
			p.comment = append(p.comment, text)
		}
	case strings.IndexByte(line, 0) >= 0:
		p.comment = nil
		p.drop("binary data", "the line holds a NUL byte; it is left out")
	default:
		if name, value, ok := assignment(line); ok {
			p.setting(name, value)
		} else {
			p.job(line)
		}
		p.comment = nil
	}
}

// assignment reads NAME=value as cron does: blanks around the = are allowed, and quotes around either side are taken off.
func assignment(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, "=")
	if !ok {
		return "", "", false
	}
	name = unquote(strings.TrimSpace(name))
	for i, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return "", "", false
		}
	}
	return name, unquote(strings.TrimSpace(value)), name != ""
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// setting takes an assignment, which holds for the lines below it.
func (p *parser) setting(name, value string) {
	switch name {
	case "LOGNAME", "USER":
		p.note(name+"="+value, "cron does not let it be changed; it is left out")
		return
	case "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "START_HOURS_RANGE", "NO_MAIL_OUTPUT", "CRON_WITHIN":
		p.note(name+"="+value, "it concerns cron's mail or anacron, and has no counterpart; it is left out")
		return
	case "MAILTO":
		if value != "" && p.env["MAILTO"] == "" {
			p.note("MAILTO="+value, "no mail is sent; the address is kept as the annotation %s, set up an alert for it", AnnotationMailTo)
		}
	case "CRON_TZ", "TZ":
		if _, err := time.LoadLocation(value); err != nil || value == "Local" {
			p.note(name+"="+value, "it is not a time zone that is known; it is left out")
			return
		}
	}
	p.env[name] = value
}

// fields splits off n words, and returns the rest as it stands.
func fields(line string, n int) (words []string, rest string) {
	rest = line
	for range n {
		rest = strings.TrimLeft(rest, " \t")
		end := strings.IndexAny(rest, " \t")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			break
		}
		words = append(words, rest[:end])
		rest = rest[end:]
	}
	return words, strings.TrimLeft(rest, " \t")
}

// entry is one line that runs something.
type entry struct {
	schedule, user, command string
	reboot                  bool
}

// job takes a line that runs something.
func (p *parser) job(line string) {
	e, ok := p.split(line)
	if !ok {
		return
	}
	if e.command == "" {
		p.drop(line, "there is no command after the schedule; it is left out")
		return
	}
	if !e.reboot {
		if _, err := cron.Parse(e.schedule, cron.Options{Location: time.UTC}); err != nil {
			p.drop(line, "%v", err)
			return
		}
	}
	p.add(e)
}

// split takes a line apart.
func (p *parser) split(line string) (e entry, ok bool) {
	if rest, quiet := strings.CutPrefix(line, "-"); quiet {
		line = strings.TrimLeft(rest, " \t") // SUSE: do not log
	}
	n := 5
	if strings.HasPrefix(line, "@") {
		n = 1
	}
	words, rest := fields(line, n)
	if len(words) < n {
		p.drop(line, "it is neither NAME=value nor five time fields and a command; it is left out")
		return e, false
	}
	if p.options.System {
		var user []string
		if user, rest = fields(rest, 1); len(user) == 1 {
			// FreeBSD: a login class or group may follow.
			e.user, _, _ = strings.Cut(user[0], ":")
			e.user, _, _ = strings.Cut(e.user, "/")
		}
	}
	e.command = rest
	if n == 1 {
		return e, p.shorthand(&e, line, strings.ToLower(words[0]))
	}
	for i, w := range words {
		words[i] = p.spread(w, i)
	}
	e.schedule = strings.Join(words, " ")
	return e, true
}

// shorthand takes @daily and its like.
func (p *parser) shorthand(e *entry, line, name string) bool {
	switch name {
	case "@reboot":
		e.reboot = true
	case "@every_minute":
		e.schedule = "* * * * *"
	case "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly":
		e.schedule = name
	default:
		p.drop(line, "%s is not known here; write five time fields", name)
		return false
	}
	return true
}

// spread replaces a random range a~b by one of its values, always the same for a line.
func (p *parser) spread(field string, place int) string {
	low, high, ok := strings.Cut(field, "~")
	if !ok {
		return field
	}
	bounds := [][2]int{{0, 59}, {0, 23}, {1, 28}, {1, 12}, {0, 6}}[place]
	from, to := bounds[0], bounds[1]
	var err error
	if low != "" {
		from, err = strconv.Atoi(low)
	}
	if high != "" && err == nil {
		to, err = strconv.Atoi(high)
	}
	if err != nil || from < 0 || to < from || to > 59 {
		return field // refused with the rest of the schedule
	}
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s|%d|%d", p.options.File, p.line, place) // a hash takes everything
	value := strconv.Itoa(from + int(h.Sum32()%uint32(to-from+1)))
	p.note(field, "it is a random time in cron; %s was chosen, and spec.jitter spreads runs", value)
	return value
}
