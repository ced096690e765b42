// Package sqlite opens the SQLite files of the stores, all in the same way: readable by their owner only, written by one connection,
// checked when they are opened, with a schema that goes step by step. A file that is damaged is set aside and begun anew, for what
// is in it is history: what should run is in the manifests.
//
// It knows nothing of what is stored.
package sqlite
