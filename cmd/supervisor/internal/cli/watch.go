package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// watch prints what refs name, and again each object that differs from what was printed of it. A change is only the
// cause to look again: changes that follow each other closely are one look.
func (c *cli) watch(ctx context.Context, api *client.Client, refs []ref, o getOptions) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	ended := make(chan error, 1)
	go func() {
		ended <- api.Watch(ctx, 0, client.Watcher{
			Snapshot: func(wire.Snapshot) error {
				mark()
				return nil
			},
			Change: func(ch v1.Change) error {
				if ch.Kind != v1.ChangeEvent {
					mark()
				}
				return nil
			},
		})
	}()
	v := &view{cli: c, options: o, seen: map[v1.Key]string{}, tables: map[string]*objectTable{}, reference: c.Now()}
	for {
		select {
		case err := <-ended:
			return err
		case <-dirty:
			objects, err := c.lookUp(ctx, api, refs, o.selector)
			if err == nil {
				err = v.show(objects)
			} else if len(v.seen) > 0 && ctx.Err() == nil {
				// What was watched is gone, or the supervisor is just being restarted: the stream tells when there is more.
				if isGone(err) {
					err = v.show(nil)
				} else {
					err = nil
				}
			}
			if err != nil {
				stop()
				<-ended
				return err
			}
		}
	}
}

func isGone(err error) bool {
	_, ok := err.(notFoundError) //nolint:errorlint // find does not wrap it
	return ok
}

// view remembers what a watch has printed.
type view struct {
	*cli
	options getOptions
	// seen is the last print of each object, with ages counted from reference, so that time alone is no difference.
	seen      map[v1.Key]string
	reference time.Time
	tables    map[string]*objectTable
}

func (v *view) show(objects []v1.Object) error {
	present := map[v1.Key]bool{}
	for _, o := range objects {
		k := o.Key()
		present[k] = true
		now, err := v.fingerprint(o)
		if err != nil {
			return err
		}
		if v.seen[k] == now {
			continue
		}
		v.seen[k] = now
		if err := v.print(k, o); err != nil {
			return err
		}
	}
	var gone []v1.Key
	for k := range v.seen {
		if !present[k] {
			gone = append(gone, k)
		}
	}
	slices.SortFunc(gone, func(a, b v1.Key) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range gone {
		delete(v.seen, k)
		if err := v.print(k, nil); err != nil {
			return err
		}
	}
	v.flush()
	return nil
}

func (v *view) fingerprint(o v1.Object) (string, error) {
	if v.options.form == formJSON || v.options.form == formYAML {
		text, err := json.Marshal(o)
		if err != nil {
			return "", fmt.Errorf("write json: %w", err)
		}
		return string(text), nil
	}
	return strings.Join(v.table(o.Key().Kind).row(o, v.reference), "\x00"), nil
}

func (v *view) table(kind string) *objectTable {
	if v.tables[kind] == nil {
		v.tables[kind] = newObjectTable(kind, v.options.form == formWide)
	}
	return v.tables[kind]
}

// print writes an object, or with nil that it is gone.
func (v *view) print(k v1.Key, o v1.Object) error {
	switch v.options.form {
	case formJSON, formYAML:
		if o == nil {
			return nil
		}
		return v.printLine(v.options.form, o)
	case formName:
		v.printf("%s\n", display(k))
		return nil
	}
	t := v.table(k.Kind)
	if o == nil {
		t.rows = append(t.rows, t.gone(k.Name))
	} else {
		t.rows = append(t.rows, t.row(o, v.Now()))
	}
	return nil
}

// flush writes the rows that were collected.
func (v *view) flush() {
	for _, kind := range kinds() {
		if t := v.tables[kind]; t != nil && len(t.rows) > 0 {
			v.printTable(v.Out, &t.table, "", t.widths == nil && !v.options.noHeader)
		}
	}
}
