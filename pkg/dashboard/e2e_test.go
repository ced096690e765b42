package dashboard_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/philiporange/supervisor/pkg/caddy/caddytest"
	"github.com/philiporange/supervisor/pkg/testenv"
)

// TestMain builds the app when it is not there or not current, because the programs that are tested embed it.
func TestMain(m *testing.M) {
	cmd := exec.Command("make", "-s", "-C", filepath.Join("..", ".."), "dashboard") //nolint:noctx // A build has no caller to be cancelled by.
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
	testenv.Main(m)
}

// TestInBrowser goes through the story of a service with Chromium; e2e/run.mjs tells it.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t, "MONITOR_INTERVAL=5s")
	token, err := os.ReadFile(filepath.Join(e.Dir, "token"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "run.mjs", e.URL)
	cmd.Dir = "e2e"
	cmd.Env = append(os.Environ(), "TOKEN="+strings.TrimSpace(string(token)), "PICTURES="+filepath.Join("..", "..", "..", ".cache", "e2e"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatalf("start node, which .ci/setup installs: %v", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); line {
		case "@kill":
			e.KillManager()
			_, err = io.WriteString(in, "done\n")
		case "@start":
			e.StartManager()
			_, err = io.WriteString(in, "done\n")
		default:
			t.Log(line)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
}

// TestTour goes through the pages of routes, updates, repairs, scans and conversations with what really happened; e2e/tour.mjs says how.
func TestTour(t *testing.T) {
	t.Parallel()
	demo := filepath.Join(t.TempDir(), "demo")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", "sqlite_fts5,nomsgpack", "-o", demo, "./pkg/testenv/demo")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "node", "tour.mjs", demo, "-bin", testenv.New(t).Bin, "-caddy", caddytest.Program(t))
	cmd.Dir = "e2e"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
