package imports

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// maxText bounds what is read, in bytes.
const maxText = 4 << 20

// AnnotationSource is the annotation that holds the file, and the line where there is one, that an object was made from.
const AnnotationSource = "imported-from"

// Options say what is read.
type Options struct {
	// File is the name that notes and annotations mention.
	File string
	// Dir is the folder that relative paths begin at; empty leaves them as they are.
	Dir string
	// Name is that of a service whose text has none, as a systemd unit.
	Name string
}

// Note is something that was not carried over, or not as it was.
type Note struct {
	// Line is 1-based, 0 where there is none.
	Line int
	// What is the part of the text that is meant, Detail what was done instead, or what to do.
	What, Detail string
	// Dropped is true when a whole program was left out.
	Dropped bool
}

// String renders "line 3: priority=5: ...".
func (n Note) String() string {
	if n.Line > 0 {
		return fmt.Sprintf("line %d: %s: %s", n.Line, n.What, n.Detail)
	}
	return n.What + ": " + n.Detail
}

// Result is what came of a text.
type Result struct {
	Objects []v1.Object
	Notes   []Note
}

// builder collects a result.
type builder struct {
	options Options
	result  Result
	used    map[string]bool // names, folded
}

func newBuilder(text []byte, o Options) (*builder, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%s is larger than %d bytes", o.File, maxText)
	}
	return &builder{options: o, used: map[string]bool{}}, nil
}

func (b *builder) note(line int, what, detail string, args ...any) {
	b.result.Notes = append(b.result.Notes, Note{Line: line, What: oneLine(what), Detail: fmt.Sprintf(detail, args...)})
}

func (b *builder) drop(line int, what, detail string, args ...any) {
	b.note(line, what, detail, args...)
	b.result.Notes[len(b.result.Notes)-1].Dropped = true
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// safeName makes a name that a manifest may have.
func safeName(text string) string {
	name := strings.Trim(notInNames.ReplaceAllString(text, "-"), "-._")
	if name = name[:min(len(name), 50)]; name == "" {
		return "app"
	}
	return name
}

// service begins a service with a name that no other has.
func (b *builder) service(name string, line int) *v1.Service {
	base := safeName(name)
	unique := base
	for n := 2; b.used[strings.ToLower(unique)]; n++ {
		unique = fmt.Sprintf("%s-%d", base, n)
	}
	b.used[strings.ToLower(unique)] = true
	s := &v1.Service{TypeMeta: v1.TypeMeta{APIVersion: v1.APIVersion, Kind: v1.KindService}}
	s.Metadata.Name = unique
	if unique != name {
		b.note(line, name, "it is named %s here", unique)
	}
	source := b.options.File
	if line > 0 {
		source += ":" + strconv.Itoa(line)
	}
	if source != "" {
		s.Metadata.Annotations = map[string]string{AnnotationSource: source}
	}
	return s
}

// keep adds a service, unless it says what no manifest may.
func (b *builder) keep(s *v1.Service, line int) {
	s.Default()
	if errs := s.Validate(); len(errs) > 0 {
		b.drop(line, s.Metadata.Name, "it is left out: %s", strings.ReplaceAll(errs.Error(), "\n", "; "))
		return
	}
	if _, err := yaml.Marshal(s); err != nil {
		b.drop(line, s.Metadata.Name, "it is left out, as no manifest can hold it: %v", err)
		return
	}
	b.result.Objects = append(b.result.Objects, s)
}

// reference is what a manifest takes for a variable.
var reference = regexp.MustCompile(`\$\([A-Za-z_][A-Za-z0-9_]*\)`)

// literal writes $(date) as $$(date), which a manifest gives on as $(date).
func literal(text string) string {
	return reference.ReplaceAllStringFunc(text, func(s string) string { return "$" + s })
}

func literals(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = literal(w)
	}
	return out
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// setEnv sets a variable; PORT becomes the service's port.
func (b *builder) setEnv(s *v1.Service, line int, name, value string) {
	if name == "PORT" {
		if port := portNumber(value); port > 0 {
			s.Spec.Port.Number = port
			return
		}
	}
	if !variable.MatchString(name) || strings.ContainsRune(value, 0) {
		b.note(line, name, "it is no variable that a program can be given; left out")
		return
	}
	if s.Spec.Env == nil {
		s.Spec.Env = map[string]string{}
	}
	s.Spec.Env[name] = literal(value)
}

func portNumber(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

// seconds reads a number of seconds.
func (b *builder) seconds(line int, what, value string) *v1.Duration {
	d, err := v1.ParseDuration(value)
	if err != nil {
		b.note(line, what, "%v; left out", err)
		return nil
	}
	return v1.D(d)
}

func (b *builder) number(line int, what, value string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil {
		b.note(line, what, "it is no number; left out")
		return 0, false
	}
	return n, true
}

// signal is a signal's name as a manifest has it.
func (b *builder) signal(line int, what, value string) string {
	name := strings.ToUpper(strings.TrimSpace(value))
	if _, err := strconv.Atoi(name); err != nil && !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if _, err := v1.ParseSignal(name); err != nil {
		b.note(line, what, "%v; SIGTERM is sent", err)
		return ""
	}
	return name
}

// split reads a line as a shell splits it into words, without any of a shell's expansions. ok is false when a quote is open
// at the end.
func split(line string) (words []string, ok bool) {
	var word strings.Builder
	var quote byte
	started := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && i+1 < len(line):
			i++
			if quote == '"' && !strings.ContainsRune("\"\\$`", rune(line[i])) {
				word.WriteByte('\\')
			}
			word.WriteByte(line[i])
			started = true
		case quote == 0 && (c == '\'' || c == '"'):
			quote, started = c, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words, quote == 0
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
