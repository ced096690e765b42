// Package rest is the HTTP door: routes, bodies, streams, and who may call.
//
//	request ─► id, log, recover ─► who may call ─► limits ─► handler ─► interfaces of deps.go
//
// It decides nothing about services. A write goes to the Editor, which edits the manifest; start, stop and restart go to
// the Operator, which writes an intent; then the handler waits, within bounds, until the status speaks of that very
// revision or intent, so that what is answered is true.
//
// One table (routes.go) is what gin serves and what /openapi.json says. It is the only package that knows gin; it knows
// api/v1 and api/wire, and everybody else by the interfaces of deps.go, which pkg/app fits.
package rest
