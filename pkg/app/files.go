package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/philiporange/supervisor/api/rest"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
	"github.com/philiporange/supervisor/controllers/service"
	"github.com/philiporange/supervisor/pkg/desired"
	"github.com/philiporange/supervisor/pkg/manifest"
	"github.com/philiporange/supervisor/pkg/worktree"
)

// manifestFiles fits the manifest folder onto the API.
type manifestFiles struct{ a *App }

// List implements rest.Files.
func (m manifestFiles) List(ctx context.Context) (wire.ManifestFiles, error) {
	out := wire.ManifestFiles{Folder: m.a.settings.Manifests, Files: []wire.ManifestFile{}, Problems: []v1.Problem{}}
	problems := map[string][]v1.Problem{}
	for _, p := range m.a.desired.Problems() {
		problems[p.File] = append(problems[p.File], p)
	}
	listed := map[string]*manifest.File{}
	for _, f := range manifest.List(m.a.settings.Manifests).Files {
		listed[f.Path] = f
	}
	tree, err := m.a.worktree.State(ctx)
	if err == nil {
		out.Repository = &wire.Repository{Branch: tree.Branch, Head: tree.Head, Commits: m.a.settings.ManifestsGitCommit}
	} else if !errors.Is(err, worktree.ErrNone) {
		m.a.log.Debug("the work tree of the manifests cannot be compared", "err", err)
	}
	for _, t := range m.a.editor.Texts() {
		file := wire.ManifestFile{
			Path: t.Path, Size: t.Size, Modified: t.Modified, ETag: t.Tag, ReadOnly: t.ReadOnly,
			Objects: []wire.ManifestObject{}, Problems: append([]v1.Problem{}, problems[t.Path]...),
		}
		if out.Repository != nil {
			file.Git = tree.Of(t.Path)
		}
		delete(problems, t.Path)
		if f := listed[t.Path]; f != nil {
			for _, d := range f.Docs {
				_, revision, origin, known := m.a.desired.Get(d.Key)
				file.Objects = append(file.Objects, wire.ManifestObject{
					Key: d.Key, Line: d.Line, InForce: known && origin.File == t.Path && d.Object != nil && revision == d.Revision,
				})
			}
		}
		out.Files = append(out.Files, file)
	}
	for _, left := range problems {
		out.Problems = append(out.Problems, left...)
	}
	slices.SortFunc(out.Problems, func(a, b v1.Problem) int { return strings.Compare(a.String(), b.String()) })
	return out, ctx.Err()
}

// Read implements rest.Files.
func (m manifestFiles) Read(path string) (rest.FileText, error) {
	t, err := m.a.editor.ReadText(path)
	return rest.FileText{Path: t.Path, Tag: t.Tag, Text: t.Text, Modified: t.Modified}, fileError(err)
}

// Write implements rest.Files.
func (m manifestFiles) Write(ctx context.Context, path string, text []byte, cond rest.FileCondition, actor string) (bool, []v1.Object, error) {
	steps := m.a.desired.Preview(m.listing().With(path, text)).Steps
	made, err := m.a.editor.WriteText(path, text, manifest.Condition(cond))
	if err != nil {
		return false, nil, fileError(err)
	}
	err = m.done(steps, func() error { return m.a.watcher.PokeFor(ctx, path) }, actor)
	m.a.commit(ctx, path, path+" was edited", actor)
	if err != nil {
		return made, nil, err
	}
	var changed []v1.Object
	for _, s := range steps {
		if s.New != nil {
			changed = append(changed, s.New)
		}
	}
	return made, changed, nil
}

// Remove implements rest.Files.
func (m manifestFiles) Remove(ctx context.Context, path string, cond rest.FileCondition, actor string) ([]v1.Key, error) {
	steps := m.a.desired.Preview(m.listing().With(path, nil)).Steps
	if err := m.a.editor.RemoveText(path, manifest.Condition(cond)); err != nil {
		return nil, fileError(err)
	}
	gone := make([]v1.Key, 0, len(steps))
	for _, s := range steps {
		gone = append(gone, s.Key())
	}
	err := m.done(steps, func() error { return m.a.watcher.Poke(ctx, path) }, actor)
	m.a.commit(ctx, path, path+" was deleted", actor)
	return gone, err
}

// done puts an edit on record, and lets the desired set take it in.
func (m manifestFiles) done(steps []desired.Step, poke func() error, actor string) error {
	for _, s := range steps {
		verb := "edited"
		switch {
		case s.Old == nil:
			verb = "created"
		case s.New == nil:
			verb = "deleted"
		}
		m.a.store.RecordEvent(v1.Event{Key: s.Key(), Type: v1.EventNormal, Reason: "ManifestEdited", Message: "its manifest was " + verb, Actor: actor})
	}
	return poke()
}

// fileError puts the editor's errors into the API's words.
func fileError(err error) error {
	var stale *manifest.StaleError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stale):
		out := &rest.StaleFileError{Detail: stale.Error()}
		if c := stale.Current; c != nil {
			out.Current = &rest.FileText{Path: c.Path, Tag: c.Tag, Text: c.Text, Modified: c.Modified}
		}
		return out
	case errors.Is(err, manifest.ErrPath):
		return rest.Errorf(wire.CodeUnprocessed, "%v", err)
	case errors.Is(err, manifest.ErrNoFile):
		return rest.Errorf(wire.CodeNotFound, "%v", err)
	case errors.Is(err, manifest.ErrReadOnly):
		return rest.Errorf(wire.CodeConflict, "%v", err)
	}
	return err
}

func (m manifestFiles) listing() manifest.Listing { return manifest.List(m.a.settings.Manifests) }

// Preview implements rest.Files.
func (m manifestFiles) Preview(path string, text []byte) rest.Outlook {
	before := m.listing()
	out := m.outlook(m.a.desired.Preview(before.With(path, text)), map[string]bool{path: true})
	if err := manifest.CheckPath(path); err != nil {
		out.Problems = append(out.Problems, v1.Problem{File: path, Detail: err.Error()})
	}
	change := rest.TextChange{Name: path, After: text}
	if t, err := m.a.editor.ReadText(path); err == nil {
		change.Before = t.Text
	}
	if !bytes.Equal(change.Before, change.After) || (change.Before == nil) != (change.After == nil) {
		out.Texts = append(out.Texts, change)
	}
	return out
}

// PreviewObjects implements rest.Files.
func (m manifestFiles) PreviewObjects(text []byte) rest.Outlook {
	docs, problems := manifest.Decode("", text)
	if len(problems) > 0 {
		return rest.Outlook{Problems: problems}
	}
	before := m.listing()
	after := before.WithObjects(docs)
	touched := map[string]bool{}
	var texts []rest.TextChange
	for _, d := range docs {
		change := rest.TextChange{After: d.Text}
		change.Name, _ = after.Document(d.Key)
		touched[change.Name] = true
		_, change.Before = before.Document(d.Key)
		if _, revision, _, known := m.a.desired.Get(d.Key); known && revision == d.Revision {
			continue // apply leaves what says the same as it stands
		}
		if !bytes.Equal(change.Before, change.After) {
			texts = append(texts, change)
		}
	}
	out := m.outlook(m.a.desired.Preview(after), touched)
	out.Texts = texts
	return out
}

// outlook says what steps do to what runs. Problems are those of the touched files, and those that are new.
func (m manifestFiles) outlook(o desired.Outlook, touched map[string]bool) rest.Outlook {
	var out rest.Outlook
	known := m.a.desired.Problems()
	for _, p := range o.Problems {
		if touched[p.File] || !slices.Contains(known, p) {
			out.Problems = append(out.Problems, p)
		}
	}
	for _, s := range o.Steps {
		step := rest.Step{Old: s.Old, New: s.New, File: s.File}
		step.Effect, step.Reason = m.effect(&s)
		out.Steps = append(out.Steps, step)
	}
	return out
}

// effect says what a step does to what runs, and why: by the same hash that the reconciler goes by.
func (m manifestFiles) effect(s *desired.Step) (effect, reason string) {
	if s.Key().Kind == v1.KindCronJob {
		return m.effectOnJob(s)
	}
	old, _ := s.Old.(*v1.Service)
	svc, _ := s.New.(*v1.Service)
	live := m.live(s.Key())
	stopped := false
	if in, ok := m.a.store.Intent(s.Key()); ok {
		stopped = in.Verb == v1.IntentStop
	}
	switch {
	case svc == nil && live == 0:
		return wire.EffectNone, "it does not run"
	case svc == nil:
		return wire.EffectStop, "its manifest goes, and with it its status and figures"
	case stopped:
		return wire.EffectNone, "it was stopped, and stays so until it is started"
	case !svc.IsEnabled() && live > 0:
		return wire.EffectStop, "spec.enabled is false"
	case !svc.IsEnabled():
		return wire.EffectNone, "spec.enabled is false"
	case svc.ReplicaCount() == 0 && live > 0:
		return wire.EffectStop, "it asks for no replicas"
	case svc.ReplicaCount() == 0:
		return wire.EffectNone, "it asks for no replicas"
	case live == 0:
		return wire.EffectStart, "it does not run yet"
	}
	if fields, differs := m.differs(s, old, svc); differs {
		reason = "a process cannot be given another " + strings.Join(fields, ", ")
		if len(fields) == 0 {
			reason = "its folder or a variable of its env files is another one"
		}
		if svc.Spec.Update.Strategy == v1.UpdateRolling {
			return wire.EffectRoll, reason
		}
		return wire.EffectRestart, reason
	}
	if n := svc.ReplicaCount(); n != live {
		return wire.EffectScale, fmt.Sprintf("from %d to %d replicas", live, n)
	}
	return wire.EffectInPlace, "nothing that a process was started with changes"
}

func (m manifestFiles) effectOnJob(s *desired.Step) (effect, reason string) {
	job, _ := s.New.(*v1.CronJob)
	st := m.a.cron.CronJobStatus(s.Key())
	running := st != nil && st.Running
	switch {
	case job == nil && running:
		return wire.EffectStop, "its run is stopped, and its history goes"
	case job == nil:
		return wire.EffectNone, "its history goes"
	case !job.IsEnabled():
		return wire.EffectNone, "it is paused (spec.enabled is false)"
	case running:
		return wire.EffectInPlace, "the run that is under way ends as it began; the next one is another"
	}
	return wire.EffectInPlace, "the next run is another one"
}

// live is how many processes of an object run.
func (m manifestFiles) live(key v1.Key) int {
	n := 0
	for _, run := range m.a.keeper.Runs(key.String()) {
		if run.Live() {
			n++
		}
	}
	return n
}

// differs reports whether a run of the service was given another program than it would be, and names the fields.
func (m manifestFiles) differs(s *desired.Step, old, svc *v1.Service) (fields []string, differs bool) {
	p := programs{manifests: m.a.settings.Manifests, logs: m.a.settings.Logs(), origin: func(v1.Key) string { return s.File }}
	for _, run := range m.a.keeper.Runs(s.Key().String()) {
		replica := service.Replica(&run)
		if !run.Live() || replica >= svc.ReplicaCount() {
			continue
		}
		port := svc.Spec.Port.Number
		if svc.Spec.Port.Auto {
			port = m.port(s.Key(), replica)
		}
		program, err := p.program(svc, replica, port)
		if err == nil && service.Current(&run, program.Hash) {
			continue
		}
		differs = true
	}
	if differs && old != nil {
		fields = old.RunChanges(svc)
	}
	return fields, differs
}

// port is the one that a replica has.
func (m manifestFiles) port(key v1.Key, replica int) int {
	if st := m.a.store.Status(key); st != nil {
		for _, r := range st.Replicas {
			if r.Index == replica {
				return r.Port
			}
		}
	}
	return 0
}

// Rewrite implements rest.Files.
func (manifestFiles) Rewrite(text []byte, fn func(v1.Object, []byte) ([]rest.Change, error)) ([]byte, error) {
	return manifest.Rewrite(text, func(object v1.Object, document []byte) ([]manifest.Change, error) {
		changes, err := fn(object, document)
		out := make([]manifest.Change, len(changes))
		for i, c := range changes {
			out[i] = manifest.Change(c)
		}
		return out, err
	})
}

var _ rest.Files = manifestFiles{}
