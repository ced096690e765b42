package logs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWords bounds a search, as each word costs.
const maxWords = 16

// term is one thing that a text must hold: a word or a phrase in quotes, as it was typed, in lower case.
type term struct {
	text   string
	words  []string // of text, as the full-text index cuts them
	prefix bool     // the last word may go on
}

// matcher decides whether a text holds all terms. Case does not count, and a term begins and ends where words do:
// "time" is not in "timeout", but "time*" is.
type matcher struct{ terms []term }

// newMatcher reads what a person typed: words, "phrases" in quotes, and word* for words that begin so.
func newMatcher(query string) (matcher, error) {
	var m matcher
	for rest := strings.TrimSpace(query); rest != ""; rest = strings.TrimLeftFunc(rest, unicode.IsSpace) {
		var text string
		if rest[0] == '"' {
			var found bool
			if text, rest, found = strings.Cut(rest[1:], `"`); !found {
				text = strings.TrimRightFunc(text, unicode.IsSpace)
			}
		} else {
			end := strings.IndexFunc(rest, unicode.IsSpace)
			if end < 0 {
				end = len(rest)
			}
			text, rest = rest[:end], rest[end:]
		}
		prefix := strings.HasSuffix(text, "*")
		text = fold(strings.Trim(text, "*"))
		words := cutWords(text)
		if text == "" {
			continue
		}
		m.terms = append(m.terms, term{text: text, words: words, prefix: prefix})
		if len(m.terms) > maxWords {
			return matcher{}, fmt.Errorf("a search takes at most %d words; put a phrase in quotes", maxWords)
		}
	}
	return m, nil
}

// fold makes letters small. The index does the same, letter by letter.
func fold(s string) string { return strings.Map(unicode.ToLower, s) }

// letter tells whether a character is part of a word. Like the index, it takes those for private use for letters.
func letter(r rune) bool {
	if r < 0x80 {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Co, r)
}

func cutWords(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return !letter(r) })
}

// match reports whether a text holds all terms.
func (m matcher) match(text string) bool {
	if len(m.terms) == 0 {
		return true
	}
	text = fold(text)
	for i := range m.terms {
		if !m.terms[i].in(text) {
			return false
		}
	}
	return true
}

func (t *term) in(text string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], t.text)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(t.text)
		if edge(text, i) && (t.prefix || edge(text, end)) {
			return true
		}
		_, size := utf8.DecodeRuneInString(text[i:])
		from = i + size
	}
}

// edge reports whether no word goes on across a place of a text.
func edge(text string, at int) bool {
	if at == 0 || at == len(text) {
		return true
	}
	before, _ := utf8.DecodeLastRuneInString(text[:at])
	after, _ := utf8.DecodeRuneInString(text[at:])
	return !letter(before) || !letter(after)
}

// words is the search as FTS5 writes it, which finds at least the texts that match: each word in quotes. It is empty when no
// term has a word in it.
func (m matcher) words() string {
	var b strings.Builder
	for _, t := range m.terms {
		for i, w := range t.words {
			if b.Len() > 0 {
				b.WriteString(" AND ")
			}
			b.WriteString(`"` + w + `"`)
			if t.prefix && i == len(t.words)-1 && strings.HasSuffix(t.text, w) {
				b.WriteByte('*')
			}
		}
	}
	return b.String()
}

// like is a piece of text that LIKE finds in at least the texts that match: the longest run of plain characters; the empty
// string when there is none. LIKE is blind to case in ASCII only.
func (m matcher) like() string {
	longest := ""
	for _, t := range m.terms {
		for _, run := range strings.FieldsFunc(t.text, func(r rune) bool { return r >= 0x80 || r < ' ' }) {
			if len(run) > len(longest) {
				longest = run
			}
		}
	}
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(longest)
}
