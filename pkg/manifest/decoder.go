package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v3"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// maxNodes bounds the nodes of a document once its aliases are followed.
const maxNodes = 50_000

// decoder sets an object's fields from YAML nodes. It goes on after a problem, so that all of them are found.
//
// The nodes are walked here, and not by a YAML library's own decoder, because only then every fault has its line, an unknown
// field its suggestion, and a variable the text that was written: in `env: {VERSION: 1.10, DEBUG: yes}` the values are
// "1.10" and "yes".
type decoder struct {
	file     string
	base     int            // lines of the file before the document
	lines    map[string]int // line of each field, by path
	nodes    int
	tooLarge bool
	problems []v1.Problem
	key      v1.Key
}

func (d *decoder) problem(line int, field, format string, args ...any) {
	d.problems = append(d.problems, v1.Problem{File: d.file, Line: line, Field: field, Detail: fmt.Sprintf(format, args...)})
}

// line is where a field stands, or the nearest thing around it that stands anywhere.
func (d *decoder) line(field string) int {
	for field != "" {
		if n, ok := d.lines[field]; ok {
			return n
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return d.base + 1
}

// object makes the object that a document describes, nil when that cannot be told.
func (d *decoder) object(node *yaml.Node) v1.Object {
	if node.Kind != yaml.MappingNode {
		d.problem(d.base+node.Line, "", "a manifest is a mapping with apiVersion, kind, metadata and spec; this is %s", form(node))
		return nil
	}
	kind, kindNode := field(node, "kind")
	if _, meta := field(node, "metadata"); meta != nil {
		d.key.Name, _ = field(meta, "name")
	}
	var object v1.Object
	switch kind {
	case v1.KindService:
		object = &v1.Service{}
	case v1.KindCronJob:
		object = &v1.CronJob{}
	default:
		line := d.base + node.Line
		if kindNode != nil {
			line = d.base + kindNode.Line
			d.problem(line, "kind", "%q is not known; write Service or CronJob%s", kind, suggestion(kind, []string{v1.KindService, v1.KindCronJob}))
		} else {
			d.problem(line, "kind", "is missing; write kind: Service or kind: CronJob")
		}
		return nil
	}
	d.key.Kind = kind
	d.value(node, reflect.ValueOf(object).Elem(), "")
	if d.tooLarge {
		d.problems = nil
		d.problem(d.base+node.Line, "", "%v", errAlias)
	}
	if len(d.problems) > 0 {
		// What could not be read would be reported again as missing.
		return nil
	}
	return object
}

// field returns the scalar text and the node of a key of a mapping.
func field(node *yaml.Node, name string) (string, *yaml.Node) {
	node = follow(node)
	if node.Kind != yaml.MappingNode {
		return "", nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			v := follow(node.Content[i+1])
			if v.Kind == yaml.ScalarNode {
				return v.Value, v
			}
			return "", v
		}
	}
	return "", nil
}

func follow(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// value sets v from node. A null leaves v as it is: the field was not said.
func (d *decoder) value(node *yaml.Node, v reflect.Value, path string) {
	line := d.base + node.Line
	node = follow(node)
	if d.nodes++; d.nodes > maxNodes {
		d.tooLarge = true
		return
	}
	if isNull(node) {
		return
	}
	if v.CanAddr() {
		if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
			d.custom(node, u, path, line)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(node, v.Elem(), path)
	case reflect.Struct:
		d.structure(node, v, path, line)
	case reflect.Map:
		d.mapping(node, v, path, line)
	case reflect.Slice:
		d.sequence(node, v, path, line)
	default:
		d.scalar(node, v, path, line)
	}
}

// custom lets a type that reads several forms read the node.
func (d *decoder) custom(node *yaml.Node, u json.Unmarshaler, path string, line int) {
	text, err := json.Marshal(d.plain(node))
	if err == nil {
		err = u.UnmarshalJSON(text)
	}
	if err != nil {
		d.problem(line, path, "%v", err)
	}
}

// plain is a node as encoding/json would have it; a scalar that is no string stays a number or a truth value.
func (d *decoder) plain(node *yaml.Node) any {
	node = follow(node)
	if d.nodes++; d.nodes > maxNodes {
		d.tooLarge = true
		return nil
	}
	switch node.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			m[node.Content[i].Value] = d.plain(node.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		s := make([]any, len(node.Content))
		for i, n := range node.Content {
			s[i] = d.plain(n)
		}
		return s
	}
	switch node.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(node.Value, "true")
	case "!!int", "!!float":
		if json.Valid([]byte(node.Value)) {
			return json.Number(node.Value)
		}
	}
	return node.Value
}

func (d *decoder) structure(node *yaml.Node, v reflect.Value, path string, line int) {
	if node.Kind != yaml.MappingNode {
		d.problem(line, path, "is %s; write fields below it", form(node))
		return
	}
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	d.entries(node, func(key, val *yaml.Node) {
		name := key.Value
		at := join(path, name)
		here := d.base + key.Line
		if seen[name] {
			d.problem(here, at, "is written twice; keep one")
			return
		}
		seen[name] = true
		index, known := fields[name]
		if !known {
			if path == "" && (name == "$schema" || name == "status") {
				return // for editors; and what `get -o yaml` gave may be applied again
			}
			names := make([]string, 0, len(fields))
			for n := range fields {
				names = append(names, n)
			}
			slices.Sort(names)
			d.problem(here, at, "unknown field%s", suggestion(name, names))
			return
		}
		d.lines[at] = here
		d.value(val, v.FieldByIndex(index), at)
	})
}

// entries calls f for each entry of a mapping, those that are merged in (<<) last and only where they are not overridden.
func (d *decoder) entries(node *yaml.Node, f func(key, val *yaml.Node)) {
	own := map[string]bool{}
	var merged []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, val := node.Content[i], node.Content[i+1]
		if key.Tag == "!!merge" {
			if from := follow(val); from.Kind == yaml.SequenceNode {
				merged = append(merged, from.Content...)
			} else {
				merged = append(merged, from)
			}
			continue
		}
		own[key.Value] = true
		f(key, val)
	}
	for _, m := range merged {
		m = follow(m)
		if d.nodes++; m.Kind != yaml.MappingNode || d.nodes > maxNodes {
			d.tooLarge = d.tooLarge || d.nodes > maxNodes
			continue
		}
		d.entries(m, func(key, val *yaml.Node) {
			if !own[key.Value] {
				own[key.Value] = true
				f(key, val)
			}
		})
	}
}

func (d *decoder) mapping(node *yaml.Node, v reflect.Value, path string, line int) {
	if node.Kind != yaml.MappingNode {
		d.problem(line, path, "is %s; write NAME: value pairs below it", form(node))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	seen := map[string]bool{}
	d.entries(node, func(key, val *yaml.Node) {
		at := join(path, key.Value)
		d.lines[at] = d.base + key.Line
		if seen[key.Value] {
			d.problem(d.base+key.Line, at, "is written twice; keep one")
			return
		}
		seen[key.Value] = true
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(val, elem, at)
		v.SetMapIndex(reflect.ValueOf(key.Value), elem)
	})
}

func (d *decoder) sequence(node *yaml.Node, v reflect.Value, path string, line int) {
	if node.Kind != yaml.SequenceNode {
		d.problem(line, path, "is %s; write a list, each item after \"- \"", form(node))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content)))
	for i, item := range node.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		d.lines[at] = d.base + item.Line
		d.value(item, v.Index(i), at)
	}
}

func (d *decoder) scalar(node *yaml.Node, v reflect.Value, path string, line int) {
	if node.Kind != yaml.ScalarNode {
		d.problem(line, path, "is %s; write one value", form(node))
		return
	}
	text := node.Value
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			v.SetBool(true)
		case "false", "no", "off":
			v.SetBool(false)
		default:
			d.problem(line, path, "%q is neither true nor false", text)
		}
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v.OverflowInt(n) {
			d.problem(line, path, "%q is not a whole number", text)
			return
		}
		v.SetInt(n)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			d.problem(line, path, "%q is not a whole number from 0", text)
			return
		}
		v.SetUint(n)
	default:
		d.problem(line, path, "cannot be written in a manifest")
	}
}

// knownFields caches fieldsOf, which depends on nothing but the type.
var knownFields sync.Map

// fieldsOf maps JSON names to fields, embedded structs included. Status is not for manifests.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := knownFields.Load(t); ok {
		if fields, ok := known.(map[string][]int); ok {
			return fields
		}
	}
	fields := map[string][]int{}
	defer func() { knownFields.Store(t, fields) }()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			for n, index := range fieldsOf(f.Type) {
				fields[n] = append([]int{i}, index...)
			}
		case name == "" || name == "-" || f.Type == reflect.TypeFor[*v1.ServiceStatus]() || f.Type == reflect.TypeFor[*v1.CronJobStatus]():
		default:
			fields[name] = []int{i}
		}
	}
	return fields
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// form says what a node is, in a person's words.
func form(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch node.Tag {
	case "!!int", "!!float":
		return "the number " + node.Value
	case "!!bool":
		return "the value " + node.Value
	}
	return fmt.Sprintf("the text %q", node.Value)
}

// suggestion is "; did you mean …?" when something near is known.
func suggestion(got string, known []string) string {
	best, score := "", 0.0
	for _, k := range known {
		s := levenshtein.Similarity(strings.ToLower(got), strings.ToLower(k), nil)
		if s > score {
			best, score = k, s
		}
	}
	if score >= 0.6 {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; known are " + strings.Join(known, ", ")
}
