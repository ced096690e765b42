package command

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// builtins of a POSIX shell that are no programs: a line that begins with one needs the shell.
var builtins = []string{
	".", ":", "alias", "bg", "break", "cd", "command", "continue", "eval", "exit", "export", "fg", "getopts", "hash", "jobs", "local",
	"read", "readonly", "return", "set", "shift", "source", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "wait",
}

// parse reads a line as a POSIX shell would.
func parse(line string) (*syntax.File, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, fmt.Errorf("command %q: %s; quote it as for a shell, or write a list of arguments", line, strings.TrimPrefix(err.Error(), "1:"))
	}
	return file, nil
}

// Check says whether a line can be parsed.
func Check(line string) error {
	file, err := parse(line)
	if err != nil {
		return err
	}
	if len(file.Stmts) == 0 {
		return fmt.Errorf("command %q holds no command", line)
	}
	return nil
}

// Words returns the words of a line as far as they can be told without running anything: quotes are taken off, variables
// are left as they stand.
func Words(line string) []string {
	file, err := parse(line)
	if err != nil {
		return strings.Fields(line)
	}
	var words []string
	printer := syntax.NewPrinter()
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok {
			return true
		}
		for _, w := range call.Args {
			e := expansion{textOnly: true}
			if fields, ok := e.word(w); ok && len(fields) == 1 {
				words = append(words, fields[0])
				continue
			}
			var b strings.Builder
			if printer.Print(&b, w) == nil {
				words = append(words, b.String())
			}
		}
		return false
	})
	return words
}

// DefaultDir is the folder to run in when the manifest names none: that of the first word that is a path to a .py file.
// It is empty when there is no such word.
func DefaultDir(words []string) string {
	for _, w := range words {
		if strings.HasSuffix(w, ".py") && strings.Contains(w, "/") {
			return filepath.Dir(w)
		}
	}
	return ""
}

// simple resolves a line that needs no shell. ok is false for one that does.
func simple(file *syntax.File, lookup func(string) (string, bool), home string) (assigns []string, argv []string, ok bool) {
	if len(file.Stmts) != 1 {
		return nil, nil, false
	}
	stmt := file.Stmts[0]
	call, isCall := stmt.Cmd.(*syntax.CallExpr)
	if !isCall || stmt.Negated || stmt.Background || stmt.Coprocess || len(stmt.Redirs) > 0 || len(call.Args) == 0 {
		return nil, nil, false
	}
	e := expansion{lookup: lookup, home: home}
	for _, a := range call.Assigns {
		if a.Append || a.Naked || a.Index != nil || a.Array != nil {
			return nil, nil, false
		}
		value := ""
		if a.Value != nil {
			// The value of an assignment is not split into words.
			if value, ok = e.joined(a.Value.Parts); !ok {
				return nil, nil, false
			}
		}
		assigns = append(assigns, a.Name.Value+"="+value)
	}
	for _, w := range call.Args {
		fields, ok := e.word(w)
		if !ok {
			return nil, nil, false
		}
		argv = append(argv, fields...)
	}
	// exec replaces the shell by the program: that is what we do anyway.
	if len(argv) > 1 && argv[0] == "exec" && !strings.HasPrefix(argv[1], "-") {
		argv = argv[1:]
	}
	if len(argv) == 0 || argv[0] == "" || argv[0] == "exec" || slices.Contains(builtins, argv[0]) {
		return nil, nil, false
	}
	return assigns, argv, true
}

// expansion resolves words. It gives up (ok false) on whatever only a shell can do.
type expansion struct {
	lookup func(string) (string, bool)
	home   string
	// textOnly gives up on variables: there is nothing to look them up in.
	textOnly bool
}

// word resolves one word into fields: none, one, or several when an unquoted variable holds blanks.
func (e expansion) word(w *syntax.Word) (fields []string, ok bool) {
	var field strings.Builder
	open := false // a field has begun, be it with an empty quoted string
	for i, part := range w.Parts {
		p, isParam := part.(*syntax.ParamExp)
		if !isParam {
			text, ok := e.part(part, i == 0)
			if !ok {
				return nil, false
			}
			field.WriteString(text)
			open = true
			continue
		}
		value, ok := e.param(p)
		if !ok || strings.ContainsAny(value, `*?[\`) {
			return nil, false
		}
		split := strings.Fields(value)
		if value != "" && open && strings.ContainsRune(" \t\n", rune(value[0])) {
			fields, open = append(fields, field.String()), false
			field.Reset()
		}
		for j, s := range split {
			if j > 0 {
				fields = append(fields, field.String())
				field.Reset()
			}
			field.WriteString(s)
			open = true
		}
		if open && value != "" && strings.ContainsRune(" \t\n", rune(value[len(value)-1])) && len(split) > 0 {
			fields, open = append(fields, field.String()), false
			field.Reset()
		}
	}
	if open {
		fields = append(fields, field.String())
	}
	return fields, true
}

// joined resolves parts into one text, without splitting.
func (e expansion) joined(parts []syntax.WordPart) (string, bool) {
	var b strings.Builder
	for i, part := range parts {
		text, ok := e.part(part, i == 0)
		if p, isParam := part.(*syntax.ParamExp); isParam {
			text, ok = e.param(p)
		}
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// part resolves all but an unquoted variable.
func (e expansion) part(part syntax.WordPart, first bool) (string, bool) {
	switch p := part.(type) {
	case *syntax.Lit:
		text, ok := unescape(p.Value)
		if !ok {
			return "", false
		}
		if first && strings.HasPrefix(p.Value, "~") {
			rest := text[1:]
			if e.home == "" || rest != "" && rest[0] != '/' {
				return "", false
			}
			text = e.home + rest
		}
		return text, true
	case *syntax.SglQuoted:
		return p.Value, !p.Dollar
	case *syntax.DblQuoted:
		return e.quoted(p)
	case *syntax.CmdSubst:
		return e.substitution(p)
	}
	return "", false
}

func (e expansion) quoted(q *syntax.DblQuoted) (string, bool) {
	if q.Dollar {
		return "", false
	}
	var b strings.Builder
	for _, part := range q.Parts {
		var text string
		ok := true
		switch p := part.(type) {
		case *syntax.Lit:
			text = unescapeQuoted(p.Value)
		case *syntax.ParamExp:
			text, ok = e.param(p)
		case *syntax.CmdSubst:
			text, ok = e.substitution(p)
		default:
			ok = false
		}
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// param resolves $NAME and ${NAME}; anything more is the shell's. An unset variable is empty, as in a shell.
func (e expansion) param(p *syntax.ParamExp) (string, bool) {
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil || p.Names != 0 || p.Exp != nil {
		return "", false
	}
	if e.textOnly || !isName(p.Param.Value) {
		return "", false
	}
	value, _ := e.lookup(p.Param.Value)
	return value, true
}

// substitution resolves $(NAME) for a variable that is known.
func (e expansion) substitution(c *syntax.CmdSubst) (string, bool) {
	name, ok := variable(c)
	if !ok || e.textOnly {
		return "", false
	}
	return e.lookup(name)
}

// variable returns NAME of $(NAME).
func variable(c *syntax.CmdSubst) (string, bool) {
	if c.Backquotes || len(c.Stmts) != 1 {
		return "", false
	}
	call, ok := c.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) != 1 || len(call.Assigns) != 0 || len(c.Stmts[0].Redirs) != 0 || c.Stmts[0].Background || c.Stmts[0].Negated {
		return "", false
	}
	name := call.Args[0].Lit()
	return name, isName(name)
}

// forShell rewrites each $(NAME) of a known variable to ${NAME}, which a shell understands.
func forShell(line string, file *syntax.File, known func(string) (string, bool)) string {
	var b strings.Builder
	done := uint(0)
	syntax.Walk(file, func(node syntax.Node) bool {
		c, ok := node.(*syntax.CmdSubst)
		if !ok {
			return true
		}
		name, ok := variable(c)
		if !ok {
			return true
		}
		if _, ok := known(name); ok {
			b.WriteString(line[done:c.Pos().Offset()] + "${" + name + "}")
			done = c.End().Offset()
		}
		return false
	})
	b.WriteString(line[done:])
	return b.String()
}

// unescape takes the backslashes off an unquoted literal. It gives up on globs.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*', '?', '[':
			return "", false
		case '\\':
			i++
			if i == len(s) {
				return b.String() + `\`, true
			}
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// unescapeQuoted takes off the backslashes that mean something between double quotes.
func unescapeQuoted(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isName(s string) bool {
	for i, r := range s {
		if r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
