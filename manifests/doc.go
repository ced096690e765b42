// Package manifests holds what ships with the supervisor for manifests: the JSON Schemas by which editors complete and
// check them. They are generated from the types of api/v1.
package manifests

import (
	"embed"
	"io/fs"
)

//go:generate go run ./internal/schemagen schemas
//go:embed schemas/*.json
var files embed.FS

// Schemas are service.schema.json, cronjob.schema.json, and manifest.schema.json, which takes either kind.
func Schemas() fs.FS {
	sub, err := fs.Sub(files, "schemas")
	if err != nil {
		return files // fs.Sub fails for names that are no paths only
	}
	return sub
}
