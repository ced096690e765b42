package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/philiporange/supervisor/api/client"
	"github.com/philiporange/supervisor/api/wire"
)

// chatCommand speaks with the assistant.
func (c *cli) chatCommand() *cobra.Command {
	var r wire.ChatRequest
	cmd := &cobra.Command{
		Use:   "chat [MESSAGE]",
		Short: "Ask a coding agent about what runs here, and about a project",
		Long: `Ask a coding agent about what runs here, and with --project about a service's or a project's folder. It sees the live
state; what it wants to change it asks you first. Without MESSAGE the conversation goes on until you end the input.`,
		Example: `  supervisor chat "why does web restart?"
  supervisor chat --project web`,
		Args: cobra.MaximumNArgs(1),
		RunE: c.online(func(ctx context.Context, api *client.Client, args []string) error {
			lines := bufio.NewScanner(c.In)
			r.Approvals = true
			if len(args) == 1 {
				r.Message = args[0]
				return c.say(ctx, api, &r, lines)
			}
			for {
				c.printf("> ")
				if !lines.Scan() {
					c.printf("\n")
					return lines.Err()
				}
				if r.Message = strings.TrimSpace(lines.Text()); r.Message == "" {
					continue
				}
				if err := c.say(ctx, api, &r, lines); err != nil {
					if errors.Is(err, errUnanswered) {
						c.complain(err)
						continue
					}
					return err
				}
			}
		}),
	}
	cmd.Flags().StringVarP(&r.Project, "project", "p", "", "name of a service or of a folder in ~/Code, or a path")
	cmd.Flags().StringVarP(&r.Model, "model", "m", "", "model: opus, sonnet, haiku or one of the agent's own")
	cmd.Flags().StringVar(&r.Agent, "agent", "", "coding agent to use (`supervisor agents`)")
	cmd.Flags().StringVar(&r.SessionID, "session", "", "go on with a conversation")
	return cmd
}

// errUnanswered says that the assistant could not answer; the conversation can go on.
var errUnanswered = errors.New("there is no whole answer")

// say says something, shows the answer, and asks the person what the assistant asks.
func (c *cli) say(ctx context.Context, api *client.Client, r *wire.ChatRequest, lines *bufio.Scanner) error {
	var failed string
	open := false // the last line has no end
	closeLine := func() {
		if open {
			c.printf("\n")
			open = false
		}
	}
	err := api.Chat(ctx, *r, func(e wire.ChatEvent) error {
		r.SessionID = e.SessionID
		switch e.Type {
		case "text":
			for i, line := range strings.Split(e.Content, "\n") {
				if i > 0 {
					c.printf("\n")
				}
				c.printf("%s", plain(line))
			}
			open = !strings.HasSuffix(e.Content, "\n")
		case "tool":
			closeLine()
			c.notef("· %s\n", plain(e.Content))
		case "wait":
			c.notef("(%s)\n", plain(e.Content))
		case "error":
			failed = e.Content
		case "permission":
			closeLine()
			return c.decidePermission(ctx, api, &e, lines)
		}
		return nil
	})
	closeLine()
	if err == nil && failed != "" {
		err = fmt.Errorf("%w: %s", errUnanswered, plain(failed))
	}
	return err
}

// decidePermission asks the person. No answer is a no.
func (c *cli) decidePermission(ctx context.Context, api *client.Client, e *wire.ChatEvent, lines *bufio.Scanner) error {
	if e.Permission == nil {
		return nil
	}
	c.printf("The assistant wants to: %s\n", plain(e.Content))
	if e.Tool != nil {
		for _, d := range e.Tool.Diffs {
			c.printf("--- %s\n", plain(d.Path))
			printSide(c, "- ", d.Old)
			printSide(c, "+ ", d.New)
		}
		if len(e.Tool.Diffs) == 0 && len(e.Tool.Input) > 0 {
			c.printf("with %s\n", plain(string(e.Tool.Input)))
		}
	}
	c.printf("Allow it, this once? [y/N] ")
	answer := ""
	if lines.Scan() {
		answer = strings.ToLower(strings.TrimSpace(lines.Text()))
	} else if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return api.DecidePermission(ctx, e.Permission.ID, answer == "y" || answer == "yes")
}

func printSide(c *cli, mark, text string) {
	for line := range strings.Lines(text) {
		c.printf("%s%s\n", mark, plain(strings.TrimRight(line, "\n")))
	}
}
