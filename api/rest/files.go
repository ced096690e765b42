package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// FileText is the text of a manifest file.
type FileText struct {
	Path, Tag string
	Text      []byte
	Modified  time.Time
}

// FileCondition is what must be so for a file to be written: its tag, or that it is not there.
type FileCondition struct {
	Tag string
	New bool
}

// Step is what an edit would make of one object: Old is in force, New would be; nil where there is none.
type Step struct {
	Old, New             v1.Object
	File, Effect, Reason string
}

// Outlook is what an edit would do. Before and After are the texts that differ, by name.
type Outlook struct {
	Steps    []Step
	Problems []v1.Problem
	Texts    []TextChange
}

// TextChange is one text before and after an edit. A nil text is one that is not there.
type TextChange struct {
	Name          string
	Before, After []byte
}

// Files are the manifest files as they lie in their folder. Errors are *Error, or they are answered as internal.
type Files interface {
	List(ctx context.Context) (wire.ManifestFiles, error)
	Read(path string) (FileText, error)
	// Write returns when the desired set has taken the file in, with the objects that are another than before.
	Write(ctx context.Context, path string, text []byte, cond FileCondition, actor string) (made bool, changed []v1.Object, err error)
	Remove(ctx context.Context, path string, cond FileCondition, actor string) (gone []v1.Key, err error)
	// Preview says what a text in place of a file would do; nil is the removal of the file.
	Preview(path string, text []byte) Outlook
	// PreviewObjects says what apply would do.
	PreviewObjects(text []byte) Outlook
	// Rewrite changes fields of each document of a text, and leaves the rest as it is. object is nil for a broken one.
	Rewrite(text []byte, fn func(object v1.Object, document []byte) ([]Change, error)) ([]byte, error)
}

// StaleFileError is an edit of a file that is not as the caller has seen it.
type StaleFileError struct {
	Detail string
	// Current is the file as it is now; nil when there is none.
	Current *FileText
}

// Error implements error.
func (e *StaleFileError) Error() string { return e.Detail }

func fileRoutes() []route {
	const all, one = "/api/v1/manifests", "/api/v1/manifests/file"
	path := param{name: "path", about: "Below the manifest folder, such as services/web.yaml.", schema: ""}
	return tagged("manifests", []route{
		{method: http.MethodGet, path: all, summary: "The files of the manifest folder", response: wire.ManifestFiles{}, serve: listFiles},
		{
			method: http.MethodGet, path: one, summary: "The text of a manifest file, with an ETag", serve: readFile,
			query: []param{path, {name: "reveal", about: "Show secrets; over the unix socket or with the token only.", schema: false}},
		},
		{
			method: http.MethodPut, path: one, summary: "Write a manifest file. If-Match, or If-None-Match: *, guards against lost edits; what is not valid is refused",
			request: "", text: true, response: wire.ManifestWritten{}, serve: writeFile,
			query: []param{path, {name: "force", about: "Write also what is not valid: what is in force stays.", schema: false}},
		},
		{
			method: http.MethodDelete, path: one, summary: "Delete a manifest file, and stop what it held", response: wire.ManifestWritten{}, serve: removeFile,
			query: []param{path},
		},
		{
			method: http.MethodPost, path: all + "/preview", summary: "What a text would do: its problems, the difference, and what would restart",
			request: wire.PreviewRequest{}, response: wire.Preview{}, serve: preview,
		},
	})
}

func (c *call) files() (Files, error) {
	if c.api.deps.Files == nil {
		return nil, Errorf(wire.CodeUnavailable, "the manifest folder cannot be reached here")
	}
	return c.api.deps.Files, nil
}

func listFiles(c *call) (any, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	return files.List(c.Request.Context())
}

func readFile(c *call) (any, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	reveal, err := c.reveal()
	if err != nil {
		return nil, err
	}
	f, err := files.Read(c.Query("path"))
	if err != nil {
		return nil, err
	}
	text := f.Text
	if !reveal {
		text = maskManifest(files, text)
	}
	c.Header("ETag", `"`+f.Tag+`"`)
	c.Header("Last-Modified", f.Modified.UTC().Format(http.TimeFormat))
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, "application/yaml; charset=utf-8", text)
	return answered{}, nil
}

// fileCondition reads If-Match and If-None-Match.
func (c *call) fileCondition() (FileCondition, error) {
	var cond FileCondition
	switch none := c.GetHeader("If-None-Match"); none {
	case "":
	case "*":
		cond.New = true
	default:
		return cond, Errorf(wire.CodeInvalid, "If-None-Match: %.40s is not understood; write * for a file that must not be there", none)
	}
	if match := strings.TrimSpace(c.GetHeader("If-Match")); match != "" && match != "*" {
		cond.Tag = strings.Trim(strings.TrimPrefix(match, "W/"), `"`)
	}
	return cond, nil
}

// stale answers a conflict with the file as it is now.
func stale(files Files, err error) error {
	var s *StaleFileError
	if !errors.As(err, &s) {
		return err
	}
	out := Errorf(wire.CodeStale, "%s", s.Detail)
	if s.Current != nil {
		out.Current = &wire.ManifestText{Path: s.Current.Path, Text: string(maskManifest(files, s.Current.Text)), ETag: s.Current.Tag}
	}
	return out
}

func writeFile(c *call) (any, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	force, err := c.flag("force")
	if err != nil {
		return nil, err
	}
	cond, err := c.fileCondition()
	if err != nil {
		return nil, err
	}
	text, err := c.body()
	if err != nil {
		return nil, err
	}
	path := c.Query("path")
	if text, err = unmaskManifest(files, path, text); err != nil {
		return nil, err
	}
	_, problems := c.api.deps.Editor.Decode(text)
	for i := range problems {
		problems[i].File = path
	}
	if len(problems) > 0 && !force {
		e := Errorf(wire.CodeUnprocessed, "the text is not valid; nothing was changed. With force=true it is written all the same, and what is in force stays")
		e.Problems = problems
		return nil, e
	}
	made, changed, err := files.Write(c.Request.Context(), path, text, cond, c.caller.actor())
	if err != nil {
		return nil, stale(files, err)
	}
	out := wire.ManifestWritten{Path: path, Result: wire.ResultConfigured, Items: []wire.Applied{}, Problems: append([]v1.Problem{}, c.problemsOf(path)...)}
	if made {
		out.Result, c.status = wire.ResultCreated, http.StatusCreated
	}
	for _, o := range changed {
		out.Items = append(out.Items, wire.Applied{Key: o.Key(), Result: wire.ResultConfigured, Revision: o.Revision()})
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.deps.Patience)
	defer cancel()
	for i := range out.Items {
		c.settle(ctx, &out.Items[i])
	}
	now, err := files.Read(path)
	if err != nil {
		return nil, err // somebody was faster
	}
	out.ETag = now.Tag
	c.Header("ETag", `"`+now.Tag+`"`)
	return out, nil
}

func (c *call) problemsOf(path string) []v1.Problem {
	return slices.DeleteFunc(slices.Clone(c.api.deps.Desired.Problems()), func(p v1.Problem) bool { return p.File != path })
}

func removeFile(c *call) (any, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	cond, err := c.fileCondition()
	if err != nil {
		return nil, err
	}
	path := c.Query("path")
	gone, err := files.Remove(c.Request.Context(), path, cond, c.caller.actor())
	if err != nil {
		return nil, stale(files, err)
	}
	out := wire.ManifestWritten{Path: path, Result: "deleted", Items: []wire.Applied{}, Problems: []v1.Problem{}}
	for _, key := range gone {
		out.Items = append(out.Items, wire.Applied{Key: key, Result: "deleted"})
	}
	return out, nil
}

func preview(c *call) (any, error) {
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	body, err := c.body()
	if err != nil {
		return nil, err
	}
	var req wire.PreviewRequest
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, Errorf(wire.CodeInvalid, "the body is not a request of the form {path, text}: %v", err)
	}
	var outlook Outlook
	out := wire.Preview{Problems: []v1.Problem{}, Steps: []wire.PreviewStep{}}
	switch {
	case req.Path == "" && req.Text == nil:
		return nil, Errorf(wire.CodeUnprocessed, "say what to preview: path, text, or both")
	case req.Path == "":
		text, err := unmaskManifest(files, "", []byte(*req.Text))
		if err != nil {
			return nil, err
		}
		outlook = files.PreviewObjects(text)
	case req.Text == nil:
		if _, err := files.Read(req.Path); err != nil {
			return nil, err
		}
		outlook = files.Preview(req.Path, nil)
	default:
		// A text that cannot be put together again says what is wrong with it anyway.
		text, err := unmaskManifest(files, req.Path, []byte(*req.Text))
		if err != nil {
			text = []byte(*req.Text)
			out.Problems = append(out.Problems, v1.Problem{File: req.Path, Detail: problemOf(err).Detail})
		}
		outlook = files.Preview(req.Path, text)
	}
	out.Problems = append(out.Problems, outlook.Problems...)
	out.Valid = len(out.Problems) == 0
	for _, t := range outlook.Texts {
		out.Diff += unified(files, t)
	}
	for _, s := range outlook.Steps {
		step, err := showStep(s)
		if err != nil {
			return nil, err
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}

// unified is the difference of two texts, secrets masked.
func unified(files Files, t TextChange) string {
	from, to := "a/"+t.Name, "b/"+t.Name
	if t.Before == nil {
		from = "/dev/null"
	}
	if t.After == nil {
		to = "/dev/null"
	}
	before, after := string(maskManifest(files, t.Before)), string(maskManifest(files, t.After))
	diff := udiff.Unified(from, to, before, after)
	if diff == "" && string(t.Before) != string(t.After) {
		return "--- " + from + "\n+++ " + to + "\n@@ only secrets differ @@\n"
	}
	return diff
}

func showStep(s Step) (wire.PreviewStep, error) {
	out := wire.PreviewStep{File: s.File, Effect: s.Effect, Reason: s.Reason, Fields: []wire.FieldChange{}}
	switch {
	case s.Old == nil:
		out.Key, out.Action = s.New.Key(), "add"
	case s.New == nil:
		out.Key, out.Action = s.Old.Key(), "remove"
	default:
		out.Key, out.Action = s.New.Key(), "change"
		before, after, err := maskedPair(s.Old, s.New)
		if err != nil {
			return out, err
		}
		compare("", before, after, &out.Fields)
	}
	return out, nil
}

// maskedPair is two objects without their secrets. One that differs shows as such.
func maskedPair(old, now v1.Object) (before, after map[string]any, err error) {
	rawBefore, err := treeOf(old)
	if err != nil {
		return nil, nil, err
	}
	rawAfter, err := treeOf(now)
	if err != nil {
		return nil, nil, err
	}
	hide := func(tree, other map[string]any, changed string) map[string]any {
		out, _ := walk(tree, other, nil, func(path []string, before, s string, other any) string { //nolint:errcheck // a map stays a map
			shown := maskLeaf(path, before, s)
			if o, isText := other.(string); shown != s && isText && o != s {
				return shown + changed
			}
			return shown
		}).(map[string]any)
		return out
	}
	return hide(rawBefore, rawAfter, ""), hide(rawAfter, rawBefore, " (another one)"), nil
}

// compare lists the fields in which two trees differ.
func compare(path string, a, b map[string]any, out *[]wire.FieldChange) {
	names := append(sortedKeys(a), sortedKeys(b)...)
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		here := strings.TrimPrefix(path+"."+n, ".")
		x, xMap := a[n].(map[string]any)
		y, yMap := b[n].(map[string]any)
		if xMap && yMap {
			compare(here, x, y, out)
			continue
		}
		if !equalJSON(a[n], b[n]) {
			*out = append(*out, wire.FieldChange{Field: here, From: a[n], To: b[n]})
		}
	}
}

// equalJSON compares two values that came from JSON.
func equalJSON(a, b any) bool { return reflect.DeepEqual(a, b) }
