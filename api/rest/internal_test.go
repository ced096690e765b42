package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// noStatus knows nothing of any object.
type noStatus struct{ Observed }

func (noStatus) Status(v1.Key) *v1.ServiceStatus { return nil }

func (noStatus) ObjectInfo(v1.Key) (id uint64, created, updated time.Time, ok bool) {
	return 0, time.Time{}, time.Time{}, false
}

func marshal(v any) (string, error) {
	data, err := json.Marshal(v)
	return string(data), err
}

func fromTree(t *testing.T, tree map[string]any) *v1.Service {
	t.Helper()
	text, err := marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var s v1.Service
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestProblemOf(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		detail string
	}{
		{Errorf(wire.CodeNotFound, "there is no x"), 404, "there is no x"},
		{fmt.Errorf("deep: %w", Errorf(wire.CodeConflict, "taken")), 409, "taken"},
		{v1.FieldErrors{{Field: "spec.port", Detail: "is odd"}}, 422, "spec.port: is odd"},
		{fmt.Errorf("write: %w", v1.FieldErrors{{Field: "a"}, {Field: "b"}}), 422, "2 fields are not valid"},
		{&http.MaxBytesError{Limit: 5}, 413, "5 bytes"},
		{errors.New("open /root/secret: permission denied"), 500, "request_id"},
		{&Error{Code: "no such code", Detail: "x"}, 500, "x"},
		{&Error{Code: wire.CodeUnavailable, Detail: "Caddy is not reachable", Cause: errors.New("dial 10.0.0.1")}, 503, "Caddy is not reachable"},
	} {
		p := problemOf(c.err)
		if p.Status != c.status || !strings.Contains(p.Detail, c.detail) || p.Title != http.StatusText(c.status) {
			t.Errorf("%v: %+v", c.err, p)
		}
		if strings.Contains(p.Detail, "/root") || strings.Contains(p.Detail, "10.0.0.1") {
			t.Errorf("%v: what is internal is shown: %s", c.err, p.Detail)
		}
	}
}

// The document is what gin serves: no more, no less, and valid.
func TestOpenAPIIsTheRoutes(t *testing.T) {
	a := New(Deps{Version: func() wire.Version { return wire.Version{Version: "v1"} }})
	data, err := a.document()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	served := map[string]bool{}
	for _, r := range a.engine.Routes() {
		path := documentPath(r.Path)
		served[r.Method+" "+path] = true
		item := doc.Paths.Value(path)
		if item == nil || item.GetOperation(r.Method) == nil {
			t.Errorf("%s %s is served and not in the document", r.Method, path)
		}
	}
	ids := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !served[method+" "+path] {
				t.Errorf("%s %s is in the document and not served", method, path)
			}
			if other, taken := ids[op.OperationID]; taken || op.Summary == "" {
				t.Errorf("%s %s: ID %q is that of %s, or no summary", method, path, op.OperationID, other)
			}
			ids[op.OperationID] = method + " " + path
		}
	}
	if len(served) < 40 {
		t.Errorf("only %d routes", len(served))
	}
	service := doc.Components.Schemas["Service"]
	if service == nil || doc.Components.Schemas["Problem"] == nil {
		t.Fatalf("schemas are missing: %v", sortedKeys(doc.Components.Schemas))
	}
}

// Every call of the table has what its handler will look up.
func TestTable(t *testing.T) {
	for _, r := range New(Deps{}).routes {
		for _, p := range r.query {
			if p.name == "" || p.about == "" || p.schema == nil {
				t.Errorf("%s %s: incomplete parameter %+v", r.method, r.path, p)
			}
		}
		if r.serve == nil || r.summary == "" || r.tag == "" {
			t.Errorf("%s %s is incomplete", r.method, r.path)
		}
		if r.access == accessAnyone && changes(r.method) {
			t.Errorf("%s %s: anyone may change something", r.method, r.path)
		}
	}
}

func TestTail(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	for _, c := range []struct {
		text  string
		n     int
		want  string
		total int
	}{
		{"", 5, "", 0},
		{"\n", 5, "", 1},
		{"a\nb\nc\n", 2, "b|c", 3},
		{"a\nb\nc", 2, "b|c", 3},
		{"a\n\nc\n", 2, "|c", 3},
		{"a\n", 9, "a", 1},
		{long + "\n" + long + "z\n", 1, long + "z", 2},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		lines, total, err := tail(f, c.n)
		if got := strings.Join(lines, "|"); err != nil || got != c.want || total != c.total {
			t.Errorf("%.20q: %.20q of %d, %v; want %.20q of %d", c.text, got, total, err, c.want, c.total)
		}
		_ = f.Close() //nolint:errcheck // a test
	}
}

// Any body is either taken or refused with a problem that shows nothing internal.
func FuzzDecodeFlat(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"name":"a","command":"b"}`, `{"port":"auto"}`, `{"port":null}`, `{"watch_dirs":["a",1]}`, `{"x":1}`, `[]`, `null`, `{"name":`,
		`{"command":"********"}`, `{"expose_caddy":true,"caddy_path":"/x"}`, `{"port":1e9}`, `{"enabled":"no"}`, "\xff", `{"name":"\u0000"}`,
	} {
		f.Add([]byte(seed))
	}
	goType := regexp.MustCompile(`\bv1\.|\bGo value|\*string`)
	f.Fuzz(func(t *testing.T, data []byte) {
		cur := secretService()
		a := &API{deps: Deps{Observed: noStatus{}, Desired: noFiles{}}}
		shown := a.view(cur)
		before := cur.Revision()
		body, err := decodeFlat(data)
		if err == nil {
			var edit flatEdit
			if edit, err = body.edit(cur, shown); err == nil {
				err = validateFlat(edit.next)
			}
			if err == nil && len(edit.changes) == 0 && edit.next.Revision() != before {
				t.Errorf("%q changes the object without a change", data)
			}
		}
		if cur.Revision() != before {
			t.Errorf("%q changed the object in place", data)
		}
		if err == nil {
			return
		}
		p := problemOf(err)
		if p.Status != 400 && p.Status != 422 {
			t.Errorf("%q: %+v", data, p)
		}
		if goType.MatchString(p.Detail) {
			t.Errorf("%q: words of Go: %s", data, p.Detail)
		}
	})
}

// noFiles is a desired set that knows no file.
type noFiles struct{ Desired }

func (noFiles) File(v1.Key) string { return "" }
