package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// getOptions are the flags of get.
type getOptions struct {
	form, selector  string
	watch, noHeader bool
}

func (c *cli) getCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get [services|cronjobs|all|events|problems] [NAME...]",
		Short: "List services, cron jobs, events, or what is wrong with manifests",
		Example: `  supervisor get                     # everything
  supervisor get svc -l team=web -w  # services with a label, and every change from now on
  supervisor get svc web -o yaml     # one of them in full
  supervisor get svc/web cj/backup
  supervisor get problems            # FILE:LINE: what is wrong`,
		ValidArgsFunction: c.completeRefs("events", "problems"),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			if len(args) == 1 {
				switch args[0] {
				case "problem", "problems":
					return c.getProblems(ctx, api, o)
				case "event", "events", "ev":
					return c.events(ctx, api, eventsOptions{form: o.form, watch: o.watch, limit: defaultEvents, noHeader: o.noHeader})
				}
			}
			refs, err := parseRefs(args)
			if err != nil {
				return err
			}
			if len(refs) == 0 {
				refs = []ref{{Kind: v1.KindService}, {Kind: v1.KindCronJob}}
			}
			if o.selector != "" && refs[0].Name != "" {
				return usagef("give either names or -l")
			}
			if o.watch {
				return c.watch(ctx, api, refs, o)
			}
			return c.get(ctx, api, refs, o)
		}),
	}
	formFlag(cmd, &o.form, formWide, formYAML, formJSON, formName)
	selectorFlag(cmd, &o.selector)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "go on with every change, until Ctrl-C")
	cmd.Flags().BoolVar(&o.noHeader, "no-headers", false, "leave out the header of tables")
	return cmd
}

func selectorFlag(cmd *cobra.Command, selector *string) {
	cmd.Flags().StringVarP(selector, "selector", "l", "", "pick by labels, such as team=web,tier!=test")
}

// lookUp returns what refs name, in order. What cannot be found is complained about, and the rest returned with errSaid.
func (c *cli) lookUp(ctx context.Context, api *client.Client, refs []ref, selector string) ([]v1.Object, error) {
	var out []v1.Object
	var failed error
	for _, r := range refs {
		objects, err := find(ctx, api, r, selector)
		if _, unknown := err.(notFoundError); unknown && len(refs) > 1 { //nolint:errorlint // find does not wrap it
			c.complain(err)
			failed = errSaid
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, failed
}

func (c *cli) get(ctx context.Context, api *client.Client, refs []ref, o getOptions) error {
	objects, failed := c.lookUp(ctx, api, refs, o.selector)
	if failed != nil && objects == nil {
		return failed
	}
	one := len(refs) == 1 && refs[0].Name != "" && len(objects) == 1
	if err := c.printObjects(objects, one, o); err != nil {
		return err
	}
	return failed
}

func (c *cli) printObjects(objects []v1.Object, one bool, o getOptions) error {
	switch o.form {
	case formYAML, formJSON:
		if one {
			return c.printValue(o.form, objects[0])
		}
		if objects == nil {
			objects = []v1.Object{}
		}
		return c.printValue(o.form, wire.List[v1.Object]{APIVersion: v1.APIVersion, Kind: "List", Items: objects})
	case formName:
		for _, obj := range objects {
			c.printf("%s\n", display(obj.Key()))
		}
		return nil
	}
	if len(objects) == 0 {
		c.notef("Nothing found.\n")
		return nil
	}
	first := true
	for _, kind := range kinds() {
		t := newObjectTable(kind, o.form == formWide)
		for _, obj := range objects {
			if obj.Key().Kind == kind {
				t.rows = append(t.rows, t.row(obj, c.Now()))
			}
		}
		if len(t.rows) == 0 {
			continue
		}
		if !first {
			c.printf("\n")
		}
		first = false
		c.printTable(c.Out, &t.table, "", !o.noHeader)
	}
	return nil
}

func (c *cli) getProblems(ctx context.Context, api *client.Client, o getOptions) error {
	problems, err := api.Problems(ctx)
	if err != nil {
		return err
	}
	switch {
	case o.watch:
		return usagef("problems cannot be watched; `supervisor events -w` tells of new ones")
	case o.form == formJSON || o.form == formYAML:
		return c.printValue(o.form, wire.Problems{Items: append([]v1.Problem{}, problems...)})
	case o.form == formName:
		for _, p := range problems {
			c.printf("%s\n", p.File)
		}
		return nil
	}
	for _, p := range problems {
		c.printf("%s\n", c.paint(red, plain(p.String())))
	}
	if len(problems) == 0 {
		c.notef("No problems: every manifest is valid and in force.\n")
	}
	return nil
}
