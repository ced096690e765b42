package rest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3gen"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// generateOpenAPI makes the document from the table and the types in it.
func generateOpenAPI(routes []route, version string) ([]byte, error) {
	doc := &openapi3.T{
		OpenAPI: "3.0.3",
		Info: &openapi3.Info{
			Title: "Supervisor", Version: version,
			Description: "Services and jobs of one machine. Local programs need no token; everybody else sends Authorization: Bearer TOKEN.",
		},
		Paths:      openapi3.NewPaths(),
		Components: &openapi3.Components{Schemas: openapi3.Schemas{}},
		Security:   openapi3.SecurityRequirements{{}, {"bearer": []string{}}},
	}
	doc.Components.SecuritySchemes = openapi3.SecuritySchemes{
		"bearer": &openapi3.SecuritySchemeRef{Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("bearer")},
	}
	g := schemas{
		gen: openapi3gen.NewGenerator(
			openapi3gen.SchemaCustomizer(describe),
			openapi3gen.CreateTypeNameGenerator(names{}.of),
			openapi3gen.CreateComponentSchemas(openapi3gen.ExportComponentSchemasOptions{
				ExportComponentSchemas: true, ExportTopLevelSchema: true, ExportGenerics: true,
			}),
		),
		known: doc.Components.Schemas,
	}
	for i := range routes {
		op, err := g.operation(&routes[i])
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", routes[i].method, routes[i].path, err)
		}
		doc.AddOperation(documentPath(routes[i].path), routes[i].method, op)
	}
	maps.Copy(doc.Components.Schemas, valueSchemas())
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return data, nil
}

// schemas collects the schemas of types.
type schemas struct {
	gen   *openapi3gen.Generator
	known openapi3.Schemas
}

func (g *schemas) of(value any) (*openapi3.SchemaRef, error) {
	ref, err := g.gen.NewSchemaRefForValue(value, g.known)
	if err != nil {
		return nil, fmt.Errorf("schema of %T: %w", value, err)
	}
	return ref, nil
}

func (g *schemas) operation(r *route) (*openapi3.Operation, error) {
	op := openapi3.NewOperation()
	op.Summary, op.Tags = r.summary, []string{r.tag}
	op.OperationID = operationID(r)
	for _, m := range pathParam.FindAllStringSubmatch(r.path, -1) {
		op.AddParameter(openapi3.NewPathParameter(m[1]).WithSchema(openapi3.NewStringSchema()))
	}
	for _, p := range r.query {
		op.AddParameter(queryParameter(p))
	}
	if r.request != nil {
		ref, err := g.of(r.request)
		if err != nil {
			return nil, err
		}
		content := openapi3.Content{"application/json": openapi3.NewMediaType().WithSchemaRef(ref)}
		if r.text {
			content["application/yaml"] = openapi3.NewMediaType().WithSchemaRef(ref)
		}
		if _, isText := r.request.(string); isText {
			delete(content, "application/json")
		}
		op.RequestBody = &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithContent(content)}
	}
	ok := openapi3.NewResponse().WithDescription("Done.")
	if r.response != nil {
		ref, err := g.of(r.response)
		if err != nil {
			return nil, err
		}
		media := "application/json"
		if r.stream {
			media = "text/event-stream"
		}
		ok.WithContent(openapi3.Content{media: openapi3.NewMediaType().WithSchemaRef(ref)})
	}
	problem, err := g.of(wire.Problem{})
	if err != nil {
		return nil, err
	}
	op.Responses = openapi3.NewResponses(
		openapi3.WithStatus(http.StatusOK, &openapi3.ResponseRef{Value: ok}),
		openapi3.WithName("default", openapi3.NewResponse().WithDescription("What went wrong.").
			WithContent(openapi3.Content{wire.ProblemType: openapi3.NewMediaType().WithSchemaRef(problem)})),
	)
	if r.access == accessAnyone {
		op.Security = openapi3.NewSecurityRequirements()
	}
	return op, nil
}

func operationID(r *route) string {
	words := []string{strings.ToLower(r.method)}
	for _, w := range strings.FieldsFunc(r.path, func(c rune) bool { return strings.ContainsRune("/:*-.", c) }) {
		if w != "api" {
			words = append(words, w)
		}
	}
	return strings.Join(words, "_")
}

func queryParameter(p param) *openapi3.Parameter {
	s := openapi3.NewStringSchema()
	switch p.schema.(type) {
	case int:
		s = openapi3.NewIntegerSchema().WithMin(float64(p.min)).WithMax(float64(p.max)).WithDefault(p.def)
	case bool:
		s = openapi3.NewBoolSchema()
	}
	for _, word := range p.enum {
		s.Enum = append(s.Enum, word)
	}
	if p.many {
		s = openapi3.NewArraySchema().WithItems(s)
	}
	return openapi3.NewQueryParameter(p.name).WithDescription(p.about).WithSchema(s)
}

// names gives each type a name of its own in the document.
type names map[string]reflect.Type

// of is the type's own name, but for what both the flat and the full form have, and for generics, whose package path goes.
func (n names) of(t reflect.Type) string {
	name := t.Name()
	if base, arg, generic := strings.Cut(name, "["); generic {
		name = strings.TrimSuffix(arg[strings.LastIndex(arg, ".")+1:], "]") + base
	}
	switch t {
	case reflect.TypeFor[v1.Service](), reflect.TypeFor[v1.CronJob]():
		name += "Object"
	case reflect.TypeFor[v1.Problem]():
		name = "ManifestProblem"
	}
	if other, taken := n[name]; taken && other != t {
		return strings.ReplaceAll(strings.TrimPrefix(t.PkgPath(), "github.com/philiporange/supervisor/"), "/", ".") + "." + name
	}
	n[name] = t
	return name
}

// describe puts into a schema what the Go type does not say: the forms of our value types, and the descriptions.
func describe(_ string, t reflect.Type, tag reflect.StructTag, s *openapi3.Schema) error {
	// A struct's schema is shared by all fields of its type: what is said of one field does not belong there.
	if text := tag.Get("jsonschema_description"); text != "" && t.Kind() != reflect.Struct {
		s.Description = text
	}
	switch t {
	case reflect.TypeFor[v1.Duration](), reflect.TypeFor[v1.ByteSize](), reflect.TypeFor[v1.CPU]():
		*s = openapi3.Schema{Type: &openapi3.Types{"string"}, Description: s.Description, Nullable: s.Nullable}
	case reflect.TypeFor[v1.EnvFiles]():
		*s = openapi3.Schema{Type: &openapi3.Types{"array"}, Items: openapi3.NewSchema().NewRef(), Description: s.Description}
	}
	return nil
}

// valueSchemas are the value types that are structs in Go and something else in JSON.
func valueSchemas() openapi3.Schemas {
	text := openapi3.NewStringSchema()
	command := openapi3.NewOneOfSchema(text, openapi3.NewArraySchema().WithItems(text))
	command.Description = "A command line, or a list of arguments taken as it stands."
	port := openapi3.NewOneOfSchema(openapi3.NewIntegerSchema().WithMin(0).WithMax(65535), openapi3.NewStringSchema().WithEnum("auto"))
	port.Description = "A TCP port, or auto: one that is chosen once and remembered."
	return openapi3.Schemas{"Command": command.NewRef(), "Port": port.NewRef()}
}

var update = flag.Bool("update", false, "write openapi.json anew")

// The embedded document is what the table of routes says.
func TestOpenAPIIsCurrent(t *testing.T) {
	a := &API{}
	want, err := generateOpenAPI(a.table(), versionMark)
	if err != nil {
		t.Fatal(err)
	}
	want = append(bytes.TrimSpace(want), '\n')
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, document) {
		t.Error("openapi.json is not current; run `make generate`")
	}
}
