package agent

// Builtin returns the agents that are known without being configured, in the order in which they are preferred.
func Builtin() []Spec {
	return []Spec{claude(), codex(), gemini(), opencode(), qwen()}
}

// opencode runs with any provider. Its permissions are all named: a project's own opencode.json would else widen them, which
// OPENCODE_DISABLE_PROJECT_CONFIG keeps out as well. The npm variables keep it from installing a plugin at its first start.
func opencode() Spec {
	return Spec{
		ID: "opencode", Name: "opencode", Licence: "MIT", Protocol: ProtocolACP, Asks: true,
		Argv: []string{"opencode", "acp", "--pure"}, Version: []string{"--version"},
		Env: map[string]string{
			"OPENCODE_CONFIG_CONTENT": `{"autoupdate":false,"share":"disabled","snapshot":false,"lsp":false,"formatter":false,` +
				`{{if .BaseURL}}"enabled_providers":["local"],"model":{{json (print "local/" .Model)}},"small_model":{{json (print "local/" .Model)}},` +
				`"provider":{"local":{"npm":"@ai-sdk/openai-compatible","name":"Local","models":{ {{json .Model}}:{} },` +
				`"options":{"baseURL":{{json .BaseURL}},"apiKey":"{env:SUPERVISOR_AGENT_KEY}"}}},` +
				`{{else if .Model}}"model":{{json .Model}},{{end}}` +
				`"permission":{"*":"deny","read":"allow","list":"allow","glob":"allow","grep":"allow","todowrite":"allow","todoread":"allow",` +
				`{{range .Servers}}{{json (print . "_*")}}:"ask",{{end}}` +
				`"edit":"{{if eq .Access "edit"}}ask{{else}}deny{{end}}","bash":"deny","task":"deny","webfetch":"deny","websearch":"deny",` +
				`"codesearch":"deny","skill":"deny","external_directory":"deny"}}`,
			"OPENCODE_DISABLE_PROJECT_CONFIG":  "1",
			"OPENCODE_PURE":                    "1",
			"OPENCODE_SERVER_PASSWORD":         "{{.Secret}}", // it listens on loopback besides
			"OPENCODE_DISABLE_AUTOUPDATE":      "1",
			"OPENCODE_DISABLE_LSP_DOWNLOAD":    "1",
			"OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
			"OPENCODE_DISABLE_MODELS_FETCH":    "{{if .BaseURL}}1{{end}}",
			"npm_config_offline":               "true",
			"npm_config_registry":              "http://127.0.0.1:9/",
		},
		// Neither --pure nor OPENCODE_DISABLE_PROJECT_CONFIG keeps plugins out: those in these folders, and those that these files name.
		Runs: []string{
			"opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc", ".opencode/plugin/*", ".opencode/plugins/*",
			".opencode/tool/*", ".opencode/tools/*",
		},
		KeyEnv: "SUPERVISOR_AGENT_KEY",
		Keys:   []string{"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY", "ZAI_API_KEY"},
		Login:  []string{".local/share/opencode/auth.json"}, LoginArgv: []string{"opencode", "auth", "login"},
		Models: map[string]string{
			"opus": "anthropic/claude-opus-4-5", "sonnet": "anthropic/claude-sonnet-4-5", "haiku": "anthropic/claude-haiku-4-5",
		},
		Install: "npm install -g opencode-ai",
	}
}

// gemini asks in its default mode.
func gemini() Spec {
	return Spec{
		ID: "gemini", Name: "Gemini CLI", Licence: "Apache-2.0", Protocol: ProtocolACP, Asks: true,
		Argv: []string{"gemini", "--acp", "--skip-trust", "{{if .Model}}--model={{.Model}}{{end}}"}, Version: []string{"--version"},
		Env: map[string]string{"GEMINI_TELEMETRY_ENABLED": "false"},
		Files: map[string]string{
			".gemini/settings.json": `{"general":{"enableAutoUpdate":false},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false},` +
				`"security":{"auth":{"selectedType":"gemini-api-key"}}}`,
		},
		// Settings name servers that are started, and .env can send the key elsewhere.
		Runs:   []string{"./.gemini/settings.json", "./.gemini/extensions/*", "./.gemini/.env"},
		KeyEnv: "GEMINI_API_KEY", BaseURLEnv: "GOOGLE_GEMINI_BASE_URL", Keys: []string{"GEMINI_API_KEY"},
		Login: []string{".gemini/oauth_creds.json"}, LoginArgv: []string{"gemini"},
		Models:  ownChoice(),
		Install: "npm install -g @google/gemini-cli",
	}
}

// qwen asks in its default mode.
func qwen() Spec {
	return Spec{
		ID: "qwen", Name: "Qwen Code", Licence: "Apache-2.0", Protocol: ProtocolACP, Asks: true,
		Argv: []string{"qwen", "--auth-type", "openai", "--acp"}, Version: []string{"--version"},
		Env: map[string]string{"OPENAI_MODEL": "{{.Model}}"},
		Files: map[string]string{
			".qwen/settings.json": `{"general":{"enableAutoUpdate":false},"privacy":{"usageStatisticsEnabled":false},"telemetry":{"enabled":false}}`,
		},
		Runs:   []string{"./.qwen/settings.json", "./.qwen/extensions/*", "./.qwen/.env"},
		KeyEnv: "OPENAI_API_KEY", BaseURLEnv: "OPENAI_BASE_URL", Keys: []string{"OPENAI_API_KEY"},
		Models:  ownChoice(),
		Install: "npm install -g @qwen-code/qwen-code",
	}
}

// codex speaks through a bridge. It does not ask, but keeps to its own sandbox, which must not be one of /tmp.
func codex() Spec {
	return Spec{
		ID: "codex", Name: "Codex", Licence: "Apache-2.0", Protocol: ProtocolACP,
		Argv: []string{"codex-acp"}, Version: []string{"--version"},
		Env: map[string]string{"CODEX_HOME": "{{.Home}}/.codex"},
		Files: map[string]string{
			".codex/config.toml": `{{if .Model}}model = {{json .Model}}
{{end}}approval_policy = "on-request"
sandbox_mode = "{{if eq .Access "edit"}}workspace-write{{else}}read-only{{end}}"
web_search = "disabled"
check_for_update_on_startup = false
{{if .BaseURL}}model_provider = "local"
{{end}}
[analytics]
enabled = false

[sandbox_workspace_write]
exclude_slash_tmp = true
exclude_tmpdir_env_var = true
{{if .BaseURL}}
[model_providers.local]
name = "Local"
base_url = {{json .BaseURL}}
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 1
stream_max_retries = 1
{{end}}`,
		},
		Runs:   []string{"./.codex/config.toml"},
		KeyEnv: "OPENAI_API_KEY", Keys: []string{"OPENAI_API_KEY", "CODEX_API_KEY"},
		Login: []string{".codex/auth.json"}, LoginArgv: []string{"codex", "login"},
		Models:  ownChoice(),
		Install: "npm install -g @agentclientprotocol/codex-acp",
	}
}

// claude speaks through a bridge, and is the user's own to install: its licence does not let others ship it.
func claude() Spec {
	return Spec{
		ID: "claude", Name: "Claude Code", Licence: "proprietary", Protocol: ProtocolACP, Asks: true,
		Argv: []string{"claude-agent-acp"}, Version: []string{"--version"},
		Env: map[string]string{
			"ANTHROPIC_MODEL": "{{.Model}}", "ANTHROPIC_DEFAULT_SONNET_MODEL": "{{if .BaseURL}}{{.Model}}{{end}}",
			"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "DISABLE_TELEMETRY": "1",
		},
		// Settings name hooks, which are commands.
		Runs:   []string{"./.claude/settings.json", "./.claude/settings.local.json", "./.mcp.json"},
		KeyEnv: "ANTHROPIC_API_KEY", BaseURLEnv: "ANTHROPIC_BASE_URL", Keys: []string{"ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"},
		Login: []string{".claude/.credentials.json"}, LoginArgv: []string{"claude", "login"},
		Install: "npm install -g @agentclientprotocol/claude-agent-acp",
	}
}

// ownChoice lets names of other makers' models mean the agent's own choice, so that a manifest that says sonnet works everywhere.
func ownChoice() map[string]string { return map[string]string{"opus": "", "sonnet": "", "haiku": ""} }
