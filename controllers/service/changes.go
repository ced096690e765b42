package service

import (
	"reflect"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// changes says which fields differ between two versions of a manifest; was may be nil.
func changes(was, is *v1.Service) string {
	const changed = "a new version of the manifest is in force"
	if was == nil || is == nil {
		return changed
	}
	var fields []string
	a, b := reflect.ValueOf(was.Spec), reflect.ValueOf(is.Spec)
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
			fields = append(fields, name)
		}
	}
	if !reflect.DeepEqual(was.Metadata, is.Metadata) {
		fields = append(fields, "metadata")
	}
	if len(fields) == 0 {
		return changed
	}
	return changed + ": " + strings.Join(fields, ", ") + " changed"
}
