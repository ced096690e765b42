package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// Error is an error that may be shown to the caller: a code, a sentence that a person can act on, and the fields at fault.
type Error struct {
	Code     wire.Code
	Detail   string
	Fields   []v1.FieldError
	Problems []v1.Problem
	// Current is what is there instead of what the caller thought.
	Current *wire.ManifestText
	// Cause is logged, not shown.
	Cause error
}

// Errorf makes an Error.
func Errorf(code wire.Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error is the code and the detail.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Detail
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// codeStatus is the one place that maps codes to HTTP.
func codeStatus(code wire.Code) int {
	switch code {
	case wire.CodeInvalid:
		return http.StatusBadRequest
	case wire.CodeUnprocessed:
		return http.StatusUnprocessableEntity
	case wire.CodeUnauthorized:
		return http.StatusUnauthorized
	case wire.CodeForbidden:
		return http.StatusForbidden
	case wire.CodeNotFound:
		return http.StatusNotFound
	case wire.CodeMethod:
		return http.StatusMethodNotAllowed
	case wire.CodeConflict:
		return http.StatusConflict
	case wire.CodeStale:
		return http.StatusPreconditionFailed
	case wire.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case wire.CodeMedia:
		return http.StatusUnsupportedMediaType
	case wire.CodeTooMany:
		return http.StatusTooManyRequests
	case wire.CodeUnavailable:
		return http.StatusServiceUnavailable
	case wire.CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// problemOf is what the caller is told of an error.
func problemOf(err error) *wire.Problem {
	var e *Error
	var fields v1.FieldErrors
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &fields):
		e = invalidFields(fields)
	case errors.As(err, &tooLarge):
		e = Errorf(wire.CodeTooLarge, "the body is larger than %d bytes", tooLarge.Limit)
	default:
		e = Errorf(wire.CodeInternal, "something went wrong inside the supervisor; its log has the details under this request_id")
	}
	status := codeStatus(e.Code)
	return &wire.Problem{
		Status: status, Title: http.StatusText(status), Detail: e.Detail, Code: e.Code, Errors: e.Fields, Problems: e.Problems, Current: e.Current,
	}
}

func invalidFields(fields v1.FieldErrors) *Error {
	detail := fmt.Sprintf("%d fields are not valid", len(fields))
	if len(fields) == 1 {
		detail = fields[0].Field + ": " + fields[0].Detail
	}
	return &Error{Code: wire.CodeUnprocessed, Detail: detail, Fields: fields}
}

func notFound(key v1.Key) *Error {
	return Errorf(wire.CodeNotFound, "there is no %s named %q", kindWord(key.Kind), key.Name)
}

// kindWord is a kind in a sentence.
func kindWord(kind string) string {
	if kind == v1.KindCronJob {
		return "cron job"
	}
	return "service"
}

// writeProblem answers with an error.
func writeProblem(w http.ResponseWriter, p *wire.Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", wire.ProblemType)
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="supervisor"`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) //nolint:errcheck // the client is gone
}
