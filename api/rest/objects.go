package rest

import (
	"context"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// The full objects, of both kinds by the same handlers.

func listObjects(kind string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		reveal, err := c.reveal()
		if err != nil {
			return nil, err
		}
		selector, err := labels.Parse(c.Query("labelSelector"))
		if err != nil {
			return nil, badParam("labelSelector", "%s; write it like team=web,tier!=test", err)
		}
		list := wire.List[any]{APIVersion: v1.APIVersion, Kind: "List", Items: []any{}}
		for _, o := range c.api.deps.Desired.List(kind) {
			if !selector.Matches(labels.Set(o.Meta().Labels)) {
				continue
			}
			shown, err := c.api.show(o, reveal)
			if err != nil {
				return nil, err
			}
			list.Items = append(list.Items, shown)
		}
		return list, nil
	}
}

func getObject(kind string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		reveal, err := c.reveal()
		if err != nil {
			return nil, err
		}
		o, err := c.find(kind)
		if err != nil {
			return nil, err
		}
		c.Header("ETag", etag(o))
		return c.api.show(o, reveal)
	}
}

// reveal reports whether secrets are to be shown; a caller must have proved who it is for that.
func (c *call) reveal() (bool, error) {
	on, err := c.flag("reveal")
	if err == nil && on && !c.caller.trusted() {
		return false, Errorf(wire.CodeForbidden, "secrets are shown over the unix socket or with the token only")
	}
	return on, err
}

// show is an object with its status, as it is answered.
func (a *API) show(o v1.Object, reveal bool) (any, error) {
	tree, err := masked(o)
	if reveal {
		tree, err = treeOf(o)
	}
	if err != nil {
		return nil, err
	}
	if st := a.deps.Observed.Status(o.Key()); st != nil {
		tree["status"] = st
	}
	if o.Key().Kind == v1.KindCronJob && a.deps.Cron != nil {
		if st := a.deps.Cron.Status(o.Key().Name); st != nil {
			tree["status"] = st
		}
	}
	return tree, nil
}

func putObject(kind string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		docs, err := c.documents()
		if err != nil {
			return nil, err
		}
		if len(docs) != 1 {
			return nil, Errorf(wire.CodeUnprocessed, "there must be one document, there are %d; apply takes any number", len(docs))
		}
		key := c.object(kind)
		if got := docs[0].Object.Key(); got != key {
			return nil, Errorf(wire.CodeUnprocessed, "the document is %s, the address is that of %s", got, key)
		}
		_, exists := c.api.deps.Desired.Get(key)
		if !exists && c.GetHeader("If-Match") != "" {
			return nil, Errorf(wire.CodeStale, "there is no %s named %q any more", kindWord(kind), key.Name)
		}
		if exists && c.GetHeader("If-None-Match") == "*" {
			return nil, Errorf(wire.CodeStale, "there is a %s named %q already", kindWord(kind), key.Name)
		}
		applied, err := c.write(docs[0])
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.deps.Patience)
		defer cancel()
		c.settle(ctx, &applied)
		if applied.Result == wire.ResultCreated {
			c.status = http.StatusCreated
		}
		o, err := c.find(kind)
		if err != nil {
			return nil, err
		}
		c.Header("ETag", etag(o))
		return c.api.show(o, false)
	}
}

func deleteObject(kind string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		o, err := c.find(kind)
		if err != nil {
			return nil, err
		}
		if err := c.remove(o); err != nil {
			return nil, err
		}
		return wire.Deleted{Status: "deleted", Name: o.Key().Name}, nil
	}
}

// documents decodes the body; all that is wrong with it is the error.
func (c *call) documents() ([]Document, error) {
	text, err := c.body()
	if err != nil {
		return nil, err
	}
	docs, problems := c.api.deps.Editor.Decode(text)
	if len(problems) > 0 {
		e := Errorf(wire.CodeUnprocessed, "the text is not valid; nothing was changed")
		e.Problems = problems
		for _, p := range problems {
			if p.Field != "" {
				e.Fields = append(e.Fields, v1.FieldError{Field: p.Field, Detail: p.Detail})
			}
		}
		return nil, e
	}
	if len(docs) == 0 {
		return nil, Errorf(wire.CodeUnprocessed, "the text holds no document")
	}
	return docs, nil
}

// write creates or replaces one object.
func (c *call) write(d Document) (wire.Applied, error) {
	key := d.Object.Key()
	out := wire.Applied{Key: key}
	cur, exists := c.api.deps.Desired.Get(key)
	next, hidden, err := unmask(d.Object, cur, exists)
	if err != nil {
		return out, err
	}
	if hidden {
		// The text is not what shall be in the file.
		d = Document{Object: next}
	}
	if !exists {
		for _, o := range c.api.deps.Desired.List(key.Kind) {
			if o.Key().Folded() == key.Folded() {
				return out, Errorf(wire.CodeConflict, "the name %q is taken by %s; names differ by more than case", key.Name, o.Key().Name)
			}
		}
		out.Result = wire.ResultCreated
		out.Revision, err = c.api.deps.Editor.Create(c.Request.Context(), d, c.caller.actor())
		return out, err
	}
	ifMatch, err := c.ifMatch(cur)
	if err != nil {
		return out, err
	}
	if d.Object.Revision() == cur.Revision() {
		out.Result, out.Revision = wire.ResultUnchanged, cur.Revision()
		return out, nil
	}
	out.Result = wire.ResultConfigured
	out.Revision, err = c.api.deps.Editor.Replace(c.Request.Context(), d, ifMatch, c.caller.actor())
	return out, err
}

// settle waits until the reconciler has acted on what was written, and notes what came of it.
func (c *call) settle(ctx context.Context, a *wire.Applied) {
	if a.Result == wire.ResultFailed || a.Key.Kind != v1.KindService {
		return
	}
	if st := c.api.awaitRevision(ctx, a.Key, a.Revision); st != nil {
		a.Phase, a.PID, a.Message = st.Phase, st.PID, message(st)
	}
}

func apply(c *call) (any, error) {
	docs, err := c.documents()
	if err != nil {
		return nil, err
	}
	out := wire.ApplyResult{Items: make([]wire.Applied, len(docs))}
	for i, d := range docs {
		applied, err := c.write(d)
		if err != nil {
			// Those before it are written: the answer must say so, and go on.
			p := problemOf(err)
			if p.Status >= http.StatusInternalServerError {
				c.api.deps.Log.Error("apply failed", "object", d.Object.Key(), "err", err)
			}
			applied.Result, applied.Message = wire.ResultFailed, p.Error()
		}
		out.Items[i] = applied
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), c.api.deps.Patience)
	defer cancel()
	for i := range out.Items {
		c.settle(ctx, &out.Items[i])
	}
	return out, nil
}

func validate(c *call) (any, error) {
	text, err := c.body()
	if err != nil {
		return nil, err
	}
	docs, problems := c.api.deps.Editor.Decode(text)
	out := wire.Validation{Valid: len(problems) == 0, Problems: problems, Keys: []v1.Key{}}
	if problems == nil {
		out.Problems = []v1.Problem{}
	}
	seen := map[v1.Key]bool{}
	for _, d := range docs {
		key := d.Object.Key()
		out.Keys = append(out.Keys, key)
		if seen[key.Folded()] {
			out.Valid = false
			out.Problems = append(out.Problems, v1.Problem{Key: key, Field: "metadata.name", Detail: fmt.Sprintf("the name %q is there twice", key.Name)})
		}
		seen[key.Folded()] = true
	}
	return out, nil
}
