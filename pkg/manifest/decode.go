package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/pkg/command"
)

// MaxFile bounds a manifest file in bytes.
const MaxFile = 1 << 20

// Document is one YAML document of a file.
type Document struct {
	// Key is the object that it describes, as far as that can be read even from a broken one.
	Key v1.Key
	// Object is defaulted and valid; nil when there are problems.
	Object v1.Object
	// Revision is the object's.
	Revision string
	// Line is the first line of the document in its file, from 1.
	Line int
	// Text is the document's YAML.
	Text []byte
	// Problems is everything that is wrong with it.
	Problems []v1.Problem
}

// Decode reads all documents of a file. Documents that hold nothing are left out. Problems are those of documents and
// those of the file itself, which a document cannot be blamed for.
func Decode(file string, data []byte) (docs []Document, problems []v1.Problem) {
	if len(data) > MaxFile {
		return nil, []v1.Problem{{File: file, Detail: fmt.Sprintf("the file is larger than %d KiB; split it", MaxFile>>10)}}
	}
	for _, chunk := range split(data) {
		doc, ok := decodeDocument(file, chunk)
		if !ok {
			continue
		}
		docs = append(docs, doc)
		problems = append(problems, doc.Problems...)
	}
	return docs, problems
}

// chunk is the text of one document, with its place in the file.
type chunk struct {
	text   []byte
	offset int // of the first byte
	line   int // of the first byte, from 1
}

// split cuts a file at its document markers. A marker stands at the begin of a line, where nothing else can look like it.
func split(data []byte) []chunk {
	var chunks []chunk
	begin, beginLine, line, offset := 0, 1, 0, 0
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		begin = 3
	}
	for text := range bytes.Lines(data) {
		line++
		if offset > begin && isMarker(text) && !onlyDirectives(data[begin:offset]) {
			chunks = append(chunks, chunk{data[begin:offset], begin, beginLine})
			begin, beginLine = offset, line
		}
		offset += len(text)
	}
	return append(chunks, chunk{data[begin:], begin, beginLine})
}

func isMarker(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// onlyDirectives reports whether text is %YAML lines, which belong to the document after them.
func onlyDirectives(text []byte) bool {
	found := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0 || line[0] == '#':
		case line[0] == '%':
			found = true
		default:
			return false
		}
	}
	return found
}

// decodeDocument reads one document. ok is false for one that holds nothing.
func decodeDocument(file string, c chunk) (doc Document, ok bool) {
	doc = Document{Line: c.line, Text: c.text}
	var root yaml.Node
	if err := yaml.Unmarshal(c.text, &root); err != nil {
		doc.Key = guessKey(c.text)
		doc.Problems = []v1.Problem{syntaxProblem(file, c, err)}
		doc.Problems[0].Key = doc.Key
		return doc, true
	}
	if len(root.Content) == 0 || root.Content[0].Kind == yaml.ScalarNode && root.Content[0].Tag == "!!null" {
		return doc, false
	}
	d := &decoder{file: file, base: c.line - 1, lines: map[string]int{}}
	node := root.Content[0]
	object := d.object(node)
	doc.Key = d.key
	if object != nil {
		object.Default()
		for _, e := range object.Validate() {
			d.problem(d.line(e.Field), e.Field, "%s", e.Detail)
		}
		checkCommands(d, object)
	}
	if doc.Problems = d.problems; len(doc.Problems) > 0 {
		for i := range doc.Problems {
			doc.Problems[i].Key = doc.Key
		}
		return doc, true
	}
	doc.Object, doc.Revision = object, object.Revision()
	return doc, true
}

// checkCommands adds what only a shell's parser can tell.
func checkCommands(d *decoder, object v1.Object) {
	check := func(field string, c v1.Command) {
		if c.IsZero() || len(c.Argv) > 0 {
			return
		}
		if err := command.Check(c.Line); err != nil {
			d.problem(d.line(field), field, "%v", err)
		}
	}
	switch o := object.(type) {
	case *v1.Service:
		check("spec.command", o.Spec.Command)
		for name, p := range map[string]*v1.Probe{"startup": o.Spec.Probes.Startup, "readiness": o.Spec.Probes.Readiness, "liveness": o.Spec.Probes.Liveness} {
			if p != nil && p.Exec != nil {
				check("spec.probes."+name+".exec.command", p.Exec.Command)
			}
		}
	case *v1.CronJob:
		check("spec.command", o.Spec.Command)
	}
}

var (
	yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	nameLine = regexp.MustCompile(`(?m)^[ \t]+name:[ \t]*["']?([A-Za-z0-9][A-Za-z0-9._-]*)|\bmetadata:[ \t]*\{[^}\n]*\bname:[ \t]*["']?([A-Za-z0-9][A-Za-z0-9._-]*)`)
	kindLine = regexp.MustCompile(`(?m)^kind:[ \t]*["']?([A-Za-z]+)`)
)

func syntaxProblem(file string, c chunk, err error) v1.Problem {
	text, line := err.Error(), 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = strings.TrimPrefix(text, m[0])
		line, _ = strconv.Atoi(m[1])
	}
	p := v1.Problem{File: file, Line: c.line, Detail: "this is not YAML: " + text}
	if line > 0 {
		p.Line = c.line - 1 + line
	}
	for i, l := range bytes.Split(c.text, []byte("\n")) {
		if trimmed := bytes.TrimLeft(l, " "); len(trimmed) > 0 && trimmed[0] == '\t' {
			p.Line, p.Detail = c.line+i, "the line is indented with a tab; YAML wants spaces"
			break
		}
	}
	if strings.Contains(text, "mapping values are not allowed") {
		p.Detail += `; quote a value that holds ": "`
	}
	return p
}

// guessKey reads kind and name from text that is no YAML, so that the problem can be shown at its object.
func guessKey(text []byte) v1.Key {
	var key v1.Key
	if m := kindLine.FindSubmatch(text); m != nil {
		key.Kind = string(m[1])
	}
	if m := nameLine.FindSubmatch(text); m != nil {
		key.Name = string(m[1]) + string(m[2])
	}
	if key.Kind != v1.KindService && key.Kind != v1.KindCronJob || key.Name == "" {
		return v1.Key{}
	}
	return key
}

// errAlias bounds what aliases may blow up to.
var errAlias = errors.New("aliases make this document too large; write it out, or split it")
