package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
)

// kinds are the kinds in the order in which they are shown.
func kinds() []string { return []string{v1.KindService, v1.KindCronJob} }

// kindOf understands a kind as people write it: service, services, svc, Service.
func kindOf(word string) (string, bool) {
	switch strings.ToLower(word) {
	case "service", "services", "svc":
		return v1.KindService, true
	case "cronjob", "cronjobs", "cj":
		return v1.KindCronJob, true
	}
	return "", false
}

// lower is a kind as kubectl prints it: "service".
func lower(kind string) string { return strings.ToLower(kind) }

// phrase is a kind within a sentence.
func phrase(kind string) string {
	if kind == v1.KindCronJob {
		return "cron job"
	}
	return "service"
}

// display is "service/web".
func display(k v1.Key) string { return lower(k.Kind) + "/" + k.Name }

// ref is what an argument names: one object, one name of any kind (no Kind), or all of a kind (no Name).
type ref = v1.Key

// parseRefs understands `svc`, `svc,cj`, `all`, `svc web api`, `svc/web cj/backup`, and bare names `web api`.
func parseRefs(args []string) ([]ref, error) {
	if len(args) == 0 {
		return nil, nil
	}
	var of []string
	if args[0] == "all" {
		of = kinds()
	} else if !strings.Contains(args[0], "/") {
		for word := range strings.SplitSeq(args[0], ",") {
			if k, ok := kindOf(word); ok {
				of = append(of, k)
			}
		}
	}
	if len(of) == 0 {
		return parseNames(args, "")
	}
	if len(args) == 1 {
		refs := make([]ref, len(of))
		for i, k := range of {
			refs[i].Kind = k
		}
		return refs, nil
	}
	if len(of) > 1 {
		return nil, usagef("names cannot follow several kinds; write them as service/NAME and cronjob/NAME")
	}
	return parseNames(args[1:], of[0])
}

// parseNames reads NAME and KIND/NAME. kind is that of bare names, empty for any.
func parseNames(args []string, kind string) ([]ref, error) {
	var refs []ref
	for _, arg := range args {
		r := ref{Kind: kind, Name: arg}
		if word, name, ok := strings.Cut(arg, "/"); ok {
			if r.Kind, ok = kindOf(word); !ok || name == "" {
				return nil, usagef("%q is not KIND/NAME; the kinds are service (svc) and cronjob (cj)", arg)
			}
			r.Name = name
		}
		if r.Name == "" {
			return nil, usagef("a name is empty")
		}
		if !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	return refs, nil
}

// find returns the objects that a ref names; never none without an error, unless it names a whole kind.
func find(ctx context.Context, api *client.Client, r ref, selector string) ([]v1.Object, error) {
	if r.Name == "" {
		return api.Objects(ctx, r.Kind, selector)
	}
	of := kinds()
	if r.Kind != "" {
		of = []string{r.Kind}
	}
	var found []v1.Object
	for _, k := range of {
		o, err := api.Object(ctx, k, r.Name)
		switch {
		case err == nil:
			found = append(found, o)
		case !isNotFound(err):
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, notFound(ctx, api, r, of)
	}
	return found, nil
}

// notFoundError names what does not exist, and what may have been meant.
type notFoundError struct {
	of    []string
	name  string
	close string
}

func (e notFoundError) Error() string {
	words := make([]string, len(e.of))
	for i, k := range e.of {
		words[i] = phrase(k)
	}
	s := fmt.Sprintf("there is no %s %q", strings.Join(words, " or "), e.name)
	if e.close != "" {
		return s + fmt.Sprintf("; did you mean %q?", e.close)
	}
	return s + "; `supervisor get` lists what there is"
}

func notFound(ctx context.Context, api *client.Client, r ref, of []string) error {
	e := notFoundError{of: of, name: r.Name}
	wanted := strings.ToLower(r.Name)
	best := 3 // more edits make it another word
	for _, k := range of {
		objects, err := api.Objects(ctx, k, "")
		if err != nil {
			continue // it was only for the hint
		}
		for _, o := range objects {
			name := strings.ToLower(o.Key().Name)
			d := levenshtein.Distance(name, wanted, nil)
			if d < min(best, len(name)) && (d < 2 || name[0] == wanted[0]) {
				best, e.close = d, o.Key().Name
			}
		}
	}
	return e
}

// selection is how a command on many objects is told which.
type selection struct {
	selector string
	all      bool
}

// keys returns the keys of one kind that names, a selector or --all pick.
func (s selection) keys(ctx context.Context, api *client.Client, kind string, args []string) ([]v1.Key, error) {
	switch {
	case len(args) > 0 && (s.all || s.selector != ""):
		return nil, usagef("give either names, or -l, or --all")
	case len(args) == 0 && !s.all && s.selector == "":
		return nil, usagef("name at least one %s, or pick with -l or --all", phrase(kind))
	case len(args) == 0:
		objects, err := api.Objects(ctx, kind, s.selector)
		keys := make([]v1.Key, len(objects))
		for i, o := range objects {
			keys[i] = o.Key()
		}
		return keys, err
	}
	if k, ok := kindOf(args[0]); ok && len(args) > 1 && k == kind {
		args = args[1:]
	}
	keys, err := parseNames(args, kind)
	for _, k := range keys {
		if k.Kind != kind {
			return nil, usagef("%s is no %s", display(k), phrase(kind))
		}
	}
	return keys, err
}
