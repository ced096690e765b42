package rest

import (
	"bytes"
	_ "embed" // the document
	"encoding/json"
	"fmt"
	"regexp"
)

// The document is made from the table of routes and the types in it by the generator in openapi_gen_test.go, which is not
// part of the program: its libraries would cost every start some milliseconds and megabytes. A test holds it current.
//
//go:generate go test -tags sqlite_fts5 -run TestOpenAPIIsCurrent -update .
//go:embed openapi.json
var document []byte

// versionMark stands for the version in the generated document.
const versionMark = "VERSION"

// pathParam is gin's form of a parameter in a path.
var pathParam = regexp.MustCompile(`[:*](\w+)`)

// documentPath is a route's path in OpenAPI's form.
func documentPath(path string) string { return pathParam.ReplaceAllString(path, "{$1}") }

// openAPI is the document for a version of the program.
func openAPI(version string) ([]byte, error) {
	text, err := json.Marshal(version)
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	return bytes.Replace(document, []byte(`"version": "`+versionMark+`"`), append([]byte(`"version": `), text...), 1), nil
}
