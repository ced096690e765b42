package cli

import "github.com/spf13/cobra"

func (c *cli) validateCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "validate FOLDER|FILE...",
		Short: "Check manifests; needs no supervisor",
		Long: `Manifests are read as the supervisor would read them. Each problem is a line FILE:LINE: FIELD: what is wrong; what is allowed.
The exit code is 1 when there is one.`,
		Example: "  supervisor validate ~/.supervisor/manifests\n  supervisor validate web.yaml api.yaml",
		Args:    minArgs("a folder or files"),
		RunE: func(_ *cobra.Command, args []string) error {
			objects, problems := 0, 0
			var failed error
			for _, path := range args {
				keys, wrong, err := c.program.Validate(path)
				if err != nil {
					c.complain(err)
					failed = errSaid
					continue
				}
				objects += len(keys)
				problems += len(wrong)
				for _, p := range wrong {
					c.printf("%s\n", c.paint(red, plain(p.String())))
				}
			}
			if problems > 0 {
				failed = errSaid
				c.notef("%s, %s\n", count(objects, "valid object"), count(problems, "problem"))
			} else if failed == nil && !quiet {
				c.notef("%s, no problems\n", count(objects, "valid object"))
			}
			return failed
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing when all is well")
	return cmd
}
