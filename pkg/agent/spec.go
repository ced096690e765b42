package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// Protocol is how an agent is spoken with.
type Protocol string

// The protocols.
const (
	ProtocolACP  Protocol = "acp"  // the Agent Client Protocol over standard input and output
	ProtocolText Protocol = "text" // a command that is given the prompt, and prints its answer
)

// Spec is an agent as data. In Argv, Env and Files stand Go templates with what a Setup holds, and the function json.
type Spec struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Licence tells people whose program it is.
	Licence  string   `json:"licence,omitempty"`
	Protocol Protocol `json:"protocol,omitempty"`
	// Argv starts it; its first word is looked up on the PATH. An argument that a template leaves empty is left out. With
	// ProtocolText the prompt is standard input, unless an argument holds {{.Prompt}}.
	Argv []string `json:"argv,omitempty"`
	// Version is what is added to the program's name to make it tell its version.
	Version []string `json:"version,omitempty"`
	// Env is its environment besides PATH, HOME, LANG and TERM. A variable that a template leaves empty is left out.
	Env map[string]string `json:"env,omitempty"`
	// Files are written below its home before each start.
	Files map[string]string `json:"files,omitempty"`
	// KeyEnv is the variable that takes its key; BaseURLEnv the one that takes the address of the models.
	KeyEnv     string `json:"keyEnv,omitempty"`
	BaseURLEnv string `json:"baseUrlEnv,omitempty"`
	// Keys are the variables of our own environment that may hold its key when none is configured. One that begins with the
	// model's provider (anthropic/… takes ANTHROPIC_API_KEY) goes before the others, and reaches the agent under its own name.
	Keys []string `json:"keys,omitempty"`
	// Login are files below its home that are there when somebody has logged in, and LoginArgv is how that is done.
	Login     []string `json:"login,omitempty"`
	LoginArgv []string `json:"loginArgv,omitempty"`
	// Models are names for its models, besides their own: opus, sonnet, haiku. An empty model is the agent's own choice.
	Models map[string]string `json:"models,omitempty"`
	// Access is what it can be held to by its configuration; none means read and edit.
	Access []Access `json:"access,omitempty"`
	// Asks says that it asks before it uses a tool of an MCP server. One that does not is given the servers' Unasked.
	Asks bool `json:"asks,omitempty"`
	// Runs are paths, with * in names, of what the agent runs, or of settings that make it run something, when a project brings them
	// along in its folder or above it (with ./ before: in its folder). It is not started there.
	Runs []string `json:"runs,omitempty"`
	// Install is what people type to install it.
	Install string `json:"install,omitempty"`

	// The rest is this machine's, from agents.json.

	// Path is the program, where it is not on the PATH.
	Path string `json:"path,omitempty"`
	// Home is the agent's home; empty for a private one.
	Home string `json:"home,omitempty"`
	// KeyFile holds its key, BaseURL is the address of the models, Model the default.
	KeyFile string `json:"keyFile,omitempty"`
	BaseURL string `json:"baseUrl,omitempty"`
	Model   string `json:"model,omitempty"`
	// NoKey says that it needs no key.
	NoKey bool `json:"noKey,omitempty"`
	// TrustProjects starts it also where Runs says not to.
	TrustProjects bool `json:"trustProjects,omitempty"`
	// Disabled hides it.
	Disabled bool `json:"disabled,omitempty"`
}

// Setup is what templates of a Spec see.
type Setup struct {
	// Model is the model's own name, empty for the agent's choice; BaseURL is empty for the agent's own.
	Model, BaseURL string
	// Home and Dir are the agent's home, and the folder that it works in.
	Home, Dir string
	// Access is read or edit.
	Access Access
	// Servers are the names of the MCP servers that it is given; their tools are asked for.
	Servers []string
	// Secret is made anew for each start.
	Secret string
	// Prompt is for ProtocolText.
	Prompt string
}

// Can reports whether the agent can be held to an access.
func (s *Spec) Can(a Access) bool { return len(s.Access) == 0 || slices.Contains(s.Access, a) }

// ModelID is the model's own name for what people write.
func (s *Spec) ModelID(name string) string {
	if name == "" {
		name = s.Model
	}
	if id, ok := s.Models[name]; ok {
		return id
	}
	return name
}

// expand fills a template in.
func expand(text string, setup *Setup) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"json": toJSON}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("the template %.60q cannot be read: %w", text, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, setup); err != nil {
		return "", fmt.Errorf("the template %.60q cannot be filled in: %w", text, err)
	}
	return b.String(), nil
}

func toJSON(v any) (string, error) {
	raw, err := json.Marshal(v)
	return string(raw), err
}

// argv is the command line, without its program.
func (s *Spec) argv(setup *Setup) (args []string, err error) {
	for _, word := range s.Argv[1:] {
		text, err := expand(word, setup)
		if err != nil {
			return nil, err
		}
		if text != "" {
			args = append(args, text)
		}
	}
	return args, nil
}

// variables are the Spec's own variables as NAME=value, sorted.
func (s *Spec) variables(setup *Setup) ([]string, error) {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		text, err := expand(s.Env[name], setup)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
		if text != "" {
			out = append(out, name+"="+text)
		}
	}
	if s.BaseURLEnv != "" && setup.BaseURL != "" {
		out = append(out, s.BaseURLEnv+"="+setup.BaseURL)
	}
	return out, nil
}

// check says what is wrong with a Spec.
func (s *Spec) check() error {
	switch {
	case s.ID == "" || strings.ContainsAny(s.ID, "/\\ ") || s.ID == "." || s.ID == "..":
		return fmt.Errorf("an agent's id is a word, not %q", s.ID)
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return fmt.Errorf("agent %s has no argv, the command that starts it", s.ID)
	case s.Protocol != ProtocolACP && s.Protocol != ProtocolText:
		return fmt.Errorf("agent %s: protocol %q is neither acp nor text", s.ID, s.Protocol)
	}
	for _, a := range s.Access {
		if a != AccessRead && a != AccessEdit {
			return fmt.Errorf("agent %s: access %q is neither read nor edit", s.ID, a)
		}
	}
	for name := range s.Files {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("agent %s: file %q is not below its home", s.ID, name)
		}
	}
	setup := &Setup{Model: "m", BaseURL: "http://127.0.0.1", Home: "/", Dir: "/", Access: AccessRead}
	if _, err := s.argv(setup); err != nil {
		return fmt.Errorf("agent %s: %w", s.ID, err)
	}
	if _, err := s.variables(setup); err != nil {
		return fmt.Errorf("agent %s: %w", s.ID, err)
	}
	for name, text := range s.Files {
		if _, err := expand(text, setup); err != nil {
			return fmt.Errorf("agent %s: file %s: %w", s.ID, name, err)
		}
	}
	return nil
}
