package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	v1 "github.com/philiporange/supervisor/api/v1"
)

// deleteOptions are the flags of delete.
type deleteOptions struct {
	selection
	fileOptions
	form          string
	ignoreMissing bool
}

func (c *cli) deleteCommand() *cobra.Command {
	var o deleteOptions
	cmd := &cobra.Command{
		Use:     "delete [KIND] NAME... | -f FILE | KIND -l SELECTOR",
		Short:   "Stop services and cron jobs, and remove their manifests",
		Example: "  supervisor delete web\n  supervisor delete svc -l team=web\n  supervisor delete -f web.yaml",
		Aliases: []string{"rm"}, ValidArgsFunction: c.completeRefs(),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			keys, err := c.toDelete(ctx, api, args, o)
			if err != nil {
				return err
			}
			return c.delete(ctx, api, keys, o)
		}),
	}
	fileFlags(cmd, &o.fileOptions, "delete the objects of")
	formFlag(cmd, &o.form, formName)
	selectorFlag(cmd, &o.selector)
	cmd.Flags().BoolVar(&o.all, "all", false, "all of the kind")
	cmd.Flags().BoolVar(&o.ignoreMissing, "ignore-not-found", false, "what is not there is no error")
	return cmd
}

// toDelete resolves the arguments to objects. A bare name that is both a service's and a cron job's is refused.
func (c *cli) toDelete(ctx context.Context, api *client.Client, args []string, o deleteOptions) ([]v1.Key, error) {
	if len(o.files) > 0 {
		if len(args) > 0 || o.all || o.selector != "" {
			return nil, usagef("give either -f or names")
		}
		manifests, err := c.readManifests(o.files, o.recursive)
		if err != nil {
			return nil, err
		}
		keys, err := c.checkManifests(ctx, api, manifests)
		return slices.Concat(keys...), err
	}
	refs, err := parseRefs(args)
	if err != nil {
		return nil, err
	}
	if len(refs) == 0 {
		return nil, usagef("name what to delete, or give -f FILE")
	}
	if picks := o.all || o.selector != ""; picks != (refs[0].Name == "") {
		if picks {
			return nil, usagef("give either names, or a KIND with -l or --all")
		}
		return nil, usagef("name what to delete, or add --all or -l SELECTOR to delete every %s", phrase(refs[0].Kind))
	}
	var keys []v1.Key
	for _, r := range refs {
		if r.Kind != "" && r.Name != "" {
			keys = append(keys, r)
			continue
		}
		objects, err := find(ctx, api, r, o.selector)
		if isGone(err) && o.ignoreMissing {
			continue
		}
		if err != nil {
			return nil, err
		}
		if r.Name != "" && len(objects) > 1 {
			return nil, usagef("%s is a service and a cron job; write service/%s or cronjob/%s", r.Name, r.Name, r.Name)
		}
		for _, obj := range objects {
			keys = append(keys, obj.Key())
		}
	}
	return keys, nil
}

func (c *cli) delete(ctx context.Context, api *client.Client, keys []v1.Key, o deleteOptions) error {
	return c.each(ctx, keys, func(ctx context.Context, k v1.Key) (string, error) {
		err := api.Delete(ctx, k.Kind, k.Name)
		switch {
		case isNotFound(err) && o.ignoreMissing:
			return "", nil
		case isNotFound(err):
			return "", notFound(ctx, api, k, []string{k.Kind})
		case err != nil:
			return "", err
		case o.form == formName:
			return display(k), nil
		}
		return display(k) + " deleted", nil
	})
}
