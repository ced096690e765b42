package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// The flat view of a service, and the way back from it to fields of the manifest.

// view is the flat view of a service as it is observed.
func (a *API) view(s *v1.Service) wire.Service {
	st := a.deps.Observed.Status(s.Key())
	w := wire.Service{
		Name: s.Metadata.Name, Command: maskText(s.Spec.Command.String()), WorkingDir: a.workingDir(s), Port: portOf(s, st),
		Enabled: enabled(s), WatchDirs: a.watchDirs(s), File: a.deps.Desired.File(s.Key()), Phase: v1.PhasePending,
	}
	w.ID, w.CreatedAt, w.UpdatedAt, _ = a.deps.Observed.ObjectInfo(s.Key())
	if e := s.Spec.Expose; e != nil {
		w.ExposeCaddy = e.Enabled == nil || *e.Enabled
		w.CaddySubdomain, w.CaddyPath = orNull(e.Subdomain), orNull(e.Path)
	}
	if st != nil {
		w.PID = orNull(st.PID)
		w.Running, w.Phase, w.Restarts, w.URL, w.Message = running(st), st.Phase, st.Restarts, st.URL, message(st)
	}
	return w
}

// running reports whether a process of the service is there.
func running(st *v1.ServiceStatus) bool { return st != nil && st.PID > 0 }

func enabled(s *v1.Service) bool { return s.Spec.Enabled == nil || *s.Spec.Enabled }

// watchDirs is never null.
func (a *API) watchDirs(s *v1.Service) []string {
	dirs := append([]string{}, s.Spec.WatchDirs...)
	if dir := a.workingDir(s); len(dirs) == 0 && dir != "" {
		dirs = append(dirs, dir)
	}
	return dirs
}

// workingDir is the folder that the service runs in, also when its manifest does not say.
func (a *API) workingDir(s *v1.Service) string {
	if a.deps.WorkingDir != nil {
		return a.deps.WorkingDir(s)
	}
	return s.Spec.WorkingDir
}

// portOf is the port in force: for `auto` the one that was chosen.
func portOf(s *v1.Service, st *v1.ServiceStatus) *int {
	if s.Spec.Port.Auto && st != nil {
		return orNull(st.Port)
	}
	return orNull(s.Spec.Port.Number)
}

// message is why the service is as it is, in a sentence; empty when all is well.
func message(st *v1.ServiceStatus) string {
	for _, t := range []string{v1.ConditionReady, v1.ConditionProgressing} {
		if c := v1.FindCondition(st.Conditions, t); c != nil && c.Status != v1.ConditionTrue && c.Message != "" {
			return c.Message
		}
	}
	return ""
}

func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// ignoredFields are those of the answer that may be sent back and say nothing.
var ignoredFields = []string{"id", "created_at", "updated_at", "running", "pid", "phase", "message", "restarts", "url", "file"}

// flatBody is what was sent: the values, and which fields were null.
type flatBody struct {
	wire.ServiceFields
	null map[string]bool
}

// decodeFlat reads a body strictly: an unknown field is an error, a null one is noted.
func decodeFlat(data []byte) (flatBody, error) {
	var b flatBody
	var err error
	b.null, err = decodeFields(data, map[string]any{
		"name": &b.Name, "command": &b.Command, "working_dir": &b.WorkingDir, "port": &b.Port, "enabled": &b.Enabled,
		"expose_caddy": &b.ExposeCaddy, "caddy_subdomain": &b.CaddySubdomain, "caddy_path": &b.CaddyPath, "watch_dirs": &b.WatchDirs,
	}, ignoredFields)
	return b, err
}

// decodeFields reads a JSON object into the known fields, and returns which of them were null.
func decodeFields(data []byte, known map[string]any, ignored []string) (null map[string]bool, err error) {
	null = map[string]bool{}
	var fields map[string]json.RawMessage
	if err := decodeOne(data, &fields); err != nil {
		return null, err
	}
	var wrong v1.FieldErrors
	for name, raw := range fields {
		into, ok := known[name]
		switch {
		case !ok && slices.Contains(ignored, name):
		case !ok:
			wrong = append(wrong, v1.FieldError{Field: name, Detail: "there is no such field; allowed are " + strings.Join(sortedKeys(known), ", ")})
		case string(raw) == "null":
			null[name] = true
		default:
			if err := json.Unmarshal(raw, into); err != nil {
				wrong = append(wrong, v1.FieldError{Field: name, Detail: typeDetail(err)})
			}
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(x, y v1.FieldError) int { return strings.Compare(x.Field, y.Field) })
		return null, wrong
	}
	return null, nil
}

// decodeOne reads exactly one JSON value.
func decodeOne(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	err := d.Decode(into)
	if err == nil {
		if _, extra := d.Token(); !errors.Is(extra, io.EOF) {
			err = errors.New("there is more than one value")
		}
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return Errorf(wire.CodeInvalid, "the body is a JSON %s; send an object, such as {\"name\": \"web\"}", kind.Value)
	}
	if err != nil {
		return Errorf(wire.CodeInvalid, "the body is not a JSON object: %s", err)
	}
	return nil
}

// typeDetail is a decoding error in words of JSON, not of Go.
func typeDetail(err error) string {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return err.Error()
	}
	want := map[string]string{"bool": "true or false", "string": "a string", "[]string": "a list of strings", "map[string]string": "an object of strings", "float64": "a number"}[t.Type.String()]
	if want == "" {
		want = t.Type.String()
	}
	return fmt.Sprintf("must be %s, is a JSON %s", want, t.Value)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// flatEdit turns a body into changes of a service. Only what differs from the service is a change.
type flatEdit struct {
	next    *v1.Service
	changes []Change
}

func (e *flatEdit) put(value any, path ...string) {
	e.changes = append(e.changes, Change{Path: path, Value: value})
}

// edit applies b to cur, which it does not change. shown is the view of cur: a value that equals what is shown was sent
// back and changes nothing.
func (b *flatBody) edit(cur *v1.Service, shown wire.Service) (flatEdit, error) {
	next, err := copyObject(cur)
	if err != nil {
		return flatEdit{}, err
	}
	e := flatEdit{next: next}
	var wrong v1.FieldErrors
	if b.null["name"] || (b.Name != nil && *b.Name != cur.Metadata.Name) {
		wrong = append(wrong, v1.FieldError{Field: "name", Detail: "a name cannot be changed; make a new service and delete this one"})
	}
	if b.null["command"] {
		wrong = append(wrong, v1.FieldError{Field: "command", Detail: "is required"})
	}
	if b.Command != nil && *b.Command != shown.Command {
		if strings.Contains(*b.Command, mask) {
			wrong = append(wrong, v1.FieldError{Field: "command", Detail: "still holds " + mask + "; write the secret itself there, or leave the command as it was shown"})
		}
		next.Spec.Command = v1.Command{Line: *b.Command}
		e.put(*b.Command, "spec", "command")
	}
	if dir, given := value(b.WorkingDir, b.null["working_dir"]); given && dir != shown.WorkingDir {
		next.Spec.WorkingDir = dir
		e.put(orRemove(dir), "spec", "workingDir")
	}
	if port, given := value(b.Port, b.null["port"]); given && !samePort(port, cur.Spec.Port, shown.Port) {
		next.Spec.Port = port
		if port.IsZero() {
			e.put(nil, "spec", "port")
		} else {
			e.put(port, "spec", "port")
		}
	}
	if b.Enabled != nil && *b.Enabled != shown.Enabled {
		next.Spec.Enabled = b.Enabled
		e.put(*b.Enabled, "spec", "enabled")
	}
	if dirs, given := value(b.WatchDirs, b.null["watch_dirs"]); given && !slices.Equal(dirs, shown.WatchDirs) {
		next.Spec.WatchDirs = dirs
		if len(dirs) == 0 {
			e.put(nil, "spec", "watchDirs")
		} else {
			e.put(dirs, "spec", "watchDirs")
		}
	}
	b.editExpose(&e, shown)
	if len(wrong) > 0 {
		return e, wrong
	}
	return e, nil
}

// editExpose maps expose_caddy, caddy_subdomain and caddy_path onto spec.expose. In the flat form a route that is not asked
// for is off, where in the manifest `expose` alone means on.
func (b *flatBody) editExpose(e *flatEdit, shown wire.Service) {
	subdomain, hasSubdomain := value(b.CaddySubdomain, b.null["caddy_subdomain"])
	path, hasPath := value(b.CaddyPath, b.null["caddy_path"])
	hasSubdomain = hasSubdomain && subdomain != deref(shown.CaddySubdomain)
	hasPath = hasPath && path != deref(shown.CaddyPath)
	on := shown.ExposeCaddy
	if b.ExposeCaddy != nil {
		on = *b.ExposeCaddy
	}
	if !hasSubdomain && !hasPath && on == shown.ExposeCaddy {
		return
	}
	fresh := e.next.Spec.Expose == nil
	if fresh {
		e.next.Spec.Expose = &v1.Expose{}
	}
	x := e.next.Spec.Expose
	if fresh || on != shown.ExposeCaddy {
		x.Enabled = &on
		e.put(on, "spec", "expose", "enabled")
	}
	if hasSubdomain {
		x.Subdomain = subdomain
		e.put(orRemove(subdomain), "spec", "expose", "subdomain")
	}
	if hasPath {
		x.Path = path
		e.put(orRemove(path), "spec", "expose", "path")
	}
}

// value is what was given: null gives the zero value.
func value[T any](p *T, null bool) (v T, given bool) {
	if p != nil {
		return *p, true
	}
	return v, null
}

func deref[T any](p *T) (v T) {
	if p != nil {
		return *p
	}
	return v
}

func orRemove(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func samePort(sent, cur v1.Port, shown *int) bool {
	return sent == cur || (!sent.Auto && sent.Number == deref(shown))
}

// flatNames are the flat names of the manifest's fields, so that an error speaks the caller's language.
var flatNames = map[string]string{
	"metadata.name": "name", "spec.command": "command", "spec.workingDir": "working_dir", "spec.port": "port",
	"spec.enabled": "enabled", "spec.expose": "expose_caddy", "spec.expose.enabled": "expose_caddy",
	"spec.expose.subdomain": "caddy_subdomain", "spec.expose.path": "caddy_path", "spec.watchDirs": "watch_dirs",
}

// validateFlat validates a copy of s, defaulted, and names fields as the flat form does.
func validateFlat(s *v1.Service) error {
	full, err := copyObject(s)
	if err != nil {
		return err
	}
	full.Default()
	wrong := full.Validate()
	if len(wrong) == 0 {
		return nil
	}
	out := make(v1.FieldErrors, len(wrong))
	for i, w := range wrong {
		out[i] = w
		if flat, ok := flatNames[w.Field]; ok {
			out[i].Field = flat
		}
	}
	return out
}

// copyObject is a deep copy, without the status.
func copyObject[T v1.Object](o T) (T, error) {
	var out T
	data, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return out, fmt.Errorf("copy %s: %w", o.Key(), err)
	}
	return out, nil
}
