package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Access is what an agent's own configuration lets it try. Within it the Policy answers what it asks.
type Access string

// The accesses.
const (
	// AccessRead reads and searches in its folder.
	AccessRead Access = "read"
	// AccessEdit asks before each edit too.
	AccessEdit Access = "edit"
)

// Ask is a request for permission.
type Ask struct {
	// ID names the request within the session.
	ID   string
	Tool Tool
}

// Decision answers an Ask. Why is shown to people, and kept in the transcript.
type Decision struct {
	Allow bool
	Why   string
}

// Policy decides what an agent may do. It may take long, as when a person is asked; its context ends with the turn.
type Policy func(ctx context.Context, ask Ask) Decision

// DenyAll allows nothing that has to be asked for.
func DenyAll(context.Context, Ask) Decision { return Decision{Why: "nothing is allowed here"} }

// ReadOnly lets an agent read and search below a folder, symbolic links resolved.
func ReadOnly(dir string) Policy {
	return func(_ context.Context, ask Ask) Decision {
		if ask.Tool.Kind != "read" && ask.Tool.Kind != "search" {
			return Decision{Why: "only reading is allowed here"}
		}
		return inside(dir, ask, false)
	}
}

// EditInside lets an agent read, search and edit below a folder, symbolic links resolved. Running programs, fetching, deleting and
// moving are refused, and so is what git keeps for itself: a hook is a program.
func EditInside(dir string) Policy {
	return func(_ context.Context, ask Ask) Decision {
		switch ask.Tool.Kind {
		case "read", "search":
			return inside(dir, ask, false)
		case "edit":
			return inside(dir, ask, true)
		}
		return Decision{Why: fmt.Sprintf("only reading and editing files is allowed here, not %s", orOther(ask.Tool.Kind))}
	}
}

// Else asks a second policy about what the first refuses.
func Else(first, second Policy) Policy {
	return func(ctx context.Context, ask Ask) Decision {
		if d := first(ctx, ask); d.Allow {
			return d
		}
		return second(ctx, ask)
	}
}

// AllowTools allows the tools of an MCP server of ours by name; others are refused.
func AllowTools(server string, tools ...string) Policy {
	return func(_ context.Context, ask Ask) Decision {
		if name, ok := ToolOf(server, ask.Tool); ok && slices.Contains(tools, name) {
			return Decision{Allow: true, Why: "it only looks"}
		}
		return Decision{Why: "it is not on the list of what is allowed here"}
	}
}

// ToolOf is the name of a tool of an MCP server, as the agents write it: server_tool, server__tool, mcp__server__tool.
func ToolOf(server string, t Tool) (name string, ok bool) {
	title, _, _ := strings.Cut(t.Title, " ")
	title = strings.TrimPrefix(title, "mcp__")
	rest, ok := strings.CutPrefix(title, server)
	if !ok || t.Kind == "edit" || t.Kind == "execute" || len(t.Paths) > 0 {
		return "", false
	}
	name = strings.TrimLeft(rest, "_./:")
	return name, name != "" && name != rest
}

func orOther(kind string) string {
	if kind == "" {
		return "this"
	}
	return kind
}

// inside allows what is about files below dir only.
func inside(dir string, ask Ask, edits bool) Decision {
	paths := ask.Tool.Paths
	for _, d := range ask.Tool.Diffs {
		paths = append(slices.Clone(paths), d.Path)
	}
	if len(paths) == 0 {
		if edits {
			return Decision{Why: "it does not say which file it edits"}
		}
		return Decision{Allow: true, Why: "it reads in its folder"}
	}
	for _, p := range paths {
		rel, ok := Within(dir, p)
		switch {
		case !ok:
			return Decision{Why: fmt.Sprintf("%s is outside of %s", p, dir)}
		case edits && slices.Contains(strings.Split(rel, "/"), ".git"):
			return Decision{Why: fmt.Sprintf("%s belongs to git itself", p)}
		}
	}
	if edits {
		return Decision{Allow: true, Why: "it edits in its folder"}
	}
	return Decision{Allow: true, Why: "it reads in its folder"}
}
