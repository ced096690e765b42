package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	v1 "github.com/philiporange/supervisor/api/v1"
)

// completionTime bounds how long a shell waits for names.
const completionTime = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeNames offers the names of one kind that are not on the line yet.
func (c *cli) completeNames(kind string) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		given := map[string]bool{}
		for _, a := range args {
			given[a] = true
		}
		var out []string
		for _, k := range c.known(cmd, kind) {
			if !given[k.Name] {
				out = append(out, k.Name)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeRefs offers kinds, and after a kind its names; more are further first words.
func (c *cli) completeRefs(more ...string) completion {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if word, _, ok := strings.Cut(toComplete, "/"); ok {
			kind, ok := kindOf(word)
			if !ok {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var out []string
			for _, k := range c.known(cmd, kind) {
				out = append(out, word+"/"+k.Name)
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		}
		if len(args) > 0 {
			if kind, ok := kindOf(args[0]); ok {
				return c.completeNames(kind)(cmd, args[1:], toComplete)
			}
		}
		out := []string{}
		if len(args) == 0 {
			out = append([]string{"services", "cronjobs"}, more...)
		}
		for _, kind := range kinds() {
			names, _ := c.completeNames(kind)(cmd, args, toComplete)
			out = append(out, names...)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// known returns the keys of a kind, none when no supervisor answers: a shell has no place for errors.
func (c *cli) known(cmd *cobra.Command, kind string) []v1.Key {
	api, err := c.connect(cmd)
	if err != nil {
		return nil
	}
	defer api.Close()
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completionTime)
	defer cancel()
	objects, err := api.Objects(ctx, kind, "")
	if err != nil {
		return nil
	}
	keys := make([]v1.Key, len(objects))
	for i, o := range objects {
		keys[i] = o.Key()
	}
	return keys
}
