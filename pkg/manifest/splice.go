package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Change puts one field. A nil Value removes it.
type Change struct {
	// Path is such as ["spec", "expose", "subdomain"]. It leads through mappings only: a list is one value.
	Path []string
	// Value is anything that encoding/json can write.
	Value any
}

// errNotEditable says that a document is written in a way in which a field cannot be changed by itself.
var errNotEditable = errors.New("this field is written with an anchor, an alias or in another way that cannot be edited by itself; edit the file by hand")

// splice applies changes to the text of one document, one after the other. Every byte that does not belong to a changed
// field stays.
func splice(text []byte, changes []Change) ([]byte, error) {
	for _, c := range changes {
		if len(c.Path) == 0 {
			return nil, errors.New("a change needs a path")
		}
		var err error
		if text, err = spliceOne(text, c); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(c.Path, "."), err)
		}
	}
	return text, nil
}

// cursor is a document being edited.
type cursor struct {
	text  []byte
	lines []int // offset of each line; one more for the end
	eol   string
}

func newCursor(text []byte) *cursor {
	c := &cursor{text: text, eol: "\n"}
	offset := 0
	for line := range bytes.Lines(text) {
		c.lines = append(c.lines, offset)
		offset += len(line)
	}
	c.lines = append(c.lines, offset)
	if bytes.Contains(text, []byte("\r\n")) {
		c.eol = "\r\n"
	}
	return c
}

// at is the offset of a node's first byte. Columns count characters.
func (c *cursor) at(n *yaml.Node) int {
	offset := c.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(c.text[offset:])
		offset += size
	}
	return offset
}

// line is the text of a line, from 0, without its end.
func (c *cursor) line(i int) string {
	return strings.TrimRight(string(c.text[c.lines[i]:c.lines[i+1]]), "\r\n")
}

// replace puts text in place of bytes from..to.
func (c *cursor) replace(from, to int, text string) []byte {
	return slicesConcat(c.text[:from], []byte(text), c.text[to:])
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// place is a mapping on the way to a field.
type place struct {
	node *yaml.Node
	last int        // line after the mapping's last, from 0, when it is in block style
	flow *yaml.Node // outermost flow node around it, nil in block style
}

func spliceOne(text []byte, change Change) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("the document is not YAML: %w", err)
	}
	if len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errNotEditable
	}
	c := newCursor(text)
	here := place{node: root.Content[0], last: len(c.lines) - 1}
	for here.last > 0 && strings.HasPrefix(c.line(here.last-1), "...") {
		here.last--
	}
	if here.node.Style&yaml.FlowStyle != 0 {
		here.flow = here.node
	}
	for depth := range change.Path {
		i := find(here.node, change.Path[depth])
		if i < 0 {
			if change.Value == nil {
				return text, nil
			}
			return c.insert(here, change.Path[depth], nest(change.Path[depth+1:], change.Value))
		}
		value := here.node.Content[i+1]
		if value.Kind == yaml.AliasNode || value.Anchor != "" || here.node.Content[i].Tag == "!!merge" {
			return nil, errNotEditable
		}
		if depth == len(change.Path)-1 {
			if change.Value != nil {
				return c.set(here, i, change.Value)
			}
			if len(here.node.Content) == 2 && depth > 0 {
				// Its mapping would be empty: it goes as well.
				return spliceOne(text, Change{Path: change.Path[:depth]})
			}
			return c.remove(here, i)
		}
		if value.Kind != yaml.MappingNode {
			if change.Value == nil {
				return text, nil
			}
			return c.set(here, i, nest(change.Path[depth+1:], change.Value))
		}
		_, last := c.entry(here, i)
		here = place{node: value, last: last, flow: here.flow}
		if here.flow == nil && value.Style&yaml.FlowStyle != 0 {
			here.flow = value
		}
	}
	return nil, errNotEditable
}

// find is the index of a key in a mapping, -1 when it is not there.
func find(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key && mapping.Content[i].Kind == yaml.ScalarNode {
			return i
		}
	}
	return -1
}

// nest wraps a value in mappings.
func nest(path []string, value any) any {
	for i := len(path) - 1; i >= 0; i-- {
		value = map[string]any{path[i]: value}
	}
	return value
}

// entry is the lines (first, last) of an entry of a block mapping, without blanks and comments that follow it.
func (c *cursor) entry(p place, i int) (first, last int) {
	key := p.node.Content[i]
	first, last = key.Line-1, p.last
	if i+2 < len(p.node.Content) {
		last = p.node.Content[i+2].Line - 1
	}
	for last > first+1 {
		line := c.line(last - 1)
		trimmed := strings.TrimLeft(line, " \t")
		if trimmed != "" && (trimmed[0] != '#' || len(line)-len(trimmed) > key.Column-1) {
			break
		}
		last--
	}
	return first, last
}

// set puts a value in place of an entry's.
func (c *cursor) set(p place, i int, value any) ([]byte, error) {
	key, old := p.node.Content[i], p.node.Content[i+1]
	node, err := toNode(value)
	if err != nil {
		return nil, err
	}
	if end, ok := c.scalarEnd(old, p.flow != nil); ok && node.Kind == yaml.ScalarNode && key.Line == old.Line {
		text, err := inline(node, old)
		if err == nil && !strings.ContainsAny(text, "\r\n") && (p.flow == nil || !strings.ContainsAny(text, ",[]{}") || strings.ContainsAny(text[:1], `"'`)) {
			return c.replace(c.at(old), end, text), nil
		}
	}
	if p.flow != nil {
		p.node.Content[i+1] = node
		return c.rewriteFlow(p.flow)
	}
	first, last := c.entry(p, i)
	text, err := c.block(key.Value, node, key.Column-1)
	if err != nil {
		return nil, err
	}
	// What stands before the key on its line stays: a "--- " marker for example.
	from := c.at(key)
	text = strings.TrimPrefix(text, strings.Repeat(" ", key.Column-1))
	if end := c.lines[last]; end == len(c.text) && !bytes.HasSuffix(c.text, []byte("\n")) {
		text = strings.TrimRight(text, "\r\n")
	}
	if comment := c.comment(old); comment != "" {
		head, rest, _ := strings.Cut(text, c.eol)
		text = head + comment
		if rest != "" || strings.HasSuffix(text, c.eol) || c.lines[last] != len(c.text) || bytes.HasSuffix(c.text, []byte("\n")) {
			text += c.eol + rest
		}
	}
	_ = first
	return c.replace(from, c.lines[last], text), nil
}

// comment is what stands behind a value on its line, with the blanks before it.
func (c *cursor) comment(old *yaml.Node) string {
	if old.LineComment == "" {
		return ""
	}
	line := c.line(old.Line - 1)
	at := strings.LastIndex(line, old.LineComment)
	if at < 0 {
		return ""
	}
	return line[len(strings.TrimRight(line[:at], " \t")):]
}

// remove takes an entry out.
func (c *cursor) remove(p place, i int) ([]byte, error) {
	if p.flow != nil {
		p.node.Content = append(p.node.Content[:i:i], p.node.Content[i+2:]...)
		return c.rewriteFlow(p.flow)
	}
	first, last := c.entry(p, i)
	if c.at(p.node.Content[i]) != c.lines[first]+p.node.Content[i].Column-1 || strings.TrimSpace(string(c.text[c.lines[first]:c.at(p.node.Content[i])])) != "" {
		return nil, errNotEditable
	}
	return c.replace(c.lines[first], c.lines[last], ""), nil
}

// insert adds an entry behind the last one of a mapping.
func (c *cursor) insert(p place, key string, value any) ([]byte, error) {
	node, err := toNode(value)
	if err != nil {
		return nil, err
	}
	if p.flow != nil {
		p.node.Content = append(p.node.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, node)
		return c.rewriteFlow(p.flow)
	}
	n := len(p.node.Content)
	if n == 0 {
		return nil, errNotEditable
	}
	_, last := c.entry(p, n-2)
	text, err := c.block(key, node, p.node.Content[0].Column-1)
	if err != nil {
		return nil, err
	}
	at := c.lines[last]
	if at > 0 && c.text[at-1] != '\n' {
		text = c.eol + strings.TrimRight(text, "\r\n")
	}
	return c.replace(at, at, text), nil
}

// scalarEnd is the offset after a scalar that is written on one line.
func (c *cursor) scalarEnd(n *yaml.Node, flow bool) (int, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" && n.Value == "" || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0 {
		return 0, false
	}
	begin := c.at(n)
	rest := string(c.text[begin:c.lines[n.Line]])
	rest = strings.TrimRight(rest, "\r\n")
	end := -1
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			if rest[i] == '\\' {
				i++
			} else if rest[i] == '"' {
				end = i + 1
				break
			}
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := 1; i < len(rest); i++ {
			if rest[i] == '\'' {
				if i+1 < len(rest) && rest[i+1] == '\'' {
					i++
					continue
				}
				end = i + 1
				break
			}
		}
	default:
		end = len(rest)
		if at := strings.Index(rest, " #"); at >= 0 {
			end = at
		}
		if flow {
			if at := strings.IndexAny(rest[:end], ",]}"); at >= 0 {
				end = at
			}
		}
		end = len(strings.TrimRight(rest[:end], " \t"))
	}
	if end <= 0 {
		return 0, false
	}
	// The text that was found must say what the node says; a scalar that goes on in the next line does not.
	var back yaml.Node
	if yaml.Unmarshal([]byte(rest[:end]), &back) != nil || len(back.Content) != 1 || back.Content[0].Value != n.Value {
		return 0, false
	}
	return begin + end, true
}

// inline renders a scalar on one line, in quotes of the kind that the old value had.
func inline(node, old *yaml.Node) (string, error) {
	if node.Tag == "!!str" {
		node.Style = old.Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle)
	}
	text, err := yaml.Marshal(node)
	return strings.TrimRight(string(text), "\n"), err
}

// block renders "key: value" with its lines indented.
func (c *cursor) block(key string, value *yaml.Node, indent int) (string, error) {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value}}
	text, err := encode(m)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line != "" {
			b.WriteString(strings.Repeat(" ", indent) + line)
		}
		b.WriteString(c.eol)
	}
	return b.String(), nil
}

// rewriteFlow renders a flow node anew, in place of what its brackets hold.
func (c *cursor) rewriteFlow(n *yaml.Node) ([]byte, error) {
	begin := c.at(n)
	end, ok := c.flowEnd(begin)
	if !ok {
		return nil, errNotEditable
	}
	var flow func(n *yaml.Node)
	flow = func(n *yaml.Node) {
		switch {
		case n.Kind != yaml.ScalarNode:
			n.Style = yaml.FlowStyle
		case strings.ContainsAny(n.Value, "\r\n"):
			n.Style = yaml.DoubleQuotedStyle // blocks cannot stand between brackets
		}
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		for _, child := range n.Content {
			flow(child)
		}
	}
	if strings.Contains(string(c.text[begin:end]), " #") {
		return nil, errNotEditable // a comment inside would be lost
	}
	flow(n)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	text := strings.TrimRight(b.String(), "\n")
	return c.replace(begin, end, strings.ReplaceAll(text, "\n", " ")), nil
}

// flowEnd is the offset after the bracket that closes the one at begin.
func (c *cursor) flowEnd(begin int) (int, bool) {
	depth := 0
	for i := begin; i < len(c.text); i++ {
		switch c.text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		case '"', '\'':
			quote := c.text[i]
			for i++; i < len(c.text) && c.text[i] != quote; i++ {
				if quote == '"' && c.text[i] == '\\' {
					i++
				}
			}
		}
	}
	return 0, false
}

// toNode makes YAML of a value, by way of its JSON, which is YAML too.
func toNode(value any) (*yaml.Node, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil || len(n.Content) != 1 {
		return nil, fmt.Errorf("render %s: %w", text, err)
	}
	var plain func(n *yaml.Node)
	plain = func(n *yaml.Node) {
		n.Style = 0
		for _, child := range n.Content {
			plain(child)
		}
	}
	plain(n.Content[0])
	return n.Content[0], nil
}

func encode(n *yaml.Node) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return "", fmt.Errorf("render: %w", err)
	}
	return b.String(), nil
}
