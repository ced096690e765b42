package agent_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/pkg/agent"
)

// program makes an executable script.
func program(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAgentsThatAreKnown(t *testing.T) {
	t.Parallel()
	count := filepath.Join(t.TempDir(), "count")
	there := program(t, "there", "echo x >> "+count+"; echo there 3.4.5-beta")
	mute := program(t, "mute", "exit 1")
	spec := func(id, path string) agent.Spec {
		return agent.Spec{
			ID: id, Name: id, Protocol: agent.ProtocolACP, Argv: []string{id}, Version: []string{"--version"}, Path: path, Keys: []string{"SOME_API_KEY"},
			KeyEnv: "SOME_API_KEY", Install: "npm install -g " + id, Login: []string{"auth.json"}, LoginArgv: []string{id, "login"}, Models: map[string]string{"opus": "o", "haiku": ""},
		}
	}
	missing, keyless, ready := spec("missing", "/nowhere/x"), spec("keyless", mute), spec("there", there)
	ready.KeyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(ready.KeyFile, []byte("k-e-y"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, nil, missing, keyless, ready)
	for range 2 {
		got := h.Agents(t.Context())
		if a := got[0]; a.Installed || a.Ready || !strings.Contains(a.Reason, "npm install -g missing") || a.Default {
			t.Errorf("%+v", a)
		}
		if a := got[1]; !a.Installed || a.Ready || a.Version != "" || !strings.Contains(a.Reason, "SOME_API_KEY") || !strings.Contains(a.Reason, "keyless login") {
			t.Errorf("%+v", a)
		}
		if a := got[2]; !a.Installed || !a.Ready || a.Version != "3.4.5-beta" || a.Path != there || !a.Default || !slices.Equal(a.Models, []string{"opus"}) {
			t.Errorf("%+v", a)
		}
	}
	if content(t, count) != "x\n" {
		t.Errorf("asked for its version more than once: %q", content(t, count))
	}
	var u *agent.UnavailableError
	for _, id := range []string{"missing", "keyless", "unknown"} {
		if err := h.Available(t.Context(), id); !errors.As(err, &u) || u.Agent != id {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := os.Chmod(ready.KeyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.Available(t.Context(), "there"); !errors.As(err, &u) || !strings.Contains(u.Reason, "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	// A log-in does as well.
	home := filepath.Join(h.config.Dir, "keyless", "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "auth.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.Available(t.Context(), ""); err != nil {
		t.Error(err)
	}
	none := newHouse(t, nil, missing)
	if err := none.Available(t.Context(), ""); !errors.As(err, &u) || !strings.Contains(err.Error(), "npm install -g opencode-ai") {
		t.Error(err)
	}
}

func TestWhoAnAgentRunsAs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		uid                int
		wanted, configured string
		allow              bool
		name               string
		wrong              string
	}{
		{0, "", "", false, "", "AGENT_ALLOW_ROOT"},
		{0, "", "", true, "", ""},
		{0, "web", "", false, "web", ""},
		{0, "", "web", false, "web", ""},
		{0, "root", "web", false, "", "AGENT_ALLOW_ROOT"},
		{0, "nobody-knows", "", true, "", "no such user"},
		{1000, "", "", false, "", ""},
		{1000, "web", "", false, "", "only a supervisor that is root"},
		{33, "web", "", false, "", ""},
	} {
		name, uid, err := agent.RunsAs(c.uid, c.wanted, c.configured, c.allow)
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil || name != c.name || (name == "" && int(uid) != c.uid):
			t.Errorf("%+v: %q %d %v", c, name, uid, err)
		}
	}
}

func TestAnAgentRunsAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	base, err := os.MkdirTemp("/tmp", "agent-user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(c *agent.Config) {
		c.OtherHomes, c.AllowRoot, c.User = filepath.Join(base, "homes"), false, "nobody"
	}, agent.Spec{
		ID: "who", Name: "who", Protocol: agent.ProtocolText, Argv: []string{"sh", "-c", `id -un; cat "$HOME/.who/settings"; stat -c %U "$HOME/.who/settings"`}, NoKey: true,
		Files: map[string]string{".who/settings": "for {{.Dir}}\n"},
	})
	for range 2 {
		out, err := h.Run(t.Context(), agent.Request{Dir: base}, "", nil)
		if err != nil || out.Text != "nobody\nfor "+base+"\nnobody\n" {
			t.Errorf("%q %v", out.Text, err)
		}
	}
	// A link that the agent has put into its home is not followed out of it.
	home, err := filepath.Glob(filepath.Join(base, "homes", "who-*"))
	if err != nil || len(home) != 1 {
		t.Fatal(home, err)
	}
	if err := os.RemoveAll(filepath.Join(home[0], ".who")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(base, filepath.Join(home[0], ".who")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(t.Context(), agent.Request{Dir: base}, "", nil); err == nil {
		t.Error("a link out of the home was followed")
	}
	if _, err := os.Stat(filepath.Join(base, "settings")); err == nil {
		t.Error("a file was written outside of the home")
	}
}

func TestLoadSpecs(t *testing.T) {
	t.Parallel()
	load := func(text string) ([]agent.Spec, error) {
		path := filepath.Join(t.TempDir(), "agents.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return agent.LoadSpecs(path)
	}
	specs, err := load(`[{"id":"opencode","keyFile":"/k","models":{"sonnet":"local/s"},"env":{"X":"y"}},
		{"id":"mine","protocol":"text","argv":["mine","{{.Prompt}}"],"access":["edit"]},{"id":"claude","disabled":true}]`)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range specs {
		ids = append(ids, s.ID)
	}
	if !slices.Equal(ids, []string{"opencode", "mine", "codex", "gemini", "qwen"}) {
		t.Error(ids)
	}
	o := specs[0]
	if o.KeyFile != "/k" || o.ModelID("sonnet") != "local/s" || o.ModelID("opus") == "opus" || o.Env["X"] != "y" || o.Env["OPENCODE_DISABLE_PROJECT_CONFIG"] != "1" {
		t.Errorf("%+v", o)
	}
	if specs[1].Can(agent.AccessRead) || !specs[1].Can(agent.AccessEdit) || specs[1].ModelID("x") != "x" {
		t.Errorf("%+v", specs[1])
	}
	for text, want := range map[string]string{
		"{": "JSON list", `[{"id":"a b","argv":["x"]}]`: "a word", `[{"id":"x"}]`: "no argv", `[{"id":"x","argv":["x"],"nonsense":1}]`: "nonsense",
		`[{"id":"x","argv":["x","{{.Nope}}"]}]`: "Nope", `[{"id":"x","argv":["x"],"files":{"../up":""}}]`: "not below its home",
		`[{"id":"x","argv":["x"]},{"id":"x","argv":["x"]}]`: "twice", `[{"id":"x","argv":["x"],"protocol":"telepathy"}]`: "telepathy",
		`[{"id":"x","argv":["x"],"access":["all"]}]`: "all", `[{"id":"x","argv":["x"],"env":{"A":"{{"}}]`: "cannot be read",
	} {
		specs, err := load(text)
		if err == nil || !strings.Contains(err.Error(), want) || len(specs) != len(agent.Builtin()) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if specs, err := agent.LoadSpecs(filepath.Join(t.TempDir(), "none")); err != nil || len(specs) != len(agent.Builtin()) {
		t.Error(err)
	}
	if _, err := agent.NewRunner(t.Context(), agent.Config{Specs: agent.Builtin(), Dir: t.TempDir()}); err != nil {
		t.Errorf("a built-in agent: %v", err)
	}
}

// What a project brings along and an agent would run keeps the agent away.
func TestAProjectsOwnPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sub := filepath.Join(dir, "a[b]", "c")
	for _, d := range []string{sub, filepath.Join(dir, ".opencode", "plugin")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	spec := agent.Spec{ID: "echo", Protocol: agent.ProtocolText, Argv: []string{"cat"}, NoKey: true, Runs: []string{".opencode/plugin/*"}}
	h := newHouse(t, nil, spec)
	if _, err := h.Run(t.Context(), agent.Request{Dir: sub}, "hello", nil); err != nil {
		t.Fatal(err)
	}
	evil := filepath.Join(dir, ".opencode", "plugin", "evil.js")
	if err := os.WriteFile(evil, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var u *agent.UnavailableError
	if _, err := h.Run(t.Context(), agent.Request{Dir: sub}, "hello", nil); !errors.As(err, &u) || !strings.Contains(u.Reason, evil) {
		t.Errorf("%v", err)
	}
	spec.TrustProjects = true
	if _, err := newHouse(t, nil, spec).Run(t.Context(), agent.Request{Dir: sub}, "hello", nil); err != nil {
		t.Error(err)
	}
}

func TestOpenCodesSettingsAreJSON(t *testing.T) {
	t.Parallel()
	// Whatever a model or an address is named: the settings are what they are meant to be.
	for _, s := range agent.Builtin() {
		if s.ID != "opencode" {
			continue
		}
		for _, setup := range []agent.Setup{
			{}, {Model: `x","permission":{"*":"allow"},"y":"`, BaseURL: `http://x/","z":"`, Access: agent.AccessEdit, Servers: []string{"supervisor", `q"`}}, {Model: "a/b", Access: agent.AccessRead},
		} {
			text, err := agent.Expand(s.Env["OPENCODE_CONFIG_CONTENT"], &setup)
			if err != nil {
				t.Fatal(err)
			}
			var got struct{ Permission map[string]string }
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			edit := "deny"
			if setup.Access == agent.AccessEdit {
				edit = "ask"
			}
			if got.Permission["*"] != "deny" || got.Permission["bash"] != "deny" || got.Permission["edit"] != edit || got.Permission["external_directory"] != "deny" {
				t.Errorf("%+v", got)
			}
			if len(setup.Servers) > 0 && got.Permission["supervisor_*"] != "ask" {
				t.Errorf("%+v", got)
			}
		}
	}
}
