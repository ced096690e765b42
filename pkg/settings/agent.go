package settings

import (
	"errors"
	"net/url"
	"path/filepath"
	"time"
)

const agentKeyFileName = "AGENT_KEY_FILE"

// The words of agent settings that stand for nothing said.
const (
	autoAgent = "auto" // the first that is ready; the model that the agent chooses
	nobody    = "none"
)

// Agent is how coding agents are run.
type Agent struct {
	// Name is the ID of the agent to use; empty for the first that is ready. Model is empty for the agent's own choice.
	Name, Model string
	// KeyFile holds the agent's key, BaseURL is the address of its models; both may be empty.
	KeyFile, BaseURL string
	// User is who agents run as when the supervisor is root and the service does not say; AllowRoot allows root.
	User      string
	AllowRoot bool
	// Timeout bounds a turn, IdleTimeout the time without a word of the agent, Turns how many go on at a time.
	Timeout, IdleTimeout time.Duration
	Turns                int
}

// agentDefinitions are the rows about coding agents and work in the background.
func agentDefinitions() []definition {
	return []definition{
		{
			name: "AGENT", def: autoAgent, help: "coding agent to use, such as opencode; auto takes the first that is ready (`supervisor agents`)",
			set: word(func(s *Settings) *string { return &s.Agent.Name }, autoAgent),
		},
		{
			name: "AGENT_MODEL", def: autoAgent, help: "model that it uses: opus, sonnet, haiku or one of its own names; auto leaves it to the agent",
			set: word(func(s *Settings) *string { return &s.Agent.Model }, autoAgent),
		},
		{
			name: agentKeyFileName, def: nobody, help: "file with the agent's API key, readable by its owner alone",
			set: setAgentKeyFile,
		},
		{
			name: "AGENT_BASE_URL", def: nobody, help: "address of the models, when it is not the agent's own",
			set: setAgentBaseURL, mask: maskURL,
		},
		{
			name: "AGENT_USER", def: nobody, help: "user that agents run as when the supervisor is root and the service has none",
			set: word(func(s *Settings) *string { return &s.Agent.User }, nobody),
		},
		{
			name: "AGENT_ALLOW_ROOT", def: "false", help: "whether agents may run as root",
			set: boolean(func(s *Settings) *bool { return &s.Agent.AllowRoot }),
		},
		{
			name: "AGENT_TIMEOUT", def: "10m", help: "time that an agent may take for one answer",
			set: duration(func(s *Settings) *time.Duration { return &s.Agent.Timeout }, time.Second),
		},
		{
			name: "AGENT_IDLE_TIMEOUT", def: "90s", help: "time after which an agent that says nothing is ended",
			set: duration(func(s *Settings) *time.Duration { return &s.Agent.IdleTimeout }, time.Second),
		},
		{
			name: "AGENT_MAX", def: "2", help: "agents that work at one time; the others wait",
			set: integer(func(s *Settings) *int { return &s.Agent.Turns }, "a number of agents", 1, 64),
		},
		{
			name: "JOB_WORKERS", def: "2", help: "jobs in the background that run at one time",
			set: integer(func(s *Settings) *int { return &s.JobWorkers }, "a number of jobs", 1, 64),
		},
	}
}

// word takes a text as it is; one stands for nothing said.
func word(field func(*Settings) *string, nothing string) setter {
	return func(s *Settings, text string) error {
		if text == nothing {
			text = ""
		}
		*field(s) = text
		return nil
	}
}

func setAgentKeyFile(s *Settings, text string) error {
	if text == nobody {
		return nil
	}
	if !filepath.IsAbs(text) {
		return errors.New("is not the path of a file; write one that begins with / or ~/")
	}
	s.Agent.KeyFile = text
	return nil
}

func setAgentBaseURL(s *Settings, text string) error {
	if text == nobody {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("is not an address; write one such as https://HOST/v1")
	}
	s.Agent.BaseURL = text
	return nil
}

// AgentsFile holds what is said of agents besides: others, and their models.
func (s *Settings) AgentsFile() string { return filepath.Join(s.Dir, "agents.json") }
