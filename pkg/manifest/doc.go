// Package manifest is the directory of manifests: YAML text on one side, objects of api/v1 on the other.
//
// Decode reads a file strictly and places every fault at its line. Directory lists the tree and reads only what changed.
// Watcher tells when there is something new: events are a hint, the listing is the truth. Editor changes named fields of
// a file and leaves every other byte alone.
//
// The package knows nothing of what runs. It never deletes or changes a file but through Editor.
package manifest
