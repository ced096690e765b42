package agenttest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/philiporange/supervisor/pkg/agent"
)

// opencodeProgram is where .ci/setup puts it, from the root of the repository.
const opencodeProgram = ".cache/opencode/node_modules/opencode-linux-x64/bin/opencode"

// OpenCode is the Spec of the real opencode, with a scripted model behind it; the Spec's model is the script's name. The test is
// skipped where opencode is missing, but in CI it fails.
func OpenCode(t testing.TB, m *Model, script string) agent.Spec {
	t.Helper()
	program := os.Getenv("SUPERVISOR_TEST_OPENCODE")
	if program == "" {
		_, file, _, _ := runtime.Caller(0)
		program = filepath.Join(filepath.Dir(file), "../../..", opencodeProgram)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("opencode is missing, which .ci/setup installs: %v", err)
		}
		t.Skipf("opencode is missing; `make setup` installs it: %v", err)
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("dummy-key-of-the-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, spec := range agent.Builtin() {
		if spec.ID == "opencode" {
			spec.Path, spec.KeyFile, spec.BaseURL, spec.Model = program, key, m.URL, script
			return spec
		}
	}
	t.Fatal("opencode is not built in")
	return agent.Spec{}
}
