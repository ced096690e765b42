// Command schemagen writes the JSON Schemas of the manifests from the types of api/v1 into the folder that it is given.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/invopop/jsonschema"

	v1 "github.com/philiporange/supervisor/api/v1"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schemagen FOLDER")
		os.Exit(2)
	}
	for name, schema := range schemas() {
		if err := write(filepath.Join(os.Args[1], name+".schema.json"), schema); err != nil {
			fmt.Fprintln(os.Stderr, "schemagen:", err)
			os.Exit(1)
		}
	}
}

// schemas makes one schema for each kind, and one that takes either.
func schemas() map[string]*jsonschema.Schema {
	r := &jsonschema.Reflector{Mapper: values, ExpandedStruct: true, DoNotReference: true, Anonymous: true}
	service := finish(r.Reflect(&v1.Service{}), v1.KindService)
	job := finish(r.Reflect(&v1.CronJob{}), v1.KindCronJob)
	either := &jsonschema.Schema{
		Version: jsonschema.Version, Title: "Supervisor manifest",
		Type: "object", Required: []string{"kind"},
		// By kind, and not oneOf: an editor then shows the faults of the kind that is meant.
		AllOf: []*jsonschema.Schema{
			{If: kindIs(v1.KindService), Then: service}, {If: kindIs(v1.KindCronJob), Then: job},
		},
		Properties: jsonschema.NewProperties(),
	}
	either.Properties.Set("kind", &jsonschema.Schema{Enum: []any{v1.KindService, v1.KindCronJob}, Description: "What this document describes."})
	return map[string]*jsonschema.Schema{"service": service, "cronjob": job, "manifest": either}
}

func kindIs(kind string) *jsonschema.Schema {
	s := &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: []string{"kind"}}
	s.Properties.Set("kind", &jsonschema.Schema{Const: kind})
	return s
}

// finish fits a reflected schema to what a person writes: status is not theirs, $schema is for their editor.
func finish(s *jsonschema.Schema, kind string) *jsonschema.Schema {
	s.Title = "Supervisor " + kind
	s.Properties.Delete("status")
	s.Properties.Set("kind", &jsonschema.Schema{Const: kind, Description: "What this document describes."})
	s.Properties.Set("$schema", &jsonschema.Schema{Type: "string", Description: "The schema, for editors."})
	return s
}

// values maps the types that read several forms.
func values(t reflect.Type) *jsonschema.Schema {
	text, number := &jsonschema.Schema{Type: "string"}, &jsonschema.Schema{Type: "number", Minimum: "0"}
	switch t {
	case reflect.TypeFor[v1.Duration]():
		return &jsonschema.Schema{
			AnyOf:    []*jsonschema.Schema{{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h|d))+$|^[0-9.]+$`}, number},
			Examples: []any{"500ms", "5s", "2m", "1h", "7d"},
		}
	case reflect.TypeFor[v1.Command]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text, {Type: "array", Items: text, MinItems: ptr(uint64(1))}}}
	case reflect.TypeFor[v1.Port]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer", Minimum: "0", Maximum: "65535"}, {Const: "auto"}}}
	case reflect.TypeFor[v1.ByteSize]():
		return &jsonschema.Schema{
			AnyOf:    []*jsonschema.Schema{{Type: "string", Pattern: `^[0-9.]+(Ki|Mi|Gi|Ti|k|K|M|G|T)?B?$`}, number},
			Examples: []any{"512Mi", "1Gi"},
		}
	case reflect.TypeFor[v1.CPU]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: `^[0-9.]+m?$`}, number}, Examples: []any{"1.5", "500m"}}
	case reflect.TypeFor[v1.EnvFiles]():
		file := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), Required: []string{"path"}, AdditionalProperties: jsonschema.FalseSchema}
		file.Properties.Set("path", text)
		file.Properties.Set("optional", &jsonschema.Schema{Type: "boolean"})
		one := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text, file}}
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text, file, {Type: "array", Items: one}}}
	case reflect.TypeFor[map[string]string]():
		// The decoder takes the text of any scalar: {DEBUG: true, VERSION: 1.10}.
		return &jsonschema.Schema{Type: "object", AdditionalProperties: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{text, {Type: "number"}, {Type: "boolean"}}}}
	}
	return nil
}

func ptr[T any](v T) *T { return &v }

func write(path string, schema *jsonschema.Schema) error {
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return fmt.Errorf("render %s: %w", path, err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	return nil
}
