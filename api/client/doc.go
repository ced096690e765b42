// Package client speaks the supervisor's HTTP API, over its unix socket or over TCP with a token.
//
// It is for the command line, for tests and for other programs in Go. It knows the nouns (api/v1) and the bodies
// (api/wire), and nothing of how the server does its work. Errors of the server are *wire.Problem; when nobody
// answers at all the error wraps ErrNotRunning.
package client
