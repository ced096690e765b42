package wire

import (
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Code is the kind of a problem, for programs.
type Code string

// The codes. api/rest maps each to one HTTP status.
const (
	CodeInvalid      Code = "invalid"      // 400: the request cannot be read
	CodeUnprocessed  Code = "unprocessed"  // 422: the request can be read, and what it asks for is not allowed
	CodeUnauthorized Code = "unauthorized" // 401: no proof of who is calling
	CodeForbidden    Code = "forbidden"    // 403: this caller may not do that
	CodeNotFound     Code = "not_found"    // 404
	CodeMethod       Code = "method"       // 405
	CodeMedia        Code = "media_type"   // 415: a body that is neither JSON nor YAML
	CodeConflict     Code = "conflict"     // 409: the name is taken, or the state does not allow it
	CodeStale        Code = "stale"        // 412: the object was changed since it was read
	CodeTooLarge     Code = "too_large"    // 413
	CodeTooMany      Code = "too_many"     // 429: too many streams
	CodeUnavailable  Code = "unavailable"  // 503: a needed part cannot be reached
	CodeTimeout      Code = "timeout"      // 504: it was begun and has not come to its end in time
	CodeInternal     Code = "internal"     // 500
)

// Problem is an error as RFC 9457 writes it. It is the error type of the client.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	// Detail is a sentence that a person can act on.
	Detail string `json:"detail"`
	Code   Code   `json:"code,omitempty"`
	// Errors names the fields at fault.
	Errors []v1.FieldError `json:"errors,omitempty"`
	// Problems places the faults in the text that was sent.
	Problems []v1.Problem `json:"problems,omitempty"`
	// Current is the manifest file as it is, when it is not as the caller has seen it.
	Current *ManifestText `json:"current,omitempty"`
	// RequestID finds the request in the supervisor's log.
	RequestID string `json:"request_id,omitempty"`
}

// Error is the detail, and below it one line for each field at fault.
func (p *Problem) Error() string {
	lines := []string{p.Detail}
	if p.Detail == "" {
		lines[0] = p.Title
	}
	for _, e := range p.Errors {
		lines = append(lines, e.Field+": "+e.Detail)
	}
	for _, e := range p.Problems {
		lines = append(lines, e.String())
	}
	return strings.Join(lines, "\n")
}
